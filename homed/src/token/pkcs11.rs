//! Smart cards and other tokens with PKCS#11: `privileged.pkcs11EncryptedKey`.

mod apart;

use super::Offer;
use super::device::{Asked, Device};
use crate::sys::usb;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs11::token::Padding;
use pkcs11::{Entry, Failure, Given, Tries, Uri};
use records::keys::{KeyKind, SMART_CARD};
use records::refusal::Refused;
use records::{Refusal, Secret};
use serde_json::Value;

pub use apart::PluggedIn;

/// The kind.
pub struct Pkcs11;

/// The tokens that are plugged in.
pub trait Cards {
    /// Asks them for the key of one of the entries; `None`: none of them is named by any.
    fn answer(
        &self,
        entries: &[Entry],
        given: &Given<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<pkcs11::Asked>, Failure>;
}

impl Device for Pkcs11 {
    const KIND: KeyKind = SMART_CARD;
    type Entry = Entry;
    type Failure = Failure;

    /// One with a URI or padding that is not known names no token.
    fn read(entry: &Value) -> Option<Entry> {
        let text = |name: &str| entry.get(name)?.as_str();
        Some(Entry {
            uri: Uri::parse(text("uri")?).ok()?,
            data: STANDARD.decode(text("data")?).ok()?,
            padding: Padding::parse(text("padding"))?,
        })
    }

    fn asked(
        entries: &[Entry],
        offer: &Offer<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<Asked<Failure>>, Failure> {
        let credentials = offer.credentials;
        let given = Given { pins: &credentials.token_pins, pad: credentials.protected_authentication_path };
        let asked = offer.cards.answer(entries, &given, fits)?;
        Ok(asked.map(|asked| Asked {
            about: None,
            device: asked.token,
            // Which reader a card is in nobody tells in the kernel's words: it is in the only one, or unknown.
            place: usb::only_reader(),
            done: asked.done,
        }))
    }

    fn refused(failure: &Failure, device: &str) -> Refused {
        refused(failure, device)
    }
}

/// What is told, and what a client asks for next; `card` is what the token is called.
fn refused(failure: &Failure, card: &str) -> Refused {
    let (refusal, sentence) = match failure {
        Failure::NoLibrary(why) => {
            (Refusal::BadPasswordAndNoToken, format!("Smart cards cannot be asked: p11-kit cannot be loaded ({why})."))
        }
        Failure::PinNeeded => (Refusal::TokenPinNeeded, format!("The smart card {card} needs its PIN.")),
        Failure::PadNeeded => (
            Refusal::TokenProtectedAuthenticationPathNeeded,
            format!("Type the PIN of the smart card {card} on its reader's pad."),
        ),
        Failure::BadPin(tries) => bad_pin(*tries, card),
        Failure::PinLocked => (Refusal::TokenPinLocked, format!("The PIN of the smart card {card} is locked.")),
        Failure::Timeout => (
            Refusal::TokenActionTimeout,
            format!("The smart card {card} has not answered in time, or nobody has typed its PIN."),
        ),
        Failure::Several => (
            Refusal::BadPasswordAndNoToken,
            "Several smart cards are plugged in that may be the one of this home, and none of them is asked: leave one.".into(),
        ),
        Failure::OtherSecret => (
            Refusal::BadPasswordAndNoToken,
            format!("The smart card {card} gives another key than the one that was enrolled."),
        ),
        Failure::NoKey => {
            (Refusal::BadPasswordAndNoToken, format!("The smart card {card} does not have the key of this home."))
        }
        Failure::Unsuitable(why) | Failure::Broken(why) => {
            (Refusal::BadPasswordAndNoToken, format!("The smart card {card} cannot be used: {why}."))
        }
    };
    Refused::new(refusal, sentence.replace("  ", " ").replace(" .", "."))
}

fn bad_pin(tries: Tries, card: &str) -> (Refusal, String) {
    let wrong = format!("The PIN of the smart card {card} is not right");
    match tries {
        Tries::One => (Refusal::BadPinOneTryLeft, format!("{wrong}; one try is left.")),
        Tries::Few => (Refusal::BadPinFewTriesLeft, format!("{wrong}; only a few tries are left.")),
        Tries::Unsaid => (Refusal::BadPin, format!("{wrong}.")),
    }
}

#[cfg(test)]
mod tests;
