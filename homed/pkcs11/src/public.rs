//! What is done with public keys: a key for whoever has the private one.

use crate::Failure;
use crate::token::PublicKey;
use openssl::bn::BigNum;
use openssl::derive::Deriver;
use openssl::ec::{EcKey, PointConversionForm};
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::{Padding, Rsa};
use openssl::x509::X509;
use records::Secret;
use zeroize::Zeroizing;

/// Shortest RSA key that is used, in bits.
const SHORTEST_RSA: u32 = 1024;

/// A new key: its bytes, and what is kept of it.
pub struct NewKey {
    /// The bytes.
    pub bytes: Secret,
    /// Ciphertext, or the public point.
    pub kept: Vec<u8>,
}

/// Makes a key that only the private key gives back.
pub fn new_key(public: &PublicKey) -> Result<NewKey, Failure> {
    let key =
        read(public).map_err(|error| Failure::Broken(format!("its public key cannot be read ({error})")))?;
    let made = match key.id() {
        Id::RSA if key.bits() >= SHORTEST_RSA => for_rsa(&key),
        Id::EC => for_curve(&key),
        _ => return Err(Failure::Unsuitable("its key is neither RSA, nor of an elliptic curve".into())),
    };
    made.map_err(|error| Failure::Broken(format!("its public key cannot be used ({error})")))
}

/// Half as many random bytes as the modulus has: PKCS#1 v1.5 needs some of the rest.
fn for_rsa(key: &PKey<Public>) -> Result<NewKey, ErrorStack> {
    let rsa = key.rsa()?;
    let size = usize::try_from(rsa.size()).unwrap_or_default();
    let mut bytes = Zeroizing::new(vec![0; size / 2]);
    openssl::rand::rand_bytes(&mut bytes)?;
    let mut kept = vec![0; size];
    let length = rsa.public_encrypt(&bytes, &mut kept, Padding::PKCS1)?;
    kept.truncate(length);
    Ok(NewKey { bytes: Secret::new(std::mem::take(&mut *bytes)), kept })
}

/// What a key of the moment agrees on with the token's; its public point is kept, uncompressed.
fn for_curve(key: &PKey<Public>) -> Result<NewKey, ErrorStack> {
    let theirs = key.ec_key()?;
    let ours = EcKey::generate(theirs.group())?;
    let mut context = openssl::bn::BigNumContext::new()?;
    let kept = ours.public_key().to_bytes(theirs.group(), PointConversionForm::UNCOMPRESSED, &mut context)?;
    let ours = PKey::from_ec_key(ours)?;
    let mut deriver = Deriver::new(&ours)?;
    deriver.set_peer(key)?;
    Ok(NewKey { bytes: Secret::new(deriver.derive_to_vec()?), kept })
}

fn read(public: &PublicKey) -> Result<PKey<Public>, ErrorStack> {
    match public {
        PublicKey::Rsa(modulus, exponent) => {
            let rsa =
                Rsa::from_public_components(BigNum::from_slice(modulus)?, BigNum::from_slice(exponent)?)?;
            PKey::from_rsa(rsa)
        }
        PublicKey::Certificate(der) => X509::from_der(der)?.public_key(),
        PublicKey::Ec(curve, point) => PKey::public_key_from_der(&spki(curve, bare(point))),
    }
}

/// `SubjectPublicKeyInfo` (RFC 5480) of a point of a curve.
fn spki(curve: &[u8], point: &[u8]) -> Vec<u8> {
    /// DER of the identifier `id-ecPublicKey`, 1.2.840.10045.2.1.
    const EC: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let algorithm = der(0x30, &[&EC, curve].concat());
    let bits = der(0x03, &[&[0], point].concat());
    der(0x30, &[algorithm, bits].concat())
}

/// A value in DER (X.690): tag, length, content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut all = vec![tag];
    match length {
        [] => all.push(0),
        [short @ ..0x80] => all.push(*short),
        long => {
            // At most eight bytes.
            all.push(0x80 | long.len().to_le_bytes()[0]);
            all.extend(long);
        }
    }
    all.extend(content);
    all
}

/// The point in an octet string of DER; some tokens give it bare.
fn bare(point: &[u8]) -> &[u8] {
    let is_bare = |point: &[u8]| matches!(point.first(), Some(2..=4)) && point.len() > 2;
    match point {
        [4, length, rest @ ..] if usize::from(*length) == rest.len() && is_bare(rest) => rest,
        [4, 0x81, length, rest @ ..] if usize::from(*length) == rest.len() && is_bare(rest) => rest,
        _ => point,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ec::EcGroup;
    use openssl::nid::Nid;
    use openssl::pkey::Private;

    #[test]
    fn rsa_gives_back_half_as_many_bytes_as_the_modulus_has() {
        let private = Rsa::generate(2048).expect("a key");
        let public = PublicKey::Rsa(private.n().to_vec(), private.e().to_vec());
        let made = new_key(&public).expect("made");
        let mut back = vec![0; 256];
        let length = private.private_decrypt(&made.kept, &mut back, Padding::PKCS1).expect("decrypted");
        assert_eq!((length, made.kept.len()), (128, 256));
        assert!(made.bytes.matches(&back[..length]));
        assert!(
            !new_key(&public).expect("made").bytes.matches(made.bytes.open()),
            "it is a new one each time"
        );
    }

    /// Keys as a token shows them: the curve's identifier in DER.
    const CURVES: [(Nid, &[u8], usize); 3] = [
        (Nid::X9_62_PRIME256V1, &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], 32),
        (Nid::SECP384R1, &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], 48),
        (Nid::SECP521R1, &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], 66),
    ];

    fn agreed(private: &PKey<Private>, group: &EcGroup, point: &[u8]) -> Vec<u8> {
        let mut context = openssl::bn::BigNumContext::new().expect("memory");
        let point = openssl::ec::EcPoint::from_bytes(group, point, &mut context).expect("a point");
        let theirs = PKey::from_ec_key(EcKey::from_public_key(group, &point).expect("a key")).expect("a key");
        let mut deriver = Deriver::new(private).expect("deriver");
        deriver.set_peer(&theirs).expect("peer");
        deriver.derive_to_vec().expect("agreed")
    }

    #[test]
    fn a_curve_gives_back_what_was_agreed_on() {
        for (nid, curve, size) in CURVES {
            let group = EcGroup::from_curve_name(nid).expect("a curve");
            let private = EcKey::generate(&group).expect("a key");
            let mut context = openssl::bn::BigNumContext::new().expect("memory");
            let form = PointConversionForm::UNCOMPRESSED;
            let point = private.public_key().to_bytes(&group, form, &mut context).expect("a point");
            let private = PKey::from_ec_key(private).expect("a key");
            for shown in [point.clone(), der(4, &point)] {
                let made = new_key(&PublicKey::Ec(curve.to_vec(), shown)).expect("made");
                assert_eq!((made.kept.len(), made.kept[0]), (2 * size + 1, 4), "uncompressed, and bare");
                assert_eq!(made.bytes.open().len(), size);
                assert!(made.bytes.matches(&agreed(&private, &group, &made.kept)));
            }
        }
    }

    #[test]
    fn keys_that_cannot_be_used_are_refused() {
        let short = Rsa::generate(512).expect("a key");
        let public = PublicKey::Rsa(short.n().to_vec(), short.e().to_vec());
        assert!(matches!(new_key(&public).map(drop), Err(Failure::Unsuitable(_))));
        for public in [
            PublicKey::Certificate(vec![0x30, 0]),
            PublicKey::Ec(vec![5, 0], vec![4; 65]),
            PublicKey::Ec(CURVES[0].1.to_vec(), vec![]),
        ] {
            assert!(matches!(new_key(&public).map(drop), Err(Failure::Broken(_))), "{public:?}");
        }
    }

    #[test]
    fn der_has_the_lengths_of_x690() {
        assert_eq!(der(4, &[]), [4, 0]);
        assert_eq!(der(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(der(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(der(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }
}
