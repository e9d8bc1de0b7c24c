//! What a backend has to know of a record: where the storage is and how it is made.

use super::parts::size::Wish;
use super::parts::superblock::Kind;
use crate::job::{Failure, refuse};
use crate::sys::mount::{Attributes, Setting};
use records::{Machine, Record, Refusal};
use serde_json::{Map, Value};
use std::path::PathBuf;
use uuid::Uuid;

/// The values of one home that are in force on one machine.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `user` or `user@realm`: labels and the directory inside.
    pub name: String,
    /// User name alone: the device-mapper name.
    pub user: String,
    /// `storage`, `luks` where the record does not say.
    pub storage: String,
    /// Where the storage is.
    pub image: PathBuf,
    /// Where the home is mounted.
    pub home_directory: PathBuf,
    /// The file system to make; `None`: none in particular.
    pub file_system: Option<Kind>,
    /// UUIDs the storage has, or shall have.
    pub uuids: Uuids,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// `diskSize`, `diskSizeRelative`.
    pub size: Wish,
    /// `luksDiscard`: unused blocks go back while the home is active.
    pub discard: bool,
    /// `luksOfflineDiscard`: unused blocks go back when it is deactivated.
    pub offline_discard: bool,
    /// Mount attributes.
    pub attributes: Attributes,
    /// `luksExtraMountOptions`.
    pub extra: Vec<Setting>,
    /// `skeletonDirectory`.
    pub skeleton: PathBuf,
    /// `accessMode`.
    pub access_mode: u32,
}

/// UUIDs of the layers; `None`: any, or a random one for a new home.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uuids {
    /// `partitionUuid`.
    pub partition: Option<Uuid>,
    /// `luksUuid`.
    pub luks: Option<Uuid>,
    /// `fileSystemUuid`.
    pub file_system: Option<Uuid>,
}

/// Cipher and stretching.
#[derive(Debug, Clone, Default)]
pub struct Encryption {
    /// `luksCipher`.
    pub cipher: Option<String>,
    /// `luksCipherMode`.
    pub mode: Option<String>,
    /// `luksVolumeKeySize`, bytes.
    pub key_size: Option<u32>,
    /// `luksSectorSize`, bytes.
    pub sector: Option<u32>,
    /// `luksPbkdfType`.
    pub kdf: Option<String>,
    /// `luksPbkdfHashAlgorithm`.
    pub hash: Option<String>,
    /// `luksPbkdfForceIterations`.
    pub iterations: Option<u32>,
    /// `luksPbkdfTimeCostUSec`.
    pub time_usec: Option<u64>,
    /// `luksPbkdfMemoryCost`, bytes.
    pub memory: Option<u64>,
    /// `luksPbkdfParallelThreads`.
    pub threads: Option<u32>,
}

impl Spec {
    /// Reads the record as it is in force on the machine.
    pub fn of(record: &Record, machine: &Machine) -> Result<Self, Failure> {
        let values = Values(in_force(record, machine));
        let name = record.full_name().to_string();
        let user = record.user().to_string();
        let image = values.text("imagePath").map_or_else(|| format!("/home/{name}.home"), str::to_owned);
        let image = PathBuf::from(image);
        let discard = values.flag("luksDiscard").unwrap_or_else(|| image.starts_with("/dev"));
        Ok(Self {
            storage: values.text("storage").unwrap_or("luks").to_owned(),
            home_directory: values
                .text("homeDirectory")
                .map_or_else(|| format!("/home/{user}"), str::to_owned)
                .into(),
            file_system: values.file_system()?,
            uuids: Uuids {
                partition: values.uuid("partitionUuid"),
                luks: values.uuid("luksUuid"),
                file_system: values.uuid("fileSystemUuid"),
            },
            encryption: values.encryption(),
            size: values.size(),
            discard,
            offline_discard: values.flag("luksOfflineDiscard").unwrap_or(if image.starts_with("/dev") {
                discard
            } else {
                true
            }),
            attributes: Attributes {
                no_suid: values.flag("mountNoSuid").unwrap_or(true),
                no_devices: values.flag("mountNoDevices").unwrap_or(true),
                no_execute: values.flag("mountNoExecute").unwrap_or(false),
            },
            extra: values.text("luksExtraMountOptions").map(settings).unwrap_or_default(),
            skeleton: values.text("skeletonDirectory").unwrap_or("/etc/skel").into(),
            access_mode: values.number("accessMode").map_or(0o700, |mode| mode & 0o777),
            image,
            name,
            user,
        })
    }

    /// The device-mapper name.
    pub fn mapper_name(&self) -> String {
        format!("home-{}", self.user)
    }
}

/// Mount options as in fstab: `a,b=c`.
fn settings(text: &str) -> Vec<Setting> {
    text.split(',')
        .filter(|option| !option.is_empty())
        .map(|option| match option.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (option.to_owned(), None),
        })
        .collect()
}

/// Top level < matching `perMachine` entries < `binding` of this machine.
fn in_force(record: &Record, machine: &Machine) -> Map<String, Value> {
    let mut all = record.members().clone();
    if let Some(Value::Array(entries)) = record.members().get("perMachine") {
        for entry in entries.iter().filter_map(Value::as_object).filter(|entry| matches(entry, machine)) {
            all.extend(entry.clone());
        }
    }
    if let Some(binding) = record.binding(&machine.id) {
        all.extend(binding.clone());
    }
    all
}

fn matches(entry: &Map<String, Value>, machine: &Machine) -> bool {
    let names = |member: &str, value: &str| match entry.get(member) {
        Some(Value::String(one)) => Some(one == value),
        Some(Value::Array(many)) => Some(many.iter().any(|one| one == value)),
        _ => None,
    };
    let (id, host) = (machine.id.as_str(), machine.host.0.as_str());
    names("matchMachineId", id) == Some(true)
        || names("matchHostname", host) == Some(true)
        || names("matchNotMachineId", id) == Some(false)
        || names("matchNotHostname", host) == Some(false)
}

struct Values(Map<String, Value>);

impl Values {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name)?.as_bool()
    }

    fn long(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    fn number(&self, name: &str) -> Option<u32> {
        u32::try_from(self.long(name)?).ok()
    }

    fn uuid(&self, name: &str) -> Option<Uuid> {
        Uuid::parse_str(self.text(name)?).ok()
    }

    fn file_system(&self) -> Result<Option<Kind>, Failure> {
        let Some(name) = self.text("fileSystemType") else { return Ok(None) };
        match Kind::parse(name) {
            Some(kind) => Ok(Some(kind)),
            None => refuse(
                Refusal::NotSupported,
                format!("The file system {name:?} cannot be used for a home: use btrfs, ext4 or xfs."),
            ),
        }
    }

    fn size(&self) -> Wish {
        match (self.long("diskSize"), self.long("diskSizeRelative")) {
            (Some(bytes), _) => Wish::Bytes(bytes),
            (None, Some(share)) => Wish::Share(share),
            (None, None) => Wish::Unset,
        }
    }

    fn encryption(&self) -> Encryption {
        let owned = |name| self.text(name).map(str::to_owned);
        Encryption {
            cipher: owned("luksCipher"),
            mode: owned("luksCipherMode"),
            key_size: self.number("luksVolumeKeySize"),
            sector: self.number("luksSectorSize"),
            kdf: owned("luksPbkdfType"),
            hash: owned("luksPbkdfHashAlgorithm"),
            iterations: self.number("luksPbkdfForceIterations"),
            time_usec: self.long("luksPbkdfTimeCostUSec"),
            memory: self.long("luksPbkdfMemoryCost"),
            threads: self.number("luksPbkdfParallelThreads"),
        }
    }
}
