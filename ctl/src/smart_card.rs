//! Smart cards (PKCS#11) of this computer: listed, and enrolled. A key is made here with the card's public key, and homed
//! has the card give it back before it becomes a key of the home.

use crate::bus::Failure;
use crate::context::Context;
use crate::hashing;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs11::{Enrolled, Given, Library, Token, Uri};
use records::credentials::Permitted;
use records::{Credentials, Secret};
use serde_json::{Map, Value, json};

/// Keys that were made for cards, not in a record yet.
#[derive(Default)]
pub struct NewCards {
    entries: Vec<Value>,
}

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

impl NewCards {
    /// Makes a key for each card that the options name. PINs that were typed go to the credentials: homed asks the
    /// cards, too.
    pub fn wanted(
        ctx: &Context<'_>,
        members: &Map<String, Value>,
        credentials: &mut Credentials,
    ) -> Result<Self, Failure> {
        let mut cards = Self::default();
        if ctx.draft.cards.uris.is_empty() || ctx.settings.dry_run {
            return Ok(cards);
        }
        // It goes before homed asks: some readers have room for one.
        let library = library()?;
        for text in &ctx.draft.cards.uris {
            let uri = Uri::parse(text).ok().filter(|_| text != "auto");
            let tokens = library.tokens().map_err(|failure| say(&failure))?;
            let token = pkcs11::choose(&tokens, uri.as_ref()).map_err(|failure| not_one(&failure, text))?;
            let known = members.get("privileged").and_then(|section| section.get("pkcs11EncryptedKey"));
            let known = known.and_then(Value::as_array).into_iter().flatten().chain(&cards.entries);
            refuse_twice(token, known)?;
            enter(ctx, token, credentials)?;
            let enrolled = pkcs11::enrol(token, uri.as_ref()).map_err(|failure| of(token, &failure))?;
            cards.entries.push(entry(&enrolled)?);
        }
        Ok(cards)
    }

    /// Puts them into a record.
    pub fn enroll(&self, members: &mut Map<String, Value>) {
        if self.entries.is_empty() {
            return;
        }
        let uris = self.entries.iter().map(|entry| entry["uri"].clone());
        append(members.entry("pkcs11TokenUri").or_insert_with(|| json!([])), uris);
        let privileged = members.entry("privileged").or_insert_with(|| json!({}));
        append(&mut privileged["pkcs11EncryptedKey"], self.entries.iter().cloned());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn append(list: &mut Value, more: impl Iterator<Item = Value>) {
    let mut all = list.as_array().cloned().unwrap_or_default();
    all.extend(more);
    *list = Value::Array(all);
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

fn refuse_twice<'a>(token: &dyn Token, known: impl Iterator<Item = &'a Value>) -> Result<(), Failure> {
    let uris = known.filter_map(|entry| Uri::parse(entry.get("uri")?.as_str()?).ok());
    if uris.into_iter().any(|uri| uri.fits(token.facts())) {
        return Err(Failure::say(format!(
            "The smart card {} is enrolled already. Nothing was changed. To enrol all cards anew: \
             --pkcs11-token-uri= --pkcs11-token-uri=URI",
            token.facts().name()
        )));
    }
    Ok(())
}

/// Gives the card its PIN: asked for until it is right, or nobody can help it.
fn enter(ctx: &Context<'_>, token: &dyn Token, credentials: &mut Credentials) -> Result<(), Failure> {
    let mut pins: Vec<Secret> = credentials.token_pins.first().map(Secret::duplicate).into_iter().collect();
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
    let known = |pin: &Secret| credentials.token_pins.iter().any(|one| one.matches(pin.open()));
    if let Some(pin) = pins.pop().filter(|pin| !known(pin)) {
        credentials.token_pins.insert(0, pin);
    }
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
