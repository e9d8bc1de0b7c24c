//! The keys of entries that exist: on which token, and with what from its user.
//!
//! A token that no entry names is left alone, and so are all that an entry may mean where it may mean several: no PIN is
//! tried on them. A PIN is given to a token once; a wrong one ends it, for another token's PIN would burn its tries.

use crate::token::{Padding, Sealed, Token};
use crate::uri::Uri;
use crate::{Failure, Tries};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use records::Secret;
use records::credentials::Permitted;
use zeroize::Zeroizing;

/// An entry of a record.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which token, and perhaps which key.
    pub uri: Uri,
    /// Ciphertext, or the public point.
    pub data: Vec<u8>,
    /// How it was padded.
    pub padding: Padding,
}

/// What the user has given and been told.
pub struct Given<'a> {
    /// PINs, newest first.
    pub pins: &'a [Secret],
    /// "Type the PIN on the pad" was said.
    pub pad: Permitted,
}

/// What came of asking.
pub struct Asked {
    /// What the token is called.
    pub token: String,
    /// Which entry, and its passphrase, or why there is none.
    pub done: Result<(usize, Secret), Failure>,
}

/// Asks the tokens that are plugged in for the key of one of the entries, until one gives what `fits`. `None`: none of
/// them is named by any.
pub fn answer(
    tokens: &[&dyn Token],
    entries: &[Entry],
    given: &Given<'_>,
    fits: &dyn Fn(usize, &Secret) -> bool,
) -> Option<Asked> {
    let mut first: Option<Asked> = None;
    let mut meant: Vec<Vec<usize>> = vec![Vec::new(); tokens.len()];
    for (at, entry) in entries.iter().enumerate() {
        match named(tokens, &entry.uri) {
            Named::None => {}
            Named::One(token) => meant[token].push(at),
            Named::Several(name) => {
                first = first.or(Some(Asked { token: name, done: Err(Failure::Several) }));
            }
        }
    }
    let of = |token: &usize| tokens[*token];
    let mut order: Vec<usize> = (0..tokens.len()).filter(|token| !meant[*token].is_empty()).collect();
    // Whoever needs its user least comes first.
    order.sort_by_key(|token| questions(of(token), given));
    for token in order {
        let done = one(of(&token), &meant[token], entries, given, fits);
        let asked = Asked { token: of(&token).facts().name(), done };
        match &asked.done {
            Ok(_) | Err(Failure::BadPin(_) | Failure::Timeout) => return Some(asked),
            // What its user can do about it is told before what nobody can.
            Err(Failure::PinNeeded | Failure::PadNeeded | Failure::PinLocked) => {
                let told = first.as_ref().is_some_and(|asked| is_for_user(&asked.done));
                first = if told { first } else { Some(asked) };
            }
            Err(_) => first = first.or(Some(asked)),
        }
    }
    first
}

fn is_for_user(done: &Result<(usize, Secret), Failure>) -> bool {
    matches!(done, Err(Failure::PinNeeded | Failure::PadNeeded | Failure::PinLocked))
}

/// Which token a URI names.
enum Named {
    None,
    One(usize),
    /// It may be several; what one of them is called.
    Several(String),
}

fn named(tokens: &[&dyn Token], uri: &Uri) -> Named {
    let fitting: Vec<usize> = (0..tokens.len()).filter(|at| uri.fits(tokens[*at].facts())).collect();
    match fitting[..] {
        [] => return Named::None,
        [only] => return Named::One(only),
        _ => {}
    }
    // What is on a token tells it from the others, where it is shown without a PIN.
    let shows = |at: &&usize| uri.names_object() && tokens[**at].shows(uri).unwrap_or(false);
    let showing: Vec<usize> = fitting.iter().filter(shows).copied().collect();
    match showing[..] {
        [only] => Named::One(only),
        _ => Named::Several(tokens[fitting[0]].facts().name()),
    }
}

/// How much of its user a token needs: nothing, what is there, what is not there yet.
fn questions(token: &dyn Token, given: &Given<'_>) -> u8 {
    let needs = |is_there: bool| if is_there { 1 } else { 2 };
    match token.pin_state() {
        Ok(state) if !state.needed => 0,
        Ok(state) if state.pad => needs(given.pad == Permitted::Yes),
        Ok(_) => needs(!given.pins.is_empty()),
        Err(_) => 3,
    }
}

/// Asks one token for the entries that name it.
fn one(
    token: &dyn Token,
    meant: &[usize],
    entries: &[Entry],
    given: &Given<'_>,
    fits: &dyn Fn(usize, &Secret) -> bool,
) -> Result<(usize, Secret), Failure> {
    let pin = enter(token, given)?;
    let keys = token.private_keys()?;
    let mut failure = Failure::NoKey;
    for at in meant {
        let entry = &entries[*at];
        let sealed = Sealed { data: &entry.data, padding: entry.padding };
        for key in keys.iter().filter(|key| entry.uri.fits_key(key)) {
            match token.open(key, &sealed, pin).map(|bytes| passphrase(&bytes)) {
                Ok(secret) if fits(*at, &secret) => return Ok((*at, secret)),
                Ok(_) => failure = Failure::OtherSecret,
                Err(wrong @ (Failure::BadPin(_) | Failure::PinLocked | Failure::Timeout)) => {
                    return Err(wrong);
                }
                Err(why) => failure = why,
            }
        }
    }
    Err(failure)
}

/// The passphrase that is made of a key's bytes.
pub(crate) fn passphrase(bytes: &Secret) -> Secret {
    // Of the final size from the beginning: a buffer that grows leaves a copy behind.
    let mut text = Zeroizing::new(vec![0; bytes.open().len().div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(bytes.open(), &mut text).unwrap_or(0);
    text.truncate(length);
    Secret::new(std::mem::take(&mut *text))
}

/// Gives a token what it wants before it shows its private keys; the PIN that was right.
pub(crate) fn enter<'a>(token: &dyn Token, given: &Given<'a>) -> Result<Option<&'a Secret>, Failure> {
    let state = token.pin_state()?;
    if !state.needed {
        return Ok(given.pins.first());
    }
    if state.locked {
        return Err(Failure::PinLocked);
    }
    if state.pad {
        if given.pad == Permitted::No {
            return Err(Failure::PadNeeded);
        }
        return token.login(None).map(|()| None).map_err(|failure| counted(token, failure));
    }
    let mut failure = Failure::PinNeeded;
    for pin in given.pins {
        match token.login(Some(pin)).map_err(|failure| counted(token, failure)) {
            Ok(()) => return Ok(Some(pin)),
            Err(wrong @ Failure::BadPin(Tries::Unsaid | Tries::Few)) => failure = wrong,
            Err(other) => return Err(other),
        }
    }
    Err(failure)
}

/// A wrong PIN, with what the token says of its tries now.
fn counted(token: &dyn Token, failure: Failure) -> Failure {
    if !matches!(failure, Failure::BadPin(_)) {
        return failure;
    }
    match token.pin_state() {
        Ok(state) if state.locked => Failure::PinLocked,
        Ok(state) if state.one => Failure::BadPin(Tries::One),
        Ok(state) if state.few => Failure::BadPin(Tries::Few),
        _ => failure,
    }
}

#[cfg(test)]
mod tests;
