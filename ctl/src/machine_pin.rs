//! A PIN of this computer's TPM: asked for here, made by homed, who may open the TPM.

use crate::bus::Failure;
use crate::context::Context;
use crate::new_keys::Making;
use crate::prompt::Ready;
use records::Secret;
use records::keys::MACHINE_PIN;
use serde_json::{Value, json};

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

/// Asks for the PIN, where the options want one; it goes to the credentials, and homed makes the rest.
pub fn make(making: &mut Making<'_, '_>) -> Result<(), Failure> {
    let ctx = making.ctx;
    let Some(device) = &ctx.draft.tpm.device else { return Ok(()) };
    let id = ctx.machine.id.as_str();
    if making.ids(MACHINE_PIN).iter().any(|known| known == id) {
        ctx.asker.notice("This computer's PIN is enrolled already; the new one replaces it.");
    }
    let user = making.members.get("userName").and_then(Value::as_str).unwrap_or_default();
    making.credentials.new_pin = Some(ask(ctx, user)?);
    let pcrs = ctx.draft.tpm.pcrs.clone().unwrap_or_default();
    let entry = json!({"machineId": id, "wanted": {"device": device, "pcrs": pcrs}});
    making.add(MACHINE_PIN, entry, &ctx.machine.host.0);
    Ok(())
}

/// Whether that is the PIN of this computer, and its TPM is there.
pub fn plugged_in(ctx: &Context<'_>, ids: &[String]) -> Vec<bool> {
    let has_tpm = list().is_ok();
    ids.iter().map(|id| has_tpm && id == ctx.machine.id.as_str()).collect()
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
