//! The entries of `perMachine` for exactly this machine, and for exactly all others: taken out, changed, put back.

use records::MachineId;
use serde_json::{Map, Value, json};

/// Takes the entries for exactly this machine, and for exactly all others, out of `perMachine`.
pub(super) fn take_own_entries(
    record: &mut Map<String, Value>,
    machine: &MachineId,
) -> (Map<String, Value>, Map<String, Value>) {
    let (mut this, mut other) = (Map::new(), Map::new());
    let Some(Value::Array(entries)) = record.remove("perMachine") else { return (this, other) };
    let mut rest = Vec::new();
    for entry in entries {
        let Value::Object(mut members) = entry else { continue };
        let own = |name: &str| members.get(name).is_some_and(|value| is_just(value, machine));
        let conditions = members.keys().filter(|name| name.starts_with("match")).count();
        if conditions == 1 && own("matchMachineId") {
            members.remove("matchMachineId");
            this.extend(members);
        } else if conditions == 1 && own("matchNotMachineId") {
            members.remove("matchNotMachineId");
            other.extend(members);
        } else {
            rest.push(Value::Object(members));
        }
    }
    if !rest.is_empty() {
        record.insert("perMachine".to_owned(), Value::Array(rest));
    }
    (this, other)
}

/// Whether a condition names this machine alone: as a text, or as a list of one, as homed writes it.
fn is_just(value: &Value, machine: &MachineId) -> bool {
    match value {
        Value::String(id) => id == machine.as_str(),
        Value::Array(ids) => matches!(&ids[..], [Value::String(id)] if id == machine.as_str()),
        _ => false,
    }
}

pub(super) fn put_own_entries(
    record: &mut Map<String, Value>,
    machine: &MachineId,
    this: Map<String, Value>,
    other: Map<String, Value>,
) {
    let mut entries = match record.remove("perMachine") {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    for (condition, mut members) in [("matchMachineId", this), ("matchNotMachineId", other)] {
        if !members.is_empty() {
            members.insert(condition.to_owned(), json!(machine.as_str()));
            entries.push(Value::Object(members));
        }
    }
    if !entries.is_empty() {
        record.insert("perMachine".to_owned(), Value::Array(entries));
    }
}
