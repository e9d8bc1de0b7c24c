//! Record options become a [`Draft`], and a draft is applied to a record. No IO of its own.
//!
//! Three layers are changed: the top level, this machine's `perMachine` entry, and the entry for all other
//! machines. A setting that follows an empty value of the same option wins over it.

use super::cards::CardWish;
use super::entries::{put_own_entries, take_own_entries};
use super::keys::KeyWish;
use super::limits;
use super::lists::{self, ListEdit};
use super::tpm::TpmWish;
use super::values::{Surroundings, boolean, read, size};
use super::{Effect, Kind, Place, Special, Target, parse::Typed};
use records::MachineId;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What 100 % is in the record (`diskSizeRelative`, `tmpLimitScale`).
const WHOLE: u64 = u32::MAX as u64;

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
    /// Whether a recovery key is wanted, if that was said.
    pub recovery_key: Option<bool>,
    /// Whether the size was set, so that the home has to be resized.
    pub resizes: bool,
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
        self.top.is_empty()
            && self.this.is_empty()
            && self.other.is_empty()
            && self.privileged.is_empty()
            && self.drops.is_empty()
            && self.limits.is_empty()
            && self.lists.is_empty()
            && self.blobs.is_empty()
            && self.recovery_key.is_none()
            && self.keys.devices.is_empty()
            && self.cards.uris.is_empty()
            && self.tpm.device.is_none()
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

    fn take_special(
        &mut self,
        special: Special,
        value: &str,
        file: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(), String> {
        match special {
            Special::DiskSize => self.disk_size(value),
            Special::Limit(member, scale) => self.limit(member, scale, value),
            Special::ResourceLimit => self.resource_limit(value),
            Special::Language => self.language(value),
            Special::SshKeys => self.ssh_keys(value, file),
            Special::RecoveryKey => {
                self.recovery_key = Some(boolean(value)?);
                self.drop_member("recoveryKey");
                self.drop_member("recoveryKeyType");
                Ok(())
            }
            Special::Blob => self.blob(value),
            Special::NamedBlob(name) => {
                self.blob_file(name, value);
                Ok(())
            }
            Special::Match => {
                self.target = target(value)?;
                Ok(())
            }
            Special::MatchFixed(target) => {
                self.target = target;
                Ok(())
            }
            Special::Pkcs11 => {
                self.token(value, ["pkcs11TokenUri", "pkcs11EncryptedKey"]);
                self.cards.card(value)
            }
            Special::Fido2 => {
                self.token(value, ["fido2HmacCredential", "fido2HmacSalt"]);
                self.keys.device(value)
            }
            Special::Tpm2 | Special::Tpm2Pcrs => {
                if special == Special::Tpm2 {
                    self.token(value, ["tpm2PinMachineId", "tpm2Pin"]);
                }
                self.tpm.take(special, value)
            }
            Special::Fido2Pin
            | Special::Fido2Presence
            | Special::Fido2Verification
            | Special::Fido2Algorithm => self.keys.detail(special, value),
        }
    }

    fn disk_size(&mut self, value: &str) -> Result<(), String> {
        for member in ["diskSize", "diskSizeRelative", "rebalanceWeight"] {
            self.drop_member(member);
        }
        if value.is_empty() {
            return Ok(());
        }
        let (member, amount) = match percent(value) {
            Some(share) => ("diskSizeRelative", share?),
            None => ("diskSize", disk_size(value)?),
        };
        let layer = self.layer(Place::MatchedThis);
        layer.insert(member.to_owned(), json!(amount));
        layer.insert("rebalanceWeight".to_owned(), json!(0));
        self.resizes = true;
        Ok(())
    }

    fn limit(&mut self, member: &'static str, scale: &'static str, value: &str) -> Result<(), String> {
        self.drop_member(member);
        self.drop_member(scale);
        if value.is_empty() {
            return Ok(());
        }
        let (member, amount) = match percent(value) {
            Some(share) => (scale, share?),
            None => (member, size(value)?),
        };
        self.layer(Place::Matched).insert(member.to_owned(), json!(amount));
        Ok(())
    }

    fn resource_limit(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.limits.clear();
            self.drop_member("resourceLimits");
            return Ok(());
        }
        let (name, values) =
            value.split_once('=').ok_or("it must look like LIMIT=VALUE, such as NOFILE=1024:4096")?;
        let upper = name.to_ascii_uppercase();
        let name = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
        limits::known(name)?;
        let limits = if values.is_empty() { None } else { Some(limits::pair(name, values)?) };
        self.limits.insert(format!("RLIMIT_{name}"), limits);
        Ok(())
    }

    fn language(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.drop_member("preferredLanguage");
            self.drop_member("additionalLanguages");
            return Ok(());
        }
        for language in value.split([',', ':']).filter(|part| !part.is_empty()) {
            if !language.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b)) {
                return Err(format!("{language:?} is not a locale name"));
            }
            if !self.top.contains_key("preferredLanguage") {
                self.drop_member("additionalLanguages");
                self.top.insert("preferredLanguage".to_owned(), json!(language));
            } else {
                let more = self.top.remove("additionalLanguages").unwrap_or_else(|| json!([]));
                self.top.insert("additionalLanguages".to_owned(), appended(more, &[language]));
            }
        }
        Ok(())
    }

    fn ssh_keys(&mut self, value: &str, file: &dyn Fn(&str) -> Result<String, String>) -> Result<(), String> {
        if value.is_empty() {
            self.drop_member("sshAuthorizedKeys");
            return Ok(());
        }
        let sign = value.chars().next().filter(|sign| matches!(sign, '+' | '-'));
        let value = sign.map_or(value, |_| &value[1..]);
        let text = match value.strip_prefix('@') {
            Some(path) => file(path)?,
            None => value.to_owned(),
        };
        let keys: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        if keys.is_empty() {
            return Err("there is no key in it".to_owned());
        }
        if let Some(sign) = sign {
            let items = lists::Items::all(sign, &keys);
            self.list("sshAuthorizedKeys", Place::Privileged, items);
            return Ok(());
        }
        let before = self.privileged.remove("sshAuthorizedKeys").unwrap_or_else(|| json!([]));
        self.privileged.insert("sshAuthorizedKeys".to_owned(), appended(before, &keys));
        Ok(())
    }

    fn blob(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.blobs = vec![BlobChange::Clear];
        } else if let Some((name, path)) = value.rsplit_once('=') {
            if !is_blob_name(name) {
                return Err(
                    "names of blobs are letters, digits, '-', '.', '_', '~', and do not begin with '.'"
                        .to_owned(),
                );
            }
            self.blob_file(name, path);
        } else {
            self.blobs.push(BlobChange::Folder(value.to_owned()));
        }
        Ok(())
    }

    fn blob_file(&mut self, name: &str, path: &str) {
        self.blobs.push(match path {
            "" => BlobChange::Delete(name.to_owned()),
            path => BlobChange::File(name.to_owned(), path.to_owned()),
        });
    }

    /// The empty value removes all tokens of a kind.
    fn token(&mut self, value: &str, members: [&'static str; 2]) {
        if value.is_empty() {
            members.into_iter().for_each(|member| self.drop_member(member));
        }
    }
}

/// Whether a file of the blob directory may have this name (URI-unreserved characters, no leading dot).
pub fn is_blob_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 255
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// A size as `resize` and `--disk-size=` take it: `min` is 0, `max` the largest number without another meaning.
pub fn disk_size(text: &str) -> Result<u64, String> {
    match text {
        "min" => Ok(0),
        "max" => Ok(u64::MAX - 1),
        text => size(text),
    }
}

fn percent(text: &str) -> Option<Result<u64, String>> {
    let digits = text.strip_suffix('%')?;
    Some(match digits.parse::<f64>() {
        // The share is at most 100 and the product at most 2³²−1: it fits.
        Ok(share) if (0.0..=100.0).contains(&share) => Ok((share / 100.0 * WHOLE as f64).round() as u64),
        _ => Err("it must be from 0% to 100%".to_owned()),
    })
}

fn target(text: &str) -> Result<Target, String> {
    match text {
        "any" => Ok(Target::Any),
        "this" => Ok(Target::This),
        "other" => Ok(Target::Other),
        "auto" | "" => Ok(Target::Auto),
        _ => Err("it must be any, this, other or auto".to_owned()),
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
