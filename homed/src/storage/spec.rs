//! What a backend has to know of a record: where the storage is and how it is made.

use super::parts::size::Wish;
use super::parts::superblock::Kind;
use super::whereabouts::{self, Clues};
use crate::job::{Failure, refuse};
use crate::sys::mount::{Attributes, Setting};
use records::kinds::Storage;
use records::{Machine, Record, Refusal, Settings};
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
    pub storage: Storage,
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
    /// The machine that this is.
    pub machine: Machine,
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
        let mut values = record.on(machine);
        // A home whose kind nobody has chosen is of the kind that is made here.
        let storage = *values.storage.get_or_insert(Storage::Luks);
        let name = record.full_name().to_string();
        let image = values.effective_image_path().unwrap_or_else(|| format!("/home/{name}.home"));
        Ok(Self {
            storage,
            image: image.into(),
            home_directory: values.effective_home_directory().into(),
            file_system: file_system(&values)?,
            uuids: Uuids {
                partition: uuid(&values.partition_uuid),
                luks: uuid(&values.luks_uuid),
                file_system: uuid(&values.file_system_uuid),
            },
            encryption: encryption(&values),
            size: match (values.disk_size, values.disk_size_relative) {
                (Some(bytes), _) => Wish::Bytes(bytes),
                (None, Some(share)) => Wish::Share(share.0.into()),
                (None, None) => Wish::Unset,
            },
            discard: values.effective_luks_discard(),
            offline_discard: values.effective_luks_offline_discard(),
            attributes: Attributes {
                no_suid: values.effective_mount_no_suid(),
                no_devices: values.effective_mount_no_devices(),
                no_execute: values.effective_mount_no_execute(),
            },
            extra: values.luks_extra_mount_options.as_deref().map(settings).unwrap_or_default(),
            skeleton: values.effective_skeleton_directory().into(),
            access_mode: values.effective_access_mode() & 0o777,
            user: record.user().to_string(),
            machine: machine.clone(),
            name,
        })
    }

    /// The device-mapper name.
    pub fn mapper_name(&self) -> String {
        whereabouts::mapper_name(&self.user)
    }

    /// What the kernel knows its parts by.
    pub fn clues(&self) -> Clues<'_> {
        Clues {
            user: &self.user,
            image: &self.image,
            home_directory: &self.home_directory,
            luks: self.uuids.luks,
        }
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

fn uuid(text: &Option<String>) -> Option<Uuid> {
    Uuid::parse_str(text.as_deref()?).ok()
}

fn file_system(values: &Settings) -> Result<Option<Kind>, Failure> {
    let Some(name) = values.file_system_type.as_deref() else { return Ok(None) };
    match Kind::parse(name) {
        Some(kind) => Ok(Some(kind)),
        None => refuse(
            Refusal::NotSupported,
            format!("The file system {name:?} cannot be used for a home: use btrfs, ext4 or xfs."),
        ),
    }
}

fn encryption(values: &Settings) -> Encryption {
    let small = |value: Option<u64>| value.map(|v| u32::try_from(v).unwrap_or(u32::MAX));
    Encryption {
        cipher: values.luks_cipher.clone(),
        mode: values.luks_cipher_mode.clone(),
        key_size: small(values.luks_volume_key_size),
        sector: small(values.luks_sector_size),
        kdf: values.luks_pbkdf_type.clone(),
        hash: values.luks_pbkdf_hash_algorithm.clone(),
        iterations: small(values.luks_pbkdf_force_iterations),
        time_usec: values.luks_pbkdf_time_cost_usec,
        memory: values.luks_pbkdf_memory_cost,
        threads: small(values.luks_pbkdf_parallel_threads),
    }
}
