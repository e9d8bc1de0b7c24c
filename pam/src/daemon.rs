//! What a hook needs of the daemon.

use records::{Credentials, Machine, Record, Refusal};
use std::os::fd::OwnedFd;

/// Why the daemon did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It does not run: no user is ours.
    Absent,
    /// It said no, for a reason of its list, in these words.
    Refused(Refusal, String),
    /// Anything else, for the log.
    Other(String),
}

impl Failure {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal, _) => Some(*refusal),
            Self::Absent | Self::Other(_) => None,
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
    /// A user's record.
    fn record(&mut self, user: &str) -> Result<Record, Failure>;
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
