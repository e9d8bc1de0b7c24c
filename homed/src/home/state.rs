//! Where a home rests, what is being done to it, and the public name that follows from both.
//!
//! ```text
//!              create                     activate
//!   absent ─────────────→ inactive ───────────────────→ active ──┐ last holder gone, still busy
//!      ↑      remove         │  ↑        deactivate        │     ↓
//!      └─────────────────────┘  └──────────────────────────┴─ lingering (tried again later)
//!   unfixated ── activate (takes the record inside over) ──→ active
//!
//!   active ── lock ──→ locked ── unlock ──→ active        broken off on the way: settled, either way
//!                        └── its user gives up, or the machine goes down ──→ inactive
//! ```
//!
//! Resting is never stored: it is asked from kernel and disk at every turn ([`crate::home::facts`]).

use crate::job::{Care, Mounted};
use std::fmt;

/// Where a home rests, as kernel and disk tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resting {
    /// Storage was found, and this host has no record of it.
    Unfixated,
    /// There is a record, and no storage.
    Absent,
    /// Storage is there and not mounted.
    Inactive,
    /// Not mounted, and not cleanly closed the last time.
    Dirty,
    /// Mounted at the home directory.
    Active,
    /// Mounted, and its volume key is not in the kernel.
    Locked,
    /// Not mounted at the home directory, and a device of it is open: its volume key may be in the kernel.
    Open,
}

impl Resting {
    /// All of them, for tables.
    pub const ALL: [Self; 7] =
        [Self::Unfixated, Self::Absent, Self::Inactive, Self::Dirty, Self::Active, Self::Locked, Self::Open];

    /// Whether anything of it is open, with its key or without.
    pub fn is_open(self) -> bool {
        match self {
            Self::Active | Self::Locked | Self::Open => true,
            Self::Unfixated | Self::Absent | Self::Inactive | Self::Dirty => false,
        }
    }

    /// Whether it can be used as it is.
    pub fn mounted(self) -> Mounted {
        match self {
            Self::Active => Mounted::Yes,
            Self::Unfixated | Self::Absent | Self::Inactive | Self::Dirty | Self::Locked | Self::Open => {
                Mounted::No
            }
        }
    }
}

/// For whom an unlocking job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// For a call that wants just that.
    Itself,
    /// For a call that wants the record taken over, and the home closed again ([`Work::Fixating`] alone).
    Record,
    /// For a caller who gets a reference when it is done.
    Reference,
}

/// What a running job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// Taking over the record inside, and mounting.
    Fixating(Purpose),
    /// Mounting.
    Activating(Purpose),
    /// Unmounting.
    Deactivating,
    /// Making storage.
    Creating,
    /// Deleting storage and record.
    Removing,
    /// Replacing password hashes and key slots.
    ChangingPassword,
    /// Replacing the record.
    Updating,
    /// Looking at every part.
    Checking,
    /// Rebuilding what can be rebuilt.
    Repairing,
    /// Opening what is left, to be read only.
    Rescuing,
    /// Giving it another size.
    Resizing,
    /// Checking credentials.
    Authenticating(Purpose),
    /// Freezing the user's processes and taking the volume key out of memory.
    Locking,
    /// Putting it back, and letting them go on.
    Unlocking(Purpose),
    /// Finishing or taking back a lock or unlock that was broken off.
    Settling,
    /// Ending the user's processes and unmounting, without the key.
    GivingUp,
    /// Making, telling, restoring or deleting snapshots.
    Snapshotting,
    /// Caring for its space, until somebody wants anything.
    Tending(Care),
}

impl Work {
    /// All of them, for tables.
    pub const ALL: [Self; 25] = [
        Self::Fixating(Purpose::Record),
        Self::Fixating(Purpose::Itself),
        Self::Fixating(Purpose::Reference),
        Self::Activating(Purpose::Itself),
        Self::Activating(Purpose::Reference),
        Self::Deactivating,
        Self::Creating,
        Self::Removing,
        Self::ChangingPassword,
        Self::Updating,
        Self::Checking,
        Self::Repairing,
        Self::Rescuing,
        Self::Resizing,
        Self::Authenticating(Purpose::Itself),
        Self::Authenticating(Purpose::Reference),
        Self::Locking,
        Self::Unlocking(Purpose::Itself),
        Self::Unlocking(Purpose::Reference),
        Self::Settling,
        Self::GivingUp,
        Self::Snapshotting,
        Self::Tending(Care::InUse),
        Self::Tending(Care::Thorough),
        Self::Tending(Care::Left),
    ];

    /// Whether nobody waits for it: it is stopped when anything else is wanted of the home.
    pub fn gives_way(self) -> bool {
        matches!(self, Self::Tending(_))
    }
}

/// The public state: derived, and nowhere stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// Where it rests.
    pub resting: Resting,
    /// What is being done.
    pub doing: Option<Work>,
    /// Whether a deactivation failed and will be tried again.
    pub lingering: Lingering,
}

/// Whether a failed deactivation waits to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lingering {
    /// None does.
    No,
    /// One does.
    Yes,
}

impl State {
    /// The name on the bus, as in the original.
    pub fn name(self) -> &'static str {
        match self.doing {
            Some(work) if !work.gives_way() => self.name_of_work(work),
            Some(_) | None => self.name_at_rest(),
        }
    }

    /// Whether files of the home can be used now (home directory and shell are the true ones in
    /// the original's sense).
    pub fn is_active(self) -> bool {
        match self.doing {
            None
            | Some(
                Work::Authenticating(_)
                | Work::ChangingPassword
                | Work::Updating
                | Work::Checking
                | Work::Resizing
                | Work::Snapshotting
                | Work::Tending(_),
            ) => self.resting == Resting::Active,
            Some(_) => false,
        }
    }

    /// Whether it is mounted, usable or not.
    pub fn is_mounted(self) -> bool {
        matches!(self.resting, Resting::Active | Resting::Locked)
    }

    fn name_at_rest(self) -> &'static str {
        match (self.resting, self.lingering) {
            (Resting::Unfixated, _) => "unfixated",
            (Resting::Absent, _) => "absent",
            (Resting::Inactive, _) => "inactive",
            // The original has no word for what is open elsewhere.
            (Resting::Dirty | Resting::Open, _) => "dirty",
            (Resting::Active, Lingering::No) => "active",
            (Resting::Active, Lingering::Yes) => "lingering",
            (Resting::Locked, _) => "locked",
        }
    }

    fn name_of_work(self, work: Work) -> &'static str {
        let active = self.resting == Resting::Active;
        match work {
            Work::Fixating(Purpose::Record) => "fixating",
            Work::Fixating(Purpose::Itself) => "fixating-for-activation",
            Work::Fixating(Purpose::Reference) => "fixating-for-acquire",
            Work::Activating(Purpose::Itself | Purpose::Record) => "activating",
            Work::Activating(Purpose::Reference) => "activating-for-acquire",
            Work::Deactivating | Work::GivingUp => "deactivating",
            Work::Creating => "creating",
            Work::Removing => "removing",
            Work::ChangingPassword if active => "passwd-while-active",
            Work::ChangingPassword => "passwd",
            Work::Updating if active => "updating-while-active",
            Work::Updating | Work::Repairing => "updating",
            // Nobody has to know: it gives way to whatever is wanted.
            Work::Checking => self.name_at_rest(),
            Work::Rescuing => "activating",
            Work::Resizing if active => "resizing-while-active",
            Work::Resizing => "resizing",
            Work::Authenticating(Purpose::Reference) => "authenticating-for-acquire",
            Work::Authenticating(Purpose::Itself | Purpose::Record) if active => {
                "authenticating-while-active"
            }
            Work::Authenticating(Purpose::Itself | Purpose::Record) => "authenticating",
            Work::Locking => "locking",
            // What was left of a lock is finished, or taken back.
            Work::Settling if self.is_mounted() => "locking",
            // It is only put in order; the original has no word for it.
            Work::Settling => self.name_at_rest(),
            Work::Unlocking(Purpose::Itself | Purpose::Record) => "unlocking",
            Work::Unlocking(Purpose::Reference) => "unlocking-for-acquire",
            // The original has no word for it, and the home is as usable as before.
            Work::Snapshotting | Work::Tending(_) => self.name_at_rest(),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_home_that_is_put_in_order_is_not_being_locked() {
        let name = |resting| State { resting, doing: Some(Work::Settling), lingering: Lingering::No }.name();
        let all = [Resting::Inactive, Resting::Dirty, Resting::Open, Resting::Active, Resting::Locked];
        assert_eq!(all.map(name), ["inactive", "dirty", "dirty", "locking", "locking"]);
    }
}
