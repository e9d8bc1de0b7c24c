//! Security keys with FIDO2: `privileged.fido2HmacSalt`.

use super::Offer;
use super::device::{Asked, Device};
use crate::sys::usb;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fido2::{Credential, Failure, Given, Library};
use records::keys::{AND_A_TOUCH, KeyKind, SECURITY_KEY};
use records::refusal::Refused;
use records::{Refusal, Secret};
use serde_json::Value;
use std::path::Path;

/// The kind.
pub struct Fido2;

/// The keys that are plugged in.
pub trait Keys {
    /// Asks them for one of the credentials; `None`: none of them has any.
    fn answer(
        &self,
        credentials: &[Credential],
        given: &Given<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<fido2::Asked>, Failure>;
}

/// Those of this machine, by libfido2, which is loaded for the question.
pub struct PluggedIn;

impl Keys for PluggedIn {
    fn answer(
        &self,
        credentials: &[Credential],
        given: &Given<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<fido2::Asked>, Failure> {
        let library = Library::load()?;
        // One that cannot be opened is none that could answer.
        let keys: Vec<_> = library.list()?.iter().filter_map(|found| library.open(found).ok()).collect();
        let keys: Vec<_> = keys.iter().map(AsRef::as_ref).collect();
        Ok(fido2::answer(&keys, credentials, given, fits))
    }
}

impl Device for Fido2 {
    const KIND: KeyKind = SECURITY_KEY;
    type Entry = Credential;
    type Failure = Failure;

    fn read(entry: &Value) -> Option<Credential> {
        let bytes = |name: &str| STANDARD.decode(entry.get(name)?.as_str()?).ok();
        let flag = |name: &str| entry.get(name).and_then(Value::as_bool);
        Some(Credential {
            id: bytes("credential")?,
            salt: bytes("salt")?,
            pin: flag("clientPin"),
            presence: flag("up"),
            verification: flag("uv"),
        })
    }

    fn asked(
        entries: &[Credential],
        offer: &Offer<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<Asked<Failure>>, Failure> {
        let given = Given {
            pins: &offer.credentials.token_pins,
            presence: offer.credentials.user_presence,
            verification: offer.credentials.user_verification,
        };
        let asked = offer.keys.answer(entries, &given, fits)?;
        Ok(asked.map(|asked| {
            let at = asked.credential;
            let place = usb::of_node(Path::new(&asked.path));
            let is_touched = entries.get(at).is_some_and(|entry| entry.presence == Some(true));
            let done = asked.done.map_err(|failure| match failure {
                Failure::PinNeeded if is_touched => Failure::PinAndTouchNeeded,
                other => other,
            });
            Asked { about: Some(at), device: asked.key, place, done: done.map(|secret| (at, secret)) }
        }))
    }

    fn refused(failure: &Failure, device: &str) -> Refused {
        refused(failure, device)
    }
}

/// What is told, and what a client asks for next; `key` is what the key is called.
fn refused(failure: &Failure, key: &str) -> Refused {
    let (refusal, sentence) = match failure {
        Failure::NotPluggedIn => {
            (Refusal::BadPasswordAndNoToken, "No security key of this home is plugged in.".into())
        }
        Failure::NoLibrary(why) => (
            Refusal::BadPasswordAndNoToken,
            format!(
                "Security keys cannot be asked, for libfido2 is not installed (package libfido2-1): {why}."
            ),
        ),
        Failure::PinNeeded => (Refusal::TokenPinNeeded, format!("The security key {key} needs its PIN.")),
        Failure::PinAndTouchNeeded => {
            (Refusal::TokenPinNeeded, format!("The security key {key} needs its PIN{AND_A_TOUCH}."))
        }
        Failure::PresenceNeeded => {
            (Refusal::TokenUserPresenceNeeded, format!("Touch the security key {key}."))
        }
        Failure::VerificationNeeded => {
            (Refusal::TokenUserVerificationNeeded, format!("Verify yourself on the security key {key}."))
        }
        Failure::BadPin(left) => bad_pin(*left, key),
        Failure::PinLocked(true) => (
            Refusal::TokenPinLocked,
            format!("Too many wrong PINs: the security key {key} takes none before it is plugged in again."),
        ),
        Failure::PinLocked(false) => {
            (Refusal::TokenPinLocked, format!("The PIN of the security key {key} is locked."))
        }
        Failure::Timeout => {
            (Refusal::TokenActionTimeout, format!("Nobody has touched the security key {key} in time."))
        }
        Failure::OtherSecret => (
            Refusal::BadPasswordAndNoToken,
            format!("The security key {key} answers another secret than the one that was enrolled."),
        ),
        Failure::Unsuitable(why) | Failure::Broken(why) => {
            (Refusal::BadPasswordAndNoToken, format!("The security key {key} cannot be used: {why}."))
        }
    };
    Refused::new(refusal, sentence.replace("  ", " ").replace(" .", "."))
}

/// A wrong PIN; what the original's clients say of few tries goes by the name.
fn bad_pin(left: Option<u8>, key: &str) -> (Refusal, String) {
    let wrong = format!("The PIN of the security key {key} is not right");
    match left {
        Some(1) => (Refusal::BadPinOneTryLeft, format!("{wrong}; one try is left.")),
        Some(few @ ..=3) => (Refusal::BadPinFewTriesLeft, format!("{wrong}; {few} tries are left.")),
        _ => (Refusal::BadPin, format!("{wrong}.")),
    }
}

#[cfg(test)]
mod tests;
