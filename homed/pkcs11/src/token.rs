//! What a token does for homes, whoever plays it.

use crate::Failure;
use crate::uri::Uri;
use records::Secret;

/// What a token and its slot call themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// `CK_TOKEN_INFO.label`.
    pub label: String,
    /// Its maker.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// `CK_SLOT_INFO.slotDescription`.
    pub slot: String,
    /// Maker of the slot.
    pub slot_manufacturer: String,
}

impl Facts {
    /// What people call it; it is shown on terminals.
    pub fn name(&self) -> String {
        let first =
            [&self.label, &self.model, &self.manufacturer].into_iter().find(|text| !text.trim().is_empty());
        let tame: String =
            first.map_or("", String::as_str).chars().filter(|letter| !letter.is_control()).take(64).collect();
        if tame.trim().is_empty() { "without a name".into() } else { tame.trim().to_owned() }
    }
}

/// How a token wants its PIN, at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PinState {
    /// It wants one.
    pub needed: bool,
    /// It is typed on a pad of the token's.
    pub pad: bool,
    /// It is locked.
    pub locked: bool,
    /// Few tries are left.
    pub few: bool,
    /// One try is left.
    pub one: bool,
}

/// What a key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA: it decrypts.
    Rsa,
    /// An elliptic curve: it agrees on a key.
    Ec,
}

/// A private key that can be used for homes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateKey {
    /// The token's number for it, in this session.
    pub handle: std::ffi::c_ulong,
    /// `CKA_ID`, which its public key and certificate have, too.
    pub id: Vec<u8>,
    /// `CKA_LABEL`.
    pub label: Vec<u8>,
    /// What it is made of.
    pub algorithm: Algorithm,
    /// The PIN is wanted for each use (`CKA_ALWAYS_AUTHENTICATE`).
    pub each_time: bool,
}

/// Padding of what was encrypted with RSA (RFC 8017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Padding {
    /// PKCS#1 v1.5.
    #[default]
    Pkcs1,
    /// OAEP with SHA-1.
    OaepSha1,
    /// OAEP with SHA-256.
    OaepSha256,
}

impl Padding {
    /// By the names that records have for it (systemd 262); none is PKCS#1 v1.5.
    pub fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("pkcs1") => Some(Self::Pkcs1),
            Some("oaep-sha1") => Some(Self::OaepSha1),
            Some("oaep-sha256") => Some(Self::OaepSha256),
            Some(_) => None,
        }
    }
}

/// A public key as a token shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// Modulus and exponent, big-endian.
    Rsa(Vec<u8>, Vec<u8>),
    /// The curve (DER of `ECParameters`) and the point (DER of an octet string, or bare).
    Ec(Vec<u8>, Vec<u8>),
    /// A certificate (DER).
    Certificate(Vec<u8>),
}

/// A token that is plugged in.
pub trait Token {
    /// What it calls itself.
    fn facts(&self) -> &Facts;

    /// How it wants its PIN; asked anew.
    fn pin_state(&self) -> Result<PinState, Failure>;

    /// Gives it the PIN; `None`: its user types it on the pad.
    fn login(&self, pin: Option<&Secret>) -> Result<(), Failure>;

    /// Whether it shows, without a PIN, something that the URI names.
    fn shows(&self, uri: &Uri) -> Result<bool, Failure>;

    /// Its private keys that can be used for homes; most tokens show them after the PIN only.
    fn private_keys(&self) -> Result<Vec<PrivateKey>, Failure>;

    /// The public key of a private one; `None`: it shows none.
    fn public_key(&self, key: &PrivateKey) -> Result<Option<PublicKey>, Failure>;

    /// Uses a private key: the bytes that were encrypted, or agreed on. `pin` is for keys that want it each time.
    fn open(&self, key: &PrivateKey, sealed: &Sealed<'_>, pin: Option<&Secret>) -> Result<Secret, Failure>;
}

/// What is kept of a key.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    /// Ciphertext, or the public point.
    pub data: &'a [u8],
    /// How it was padded.
    pub padding: Padding,
}
