//! From JSON to a checked record: every section in its place, every known field valid.

use crate::fields::{self, Layer};
use crate::machine::MachineId;
use crate::privileged;
use crate::record::InvalidRecord;
use crate::sections::{Section, Sections};
use serde_json::{Map, Value};

/// Checks every section and every known field.
pub(crate) fn check(members: &Map<String, Value>, accept: Sections) -> Result<(), InvalidRecord> {
    for (section, name) in Section::NAMED {
        if members.contains_key(name) && !accept.has(section) {
            return Err(InvalidRecord::new(name, "this section is not allowed here"));
        }
    }
    for (name, value) in members {
        match name.as_str() {
            "privileged" => privileged::check(value)?,
            "perMachine" => per_machine(value)?,
            "binding" => by_machine(value, "binding", Layer::Binding)?,
            "status" => by_machine(value, "status", Layer::Status)?,
            "signature" => signature(value)?,
            "secret" => {}
            _ => field(Layer::Regular, "", name, value)?,
        }
    }
    Ok(())
}

fn field(layer: Layer, prefix: &str, name: &str, value: &Value) -> Result<(), InvalidRecord> {
    fields::check(layer, name, value).map_err(|why| InvalidRecord::new(format!("{prefix}{name}"), why))
}

fn per_machine(value: &Value) -> Result<(), InvalidRecord> {
    let entries = value.as_array().ok_or_else(|| InvalidRecord::new("perMachine", "it is not a list"))?;
    for entry in entries {
        let entry =
            entry.as_object().ok_or_else(|| InvalidRecord::new("perMachine", "an entry is not an object"))?;
        for (name, value) in entry {
            match name.as_str() {
                "matchMachineId" | "matchNotMachineId" => {
                    condition(name, value, |t| MachineId::parse(t).is_ok())?
                }
                "matchHostname" | "matchNotHostname" => condition(name, value, |t| !t.is_empty())?,
                _ => field(Layer::PerMachine, "perMachine.", name, value)?,
            }
        }
    }
    Ok(())
}

fn condition(name: &str, value: &Value, valid: impl Fn(&str) -> bool) -> Result<(), InvalidRecord> {
    let ok = match value {
        Value::Null => true,
        Value::String(one) => valid(one),
        Value::Array(several) => several.iter().all(|one| one.as_str().is_some_and(&valid)),
        _ => false,
    };
    let name = || format!("perMachine.{name}");
    if ok {
        Ok(())
    } else {
        Err(InvalidRecord::new(name(), "it is not a machine id or host name, or a list of them"))
    }
}

fn by_machine(value: &Value, section: &str, layer: Layer) -> Result<(), InvalidRecord> {
    let invalid = |why| InvalidRecord::new(section, why);
    for (machine, entry) in value.as_object().ok_or_else(|| invalid("it is not an object"))? {
        if MachineId::parse(machine).is_err() {
            return Err(invalid("a member's name is not a machine id"));
        }
        for (name, value) in entry.as_object().ok_or_else(|| invalid("an entry is not an object"))? {
            field(layer, &format!("{section}."), name, value)?;
        }
    }
    Ok(())
}

fn signature(value: &Value) -> Result<(), InvalidRecord> {
    let is_entry = |entry: &Value| {
        ["data", "key"].iter().all(|name| entry.get(name).is_some_and(|member| member.is_string()))
    };
    match value {
        Value::Null => Ok(()),
        Value::Array(entries) if entries.iter().all(is_entry) => Ok(()),
        _ => Err(InvalidRecord::new("signature", "it is not a list of signatures with data and key")),
    }
}
