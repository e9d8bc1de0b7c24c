//! Record options become a [`Draft`], and a draft is applied to a record. No IO of its own.
//!
//! Three layers are changed: the top level, this machine's `perMachine` entry, and the entry for all other
//! machines. A setting that follows an empty value of the same option wins over it.

mod special;

pub use special::{disk_size, is_blob_name, wished};

use super::cards::CardWish;
use super::entries::{put_own_entries, take_own_entries};
use super::keys::KeyWish;
use super::lists::{self, ListEdit};
use super::tokens::TokenWish;
use super::tpm::TpmWish;
use super::values::{Surroundings, read};
use super::{Effect, Kind, Place, Target, parse::Typed};
use records::MachineId;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A change of the blob directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobChange {
    /// Nothing of the old one stays.
    Clear,
    /// All files of this folder, instead of the old ones.
    Folder(String),
    /// One file: its name there, its path here.
    File(String, String),
    /// One file goes.
    Delete(String),
}

/// Which part of a record a setting goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The top level.
    Top,
    /// This machine's entry.
    This,
    /// The entry for all others.
    Other,
    /// The `privileged` section.
    Privileged,
}

const ENVIRONMENT: &str = "environment";

/// What a home is made like: the parts of it that stay as they are made.
const OF_MAKING: &[&str] = &[
    "accessMode",
    "cifsService",
    "fileSystemType",
    "homeDirectory",
    "imagePath",
    "luksCipher",
    "luksCipherMode",
    "luksSectorSize",
    "luksVolumeKeySize",
    "skeletonDirectory",
    "storage",
    "uid",
];

fn is_of_making(typed: &Typed<'_>) -> bool {
    let named = |member: &str| OF_MAKING.contains(&member) && !typed.value.is_empty();
    matches!(typed.row.effect, Effect::Set { member, .. } if named(member))
}

/// Changes of a record, not yet applied.
#[derive(Default)]
pub struct Draft {
    target: Target,
    top: Map<String, Value>,
    this: Map<String, Value>,
    other: Map<String, Value>,
    privileged: Map<String, Value>,
    drops: BTreeSet<&'static str>,
    limits: BTreeMap<String, Option<Value>>,
    lists: Vec<ListEdit>,
    /// Options for this machine that say what a home is made like: it cannot be changed later.
    pub of_making: Vec<String>,
    /// Changes of the blob directory, in order.
    pub blobs: Vec<BlobChange>,
    /// Smart cards to be enrolled.
    pub cards: CardWish,
    /// Security keys to be enrolled.
    pub keys: KeyWish,
    /// A PIN of the TPM to be enrolled.
    pub tpm: TpmWish,
    /// What keys are called, and which go.
    pub names: TokenWish,
    /// Whether a recovery key is wanted, if that was said.
    pub recovery_key: Option<bool>,
    /// The size as it was given, so that the home has to be resized.
    pub resizes: Option<String>,
}

impl Draft {
    /// Takes one option in. Tool options are not for here.
    pub fn take(
        &mut self,
        typed: &Typed<'_>,
        around: &Surroundings<'_>,
        file: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(), String> {
        if is_of_making(typed) && self.target != Target::Other {
            self.of_making.push(typed.name());
        }
        let taken = match typed.row.effect {
            Effect::Tool(_) => Ok(()),
            Effect::Set { member, kind: Kind::ImpliedNo, .. } => {
                self.top.insert(member.to_owned(), Value::Bool(false));
                Ok(())
            }
            Effect::Set { member, .. } if typed.value.is_empty() => {
                self.drop_member(member);
                Ok(())
            }
            Effect::Set { member, kind, place } if lists::is_edit(kind, typed.value) => {
                lists::edit(kind, typed.value).map(|items| self.list(member, place, items))
            }
            Effect::Set { member, kind, place } => {
                read(kind, typed.value, around).map(|value| self.set(member, kind, place, value))
            }
            Effect::Special(special) => self.take_special(special, typed.value, file),
        };
        taken.map_err(|why| match typed.row.effect {
            // A hint is nobody's business on a screen either.
            Effect::Set { place: Place::Privileged, .. } => format!("{}: {why}", typed.name()),
            _ => format!("{}={}: {why}", typed.name(), typed.value),
        })
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.recovery_key.is_none() && self.has_nothing_else()
    }

    fn has_nothing_else(&self) -> bool {
        self.top.is_empty()
            && self.this.is_empty()
            && self.other.is_empty()
            && self.privileged.is_empty()
            && self.drops.is_empty()
            && self.limits.is_empty()
            && self.lists.is_empty()
            && self.blobs.is_empty()
            && self.keys.devices.is_empty()
            && self.cards.uris.is_empty()
            && self.tpm.device.is_none()
            && self.names.is_empty()
    }

    /// Whether nothing would change but that a recovery key is made.
    pub fn is_recovery_alone(&self) -> bool {
        self.recovery_key == Some(true) && self.has_nothing_else()
    }

    /// How many keys are to be enrolled.
    pub fn enrolled(&self) -> usize {
        let recovery = self.recovery_key == Some(true);
        self.keys.devices.len()
            + self.cards.uris.len()
            + usize::from(self.tpm.device.is_some())
            + usize::from(recovery)
    }

    /// The record with the changes.
    pub fn apply(&self, mut record: Map<String, Value>, machine: &MachineId) -> Map<String, Value> {
        let (mut this, mut other) = take_own_entries(&mut record, machine);
        for layer in [&mut record, &mut this, &mut other] {
            layer.retain(|member, _| !self.drops.contains(member.as_str()));
        }
        let mut privileged = object(record.remove("privileged"));
        privileged.retain(|member, _| !self.drops.contains(member.as_str()));
        self.apply_limits(&mut record, &mut this, &mut other);
        for (layer, new) in [(&mut record, &self.top), (&mut this, &self.this), (&mut other, &self.other)] {
            self.extend(layer, new);
        }
        privileged.extend(self.privileged.clone());
        for edit in &self.lists {
            edit.apply(match edit.layer {
                Layer::Top => &mut record,
                Layer::This => &mut this,
                Layer::Other => &mut other,
                Layer::Privileged => &mut privileged,
            });
        }
        if !privileged.is_empty() {
            record.insert("privileged".to_owned(), Value::Object(privileged));
        }
        put_own_entries(&mut record, machine, this, other);
        record
    }

    fn apply_limits(
        &self,
        top: &mut Map<String, Value>,
        this: &mut Map<String, Value>,
        other: &mut Map<String, Value>,
    ) {
        for layer in [top, &mut *this, other] {
            let Some(Value::Object(limits)) = layer.get_mut("resourceLimits") else { continue };
            limits.retain(|name, _| self.limits.get(name) != Some(&None));
            if limits.is_empty() {
                layer.remove("resourceLimits");
            }
        }
        let new: Map<String, Value> =
            self.limits.iter().filter_map(|(name, v)| Some((name.clone(), v.clone()?))).collect();
        if !new.is_empty() {
            let mut limits = object(this.remove("resourceLimits"));
            limits.extend(new);
            this.insert("resourceLimits".to_owned(), Value::Object(limits));
        }
    }

    /// Variables are added to those there are, unless `--setenv=` came first; all else takes the place of what was.
    fn extend(&self, layer: &mut Map<String, Value>, new: &Map<String, Value>) {
        for (member, value) in new {
            let value = match layer.get(member).filter(|_| member == ENVIRONMENT) {
                Some(before) => joined_environment(before, value),
                None => value.clone(),
            };
            layer.insert(member.clone(), value);
        }
    }

    fn place(&self, place: Place) -> Layer {
        match (place, self.target) {
            (Place::Privileged, _) => Layer::Privileged,
            (Place::Top, _) | (Place::Matched, Target::Auto) | (_, Target::Any) => Layer::Top,
            (Place::MatchedThis, Target::Auto) | (_, Target::This) => Layer::This,
            (_, Target::Other) => Layer::Other,
        }
    }

    fn layer(&mut self, place: Place) -> &mut Map<String, Value> {
        match self.place(place) {
            Layer::Privileged => &mut self.privileged,
            Layer::Top => &mut self.top,
            Layer::This => &mut self.this,
            Layer::Other => &mut self.other,
        }
    }

    fn list(&mut self, member: &'static str, place: Place, items: lists::Items) {
        self.lists.push(ListEdit { member, layer: self.place(place), items });
    }

    fn set(&mut self, member: &'static str, kind: Kind, place: Place, value: Value) {
        // A weight in another layer would still win over this one.
        if kind == Kind::Weight {
            self.drop_member(member);
        }
        let layer = self.layer(place);
        let value = match (kind, layer.remove(member)) {
            (Kind::Groups | Kind::Names | Kind::Capabilities, Some(before)) => joined(&before, &value),
            (Kind::Environment, Some(before)) => joined_environment(&before, &value),
            (_, _) => value,
        };
        layer.insert(member.to_owned(), value);
    }

    fn drop_member(&mut self, member: &'static str) {
        self.drops.insert(member);
        for layer in [&mut self.top, &mut self.this, &mut self.other, &mut self.privileged] {
            layer.remove(member);
        }
    }
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn joined(before: &Value, more: &Value) -> Value {
    json!(texts(before).chain(texts(more)).collect::<BTreeSet<_>>())
}

fn joined_environment(before: &Value, more: &Value) -> Value {
    let pairs = texts(before).chain(texts(more)).filter_map(|entry| entry.split_once('='));
    let by_name: BTreeMap<&str, &str> = pairs.collect();
    by_name.into_iter().map(|(name, value)| Value::String(format!("{name}={value}"))).collect()
}

fn appended(before: Value, more: &[&str]) -> Value {
    let mut all: Vec<&str> = texts(&before).collect();
    all.extend(more);
    json!(all)
}
