//! A token for a home that exists: which one, which of its keys, and a new key for it.

use crate::Failure;
use crate::answer::{self, Given, passphrase};
use crate::public;
use crate::token::{PrivateKey, Token};
use crate::uri::Uri;
use records::Secret;

/// A key that was made for a token.
pub struct Enrolled {
    /// Its URI in the record: the token's, and which of its keys, if it has several.
    pub uri: String,
    /// What is kept of the key.
    pub data: Vec<u8>,
    /// The passphrase.
    pub secret: Secret,
}

/// Whether a token is meant for people: stores of certificates want no PIN.
pub fn is_listed(token: &dyn Token) -> bool {
    token.pin_state().is_ok_and(|state| state.needed)
}

/// The token that is meant: the one that the URI names, or the only one that is for people.
pub fn choose<'a>(tokens: &'a [Box<dyn Token + 'a>], wanted: Option<&Uri>) -> Result<&'a dyn Token, Failure> {
    let fits = |token: &&dyn Token| match wanted {
        Some(uri) => uri.fits(token.facts()),
        None => is_listed(*token),
    };
    let mut fitting = tokens.iter().map(AsRef::as_ref).filter(fits);
    match (fitting.next(), fitting.next()) {
        (None, _) => Err(Failure::NoKey),
        (Some(only), None) => Ok(only),
        _ => Err(Failure::Several),
    }
}

/// Gives a token what it wants before it shows its private keys.
pub fn enter(token: &dyn Token, given: &Given<'_>) -> Result<(), Failure> {
    answer::enter(token, given).map(drop)
}

/// Makes a key for a token that was entered. A URI that names one of its keys is kept; else the first key is taken
/// that shows its public part.
pub fn enrol(token: &dyn Token, wanted: Option<&Uri>) -> Result<Enrolled, Failure> {
    let mut keys = token.private_keys()?;
    // Tokens have no order of their own.
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    let fitting: Vec<&PrivateKey> =
        keys.iter().filter(|key| wanted.is_none_or(|uri| uri.fits_key(key))).collect();
    for key in &fitting {
        let Some(public) = token.public_key(key)? else { continue };
        let made = public::new_key(&public)?;
        let id = (keys.len() > 1).then_some(key.id.as_slice()).filter(|id| !id.is_empty());
        return Ok(Enrolled {
            uri: Uri::of(token.facts(), id),
            data: made.kept,
            secret: passphrase(&made.bytes),
        });
    }
    Err(match fitting.is_empty() {
        true => Failure::NoKey,
        false => Failure::Unsuitable("it shows neither certificate nor public key of its private key".into()),
    })
}
