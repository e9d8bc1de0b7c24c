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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::HostName;
    use serde_json::json;

    #[test]
    fn one_condition_that_holds_is_enough() {
        let (here, there) = ("1".repeat(32), "2".repeat(32));
        let machine = Machine { id: MachineId::parse(&here).expect("valid"), host: HostName("box".into()) };
        for (entry, holds) in [
            (json!({}), false),
            (json!({"shell": "/bin/sh"}), false),
            (json!({"matchMachineId": here}), true),
            (json!({"matchMachineId": [there, here]}), true),
            (json!({"matchMachineId": []}), false),
            (json!({"matchMachineId": there}), false),
            (json!({"matchNotMachineId": there}), true),
            (json!({"matchNotMachineId": [there, here]}), false),
            (json!({"matchHostname": "box"}), true),
            (json!({"matchHostname": ["other"]}), false),
            (json!({"matchNotHostname": "other"}), true),
            (json!({"matchNotHostname": "box"}), false),
            (json!({"matchMachineId": there, "matchHostname": "box"}), true),
            (json!({"matchNotMachineId": here, "matchNotHostname": "box"}), false),
        ] {
            assert_eq!(applies(entry.as_object().expect("an object"), &machine), holds, "{entry}");
        }
    }
}
