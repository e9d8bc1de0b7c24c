//! Which entries of `perMachine` apply to a machine: any one condition that holds is enough.

use crate::machine::{Machine, MachineId};
use serde_json::{Map, Value};

/// The entries that apply, in their order.
pub(crate) fn entries<'a>(
    members: &'a Map<String, Value>,
    machine: &'a Machine,
) -> impl Iterator<Item = &'a Map<String, Value>> {
    let all = members.get("perMachine").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Value::as_object).filter(|entry| applies(entry, machine))
}

/// Whether one entry applies.
pub fn applies(entry: &Map<String, Value>, machine: &Machine) -> bool {
    let is_id = |text: &str| MachineId::parse(text).is_ok_and(|id| id == machine.id);
    let is_host = |text: &str| text.eq_ignore_ascii_case(&machine.host.0);
    let named = |member: &str, is: &dyn Fn(&str) -> bool| match entry.get(member) {
        Some(Value::String(one)) => Some(is(one)),
        Some(Value::Array(several)) => Some(several.iter().filter_map(Value::as_str).any(is)),
        _ => None,
    };
    named("matchMachineId", &is_id) == Some(true)
        || named("matchNotMachineId", &is_id) == Some(false)
        || named("matchHostname", &is_host) == Some(true)
        || named("matchNotHostname", &is_host) == Some(false)
}
