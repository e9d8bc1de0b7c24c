//! The keys of a home with their names, and which of them are plugged in: asked here, at the side of whoever looks, and put
//! into the section `status`, so that text and JSON tell the same.

use crate::context::Context;
use crate::{machine_pin, security_key, smart_card};
use records::Record;
use records::keys::{KeyKind, MACHINE_PIN, NamedKey, SECURITY_KEY, SMART_CARD};
use serde_json::{Value, json};
use std::sync::mpsc;
use std::time::Duration;

/// Member of this machine's `status`.
pub const KEYS: &str = "keys";
/// How long devices may take to say what is on them; what is not known then is not told.
const PATIENCE: Duration = Duration::from_secs(3);

/// The record with its keys listed.
pub fn with_keys(ctx: &Context<'_>, record: &Record) -> Record {
    let keys = record.named_keys();
    if keys.is_empty() {
        return record.clone();
    }
    let ids = |kind: KeyKind| keys.iter().filter(|key| key.kind == kind).map(|key| key.id.clone()).collect();
    let kinds: [(KeyKind, Vec<String>); 3] =
        [SMART_CARD, SECURITY_KEY, MACHINE_PIN].map(|kind| (kind, ids(kind)));
    let asked = kinds.map(|(kind, ids)| {
        let there = match kind {
            _ if ids.is_empty() => None,
            SMART_CARD => asked(ids.clone(), smart_card::plugged_in),
            SECURITY_KEY => asked(ids.clone(), security_key::plugged_in),
            _ => Some(machine_pin::plugged_in(ctx, &ids)),
        };
        (kind, ids, there)
    });
    let is_there = |key: &NamedKey| {
        let (_, ids, there) = asked.iter().find(|(kind, ..)| *kind == key.kind)?;
        there.as_ref()?.get(ids.iter().position(|id| *id == key.id)?).copied()
    };
    let list: Vec<Value> = keys.iter().enumerate().map(|(at, key)| one(at + 1, key, is_there(key))).collect();
    let mut status = record.members().get("status").cloned().unwrap_or_else(|| json!({}));
    status[ctx.machine.id.as_str()][KEYS] = Value::Array(list);
    record.with_member("status", status)
}

fn one(number: usize, key: &NamedKey, is_there: Option<bool>) -> Value {
    let mut value = json!({"number": number, "kind": key.kind.words});
    let members = [
        ("name", key.name.as_ref().map(|name| json!(name))),
        ("model", key.model.as_ref().map(|model| json!(model))),
        ("enrolledUSec", key.enrolled_usec.map(|usec| json!(usec))),
        ("pluggedIn", is_there.map(|is_there| json!(is_there))),
    ];
    for (member, told) in members.into_iter().filter_map(|(member, told)| Some((member, told?))) {
        value[member] = told;
    }
    value
}

/// Asked on a thread of its own, which ends with the program: libraries of cards may hang.
fn asked(ids: Vec<String>, ask: fn(&[String]) -> Option<Vec<bool>>) -> Option<Vec<bool>> {
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().spawn(move || tell.send(ask(&ids))).ok()?;
    told.recv_timeout(PATIENCE).ok().flatten()
}
