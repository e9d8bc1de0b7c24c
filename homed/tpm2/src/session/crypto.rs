//! The cryptography of sessions (part 1, 11.4.10 and 21; appendix C.6.1): KDFa, KDFe, ECDH on P-256, AES-128-CFB. Hash and
//! HMAC are SHA-256 everywhere.

use crate::Failure;
use openssl::bn::{BigNum, BigNumContext};
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPointRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::sha::Sha256;
use openssl::sign::Signer;
use openssl::symm::{Cipher, Crypter, Mode};
use zeroize::Zeroizing;

/// Bytes of a digest, and of a coordinate.
pub const DIGEST: usize = 32;
/// Bytes of an AES-128 key, and of a block.
const BLOCK: usize = 16;

/// 32 bytes that are wiped.
pub type Key = Zeroizing<[u8; DIGEST]>;

pub fn failed(error: ErrorStack) -> Failure {
    Failure::Broken(format!("libcrypto: {error}"))
}

/// The hash of all parts, one after the other.
pub fn hash(parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finish()
}

pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Result<Key, Failure> {
    let sign = || -> Result<Key, ErrorStack> {
        let key = PKey::hmac(key)?;
        let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
        parts.iter().try_for_each(|part| signer.update(part))?;
        let mut digest = Zeroizing::new([0; DIGEST]);
        signer.sign(digest.as_mut())?;
        Ok(digest)
    };
    sign().map_err(failed)
}

/// KDFa for 256 bits, which are one round.
pub fn kdf_a(key: &[u8], label: &str, newer: &[u8], older: &[u8]) -> Result<Key, Failure> {
    let bits = 256_u32.to_be_bytes();
    hmac(key, &[&1_u32.to_be_bytes(), label.as_bytes(), &[0], newer, older, &bits])
}

/// KDFe for 256 bits.
pub fn kdf_e(shared: &[u8], label: &str, ours: &[u8], theirs: &[u8]) -> Key {
    Zeroizing::new(hash(&[&1_u32.to_be_bytes(), shared, label.as_bytes(), &[0], ours, theirs]))
}

/// A point of P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub x: [u8; DIGEST],
    pub y: [u8; DIGEST],
}

/// A secret that the owner of a key can find out, too, and the point that tells them.
pub fn share(with: &Point) -> Result<(Key, Point), Failure> {
    let share = || -> Result<(Key, Point), ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let mut context = BigNumContext::new()?;
        let theirs = {
            let (x, y) = (BigNum::from_slice(&with.x)?, BigNum::from_slice(&with.y)?);
            // Refuses what is not on the curve.
            PKey::from_ec_key(EcKey::from_public_key_affine_coordinates(&group, &x, &y)?)?
        };
        let ours = EcKey::generate(&group)?;
        let point = coordinates(&group, ours.public_key(), &mut context)?;
        let ours = PKey::from_ec_key(ours)?;
        let mut deriver = Deriver::new(&ours)?;
        deriver.set_peer(&theirs)?;
        let mut shared = Zeroizing::new([0; DIGEST]);
        deriver.derive(shared.as_mut())?;
        Ok((kdf_e(shared.as_ref(), "SECRET", &point.x, &with.x), point))
    };
    share().map_err(failed)
}

fn coordinates(
    group: &EcGroup,
    point: &EcPointRef,
    context: &mut BigNumContext,
) -> Result<Point, ErrorStack> {
    let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
    point.affine_coordinates(group, &mut x, &mut y, context)?;
    let mut made = Point { x: [0; DIGEST], y: [0; DIGEST] };
    for (number, place) in [(x, &mut made.x), (y, &mut made.y)] {
        // At its own width: a number may begin with zeros.
        let bytes = number.to_vec();
        place[DIGEST - bytes.len()..].copy_from_slice(&bytes);
    }
    Ok(made)
}

/// Whether AES-CFB hides or shows.
#[derive(Clone, Copy)]
pub enum Way {
    Hide,
    Show,
}

/// AES-128-CFB; the first half of `key` is the key, the second one the vector.
pub fn cfb(key: &Key, way: Way, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mode = match way {
        Way::Hide => Mode::Encrypt,
        Way::Show => Mode::Decrypt,
    };
    let turn = || -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let (key, vector) = key.split_at(BLOCK);
        let mut crypter = Crypter::new(Cipher::aes_128_cfb128(), mode, key, Some(vector))?;
        let mut out = Zeroizing::new(vec![0; bytes.len() + BLOCK]);
        let mut length = crypter.update(bytes, &mut out)?;
        length += crypter.finalize(&mut out[length..])?;
        out.truncate(length);
        Ok(out)
    };
    turn().map_err(failed)
}

/// Random bytes.
pub fn random() -> Result<Key, Failure> {
    let mut bytes = Zeroizing::new([0; DIGEST]);
    openssl::rand::rand_priv_bytes(bytes.as_mut()).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn known_answers() {
        // RFC 4231, test case 2.
        let tag = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]).expect("tagged");
        assert_eq!(hex(tag.as_ref()), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        // FIPS 180-2, "abc" in two pieces.
        assert_eq!(
            hex(&hash(&[b"a", b"bc"])),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        // NIST SP 800-38A, F.3.13, the first two blocks.
        let mut key = Zeroizing::new([0; DIGEST]);
        key[..16].copy_from_slice(&0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes());
        key[16..].copy_from_slice(&0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f_u128.to_be_bytes());
        let mut plain = 0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a_u128.to_be_bytes().to_vec();
        plain.extend(0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51_u128.to_be_bytes());
        let hidden = cfb(&key, Way::Hide, &plain).expect("hidden");
        assert_eq!(hex(&hidden), "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b");
        assert_eq!(cfb(&key, Way::Show, &hidden).expect("shown").to_vec(), plain);
    }

    #[test]
    fn the_key_derivations_are_those_of_the_specification() {
        // Written out: one round of HMAC and of a hash, over what the specification lists.
        let told = kdf_a(b"key", "CFB", b"newer", b"older").expect("derived");
        let text = b"\0\0\0\x01CFB\0newerolder\0\0\x01\0";
        assert_eq!(told.as_ref(), hmac(b"key", &[text]).expect("tagged").as_ref());
        assert_eq!(
            kdf_e(b"shared", "SECRET", b"ours", b"theirs").as_ref(),
            &hash(&[b"\0\0\0\x01sharedSECRET\0ourstheirs"])
        );
    }

    #[test]
    fn both_ends_find_the_same_secret_and_a_point_off_the_curve_is_refused() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("known");
        let theirs = EcKey::generate(&group).expect("made");
        let mut context = BigNumContext::new().expect("made");
        let with = coordinates(&group, theirs.public_key(), &mut context).expect("read");
        let (secret, point) = share(&with).expect("shared");
        let (x, y) =
            (BigNum::from_slice(&point.x).expect("read"), BigNum::from_slice(&point.y).expect("read"));
        let ours = EcKey::from_public_key_affine_coordinates(&group, &x, &y).expect("on the curve");
        let (ours, theirs) = (PKey::from_ec_key(ours).expect("key"), PKey::from_ec_key(theirs).expect("key"));
        let mut deriver = Deriver::new(&theirs).expect("made");
        deriver.set_peer(&ours).expect("set");
        let shared = deriver.derive_to_vec().expect("derived");
        assert_eq!(kdf_e(&shared, "SECRET", &point.x, &with.x).as_ref(), secret.as_ref());
        assert!(share(&Point { x: [1; DIGEST], y: [1; DIGEST] }).is_err());
    }
}
