//! Smart cards of SoftHSM. In the machine: `softcard new LABEL PIN rsa|ec|certificate|each-time|PATH…` makes one with a key
//! for each word, a path being that of a key. Outside: `softcard key PATH` makes such a key, and `softcard answer PATH DATA`
//! says what passphrase it gives back, and `softcard oaep PATH DATA` seals the same with OAEP and SHA-1.

use anyhow::{Context, Result, bail};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, CertificateType, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::x509::{X509, X509NameBuilder};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// DER of the identifier of P-256.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["new", label, pin, kinds @ ..] => new(label, pin, kinds),
        ["key", path] => Ok(std::fs::write(path, Rsa::generate(2048)?.private_key_to_pem()?)?),
        ["answer", path, data] => {
            println!("{}", openssl::base64::encode_block(&opened(&key(path)?, data)?));
            Ok(())
        }
        ["oaep", path, data] => oaep(path, data),
        _ => bail!("usage: softcard new LABEL PIN KIND… | key PATH | answer|oaep PATH DATA"),
    }
}

fn key(path: &str) -> Result<Rsa<Private>> {
    Ok(Rsa::private_key_from_pem(&std::fs::read(path)?)?)
}

fn opened(key: &Rsa<Private>, data: &str) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 256];
    let length = key.private_decrypt(&openssl::base64::decode_block(data)?, &mut bytes, Padding::PKCS1)?;
    bytes.truncate(length);
    Ok(bytes)
}

fn oaep(path: &str, data: &str) -> Result<()> {
    let key = key(path)?;
    let mut sealed = vec![0; 256];
    let length = key.public_encrypt(&opened(&key, data)?, &mut sealed, Padding::PKCS1_OAEP)?;
    println!("{}", openssl::base64::encode_block(&sealed[..length]).replace('\n', ""));
    Ok(())
}

fn new(label: &str, pin: &str, kinds: &[&str]) -> Result<()> {
    let library = Pkcs11::new(MODULE)?;
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slots = library.get_slots_with_token()?;
    let free = slots
        .into_iter()
        .find(|slot| library.get_token_info(*slot).is_ok_and(|info| !info.token_initialized()))
        .context("there is no free slot")?;
    let so_pin = AuthPin::new("12345678".into());
    library.init_token(free, &so_pin, label)?;
    let slots = library.get_slots_with_token()?;
    let slot = slots
        .into_iter()
        .find(|slot| library.get_token_info(*slot).is_ok_and(|info| info.label() == label))
        .context("the new token is not there")?;
    let session = library.open_rw_session(slot)?;
    session.login(UserType::So, Some(&so_pin))?;
    let pin = AuthPin::new(pin.into());
    session.init_pin(&pin)?;
    session.logout()?;
    session.login(UserType::User, Some(&pin))?;
    for (id, kind) in (1..).zip(kinds) {
        make(&session, id, kind)?;
    }
    Ok(())
}

fn make(session: &Session, id: u8, kind: &str) -> Result<()> {
    let common = [Attribute::Token(true), Attribute::Id(vec![id]), Attribute::Label(kind.into())];
    let with = |more: &[Attribute]| [&common, more].concat();
    if kind == "ec" {
        let public = with(&[Attribute::EcParams(P256.to_vec()), Attribute::Private(false)]);
        let private = with(&[Attribute::Private(true), Attribute::Sensitive(true), Attribute::Derive(true)]);
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
        return Ok(());
    }
    let key = match kind.starts_with('/') {
        true => key(kind)?,
        false => Rsa::generate(2048)?,
    };
    let (Some(p), Some(q), Some(dp), Some(dq), Some(qi)) =
        (key.p(), key.q(), key.dmp1(), key.dmq1(), key.iqmp())
    else {
        bail!("not all of the key is there")
    };
    session.create_object(&with(&[
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::RSA),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Decrypt(true),
        Attribute::AlwaysAuthenticate(kind == "each-time"),
        Attribute::Modulus(key.n().to_vec()),
        Attribute::PublicExponent(key.e().to_vec()),
        Attribute::PrivateExponent(key.d().to_vec()),
        Attribute::Prime1(p.to_vec()),
        Attribute::Prime2(q.to_vec()),
        Attribute::Exponent1(dp.to_vec()),
        Attribute::Exponent2(dq.to_vec()),
        Attribute::Coefficient(qi.to_vec()),
    ]))?;
    session.create_object(&with(&public_half(&key, kind == "certificate")?))?;
    Ok(())
}

/// What everybody may see of a key.
fn public_half(key: &Rsa<Private>, has_certificate: bool) -> Result<Vec<Attribute>> {
    if has_certificate {
        let (subject, certificate) = certificate(key)?;
        return Ok(vec![
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Private(false),
            Attribute::Subject(subject),
            Attribute::Value(certificate),
        ]);
    }
    Ok(vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::RSA),
        Attribute::Private(false),
        Attribute::Modulus(key.n().to_vec()),
        Attribute::PublicExponent(key.e().to_vec()),
    ])
}

/// Subject and certificate, in DER.
fn certificate(key: &Rsa<Private>) -> Result<(Vec<u8>, Vec<u8>)> {
    let key = PKey::from_rsa(key.clone())?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "alice")?;
    let name = name.build();
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = BigNum::from_u32(1)?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(3650)?.as_ref())?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((name.to_der()?, builder.build().to_der()?))
}
