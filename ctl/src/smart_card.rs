//! Smart cards (PKCS#11) of this computer: listed, and enrolled. A key is made here with the card's public key, and homed
//! has the card give it back before it becomes a key of the home.

use crate::bus::Failure;
use crate::context::Context;
use crate::hashing;
use crate::new_keys::{Making, refuse_twice};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs11::{Enrolled, Given, Library, Token, Uri};
use records::Secret;
use records::credentials::Permitted;
use records::keys::SMART_CARD;
use serde_json::{Value, json};

/// `--pkcs11-token-uri=list`: URIs and names of what wants a PIN (system stores of certificates want none).
pub fn list() -> Result<String, Failure> {
    let library = library()?;
    let tokens = library.tokens().map_err(|failure| say(&failure))?;
    let listed = tokens.iter().filter(|token| pkcs11::is_listed(token.as_ref()));
    let lines: Vec<String> =
        listed.map(|token| format!("{} {}\n", Uri::of(token.facts(), None), token.facts().name())).collect();
    match lines.is_empty() {
        true => Err(Failure::say("No smart card is plugged in.")),
        false => Ok(lines.concat()),
    }
}

/// Makes a key for each card that the options name.
pub fn make(making: &mut Making<'_, '_>) -> Result<(), Failure> {
    let uris = &making.ctx.draft.cards.uris;
    if uris.is_empty() {
        return Ok(());
    }
    // It goes before homed asks: some readers have room for one.
    let library = library()?;
    for text in uris {
        let uri = Uri::parse(text).ok().filter(|_| text != "auto");
        let tokens = library.tokens().map_err(|failure| say(&failure))?;
        let token = pkcs11::choose(&tokens, uri.as_ref()).map_err(|failure| not_one(&failure, text))?;
        if making.ids(SMART_CARD).iter().any(|id| is_named(id, token)) {
            return Err(refuse_twice(SMART_CARD, &token.facts().name(), "--pkcs11-token-uri=URI"));
        }
        enter(making, token)?;
        let enrolled = pkcs11::enrol(token, uri.as_ref()).map_err(|failure| of(token, &failure))?;
        making.add(SMART_CARD, entry(&enrolled)?, &token.facts().name());
    }
    Ok(())
}

/// Which of these URIs name a token that is plugged in; `None`: that cannot be known here.
pub fn plugged_in(ids: &[String]) -> Option<Vec<bool>> {
    let library = Library::load().ok()?;
    let tokens = library.tokens().ok()?;
    Some(ids.iter().map(|id| tokens.iter().any(|token| is_named(id, token.as_ref()))).collect())
}

fn is_named(uri: &str, token: &dyn Token) -> bool {
    Uri::parse(uri).is_ok_and(|uri| uri.fits(token.facts()))
}

fn library() -> Result<Library, Failure> {
    Library::load().map_err(|failure| {
        Failure::say(format!("{failure}. Nothing was changed. It comes with the package libp11-kit0."))
    })
}

fn say(failure: &pkcs11::Failure) -> Failure {
    Failure::say(format!("{failure}. Nothing was changed."))
}

fn of(token: &dyn Token, failure: &pkcs11::Failure) -> Failure {
    Failure::say(format!("{}: {failure}. Nothing was changed.", token.facts().name()))
}

fn not_one(failure: &pkcs11::Failure, text: &str) -> Failure {
    match (failure, text) {
        (pkcs11::Failure::Several, _) => Failure::say(
            "Several smart cards are plugged in. Nothing was changed. Name one; see: homectl --pkcs11-token-uri=list",
        ),
        (_, "auto") => Failure::say("No smart card is plugged in. Nothing was changed."),
        _ => Failure::say(
            "No smart card is plugged in that this URI names. Nothing was changed. See: homectl --pkcs11-token-uri=list",
        ),
    }
}

/// Gives the card its PIN: asked for until it is right, or nobody can help it.
fn enter(making: &mut Making<'_, '_>, token: &dyn Token) -> Result<(), Failure> {
    let ctx = making.ctx;
    let mut pins: Vec<Secret> =
        making.credentials.token_pins.first().map(Secret::duplicate).into_iter().collect();
    let mut pad = Permitted::No;
    loop {
        match pkcs11::enter(token, &Given { pins: &pins, pad }) {
            Ok(()) => break,
            Err(pkcs11::Failure::PadNeeded) => {
                ctx.asker.notice(&format!("Type the PIN of {} on its reader's pad.", token.facts().name()));
                pad = Permitted::Yes;
            }
            Err(pkcs11::Failure::PinNeeded) => pins = vec![ask_pin(ctx, token)?],
            Err(failure @ pkcs11::Failure::BadPin(_)) if ctx.can_ask() && pad == Permitted::No => {
                ctx.asker.notice(&format!("{}.", of_tries(&failure)));
                pins = vec![ask_pin(ctx, token)?];
            }
            Err(failure) => return Err(of(token, &failure)),
        }
    }
    pins.pop().into_iter().for_each(|pin| making.keep_pin(pin));
    Ok(())
}

fn of_tries(failure: &pkcs11::Failure) -> String {
    let left = match failure {
        pkcs11::Failure::BadPin(pkcs11::Tries::One) => "; one try is left",
        pkcs11::Failure::BadPin(pkcs11::Tries::Few) => "; only a few tries are left",
        _ => "",
    };
    format!("{failure}{left}")
}

fn ask_pin(ctx: &Context<'_>, token: &dyn Token) -> Result<Secret, Failure> {
    let pin = ctx.asker.ask(&format!("PIN of the smart card {}: ", token.facts().name()))?;
    if pin.is_empty() { Err(Failure::say("No PIN was typed. Nothing was changed.")) } else { Ok(pin) }
}

/// The entry of the record.
fn entry(enrolled: &Enrolled) -> Result<Value, Failure> {
    Ok(json!({
        "uri": enrolled.uri,
        "data": STANDARD.encode(&enrolled.data),
        "hashedPassword": hashing::hash(&enrolled.secret)?,
    }))
}
