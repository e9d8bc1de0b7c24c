//! The few values of a record that the core decides on, with this machine's binding on top.

use records::{Machine, Record};
use serde_json::Value;

fn value<'a>(record: &'a Record, machine: &Machine, name: &str) -> Option<&'a Value> {
    let bound = record.binding(&machine.id).and_then(|binding| binding.get(name));
    bound.or_else(|| record.members().get(name))
}

pub fn text(record: &Record, machine: &Machine, name: &str) -> Option<String> {
    value(record, machine, name).and_then(Value::as_str).map(str::to_owned)
}

pub fn flag(record: &Record, machine: &Machine, name: &str) -> Option<bool> {
    value(record, machine, name).and_then(Value::as_bool)
}
