//! Record options become a [`Draft`], and a draft is applied to a record. No IO of its own.
//!
//! Three layers are changed: the top level, this machine's `perMachine` entry, and the entry for all other
//! machines. A setting that follows an empty value of the same option wins over it.

use super::values::{Surroundings, boolean, read, size};
use super::{Effect, Kind, Place, Special, Target, parse::Typed};
use records::MachineId;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What 100 % is in the record (`diskSizeRelative`, `tmpLimitScale`).
const WHOLE: u64 = u32::MAX as u64;

const LIMITS: &[&str] = &[
    "AS",
    "CORE",
    "CPU",
    "DATA",
    "FSIZE",
    "LOCKS",
    "MEMLOCK",
    "MSGQUEUE",
    "NICE",
    "NOFILE",
    "NPROC",
    "RSS",
    "RTPRIO",
    "RTTIME",
    "SIGPENDING",
    "STACK",
];

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
    /// Changes of the blob directory, in order.
    pub blobs: Vec<BlobChange>,
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
            && self.blobs.is_empty()
            && self.recovery_key.is_none()
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
        record.extend(self.top.clone());
        this.extend(self.this.clone());
        other.extend(self.other.clone());
        privileged.extend(self.privileged.clone());
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

    fn layer(&mut self, place: Place) -> &mut Map<String, Value> {
        match (place, self.target) {
            (Place::Privileged, _) => &mut self.privileged,
            (Place::Top, _) | (Place::Matched, Target::Auto) | (_, Target::Any) => &mut self.top,
            (Place::MatchedThis, Target::Auto) | (_, Target::This) => &mut self.this,
            (_, Target::Other) => &mut self.other,
        }
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
            Special::Pkcs11 => self.token(value, ["pkcs11TokenUri", "pkcs11EncryptedKey"]),
            Special::Fido2 => self.token(value, ["fido2HmacCredential", "fido2HmacSalt"]),
            Special::Fido2Detail => Err(NO_TOKENS.to_owned()),
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
        if !LIMITS.contains(&name) {
            return Err(format!("{name} is not a resource limit"));
        }
        let limits = if values.is_empty() { None } else { Some(limit_pair(values)?) };
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
        let text = match value.strip_prefix('@') {
            Some(path) => file(path)?,
            None => value.to_owned(),
        };
        let keys: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        if keys.is_empty() {
            return Err("there is no key in it".to_owned());
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

    fn token(&mut self, value: &str, members: [&'static str; 2]) -> Result<(), String> {
        if !value.is_empty() {
            return Err(NO_TOKENS.to_owned());
        }
        members.into_iter().for_each(|member| self.drop_member(member));
        Ok(())
    }
}

const NO_TOKENS: &str = "enrolling security tokens is not supported yet; nothing was changed";

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

fn limit_pair(text: &str) -> Result<Value, String> {
    let one = |text: &str| match text {
        "infinity" => Ok(Value::Null),
        text => size(text).map(Value::from).map_err(|_| "a limit is a number or infinity".to_owned()),
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let (soft, hard) = (one(soft)?, one(hard)?);
    if let (Some(soft), Some(hard)) = (soft.as_u64(), hard.as_u64())
        && soft > hard
    {
        return Err("the soft limit is above the hard one".to_owned());
    }
    Ok(json!({"cur": soft, "max": hard}))
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

/// Takes the entries for exactly this machine, and for exactly all others, out of `perMachine`.
fn take_own_entries(
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

fn put_own_entries(
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
