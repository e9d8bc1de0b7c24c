//! The secret of credentials that exist: which key has one of them, and what has to be asked for first.
//!
//! A key that has none of the credentials is left alone: it is asked silently (no touch, no PIN), and nothing of it
//! changes. Of several that could answer the one goes first that needs its user least. A touch is waited for only when
//! the user was told, and a PIN is tried once.

use crate::Failure;
use crate::key::{Key, Option3, Question};
use records::Secret;
use records::credentials::Permitted;

/// From so few tries on a PIN is tried only where it is the only one that was given: another key's would use them up.
const FEW: u8 = 3;

/// A credential as it was enrolled. A flag that is not known was not recorded (systemd before 248).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: Vec<u8>,
    /// The salt.
    pub salt: Vec<u8>,
    /// Whether the PIN belongs to it.
    pub pin: Option<bool>,
    /// Whether a touch does.
    pub presence: Option<bool>,
    /// Whether verification by the key itself does.
    pub verification: Option<bool>,
}

/// What the user has given and been told.
pub struct Given<'a> {
    /// PINs.
    pub pins: &'a [Secret],
    /// "Touch it" was said.
    pub presence: Permitted,
    /// "Verify yourself" was said.
    pub verification: Permitted,
}

/// What came of asking.
pub struct Asked {
    /// Which of the credentials.
    pub credential: usize,
    /// What its key is called.
    pub key: String,
    /// Where that is plugged in.
    pub path: String,
    /// The secret, or why there is none.
    pub done: Result<Secret, Failure>,
}

/// Whether a key has a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Has {
    Yes,
    /// It will not say without a touch.
    Perhaps,
}

/// Asks the keys that are plugged in for one of the credentials, until one answers what `fits`. `None`: none of them
/// has any.
pub fn answer(
    keys: &[&dyn Key],
    credentials: &[Credential],
    given: &Given<'_>,
    fits: &dyn Fn(usize, &Secret) -> bool,
) -> Option<Asked> {
    let mut pairs = Vec::new();
    for (at, credential) in credentials.iter().enumerate() {
        for key in keys {
            pairs.extend(has(*key, credential).map(|has| (has, questions(credential, given), at, *key)));
        }
    }
    // Whoever surely has it comes first, and then whoever needs its user least.
    pairs.sort_by_key(|(has, questions, at, _)| (*has, *questions, *at));
    let mut first: Option<Asked> = None;
    for (has, _, at, key) in pairs {
        let done = one(key, &credentials[at], given, &|secret| fits(at, secret));
        let asked = Asked { credential: at, key: key.name().to_owned(), path: key.path().to_owned(), done };
        match &asked.done {
            Ok(_) => return Some(asked),
            // It was only a guess.
            Err(Failure::NotPluggedIn | Failure::OtherSecret) if has == Has::Perhaps => {}
            // A wrong PIN, or a touch in vain: what comes next would burn more tries and time.
            Err(Failure::BadPin(_) | Failure::Timeout) => return Some(asked),
            Err(_) => first = first.or(Some(asked)),
        }
    }
    first
}

/// How much of its user a credential needs that is not there yet.
fn questions(credential: &Credential, given: &Given<'_>) -> usize {
    let unsaid = |flag: Option<bool>, said: bool| usize::from(flag != Some(false) && !said);
    unsaid(credential.pin, !given.pins.is_empty())
        + unsaid(credential.presence, given.presence == Permitted::Yes)
        + usize::from(credential.verification == Some(true) && given.verification == Permitted::No)
}

/// Whether a credential is surely on a key; its user notices nothing.
pub fn is_on(key: &dyn Key, id: &[u8]) -> bool {
    let any = Credential { id: id.to_vec(), salt: Vec::new(), pin: None, presence: None, verification: None };
    has(key, &any) == Some(Has::Yes)
}

/// Asks silently.
fn has(key: &dyn Key, credential: &Credential) -> Option<Has> {
    if !key.abilities().hmac_secret {
        return None;
    }
    let silent = Question {
        credential: &credential.id,
        salt: None,
        pin: None,
        presence: Option3::No,
        verification: Option3::Unsaid,
    };
    match key.ask(&silent) {
        Ok(_) => Some(Has::Yes),
        Err(Failure::PresenceNeeded | Failure::PinNeeded | Failure::Unsuitable(_)) => Some(Has::Perhaps),
        Err(_) => None,
    }
}

fn one(
    key: &dyn Key,
    credential: &Credential,
    given: &Given<'_>,
    fits: &dyn Fn(&Secret) -> bool,
) -> Result<Secret, Failure> {
    // What is needed is said at once where it is known: nobody is asked to touch a key that then wants a PIN.
    if credential.pin == Some(true) && given.pins.is_empty() {
        return Err(Failure::PinNeeded);
    }
    if credential.verification == Some(true) && given.verification == Permitted::No {
        return Err(Failure::VerificationNeeded);
    }
    // One that demands nothing is asked only where its user was told, too: a stranger has nobody to tell.
    let demands = credential.pin != Some(false) || credential.verification == Some(true);
    if (credential.presence != Some(false) || !demands) && given.presence == Permitted::No {
        return Err(Failure::PresenceNeeded);
    }
    let with = |pin: Option<&Secret>| {
        let verification = match credential.verification {
            Some(false) if !key.abilities().verification => Option3::Unsaid,
            flag => flag.into(),
        };
        let question = Question {
            credential: &credential.id,
            salt: Some(&credential.salt),
            pin,
            presence: credential.presence.into(),
            verification,
        };
        let secret = key.ask(&question)?.ok_or(Failure::Broken("it has answered nothing".into()))?;
        if fits(&secret) { Ok(secret) } else { Err(Failure::OtherSecret) }
    };
    match credential.pin {
        Some(false) => with(None),
        Some(true) => with_pins(key, given.pins, &with),
        // Not recorded: first without, which costs no try.
        None => match with(None) {
            Err(Failure::OtherSecret | Failure::PinNeeded) if given.pins.is_empty() => {
                Err(Failure::PinNeeded)
            }
            Err(Failure::OtherSecret | Failure::PinNeeded) => with_pins(key, given.pins, &with),
            done => done,
        },
    }
}

/// Tries the PINs. Where several keys are plugged in there may be one for each.
fn with_pins(
    key: &dyn Key,
    pins: &[Secret],
    with: &dyn Fn(Option<&Secret>) -> Result<Secret, Failure>,
) -> Result<Secret, Failure> {
    let mut failure = Failure::PinNeeded;
    for (number, pin) in pins.iter().enumerate() {
        if number > 0 && key.tries().is_none_or(|left| left <= FEW) {
            break;
        }
        match with(Some(pin)) {
            Err(wrong @ Failure::BadPin(_)) => failure = wrong,
            done => return done,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests;
