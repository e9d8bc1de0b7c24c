//! Security keys (FIDO2) of this computer: listed, and enrolled. A credential is made here, at its user's side, and homed
//! asks the key once more before it becomes a key of the home.

use crate::bus::Failure;
use crate::context::Context;
use crate::hashing;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fido2::key::{Abilities, Owner};
use fido2::{Algorithm, Demands, Enrolled, Found, Key, Library, NewCredential};
use records::{Credentials, Secret};
use serde_json::{Map, Value, json};

/// Credentials that were made, not in a record yet.
#[derive(Default)]
pub struct NewKeys {
    entries: Vec<Value>,
}

/// `--fido2-device=list`: paths and names.
pub fn list() -> Result<String, Failure> {
    let found = library()?.list().map_err(|failure| say(&failure))?;
    let lines = found.iter().map(|found| format!("{} {}\n", found.path, found.name));
    match found.is_empty() {
        true => Err(Failure::say("No security key is plugged in.")),
        false => Ok(lines.collect()),
    }
}

impl NewKeys {
    /// Makes a credential on each key that the options name. PINs that were typed go to the credentials: homed asks
    /// the keys, too.
    pub fn wanted(
        ctx: &Context<'_>,
        members: &Map<String, Value>,
        credentials: &mut Credentials,
    ) -> Result<Self, Failure> {
        let mut keys = Self::default();
        if ctx.draft.keys.devices.is_empty() || ctx.settings.dry_run {
            return Ok(keys);
        }
        let library = library()?;
        for device in &ctx.draft.keys.devices {
            let found = choose(library.list().map_err(|failure| say(&failure))?, device)?;
            let key = library.open(&found).map_err(|failure| say(&failure))?;
            let known = members.get("privileged").and_then(|section| section.get("fido2HmacSalt"));
            let known = known.and_then(Value::as_array).into_iter().flatten().chain(&keys.entries);
            refuse_twice(key.as_ref(), known)?;
            let entry = enrol(ctx, key.as_ref(), members, credentials)?;
            keys.entries.push(entry);
        }
        Ok(keys)
    }

    /// Puts them into a record.
    pub fn enroll(&self, members: &mut Map<String, Value>) {
        if self.entries.is_empty() {
            return;
        }
        let ids = self.entries.iter().map(|entry| entry["credential"].clone());
        append(members.entry("fido2HmacCredential").or_insert_with(|| json!([])), ids);
        let privileged = members.entry("privileged").or_insert_with(|| json!({}));
        append(&mut privileged["fido2HmacSalt"], self.entries.iter().cloned());
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
        Failure::say(format!("{failure}. Nothing was changed. It comes with the package libfido2-1."))
    })
}

fn say(failure: &fido2::Failure) -> Failure {
    Failure::say(format!("{failure}. Nothing was changed."))
}

/// The device that is meant.
fn choose(found: Vec<Found>, device: &str) -> Result<Found, Failure> {
    if device != "auto" {
        let named = found.into_iter().find(|found| found.path == device);
        // What is not found as a security key may be one all the same: libfido2 says so.
        return Ok(named.unwrap_or_else(|| Found { path: device.to_owned(), name: device.to_owned() }));
    }
    match <[Found; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) if found.is_empty() => {
            Err(Failure::say("No security key is plugged in. Nothing was changed."))
        }
        Err(_) => Err(Failure::say(
            "Several security keys are plugged in. Nothing was changed. Name one; see: homectl --fido2-device=list",
        )),
    }
}

fn refuse_twice<'a>(key: &dyn Key, known: impl Iterator<Item = &'a Value>) -> Result<(), Failure> {
    let ids = known.filter_map(|entry| STANDARD.decode(entry.get("credential")?.as_str()?).ok());
    if ids.into_iter().any(|id| fido2::is_on(key, &id)) {
        return Err(Failure::say(format!(
            "The security key {} is enrolled already. Nothing was changed. To enrol all keys anew: \
             --fido2-device= --fido2-device=PATH",
            key.name()
        )));
    }
    Ok(())
}

/// One key: asked until it answers, or nobody can help it.
fn enrol(
    ctx: &Context<'_>,
    key: &dyn Key,
    members: &Map<String, Value>,
    credentials: &mut Credentials,
) -> Result<Value, Failure> {
    let demands = demands(ctx, key)?;
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = format!("{}{}", text("userName"), text("realm"));
    let name = Some(text("realName")).filter(|name| !name.is_empty()).unwrap_or(&id);
    let algorithm = ctx.draft.keys.algorithm.unwrap_or(Algorithm::Es256);
    let new = NewCredential { owner: Owner { id: &id, name }, algorithm, demands };
    let offered = credentials.token_pins.first().filter(|_| key.abilities().pin);
    let mut pin: Option<Secret> = offered.map(Secret::duplicate);
    loop {
        if pin.is_some() || !key.abilities().pin {
            ctx.asker.notice(&format!("Touch the security key {}, which makes a credential.", key.name()));
        }
        let again = || ctx.asker.notice(&format!("Touch the security key {} once more.", key.name()));
        match fido2::enrol(key, &new, pin.as_ref(), &again) {
            Ok(enrolled) => {
                let known = |pin: &Secret| credentials.token_pins.iter().any(|one| one.matches(pin.open()));
                if let Some(pin) = pin.filter(|pin| !known(pin)) {
                    credentials.token_pins.insert(0, pin);
                }
                return entry(&enrolled, demands);
            }
            Err(fido2::Failure::PinNeeded) if pin.is_none() => pin = Some(ask_pin(ctx, key)?),
            Err(failure @ fido2::Failure::BadPin(_)) if ctx.can_ask() => {
                ctx.asker.notice(&format!("{failure}."));
                pin = Some(ask_pin(ctx, key)?);
            }
            Err(failure) => {
                return Err(Failure::say(format!("{}: {failure}. Nothing was changed.", key.name())));
            }
        }
    }
}

fn ask_pin(ctx: &Context<'_>, key: &dyn Key) -> Result<Secret, Failure> {
    ctx.asker.ask(&format!("PIN of the security key {}: ", key.name()))
}

/// What is asked for at each use. By default what the original asks for, as far as the key can; who says it gets it.
fn demands(ctx: &Context<'_>, key: &dyn Key) -> Result<Demands, Failure> {
    let (wish, can) = (&ctx.draft.keys, key.abilities());
    let Abilities { pin, presence, .. } = can;
    if wish.pin.is_none() && !pin {
        ctx.asker.notice(&format!(
            "The security key {} has no PIN: whoever has it opens the home. Set one with its maker's tool, or fido2-token.",
            key.name()
        ));
    }
    let demands = Demands {
        pin: wish.pin.unwrap_or(pin),
        presence: wish.presence.unwrap_or(presence),
        verification: wish.verification.unwrap_or(false),
    };
    if demands == (Demands { pin: false, presence: false, verification: false }) {
        return Err(Failure::say(
            "A security key that asks for neither PIN nor touch nor finger opens the home for everybody as long as it is \
             plugged in. Nothing was changed.",
        ));
    }
    Ok(demands)
}

/// The entry of the record, with all flags: what a key answers depends on them.
fn entry(enrolled: &Enrolled, demands: Demands) -> Result<Value, Failure> {
    Ok(json!({
        "credential": STANDARD.encode(&enrolled.credential),
        "salt": STANDARD.encode(enrolled.salt),
        "hashedPassword": hashing::hash(&enrolled.secret)?,
        "up": demands.presence,
        "uv": demands.verification,
        "clientPin": demands.pin,
    }))
}
