//! Security keys with FIDO2: `privileged.fido2HmacSalt`.
//!
//! A key is asked once for each job, before anything of the home is open, and only where nothing that was typed fits the
//! record: whoever types the password touches nothing, and whoever is waited for holds up nobody else's image.

use super::{Answer, Offer, Token, entries};
use crate::sys::crypt3;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fido2::{Asked, Credential, Failure, Given, Library};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};
use serde_json::Value;

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
    ) -> Result<Option<Asked>, Failure>;
}

/// Those of this machine, by libfido2, which is loaded for the question.
pub struct PluggedIn;

impl Keys for PluggedIn {
    fn answer(
        &self,
        credentials: &[Credential],
        given: &Given<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<Asked>, Failure> {
        let library = Library::load()?;
        // One that cannot be opened is none that could answer.
        let keys: Vec<_> = library.list()?.iter().filter_map(|found| library.open(found).ok()).collect();
        let keys: Vec<_> = keys.iter().map(AsRef::as_ref).collect();
        Ok(fido2::answer(&keys, credentials, given, fits))
    }
}

impl Token for Fido2 {
    fn member(&self) -> &'static str {
        "fido2HmacSalt"
    }

    fn derive(&self, record: &Record, offer: &Offer<'_>) -> Vec<Secret> {
        entries(self, record).iter().filter_map(|entry| self.at_hand(entry, offer)).collect()
    }

    fn ask(&self, record: &Record, offer: &Offer<'_>) {
        let all = entries(self, record);
        if !all.is_empty() && self.derive(record, offer).is_empty() {
            *offer.no_answer.borrow_mut() = ask(all, offer).err();
        }
    }

    fn proves(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        if entries(self, record).is_empty() {
            return Answer::NotMine;
        }
        let keys = self.derive(record, offer);
        if !keys.is_empty() {
            return Answer::Keys(keys);
        }
        let why = offer.no_answer.borrow().clone();
        Answer::Failed(why.unwrap_or_else(|| super::no_token(offer)))
    }

    fn at_hand(&self, entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
        super::answered(entry, offer)
    }

    fn enrol(&self, entry: &Value, offer: &Offer<'_>) -> Result<Secret, Refused> {
        if let Some(key) = self.at_hand(entry, offer) {
            return Ok(key);
        }
        ask(std::slice::from_ref(entry), offer)?;
        self.at_hand(entry, offer).ok_or_else(|| super::no_token(offer))
    }
}

/// Asks for one of these entries. What is answered stays with the offer.
fn ask(entries: &[Value], offer: &Offer<'_>) -> Result<(), Refused> {
    let known: Vec<(Credential, &str)> = entries.iter().filter_map(read).collect();
    let credentials: Vec<Credential> = known.iter().map(|(credential, _)| credential.clone()).collect();
    let given = Given {
        pins: &offer.credentials.token_pins,
        presence: offer.credentials.user_presence,
        verification: offer.credentials.user_verification,
    };
    let fits = |at: usize, secret: &Secret| known.get(at).is_some_and(|one| crypt3::matches(secret, one.1));
    let asked = offer.keys.answer(&credentials, &given, &fits);
    let asked = asked.map_err(|failure| refused(&failure, ""))?.ok_or_else(|| super::no_token(offer))?;
    let secret = asked.done.map_err(|failure| refused(&failure, &asked.key))?;
    let hash = known.get(asked.credential).map_or("", |one| one.1);
    offer.answered.borrow_mut().insert(hash.to_owned(), secret);
    Ok(())
}

/// An entry as libfido2 wants it, and its hash.
fn read(entry: &Value) -> Option<(Credential, &str)> {
    let bytes = |name: &str| STANDARD.decode(entry.get(name)?.as_str()?).ok();
    let flag = |name: &str| entry.get(name).and_then(Value::as_bool);
    let credential = Credential {
        id: bytes("credential")?,
        salt: bytes("salt")?,
        pin: flag("clientPin"),
        presence: flag("up"),
        verification: flag("uv"),
    };
    Some((credential, entry.get("hashedPassword")?.as_str()?))
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
