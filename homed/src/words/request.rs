//! What may be asked of the daemon, by whom.

use crate::job::{Original, Progress, RecordChange, Repair, Snapshots};
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, UserName};
use std::os::fd::OwnedFd;

/// Whether the caller is there to answer a question (D-Bus' ALLOW_INTERACTIVE_AUTHORIZATION).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interactive {
    /// Nobody is.
    No,
    /// The user is.
    Yes,
}

/// Who asks. The front has it from the kernel or the bus daemon, never from the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Effective UID.
    pub uid: u32,
    /// Unique bus name, where it came over D-Bus.
    pub bus_name: Option<String>,
    /// Whether polkit may ask the user.
    pub interactive: Interactive,
    /// Where it comes from, if it is root's.
    pub from: Provenance,
}

/// Where a call of root's comes from: PAM stacks run as root for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// The real UID of the process: that of who started su.
    pub real_uid: u32,
    /// The login that its control group belongs to.
    pub login: Option<u32>,
    /// Else the unit, without what tells instances of a template apart.
    pub unit: String,
}

/// Names a call from question to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Which home is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HomeKey {
    /// Primary name, alias, `name@realm` or `alias@realm`; empty: the caller's own.
    Name(String),
    /// UID on this machine.
    Uid(u32),
}

impl HomeKey {
    /// What is said where there is none.
    pub fn unknown(&self) -> Refused {
        let shortened = |name: &str| name.chars().take(64).collect::<String>();
        let sentence = match self {
            Self::Name(name) if name.is_empty() => "The caller has no home here.".to_owned(),
            Self::Name(name) => {
                format!("No home for {:?} is known: homectl list shows those that are.", shortened(name))
            }
            Self::Uid(uid) => format!("No home with UID {uid} is known: homectl list shows those that are."),
        };
        Refused::new(Refusal::NoSuchHome, sentence)
    }
}

/// Takes progress reports; called on the loop, so it must not block.
pub type ProgressSink = Box<dyn Fn(&Progress) + Send + Sync>;

/// What a caller offers to prove who it is, and where progress goes.
#[derive(Default)]
pub struct Offer {
    /// Passwords, PINs, permissions.
    pub credentials: Credentials,
    /// Told about every step of the job.
    pub progress: Option<ProgressSink>,
}

/// What is to become of a held home at suspend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtSuspend {
    /// It stays usable (`dont-suspend`).
    Stay,
    /// It may be locked (`please-suspend`).
    Lock,
}

impl AtSuspend {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stay, Self::Lock];
}

/// Names an inhibitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InhibitorId(pub u64);

/// Somebody wants a home left out of locks that nobody asks for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Who, in the asker's own words.
    pub who: String,
    /// Why.
    pub why: String,
    /// The process that asks.
    pub pid: u32,
    /// For how long, in µs.
    pub for_usec: u64,
}

/// A session, as the login manager tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub uid: u32,
    /// Whether it has a screen that can be locked: it is graphical, or on a seat.
    pub has_screen: bool,
    /// Whether it is locked, or was told to lock itself.
    pub locked: bool,
    /// Whether it is being ended.
    pub closing: bool,
    /// Since when nobody has touched it, µs since 1970; `None`: it is in use.
    pub idle_since_usec: Option<u64>,
}

/// What comes after all homes were locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    /// Nothing in particular: whoever knows a password may open one again.
    #[default]
    GoOn,
    /// The machine sleeps: nothing starts that takes a key into memory, until [`Operation::SleepOver`].
    Hold,
}

/// Everything a front may ask.
pub enum Operation {
    /// Make a home from a record without `secret`, with the pictures in a folder; answer [`Answer::Done`], as for all below that do not say.
    Create(Box<Record>, Option<String>, Offer),
    /// Make a home of a classic account: its name is taken, by itself.
    Convert(Box<Record>, Original, Offer),
    /// Make a home known that lies at this path.
    Adopt(String),
    /// Store a record, make no storage.
    Register(Record),
    /// Mount.
    Activate(HomeKey, Offer),
    /// Mount, if somebody holds a reference.
    ActivateIfReferenced(HomeKey, Offer),
    /// Take a home over that was found (its storage is opened and closed again).
    Fixate(HomeKey, Offer),
    /// Check credentials.
    Authenticate(HomeKey, Offer),
    /// Mount or check credentials, and take a reference. Answer: a file descriptor.
    Acquire(HomeKey, AtSuspend, Offer),
    /// Take a reference on an active home. Answer: a file descriptor.
    Ref(HomeKey, AtSuspend),
    /// Take a reference in any state. Answer: a file descriptor.
    RefUnrestricted(HomeKey, AtSuspend),
    /// Wait until the home is deactivated, after the caller closed its reference.
    Release(HomeKey),
    /// Unmount, even if references exist.
    Deactivate(HomeKey),
    /// Unmount all.
    DeactivateAll,
    /// New passwords; the old ones are in `old`. An empty `new`: key slots follow the record.
    ChangePassword {
        /// Whose.
        home: HomeKey,
        /// What the new hashes and slots are made of.
        new: Credentials,
        /// Proof.
        old: Offer,
    },
    /// Take the pictures of a caller in, until a record with them is in force. Answer: the loop's own.
    Stage(UserName, Vec<(String, OwnedFd)>),
    /// Change the record.
    Update(HomeKey, Box<RecordChange>, Offer),
    /// Look at every part of a home; answer [`Answer::Report`].
    Check(HomeKey, Offer),
    /// Rebuild what can be rebuilt; answer [`Answer::Report`].
    Repair(HomeKey, Repair, Offer),
    /// Open what is left of it, to be read only: there, or at the home directory.
    Rescue(HomeKey, Option<String>, Offer),
    /// Another size, as ResizeHome gives it ([`crate::home::resize::Asked::Number`]).
    Resize(HomeKey, u64, Offer),
    /// Make, tell, restore or delete snapshots of an open home; answer [`Answer::Told`].
    Snapshot(HomeKey, Snapshots),
    /// Delete storage and record.
    Remove(HomeKey),
    /// Forget the record, keep the storage.
    Unregister(HomeKey),
    /// Take the volume key out of memory.
    Lock(HomeKey),
    /// The same of all homes. Answer: [`Answer::Done`], or [`Answer::LeftOut`] where the machine is to sleep then.
    LockAll(Then),
    /// logind prepares a sleep: whoever has all homes locked now does so for that.
    SleepPrepared,
    /// The machine has woken for good, or the sleep was given up.
    SleepOver,
    /// Nothing: whoever asks wants to know whether the loop lives.
    Alive,
    /// Put it back.
    Unlock(HomeKey, Offer),
    /// Close what is locked, without the keys: the machine goes down.
    GiveUpAll,
    /// Care for the space of all homes that are open, and share what is free among them.
    Rebalance,
    /// Leave a home out of locks for a while. Answer: a file descriptor that holds it.
    Inhibit(HomeKey, Wish),
    /// What is to be known about locks. Answer: [`Answer::Locks`].
    Locks,
    /// What weakens locks on this machine. Answer: [`Answer::Done`] never; the loop looks itself.
    Weaknesses,
    /// All sessions there are. Answer: [`Answer::LookAgain`].
    Sessions(Vec<Session>),
    /// Something a later version will do; refused by the state table where the state forbids it,
    /// as not supported otherwise.
    Later(HomeKey, Later),
    /// Signing keys.
    Keys(KeyOperation),
    /// What of a record is believed. Answer: [`Answer::Trust`].
    TrustOf(HomeKey),
    /// Believe these claims of a record that a stranger has signed.
    Trust(HomeKey, serde_json::Map<String, serde_json::Value>),
}

impl Operation {
    /// The home whose storage has to be there for it.
    pub fn uses_storage(&self) -> Option<&HomeKey> {
        match self {
            Self::Activate(home, _)
            | Self::ActivateIfReferenced(home, _)
            | Self::Fixate(home, _)
            | Self::Authenticate(home, _)
            | Self::Acquire(home, ..)
            | Self::ChangePassword { home, .. }
            | Self::Update(home, ..)
            | Self::Check(home, _)
            | Self::Repair(home, ..)
            | Self::Rescue(home, ..)
            | Self::Resize(home, ..)
            | Self::Snapshot(home, _)
            | Self::Remove(home)
            | Self::Unregister(home)
            | Self::Later(home, _) => Some(home),
            Self::Create(..)
            | Self::Convert(..)
            | Self::Adopt(_)
            | Self::Register(_)
            | Self::Ref(..)
            | Self::RefUnrestricted(..)
            | Self::Release(_)
            | Self::Deactivate(_)
            | Self::DeactivateAll
            | Self::Stage(..)
            | Self::Lock(_)
            | Self::LockAll(_)
            | Self::SleepPrepared
            | Self::SleepOver
            | Self::Alive
            | Self::Unlock(..)
            | Self::GiveUpAll
            | Self::Rebalance
            | Self::Inhibit(..)
            | Self::Locks
            | Self::Weaknesses
            | Self::Sessions(_)
            | Self::Keys(_)
            | Self::TrustOf(_)
            | Self::Trust(..) => None,
        }
    }
}

/// Calls of the interface that nothing is behind yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Later {
    /// RealizeHome.
    Realize,
}

/// What may be done with the keys that records are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOperation {
    /// All public keys. Answer: [`Answer::Keys`], `local.public` first (made if there is none).
    List,
    /// One. Answer: [`Answer::Keys`] with one entry.
    Fetch(String),
    /// Trust a key: file name and PEM.
    Add(String, String),
    /// Trust it no longer.
    Remove(String),
}

/// A public key that records may be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// File name, ends in `.public`.
    pub name: String,
    /// PEM text.
    pub pem: String,
}

/// What of a home's record is believed.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustReport {
    /// Whose.
    pub user: UserName,
    /// Whether anything is not believed because nobody has signed it whom this machine trusts.
    pub restricted: bool,
    /// Short ids of the keys that the record brings along and is signed by.
    pub signers: Vec<String>,
    /// What it claims, by member.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// What of that is believed.
    pub accepted: serde_json::Map<String, serde_json::Value>,
}

/// What is to be known about locks.
#[derive(Debug, Clone, PartialEq)]
pub struct Locks {
    /// Who has homes left out.
    pub inhibitors: Vec<super::inhibitor::Inhibitor>,
    /// The homes, by name.
    pub homes: Vec<HomeLock>,
    /// The last sleep with homes that were open, since the daemon started.
    pub open_sleep: Option<OpenSleep>,
}

/// One home's part.
#[derive(Debug, Clone, PartialEq)]
pub struct HomeLock {
    /// Whose.
    pub user: records::UserName,
    /// Its state, as on the bus.
    pub state: &'static str,
    /// Whether its kind of storage can be locked.
    pub lockable: bool,
    /// When it was locked last, µs since 1970, and what was seen then; since the daemon started.
    pub last_lock: Option<(u64, super::seal::Conclusion)>,
}

/// The machine has slept with homes that were open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSleep {
    /// When it woke, µs since 1970.
    pub woke_usec: u64,
    /// For how long it slept, in µs.
    pub slept_usec: u64,
    /// Whose homes were open.
    pub users: Vec<records::UserName>,
}

/// What the core answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is done, or was so already.
    Done,
    /// What a check found, or a repair did.
    Report(Box<records::health::Report>),
    /// What came of work on snapshots: JSON.
    Told(Box<serde_json::Value>),
    /// What is to be known about locks.
    Locks(Box<Locks>),
    /// What of a record is believed.
    Trust(Box<TrustReport>),
    /// All homes are locked but these, which somebody has left out.
    LeftOut(Vec<records::UserName>),
    /// When the sessions are to be told of again, even if nothing is heard of them.
    LookAgain(Option<std::time::Duration>),
}
