//! All that crosses between daemon and worker, as versioned data.
//!
//! ```text
//! daemon ── Job (JSON in a memfd, the worker's stdin) ──→ worker
//!        ←─ Message::Progress … Message::Outcome ──────── (JSON lines, the worker's stdout)
//! ```
//!
//! A worker that ends without an outcome has failed; what it had done is found on the disk.

use records::health::Report;
use records::keys::Removal;
use records::machine::Machine;
use records::refusal::Refused;
use records::stranger::Strangers;
use records::{Credentials, FullName, LockLevel, Record, Secret};
use serde::{Deserialize, Serialize};
use std::ffi::CStr;

mod failure;
mod original;
mod snapshot;
mod step;
mod wire;

/// What a worker calls itself (proc_pid_comm(5)): it is started from an open file, which has no name.
pub const WORKER: &CStr = c"homed-worker";

/// What a worker calls itself in the mark of its secrets ([`crate::sys::unwiped`]).
pub const MARK: &str = "worker";

/// The worker's only argument, where it has no job: it writes over free memory, if somebody was killed who had secrets.
pub const SWEEP: &str = "sweep";

pub use failure::{Context, Failure, refuse};
pub use original::Original;
pub use records::handoff::Progress;
pub use snapshot::Snapshots;
pub use step::{Copied, Step, Steps};

/// The version of everything in this module. A daemon has the worker that it was installed with and opened; the check is there
/// for one that was started while a package was being unpacked.
pub const VERSION: u32 = 2;

/// One piece of work for one home.
pub struct Job {
    /// Whose home.
    pub home: FullName,
    /// The machine it is done on.
    pub machine: Machine,
    /// The record as this host knows it, with binding and status. For a home that was found but never
    /// used here: a synthetic record of name, realm and binding.
    pub record: Record,
    /// The same as it is on disk, where not all that it says is believed: `record` is what is.
    pub host: Option<Record>,
    /// Whether homes of strangers are opened.
    pub strangers: Strangers,
    /// What a removal of keys needs.
    pub removal: Removal,
    /// What the caller offers.
    pub credentials: Credentials,
    /// The work.
    pub task: Task,
}

impl Job {
    /// Whether who does it has secrets in memory, or what is as good: who locks has all of the home's memory to write over.
    pub fn has_secrets(&self) -> bool {
        let needs_none = matches!(
            self.task,
            Task::Deactivate { .. }
                | Task::Snapshot { .. }
                | Task::Tend { .. }
                | Task::Remove
                | Task::Check { .. }
                | Task::Settle { .. }
        );
        !needs_none || !self.credentials.is_empty()
    }
}

/// What is to be done.
pub enum Task {
    /// Make storage for the job's record, which has passed all checks of the daemon.
    Create {
        /// The UID the files get on this machine.
        uid: u32,
        /// How large all images of the disk may be together, in per cent of the disk.
        overcommit: u32,
        /// Folder with the pictures the record names.
        blobs: Option<String>,
        /// What it is filled with; `None`: a skeleton.
        original: Option<Original>,
    },
    /// Unlock and mount at the home directory.
    Activate {
        /// The UID the files get on this machine, for as long as the home is active.
        uid: u32,
        /// Whether the host has a record, or takes over the one found inside.
        known: Known,
    },
    /// Unmount and close.
    Deactivate {
        /// What to do where somebody holds it.
        force: Force,
    },
    /// Check the credentials against every copy of the record; the state stays.
    Authenticate {
        /// Whether the host has a record; where it has none, it gets none.
        known: Known,
    },
    /// Replace password hashes and key slots.
    ChangePassword {
        /// What the new hashes and slots are made of; the old is in the job's `credentials`.
        new: Credentials,
        /// Whether it is mounted at the moment.
        resting: Mounted,
    },
    /// Replace the record.
    Update {
        /// By what.
        change: Box<RecordChange>,
        /// Whether it is mounted at the moment.
        resting: Mounted,
    },
    /// Look at every part, and change nothing.
    Check {
        /// Whether it is in use meanwhile.
        seen: Seen,
        /// Whether the host has a record.
        known: Known,
    },
    /// Rebuild what can be rebuilt.
    Repair {
        /// What may be done.
        how: Repair,
        /// Whether the host has a record.
        known: Known,
    },
    /// Open what is left, to be read only.
    Rescue {
        /// The UID the files get.
        uid: u32,
        /// Where; `None`: at the home directory.
        directory: Option<String>,
    },
    /// Give the home another size.
    Resize {
        /// Which.
        size: Size,
        /// Whether it is mounted at the moment.
        resting: Mounted,
        /// Whether the record says so from now on.
        remember: Remember,
    },
    /// Make, tell, restore or delete snapshots of an active home.
    Snapshot {
        /// Which of that.
        wish: Snapshots,
    },
    /// Care for the space of an active home, while nobody waits for anything.
    Tend {
        /// What for.
        care: Care,
    },
    /// Delete storage, host record and blobs.
    Remove,
    /// Freeze the user's processes and take the volume key out of memory.
    Lock {
        /// Whose processes.
        uid: u32,
        /// What else goes out of memory.
        level: LockLevel,
    },
    /// Put the volume key back and let the user's processes go on.
    Unlock {
        /// Whose processes.
        uid: u32,
    },
    /// Finish or take back a lock or unlock that was broken off.
    Settle {
        /// Whose processes.
        uid: u32,
    },
    /// End the user's processes and unmount, without the key.
    GiveUp {
        /// Whose processes.
        uid: u32,
    },
}

/// What a check meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// Nothing of the home is open.
    Closed,
    /// It is mounted.
    Open,
    /// It is mounted, and whoever touches it waits for the key.
    Locked,
}

/// How far a repair goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Repair {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Have the file system's own program repair it, which may throw damaged files away.
    pub file_system: bool,
    /// Another machine that has marked the home as open has it not, and will not go on with what it had: its mark goes.
    #[serde(default)]
    pub closed_elsewhere: bool,
}

/// A record that takes another one's place.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordChange {
    /// The new one, embedded sections only. Without a signature it is signed by this machine.
    pub record: Record,
    /// Folder with all pictures it names; `None`: they stay as they are.
    pub blobs: Option<String>,
    /// Which copies are replaced.
    pub reach: Reach,
    /// What of the record counts.
    pub part: Part,
}

/// What of a record is to come in the place of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Its wish for a recovery key: the rest stays as it is in the record in force when the work begins.
    RecoveryKey,
}

/// Which copies of a record a change reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// All: header, home and host.
    Everywhere,
    /// The host's only; the others follow at the next use.
    HostOnly,
}

/// Whether this host has a record of its own for the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Known {
    /// It has: the job's record.
    Yes,
    /// It has not: the record inside becomes the host's, if its signature is trusted ("fixate").
    No,
}

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Force {
    /// A home somebody uses stays.
    No,
    /// It is detached under their feet (its storage has vanished).
    Yes,
}

/// A size of a home, in bytes of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Size {
    /// This one, or it is refused.
    Exactly(u64),
    /// The possible one that comes nearest.
    Near(u64),
    /// So much of the largest possible, in parts of 2³² (`diskSizeRelative`); the possible one that comes nearest.
    Share(u32),
    /// The smallest possible.
    Least,
    /// The largest possible.
    Most,
    /// As it is: what is left of a change that was cut short is settled.
    AsIs,
}

/// Whether a size goes into the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remember {
    /// As `diskSize`, and the home is not rebalanced any more: its user has chosen a size.
    Yes,
    /// Nothing is written: the daemon has chosen, or the record says it already.
    No,
}

/// What the space of an active home is cared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Care {
    /// It is in use: writing must not fail for lack of space outside.
    InUse,
    /// The same, and what it does not use goes back to the disk, where its record wants that (`luksDiscard`).
    Thorough,
    /// Its last holder has gone, and it will be closed.
    Left,
}

/// Whether the home is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mounted {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Message {
    /// How far it is.
    Progress(Progress),
    /// How it ended; the last message.
    Outcome(Outcome),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is done.
    Done {
        /// The host's record from now on (already on disk), as JSON; `None`: unchanged.
        record: Option<serde_json::Value>,
        /// What went less well than it should, in words for the user and the log.
        warnings: Vec<String>,
    },
    /// It was looked at, and perhaps mended.
    Checked {
        /// What was found.
        report: Report,
        /// As for [`Outcome::Done`].
        record: Option<serde_json::Value>,
        /// As for [`Outcome::Done`].
        warnings: Vec<String>,
    },
    /// It is done, and this is told of it.
    Told {
        /// JSON, as the caller gets it.
        report: serde_json::Value,
        /// As for [`Outcome::Done`].
        warnings: Vec<String>,
    },
    /// It is refused, and nothing was changed.
    Refused(Refused),
    /// The daemon has stopped it. (No worker says this.)
    Stopped,
    /// It failed unexpectedly: the chain of causes, for the log. Never holds a secret.
    Fault {
        /// "making the file system: mkfs.btrfs ended with status 1: …"
        chain: String,
    },
}

/// A job that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("job cannot be read: {0}")]
pub struct InvalidJob(pub String);

impl Job {
    /// The job as JSON text, secrets included.
    pub fn encode(&self) -> Secret {
        wire::encode(self)
    }

    /// Reads it back.
    pub fn decode(text: &[u8]) -> Result<Self, InvalidJob> {
        wire::decode(text)
    }
}
