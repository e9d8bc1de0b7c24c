//! The cryptography of CTAP 2.

use anyhow::{Context, Result, ensure};
use openssl::bn::{BigNum, BigNumContext};
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;
use openssl::symm::{Cipher, Crypter, Mode};

/// A key on P-256.
pub type Pair = EcKey<Private>;

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    openssl::sha::sha256(bytes)
}

pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    for part in parts {
        signer.update(part)?;
    }
    Ok(signer.sign_to_vec()?)
}

pub fn new_pair() -> Result<Pair> {
    Ok(EcKey::generate(group()?.as_ref())?)
}

/// The pair whose private number these bytes are.
pub fn pair_of(bytes: &[u8]) -> Result<Pair> {
    let (group, mut context) = (group()?, BigNumContext::new()?);
    let mut order = BigNum::new()?;
    group.order(&mut order, &mut context)?;
    let mut number = BigNum::new()?;
    number.nnmod(BigNum::from_slice(bytes)?.as_ref(), &order, &mut context)?;
    let mut point = EcPoint::new(&group)?;
    point.mul_generator2(&group, &number, &mut context)?;
    Ok(EcKey::from_private_components(&group, &number, &point)?)
}

fn group() -> Result<EcGroup> {
    Ok(EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)
}

/// The two coordinates of its public point.
pub fn coordinates(pair: &Pair) -> Result<[Vec<u8>; 2]> {
    let (mut x, mut y, mut context) = (BigNum::new()?, BigNum::new()?, BigNumContext::new()?);
    pair.public_key().affine_coordinates(pair.group(), &mut x, &mut y, &mut context)?;
    Ok([x.to_vec_padded(32)?, y.to_vec_padded(32)?])
}

/// The public bytes of the Ed25519 key whose private ones these are.
pub fn edwards(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(PKey::private_key_from_raw_bytes(bytes, Id::ED25519)?.raw_public_key()?)
}

/// What PIN protocol 1 shares: the hash of the common point's first coordinate.
pub fn shared(own: &Pair, [x, y]: [&[u8]; 2]) -> Result<[u8; 32]> {
    let (x, y) = (BigNum::from_slice(x)?, BigNum::from_slice(y)?);
    let peer = PKey::from_ec_key(EcKey::from_public_key_affine_coordinates(own.group(), &x, &y)?)?;
    let own = PKey::from_ec_key(own.clone())?;
    let mut deriver = Deriver::new(&own)?;
    deriver.set_peer(&peer)?;
    Ok(sha256(&deriver.derive_to_vec()?))
}

/// AES-256-CBC as PIN protocol 1 has it: no padding, an initial vector of zeros.
pub fn aes(mode: Mode, key: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
    ensure!(bytes.len().is_multiple_of(16), "not whole blocks");
    let mut crypter = Crypter::new(Cipher::aes_256_cbc(), mode, key, Some(&[0; 16]))?;
    crypter.pad(false);
    let mut out = vec![0; bytes.len() + 16];
    let mut length = crypter.update(bytes, &mut out)?;
    length += crypter.finalize(out.get_mut(length..).context("it fits")?)?;
    out.truncate(length);
    Ok(out)
}

pub fn sign(pair: &Pair, parts: &[&[u8]]) -> Result<Vec<u8>> {
    Ok(EcdsaSig::sign(&sha256(&parts.concat()), pair)?.to_der()?)
}
