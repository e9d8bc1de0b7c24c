//! What a hook needs of the daemon, and of this machine where the daemon is not to be asked.

use records::{Credentials, Machine, Record, Refusal};
use std::os::fd::OwnedFd;

/// Why the daemon did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It does not run.
    Absent,
    /// It runs, and does not answer in time or not in its language; for the log.
    Silent(String),
    /// It said no, for a reason of its list, in these words.
    Refused(Refusal, String),
    /// It tried and did not get there, in these words.
    Other(String),
}

impl Failure {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal, _) => Some(*refusal),
            Self::Absent | Self::Silent(_) | Self::Other(_) => None,
        }
    }
}

/// What becomes of the home at suspend, as far as this session is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtSuspend {
    /// It is locked.
    Lock,
    /// It stays open.
    Stay,
}

/// The calls.
pub trait Daemon {
    /// The UID that /etc/passwd gives to the name.
    fn local_uid(&mut self, name: &str) -> Option<u32>;
    /// Whether there is a record of a home of that name on this machine, as far as this program may see it; a name with a realm
    /// is the home's that has this realm.
    fn is_registered(&mut self, name: &str) -> bool;
    /// Whether the home is being made of a backup, and not all of that is in it, as far as this program may see it.
    fn is_half_restored(&mut self, user: &str) -> bool;
    /// A user's record, within a few seconds. Where one is `expected`, a daemon that does not run is waited for.
    fn record(&mut self, user: &str, expected: bool) -> Result<Record, Failure>;
    /// The machine we are on.
    fn machine(&mut self) -> Result<Machine, Failure>;
    /// Authenticates, opens, and gives a reference.
    fn acquire(&mut self, user: &str, secret: &Credentials, suspend: AtSuspend) -> Result<OwnedFd, Failure>;
    /// A reference on an open home.
    fn reference(&mut self, user: &str, suspend: AtSuspend) -> Result<OwnedFd, Failure>;
    /// Waits until the home is closed, if nobody holds it.
    fn release(&mut self, user: &str) -> Result<(), Failure>;
    /// Changes the password.
    fn change_password(&mut self, user: &str, new: &Credentials, old: &Credentials) -> Result<(), Failure>;
    /// Now, in µs since 1970.
    fn now_usec(&mut self) -> u64;
}
