//! The daemon as the verbs see it, and ([`system`]) the one that talks D-Bus.

mod system;

pub use system::Bus;

use records::{Refusal, Secret};
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// homed said no, for a reason that is in its list.
    Refused(Refusal, String),
    /// Anything else, in words for the user.
    Other(String),
}

impl Failure {
    /// A failure of another kind, in words.
    pub fn say(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// Whether it is this refusal.
    pub fn is(&self, refusal: Refusal) -> bool {
        matches!(self, Self::Refused(this, _) if *this == refusal)
    }
}

/// One home as `ListHomes` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeRow {
    /// User name.
    pub name: String,
    /// UID.
    pub uid: u32,
    /// State, such as `active`.
    pub state: String,
    /// GID.
    pub gid: u32,
    /// Real name.
    pub real_name: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// Somebody who has a home left out of locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibitor {
    /// Whose home.
    pub user: String,
    /// Who asked, in his own words.
    pub who: String,
    /// His UID.
    pub uid: u32,
    /// His process.
    pub pid: u32,
    /// Why.
    pub why: String,
    /// Until when, µs since 1970.
    pub until_usec: u64,
}

/// A session that the login manager knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// What the login manager calls it.
    pub id: String,
    /// Whose.
    pub uid: u32,
    /// Its terminal; empty: none.
    pub tty: String,
    /// Its seat; empty: none.
    pub seat: String,
    /// The PAM service it was opened by.
    pub service: String,
    /// Where its user sits; empty: here.
    pub remote_host: String,
}

/// A record as the daemon gives it.
pub struct RecordReply {
    /// Its JSON text.
    pub json: String,
    /// Whether parts are hidden from this caller.
    pub incomplete: bool,
}

/// Whose record.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// By name.
    Name(&'a str),
    /// By UID.
    Uid(u32),
}

/// Arguments of a call that returns nothing.
pub enum Order<'a> {
    /// None.
    Nothing,
    /// One text: a name or a record.
    Text(&'a str),
    /// A name and a secret argument.
    Secret(&'a str, &'a str),
    /// A name, the new and the old secret argument.
    Passwords(&'a str, &'a str, &'a str),
    /// A record, its blobs, flags.
    Record(&'a str, HashMap<String, OwnedFd>, u64),
    /// A name, a size in bytes, a secret argument.
    Size(&'a str, u64, &'a str),
    /// A name and flags.
    Flags(&'a str, u64),
    /// A key's name, its PEM text, flags.
    Key(&'a str, &'a str, u64),
}

/// Arguments of a call of homed's own interface, which answers with a text.
pub enum Question<'a> {
    /// A name.
    Name(&'a str),
    /// A name and what its record claims.
    Claims(&'a str, &'a str),
    /// A name, and what a snapshot is called.
    Snapshot(&'a str, &'a str),
    /// The same, and a path in it.
    InSnapshot(&'a str, &'a str, &'a str),
    /// A record with its secret, a folder and the number of a group; the answer is empty.
    Account(&'a str, &'a str, u32),
    /// A name and a secret argument.
    Secret(&'a str, &'a str),
    /// The same, and flags.
    Flags(&'a str, &'a str, u64),
    /// The same, and a directory.
    Directory(&'a str, &'a str, &'a str),
}

/// What the verbs need of homed.
pub trait Daemon {
    /// Calls a method that returns nothing.
    fn order(&self, method: &str, order: Order<'_>) -> Result<(), Failure>;
    /// Calls a method of homed's own interface.
    fn own(&self, method: &str, question: Question<'_>) -> Result<String, Failure>;
    /// All homes.
    fn homes(&self) -> Result<Vec<HomeRow>, Failure>;
    /// A user's record.
    fn record(&self, who: Who<'_>) -> Result<RecordReply, Failure>;
    /// Names and PEM texts of the public keys.
    fn keys(&self) -> Result<Vec<(String, String)>, Failure>;
    /// The PEM text of one.
    fn key(&self, name: &str) -> Result<String, Failure>;
    /// All inhibitors of locks.
    fn inhibitors(&self) -> Result<Vec<Inhibitor>, Failure>;
    /// What weakens locks, and what became of the last ones: JSON text.
    fn security(&self) -> Result<String, Failure>;
    /// The sessions there are, of home users and others; none where no login manager answers.
    fn sessions(&self) -> Vec<Session>;
    /// Makes a recovery key: its text, and which of its groups is to be typed, from 1.
    fn make_recovery_key(&self, name: &str) -> Result<(Secret, u32), Failure>;
    /// Enrols the one that was made, called so.
    fn confirm_recovery_key(
        &self,
        name: &str,
        typed: &str,
        called: &str,
        secret: &str,
    ) -> Result<(), Failure>;
    /// Leaves a home out of locks, for `usec` µs at most, and as long as the descriptor is open.
    fn inhibit(&self, name: &str, who: &str, why: &str, usec: u64) -> Result<OwnedFd, Failure>;
    /// Activates and takes a reference, which lasts as long as the descriptor.
    fn acquire(&self, name: &str, secret: &str, please_suspend: Suspend) -> Result<OwnedFd, Failure>;
}

/// Whether a holder lets the home be locked while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspend {
    /// It does.
    Allowed,
    /// It does not.
    Prevented,
}

/// Whether polkit may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interaction {
    /// It may.
    Allowed,
    /// It may not.
    Forbidden,
}
