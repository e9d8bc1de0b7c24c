//! A user record: the JSON object, checked, with every member kept.

use crate::kinds::Storage;
use crate::machine::{Machine, MachineId};
use crate::names::{FullName, Realm, UserName};
use crate::parse;
use crate::secret::{Secret, wipe_json};
use crate::sections::{Section, Sections};
use crate::settings::Settings;
use crate::{canonical, json};
use serde_json::{Map, Value};

/// A record that is not valid: which member, and why. Never quotes a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("user record is not valid: {member}: {why}")]
pub struct InvalidRecord {
    /// Path of the member, such as `privileged.hashedPassword`; empty for the whole.
    pub member: String,
    /// The rule it breaks.
    pub why: String,
}

impl InvalidRecord {
    pub(crate) fn new(member: impl Into<String>, why: impl Into<String>) -> Self {
        Self { member: member.into(), why: why.into() }
    }
}

/// A valid user record. Members that are not known here are kept as they came.
///
/// Never holds a `secret` section: [`Record::parse`] refuses it, and [`Record::parse_request`]
/// takes it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    members: Map<String, Value>,
    name: FullName,
}

impl Record {
    /// Reads the JSON text of a record that may have the sections of `accept`; others are refused.
    pub fn parse(text: &str, accept: Sections) -> Result<Self, InvalidRecord> {
        Self::from_value(read(text)?, accept)
    }

    /// The same from parsed JSON.
    pub fn from_value(value: Value, accept: Sections) -> Result<Self, InvalidRecord> {
        let Value::Object(members) = value else {
            return Err(InvalidRecord::new("", "it is not a JSON object"));
        };
        if members.contains_key("secret") {
            return Err(InvalidRecord::new("secret", "this section is not allowed here"));
        }
        parse::check(&members, accept)?;
        let name = full_name(&members)?;
        Ok(Self { members, name })
    }

    /// One that was valid before.
    pub(crate) fn of_own(members: Map<String, Value>, name: FullName) -> Self {
        Self { members, name }
    }

    /// Reads what a client sends to create or change a home: the record, and apart from it the
    /// contents of its `secret` section. The caller's buffer is the caller's to wipe.
    pub fn parse_request(text: &str) -> Result<(Self, Option<Secret>), InvalidRecord> {
        let mut value = read(text)?;
        let mut secret = value.as_object_mut().and_then(|members| members.remove("secret"));
        let apart = secret.as_ref().map(canonical::secret);
        if let Some(secret) = &mut secret {
            wipe_json(secret);
        }
        Ok((Self::from_value(value, Sections::EMBEDDED)?, apart))
    }

    /// The user's name.
    pub fn user(&self) -> &UserName {
        &self.name.user
    }

    /// The user's name and realm.
    pub fn full_name(&self) -> &FullName {
        &self.name
    }

    /// A copy with only the sections of `keep`.
    pub fn only(&self, keep: Sections) -> Self {
        let mut members = self.members.clone();
        for (section, name) in Section::NAMED {
            if !keep.has(section) {
                members.remove(name);
            }
        }
        Self { members, name: self.name.clone() }
    }

    /// The record as JSON.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// The values that are in force on this machine: top level < perMachine < binding < status.
    pub fn on(&self, machine: &Machine) -> Settings {
        Settings::of(&self.members, machine)
    }

    /// The same for a home that is kept here: one whose kind nobody has chosen is of the kind that is made here.
    pub fn of_home_on(&self, machine: &Machine) -> Settings {
        let mut values = self.on(machine);
        values.storage.get_or_insert(Storage::MADE);
        values
    }

    /// This machine's entry of `binding`.
    pub fn binding(&self, machine: &MachineId) -> Option<&Map<String, Value>> {
        self.members.get("binding")?.get(machine.as_str())?.as_object()
    }

    /// A copy with these members merged into this machine's entry of `binding`.
    pub fn with_binding(&self, machine: &MachineId, entries: Map<String, Value>) -> Self {
        self.with_machine_entry("binding", machine, entries)
    }

    /// A copy with these members merged into this machine's entry of `status`.
    pub fn with_status(&self, machine: &MachineId, entries: Map<String, Value>) -> Self {
        self.with_machine_entry("status", machine, entries)
    }

    /// A copy with one member of the top level set. The name of the user cannot be changed so.
    pub fn with_member(&self, name: &str, value: Value) -> Self {
        let mut copy = self.clone();
        if !matches!(name, "userName" | "realm" | "secret") {
            copy.members.insert(name.to_owned(), value);
        }
        copy
    }

    /// A copy that has these members, and the name of its user.
    pub(crate) fn with_members(&self, mut members: Map<String, Value>) -> Self {
        for name in ["userName", "realm"] {
            members.remove(name);
            if let Some(value) = self.members.get(name) {
                members.insert(name.into(), value.clone());
            }
        }
        Self { members, name: self.name.clone() }
    }

    /// A copy without one member of the top level. The name of the user cannot be removed.
    pub fn without_member(&self, name: &str) -> Self {
        let mut copy = self.clone();
        if !matches!(name, "userName" | "realm") {
            copy.members.remove(name);
        }
        copy
    }

    /// Other names of the user.
    pub fn aliases(&self) -> Vec<&str> {
        let list = self.members.get("aliases").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether the user is asked for by this text: name or alias, alone or with the realm.
    pub fn is_called(&self, text: &str) -> bool {
        let bare = match (text.split_once('@'), &self.name.realm) {
            (None, _) => text,
            (Some((user, realm)), Some(own)) if realm == own.as_str() => user,
            (Some(_), _) => return false,
        };
        bare == self.user().as_str() || self.aliases().contains(&bare)
    }

    /// A copy without that member of this machine's entry of `binding`.
    pub fn without_binding(&self, machine: &MachineId, member: &str) -> Self {
        let mut copy = self.clone();
        let of_machine = copy.members.get_mut("binding").and_then(|all| all.get_mut(machine.as_str()));
        if let Some(of_machine) = of_machine.and_then(Value::as_object_mut) {
            of_machine.remove(member);
        }
        copy
    }

    fn with_machine_entry(&self, section: &str, machine: &MachineId, entries: Map<String, Value>) -> Self {
        let mut copy = self.clone();
        let of_all = copy.members.entry(section).or_insert_with(|| Value::Object(Map::new()));
        if let Some(of_all) = of_all.as_object_mut() {
            let of_machine = of_all.entry(machine.as_str()).or_insert_with(|| Value::Object(Map::new()));
            if let Some(of_machine) = of_machine.as_object_mut() {
                of_machine.extend(entries);
            }
        }
        copy
    }

    /// When the record was changed last, in µs since 1970; 0 where it does not say.
    pub fn last_change_usec(&self) -> u64 {
        self.members.get("lastChangeUSec").and_then(Value::as_u64).unwrap_or(0)
    }

    /// One line of JSON, no white space.
    pub fn to_compact(&self) -> String {
        canonical::compact(&Value::Object(self.members.clone()))
    }

    /// Normalized JSON over several lines, as in `.identity` files.
    pub fn to_pretty(&self) -> String {
        canonical::pretty(&Value::Object(self.members.clone()))
    }
}

fn read(text: &str) -> Result<Value, InvalidRecord> {
    json::parse(text).map_err(|e| InvalidRecord::new("", e.to_string()))
}

fn full_name(members: &Map<String, Value>) -> Result<FullName, InvalidRecord> {
    let invalid = |e: crate::names::InvalidName| InvalidRecord::new("userName", e.to_string());
    let user = members.get("userName").and_then(Value::as_str);
    let user = user.ok_or_else(|| InvalidRecord::new("userName", "it is missing or not a string"))?;
    let realm = match members.get("realm") {
        None | Some(Value::Null) => None,
        Some(Value::String(realm)) => Some(Realm::parse(realm).map_err(invalid)?),
        Some(_) => return Err(InvalidRecord::new("realm", "not a string")),
    };
    Ok(FullName { user: UserName::parse(user).map_err(invalid)?, realm })
}
