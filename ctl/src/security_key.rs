//! Security keys (FIDO2) of this computer: listed, and enrolled. A credential is made here, at its user's side, and homed
//! asks the key once more before it becomes a key of the home.

use crate::bus::Failure;
use crate::context::Context;
use crate::hashing;
use crate::new_keys::{Making, refuse_twice};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fido2::key::{Abilities, Owner};
use fido2::{Algorithm, Demands, Enrolled, Found, Key, Library, NewCredential};
use records::Secret;
use records::keys::SECURITY_KEY;
use serde_json::{Value, json};
use std::path::Path;

const WHICH: &str = "To see which there are: homectl --fido2-device=list";

/// `--fido2-device=list`: paths and names.
pub fn list() -> Result<String, Failure> {
    let found = library()?.list().map_err(|failure| say(&failure))?;
    let lines = found.iter().map(|found| format!("{} {}\n", found.path, found.name));
    match found.is_empty() {
        true => Err(Failure::say(none())),
        false => Ok(lines.collect()),
    }
}

/// Makes a credential on each key that the options name.
pub fn make(making: &mut Making<'_, '_>) -> Result<(), Failure> {
    let devices = &making.ctx.draft.keys.devices;
    if devices.is_empty() {
        return Ok(());
    }
    let library = library()?;
    for device in devices {
        let found = choose(library.list().map_err(|failure| say(&failure))?, device)?;
        let key = library.open(&found).map_err(|failure| not_opened(&found, &failure))?;
        if making.ids(SECURITY_KEY).iter().any(|id| is_on(key.as_ref(), id)) {
            return Err(refuse_twice(SECURITY_KEY, key.name(), "--fido2-device=PATH"));
        }
        let entry = enrol(making, key.as_ref())?;
        making.add(SECURITY_KEY, entry, key.name());
    }
    Ok(())
}

/// Which of these credentials are on keys that are plugged in; `None`: that cannot be known here.
pub fn plugged_in(ids: &[String]) -> Option<Vec<bool>> {
    let library = Library::load().ok()?;
    let found = library.list().ok()?;
    // Of one that cannot be opened nobody knows what is on it.
    let keys = found.iter().map(|found| library.open(found).ok()).collect::<Option<Vec<_>>>()?;
    let there: Vec<bool> = ids.iter().map(|id| keys.iter().any(|key| is_on(key.as_ref(), id))).collect();
    (there.iter().all(|is_there| *is_there) || fido2::closed().is_empty()).then_some(there)
}

/// What is said where none was found.
fn none() -> String {
    match fido2::closed().first() {
        None => "No security key is plugged in.".into(),
        Some(path) => format!(
            "{path} is a security key, and you may not use it: the system gives them to who sits at the machine. Elsewhere, over \
             ssh, say, root can."
        ),
    }
}

fn is_on(key: &dyn Key, id: &str) -> bool {
    STANDARD.decode(id).is_ok_and(|id| fido2::is_on(key, &id))
}

fn library() -> Result<Library, Failure> {
    Library::load().map_err(|failure| {
        Failure::say(format!("{failure}. Nothing was changed. It comes with the package libfido2-1."))
    })
}

fn say(failure: &fido2::Failure) -> Failure {
    Failure::say(format!("{failure}. Nothing was changed."))
}

/// libfido2's word for most of what is no security key is `FIDO_ERR_INTERNAL`.
fn not_opened(found: &Found, failure: &fido2::Failure) -> Failure {
    let path = &found.path;
    Failure::say(format!(
        "{path} cannot be opened as a security key ({failure}). Nothing was changed. {WHICH}"
    ))
}

/// The device that is meant.
fn choose(found: Vec<Found>, device: &str) -> Result<Found, Failure> {
    if device != "auto" {
        let named = found.into_iter().find(|found| found.path == device);
        if named.is_none() && !Path::new(device).exists() {
            return Err(Failure::say(format!("There is no {device}. Nothing was changed. {WHICH}")));
        }
        // What is not found as a security key may be one all the same: libfido2 says so.
        return Ok(named.unwrap_or_else(|| Found { path: device.to_owned(), name: device.to_owned() }));
    }
    match <[Found; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) if found.is_empty() => Err(Failure::say(format!("{} Nothing was changed.", none()))),
        Err(_) => Err(Failure::say(
            "Several security keys are plugged in. Nothing was changed. Name one; see: homectl --fido2-device=list",
        )),
    }
}

/// One key: asked until it answers, or nobody can help it.
fn enrol(making: &mut Making<'_, '_>, key: &dyn Key) -> Result<Value, Failure> {
    let (ctx, members) = (making.ctx, making.members);
    let demands = demands(ctx, key)?;
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = format!("{}{}", text("userName"), text("realm"));
    let name = Some(text("realName")).filter(|name| !name.is_empty()).unwrap_or(&id);
    let algorithm = ctx.draft.keys.algorithm.unwrap_or(Algorithm::Es256);
    let new = NewCredential { owner: Owner { id: &id, name }, algorithm, demands };
    let offered = making.credentials.token_pins.first().filter(|_| key.abilities().pin);
    let mut pin: Option<Secret> = offered.map(Secret::duplicate);
    loop {
        if pin.is_some() || !key.abilities().pin {
            ctx.asker.notice(&format!("Touch the security key {}, which makes a credential.", key.name()));
        }
        let again = || ctx.asker.notice(&format!("Touch the security key {} once more.", key.name()));
        match fido2::enrol(key, &new, pin.as_ref(), &again) {
            Ok(enrolled) => {
                pin.into_iter().for_each(|pin| making.keep_pin(pin));
                if enrolled.demands != demands {
                    ctx.asker.notice(&format!(
                        "The security key {} does not do without a touch: it is asked for at each use.",
                        key.name()
                    ));
                }
                return entry(&enrolled);
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
fn entry(enrolled: &Enrolled) -> Result<Value, Failure> {
    let demands = enrolled.demands;
    Ok(json!({
        "credential": STANDARD.encode(&enrolled.credential),
        "salt": STANDARD.encode(enrolled.salt),
        "hashedPassword": hashing::hash(&enrolled.secret)?,
        "up": demands.presence,
        "uv": demands.verification,
        "clientPin": demands.pin,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_called_so() {
        let found = || vec![Found { path: "/dev/hidraw7".into(), name: "a key".into() }];
        let Err(Failure::Other(refused)) = choose(found(), "/nosuch") else { panic!("it was found") };
        assert!(
            refused.contains("There is no /nosuch") && refused.contains("--fido2-device=list"),
            "{refused}"
        );
        assert_eq!(choose(found(), "/dev/hidraw7").map(|found| found.name).ok().as_deref(), Some("a key"));
        assert_eq!(choose(found(), "/dev/null").map(|found| found.path).ok().as_deref(), Some("/dev/null"));
    }
}
