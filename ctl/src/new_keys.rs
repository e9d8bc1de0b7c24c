//! Keys that are made for a record: those of devices, of this computer, recovery keys. One mechanism for all kinds; what
//! is done with a device is in the file of its kind.

use crate::bus::Failure;
use crate::context::Context;
use crate::{machine_pin, security_key, smart_card};
use records::keys::{self, KeyKind, NamedKey};
use records::{Credentials, Secret};
use serde_json::{Map, Value};

/// A key that was made.
pub struct Made {
    /// Its kind.
    pub kind: KeyKind,
    /// The entry of the record.
    pub entry: Value,
    /// What its maker calls the device.
    pub model: Option<String>,
}

impl Made {
    /// What tells it from others.
    fn id(&self) -> &str {
        self.entry.get(self.kind.id).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Keys that were made, not in a record yet.
#[derive(Default)]
pub struct NewKeys {
    made: Vec<Made>,
    name: Option<String>,
}

impl NewKeys {
    /// Makes what the options name. PINs that were typed go to the credentials: homed asks the devices, too.
    pub fn wanted(
        ctx: &Context<'_>,
        members: &Map<String, Value>,
        credentials: &mut Credentials,
    ) -> Result<Self, Failure> {
        let mut keys = Self { made: Vec::new(), name: ctx.draft.names.new.clone() };
        if ctx.settings.dry_run {
            return Ok(keys);
        }
        let mut making = Making { ctx, members, credentials, made: &mut keys.made };
        security_key::make(&mut making)?;
        smart_card::make(&mut making)?;
        machine_pin::make(&mut making)?;
        Ok(keys)
    }

    /// One more.
    pub fn add(&mut self, made: Made) {
        self.made.push(made);
    }

    /// Puts them into a record, with their names and dates.
    pub fn enroll(&self, members: &mut Map<String, Value>, now_usec: u64) {
        for made in &self.made {
            keys::put(members, made.kind, made.entry.clone());
            // One that takes another's place keeps its name.
            let known = keys::named(members, made.kind, made.id());
            let name = self.name.clone().or(known.name.clone());
            let (model, enrolled_usec) = (made.model.clone(), Some(now_usec));
            keys::describe(members, &NamedKey { name, model, enrolled_usec, ..known });
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }
}

/// Keys being made for a record.
pub struct Making<'a, 'c> {
    /// What the options say, and whom to ask.
    pub ctx: &'a Context<'c>,
    /// The record.
    pub members: &'a Map<String, Value>,
    /// What was typed.
    pub credentials: &'a mut Credentials,
    made: &'a mut Vec<Made>,
}

impl Making<'_, '_> {
    /// What tells the keys of a kind from each other, of those that the record has or is to have.
    pub fn ids(&self, kind: KeyKind) -> Vec<String> {
        let known = self.members.get("privileged").and_then(|section| section.get(kind.list));
        let known = known.and_then(Value::as_array).into_iter().flatten();
        let made = self.made.iter().filter(|made| made.kind == kind).map(|made| &made.entry);
        known.chain(made).filter_map(|entry| entry.get(kind.id)?.as_str().map(str::to_owned)).collect()
    }

    /// One is made.
    pub fn add(&mut self, kind: KeyKind, entry: Value, model: &str) {
        self.made.push(Made { kind, entry, model: keys::tame(model) });
    }

    /// A PIN that was right: homed has to ask, too.
    pub fn keep_pin(&mut self, pin: Secret) {
        let known = |one: &Secret| one.matches(pin.open());
        if !self.credentials.token_pins.iter().any(known) {
            self.credentials.token_pins.insert(0, pin);
        }
    }
}

/// A device that is enrolled already: told, and nothing is done.
pub fn refuse_twice(kind: KeyKind, name: &str, option: &str) -> Failure {
    Failure::say(format!(
        "The {} {name} is enrolled already. Nothing was changed. homectl inspect --details shows it by its number; to enrol \
         it anew: --remove-token=NUMBER {option}",
        kind.words
    ))
}
