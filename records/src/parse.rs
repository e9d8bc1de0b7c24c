//! From text to checked JSON: bounded in size and depth, no member twice, every known field valid.

use crate::fields::{self, Layer};
use crate::machine::MachineId;
use crate::privileged;
use crate::record::InvalidRecord;
use crate::sections::{Section, Sections};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Largest record in bytes: far above any real one, far below what would hurt.
pub const MAX_TEXT: usize = 1 << 20;
/// Deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 32;

/// Reads JSON. A member that stands twice in an object is refused: such a text has no normal form,
/// and two readers might each take another one.
pub(crate) fn json(text: &str) -> Result<Value, InvalidRecord> {
    if text.len() > MAX_TEXT {
        return Err(InvalidRecord::new("", "it is larger than 1 MiB"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader);
    // serde_json's messages quote no values, but the texts of Error::custom below.
    let value = value.map_err(|e| InvalidRecord::new("", e.to_string()))?;
    reader.end().map_err(|e| InvalidRecord::new("", e.to_string()))?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            Err(E::custom("it is nested too deeply"))
        } else {
            Ok(Self { depth: self.depth + 1 })
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom("a member stands twice in an object"));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

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
