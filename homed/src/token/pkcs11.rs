//! Smart cards and other tokens with PKCS#11: `privileged.pkcs11EncryptedKey`.
//!
//! They are asked as security keys are: before anything of the home is open, and only where nothing that was typed fits
//! the record. What comes of a wrong PIN, a locked one or a wait in vain holds for the whole job: no PIN is tried twice.

mod apart;

use super::{Answer, Offer, Token, entries};
use crate::sys::crypt3;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs11::token::Padding;
use pkcs11::{Asked, Entry, Failure, Given, Tries, Uri};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};
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
    ) -> Result<Option<Asked>, Failure>;
}

impl Token for Pkcs11 {
    fn member(&self) -> &'static str {
        "pkcs11EncryptedKey"
    }

    fn derive(&self, record: &Record, offer: &Offer<'_>) -> Vec<Secret> {
        entries(self, record).iter().filter_map(|entry| self.at_hand(entry, offer)).collect()
    }

    fn ask(&self, record: &Record, offer: &Offer<'_>) {
        let all = entries(self, record);
        if !all.is_empty() && self.derive(record, offer).is_empty() {
            // The reason why not stays with the offer.
            let _ = ask(all, offer);
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
        let why = offer.no_card.borrow().clone();
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

/// Asks for one of these entries. What is given, or why nothing is, stays with the offer.
fn ask(entries: &[Value], offer: &Offer<'_>) -> Result<(), Refused> {
    if let Some(final_word) = offer.no_card.borrow().clone().filter(|why| is_final(why.refusal)) {
        return Err(final_word);
    }
    let done = ask_anew(entries, offer);
    *offer.no_card.borrow_mut() = done.as_ref().err().cloned();
    done
}

fn ask_anew(all: &[Value], offer: &Offer<'_>) -> Result<(), Refused> {
    let known: Vec<(Entry, &str)> = all.iter().filter_map(read).collect();
    let given =
        Given { pins: &offer.credentials.token_pins, pad: offer.credentials.protected_authentication_path };
    let fits = |at: usize, secret: &Secret| known.get(at).is_some_and(|one| crypt3::matches(secret, one.1));
    let entries: Vec<Entry> = known.iter().map(|(entry, _)| entry.clone()).collect();
    let asked = offer.cards.answer(&entries, &given, &fits).map_err(|failure| refused(&failure, ""))?;
    let asked = asked.ok_or_else(|| no_card(offer))?;
    let (at, secret) = asked.done.map_err(|failure| refused(&failure, &asked.token))?;
    let hash = known.get(at).map_or("", |one| one.1);
    offer.answered.borrow_mut().insert(hash.to_owned(), secret);
    Ok(())
}

/// Whether nothing is asked after it: it would cost a try more, or as much time again.
fn is_final(refusal: Refusal) -> bool {
    super::is_wrong_pin(refusal) || matches!(refusal, Refusal::TokenPinLocked | Refusal::TokenActionTimeout)
}

/// An entry, and its hash. One with a URI or padding that is not known names no token.
fn read(entry: &Value) -> Option<(Entry, &str)> {
    let text = |name: &str| entry.get(name)?.as_str();
    let read = Entry {
        uri: Uri::parse(text("uri")?).ok()?,
        data: STANDARD.decode(text("data")?).ok()?,
        padding: Padding::parse(text("padding"))?,
    };
    Some((read, text("hashedPassword")?))
}

fn no_card(offer: &Offer<'_>) -> Refused {
    match offer.credentials.passwords.is_empty() {
        true => Refused::new(Refusal::BadPasswordAndNoToken, "No smart card of this home is plugged in."),
        false => super::no_token(offer),
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
