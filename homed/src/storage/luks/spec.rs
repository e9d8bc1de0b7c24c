//! What a home in an encrypted image has beside what all kinds have.

use super::mount_options;
use crate::job::{Failure, refuse};
use crate::storage;
use crate::storage::parts::superblock::Kind;
use crate::sys::mount::Setting;
use records::{Refusal, Settings};
use std::ops::Deref;
use uuid::Uuid;

/// The values of one home that are in force on one machine; those of all kinds are read through it.
#[derive(Debug, Clone)]
pub struct Spec {
    common: storage::Spec,
    /// The file system to make; `None`: none in particular.
    pub file_system: Option<Kind>,
    /// UUIDs the storage has, or shall have.
    pub uuids: Uuids,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// `luksDiscard`: unused blocks go back while the home is active.
    pub discard: bool,
    /// `luksOfflineDiscard`: unused blocks go back when it is deactivated.
    pub offline_discard: bool,
    /// `luksExtraMountOptions`.
    pub extra: Vec<Setting>,
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
    /// Reads the record's fields for this kind.
    pub fn of(mut common: storage::Spec) -> Result<Self, Failure> {
        let options = common.values.luks_extra_mount_options.clone().unwrap_or_default();
        let extra = mount_options::split(&options, &mut common.wished);
        let values = &common.values;
        Ok(Self {
            file_system: file_system(values)?,
            uuids: Uuids {
                partition: uuid(&values.partition_uuid),
                luks: uuid(&values.luks_uuid),
                file_system: uuid(&values.file_system_uuid),
            },
            encryption: encryption(values),
            discard: values.effective_luks_discard(),
            offline_discard: values.effective_luks_offline_discard(),
            extra,
            common,
        })
    }

    /// The device-mapper name.
    pub fn mapper_name(&self) -> String {
        super::whereabouts::mapper_name(&self.user)
    }
}

impl Deref for Spec {
    type Target = storage::Spec;

    fn deref(&self) -> &storage::Spec {
        &self.common
    }
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
