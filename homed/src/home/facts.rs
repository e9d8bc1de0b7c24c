//! What kernel and disk know of a home, as the core asks for it.

use super::state::Resting;
use crate::job::Known;
use records::{Machine, Record, Storage as Kind, UserName};

/// Where a home's parts are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub user: UserName,
    /// Mount point.
    pub home_directory: String,
    /// Image file, backing directory or block device; `//host/share/folder` on a server.
    pub image: String,
    /// The kind of its storage.
    pub kind: Kind,
    /// UUID of the encryption header, where the record knows it.
    pub luks_uuid: Option<String>,
}

impl Place {
    /// The place that a record tells.
    pub fn of(record: &Record, machine: &Machine) -> Self {
        let settings = record.of_home_on(machine);
        Self {
            kind: settings.effective_storage(),
            user: record.user().clone(),
            home_directory: settings.effective_home_directory(),
            image: settings.effective_place().unwrap_or_default(),
            luks_uuid: settings.luks_uuid,
        }
    }
}

/// What a kind of storage can do beside what all can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// It has a key: closed, it cannot be read without.
    pub keyed: bool,
    /// That key can be taken out of memory while it is open.
    pub locks: bool,
    /// It has a size.
    pub resizes: bool,
    /// It takes blocks of a disk, and gives them back.
    pub tends: bool,
}

impl Parts {
    /// All of it.
    pub const ALL: Self = Self { keyed: true, locks: true, resizes: true, tends: true };
}

/// Yes or no about storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// Not there.
    #[default]
    Missing,
    /// There, cleanly closed or open now.
    There,
    /// There, not cleanly closed the last time.
    Dirty,
    /// Nobody could tell yet: its file system gives no answer, or was never asked.
    Unanswered,
}

/// What is at the home directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mount {
    /// Nothing of ours.
    #[default]
    None,
    /// The home.
    Usable,
    /// The home, its volume key not in the kernel.
    Suspended,
    /// Nothing of ours, and a device with the content of the home is open all the same: shown elsewhere, held by another
    /// mount namespace, left by a killed process or opened by hand. Its volume key may be in the kernel.
    Open,
}

impl Mount {
    /// Whether the home is mounted at its directory.
    pub fn is_there(self) -> bool {
        matches!(self, Self::Usable | Self::Suspended)
    }
}

/// Facts about one home, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whereabouts {
    /// Its storage.
    pub storage: Storage,
    /// Its mount.
    pub mount: Mount,
}

impl Whereabouts {
    /// The same while a job runs: what is open beside the home is its own.
    pub fn during_a_job(self) -> Self {
        match self.mount {
            Mount::Open => Self { mount: Mount::None, ..self },
            Mount::None | Mount::Usable | Mount::Suspended => self,
        }
    }

    /// The resting state that follows. A mounted home is active even if its storage has vanished.
    pub fn resting(self, known: Known) -> Resting {
        match (self.mount, known, self.storage) {
            (Mount::Usable, _, _) => Resting::Active,
            (Mount::Suspended, _, _) => Resting::Locked,
            (Mount::Open, _, _) => Resting::Open,
            (Mount::None, _, Storage::Missing) => Resting::Absent,
            (Mount::None, Known::No, _) => Resting::Unfixated,
            // What gives no answer now may give one later: only what is not there is missing.
            (Mount::None, Known::Yes, Storage::There | Storage::Unanswered) => Resting::Inactive,
            (Mount::None, Known::Yes, Storage::Dirty) => Resting::Dirty,
        }
    }
}

/// Sizes of one home in bytes, where they are known (the `disk…` fields of `status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Size of the image.
    pub size: Option<u64>,
    /// Bytes in use.
    pub usage: Option<u64>,
    /// Bytes free inside.
    pub free: Option<u64>,
    /// Largest size it could have.
    pub ceiling: Option<u64>,
    /// Smallest size it could have.
    pub floor: Option<u64>,
    /// Bytes of the image that have blocks on the disk it lies on.
    pub allocated: Option<u64>,
    /// Bytes that disk has free.
    pub outside: Option<u64>,
    /// All bytes of that disk.
    pub disk: Option<u64>,
    /// Mode of the home directory, where it is open.
    pub access_mode: Option<u32>,
}

/// Whether a record is signed by this machine's key alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedLocally {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Where the core has its facts from: the system, or a table in tests. Nobody waits for a file system here: what one has
/// to be asked for was asked before ([`Storage::Unanswered`] if it has not answered), and the rest is the kernel's own.
pub trait Facts {
    /// A turn begins: what the kernel has shown before counts no more.
    fn begin_turn(&self) {}
    /// Where the home is.
    fn whereabouts(&self, place: &Place) -> Whereabouts;
    /// What its kind of storage can do; `None`: it cannot be used here.
    fn parts(&self, place: &Place) -> Option<Parts>;
    /// Who signed the record; `None` where it cannot be told.
    fn signed_locally(&self, record: &Record) -> Option<SignedLocally>;
}
