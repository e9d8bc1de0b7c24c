//! A PIN of this computer's TPM: asked for here, made by homed, who may open the TPM.

use crate::bus::Failure;
use crate::context::Context;
use crate::prompt::Ready;
use records::{Credentials, Secret};
use serde_json::{Map, Value, json};

/// Fewest characters.
const SHORTEST: usize = 4;
/// How often it may be mistyped.
const MISMATCHES: usize = 4;

/// `--tpm2-device=list`: paths.
pub fn list() -> Result<String, Failure> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut lines: Vec<String> =
        names.filter(|name| name.starts_with("tpmrm")).map(|name| format!("/dev/{name}\n")).collect();
    lines.sort();
    match lines.is_empty() {
        true => Err(Failure::say("This computer has no TPM, or it is switched off.")),
        false => Ok(lines.concat()),
    }
}

/// What homed is to make.
pub struct NewPin {
    entry: Option<Value>,
}

impl NewPin {
    /// Asks for the PIN, where the options want one; it goes to the credentials.
    pub fn wanted(
        ctx: &Context<'_>,
        members: &Map<String, Value>,
        credentials: &mut Credentials,
    ) -> Result<Self, Failure> {
        let Some(device) = ctx.draft.tpm.device.as_ref().filter(|_| !ctx.settings.dry_run) else {
            return Ok(Self { entry: None });
        };
        let id = ctx.machine.id.as_str();
        if all(members).iter().any(|entry| entry["machineId"] == id) {
            ctx.asker.notice("This computer's PIN is enrolled already; the new one replaces it.");
        }
        let user = members.get("userName").and_then(Value::as_str).unwrap_or_default();
        credentials.new_pin = Some(ask(ctx, user)?);
        let pcrs = ctx.draft.tpm.pcrs.clone().unwrap_or_default();
        Ok(Self { entry: Some(json!({"machineId": id, "wanted": {"device": device, "pcrs": pcrs}})) })
    }

    /// Puts it into a record, in the place of this computer's former one.
    pub fn enroll(&self, members: &mut Map<String, Value>) {
        let Some(entry) = &self.entry else { return };
        let mut entries = all(members);
        entries.retain(|known| known["machineId"] != entry["machineId"]);
        entries.push(entry.clone());
        let ids = entries.iter().map(|entry| entry["machineId"].clone()).collect();
        members.insert("tpm2PinMachineId".to_owned(), Value::Array(ids));
        members.entry("privileged").or_insert_with(|| json!({}))["tpm2Pin"] = Value::Array(entries);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entry.is_none()
    }
}

/// The entries of a record.
fn all(members: &Map<String, Value>) -> Vec<Value> {
    let list = members.get("privileged").and_then(|section| section.get("tpm2Pin"));
    list.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn ask(ctx: &Context<'_>, user: &str) -> Result<Secret, Failure> {
    let is_short = |pin: &Secret| pin.open_text().is_none_or(|text| text.chars().count() < SHORTEST);
    if let Some(pin) = ctx.asker.ready(Ready::NewPin) {
        return match is_short(&pin) {
            true => Err(Failure::say(
                "The PIN is too short: it has four characters at least. Nothing was changed.",
            )),
            false => Ok(pin),
        };
    }
    for _ in 0..MISMATCHES {
        let first = ctx.asker.ask(&format!("New PIN of {user} for this computer: "))?;
        if is_short(&first) {
            ctx.asker.notice("It is too short: four characters at least. Try again.");
            continue;
        }
        if first.matches(ctx.asker.ask("The same again: ")?.open()) {
            return Ok(first);
        }
        ctx.asker.notice("They are not the same. Try again.");
    }
    Err(Failure::say("The new PIN was mistyped too often. Nothing was changed."))
}
