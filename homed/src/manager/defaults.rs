//! What is used where neither a record nor a file of settings says otherwise.

use crate::home::rules::LockRules;
use crate::words::uids;
use records::keys::Removal;
use records::stranger::Strangers;
use records::{LockLevel, Storage};
use std::ops::RangeInclusive;

/// What records get that do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// `storage`.
    pub storage: Storage,
    /// `fileSystemType`.
    pub file_system_type: Option<String>,
    /// Folder of images and home directories.
    pub home_root: String,
    /// `lockLevel`.
    pub lock_level: LockLevel,
    /// What follows where not every home could be locked.
    pub lock_failure: LockFailure,
    /// How large all images of a disk may be together, in per cent of the disk.
    pub overcommit: u32,
    /// What else is set about locks.
    pub lock_rules: LockRules,
    /// What homes are that nobody has signed whom this machine trusts.
    pub strangers: Strangers,
    /// What a removal of keys needs.
    pub removal: Removal,
    /// How many homes are managed at most.
    pub most_homes: usize,
    /// The UIDs that new homes get.
    pub uid_range: RangeInclusive<u32>,
}

/// What is used where no file says otherwise.
impl Default for Defaults {
    fn default() -> Self {
        Self {
            storage: Storage::MADE,
            file_system_type: None,
            home_root: "/home".into(),
            lock_level: LockLevel::Cache,
            lock_failure: LockFailure::Abort,
            overcommit: 400,
            lock_rules: LockRules::default(),
            strangers: Strangers::default(),
            removal: Removal::Free,
            // Both as in the original.
            most_homes: 500,
            uid_range: uids::RANGE,
        }
    }
}

/// What follows where not every home could be locked before the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockFailure {
    /// The call fails, and with it the suspend.
    Abort,
    /// The machine is shut down.
    PowerOff,
    /// It is logged, and the machine sleeps with the keys that are left in its memory.
    Ignore,
}
