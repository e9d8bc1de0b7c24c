//! What the core wants done, and what happens to it: the closed list of both.

use super::facts::{Figures, Place};
use super::inhibitor::Inhibitor;
use super::{Bound, GroupId, HomeTimer, Sleep};
use crate::job::{Job, Outcome};
use crate::words::request::{Answer, AtSuspend, Caller, InhibitorId, Operation, ProgressSink, RequestId};
use crate::words::seal::Seal;
use records::refusal::Refused;
use records::{Credentials, Record, UserName};
use std::time::Duration;

/// Names a job; also a question that is asked before one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Whose timer it is, and which.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Timer {
    /// One home's.
    Home(UserName, HomeTimer),
    /// A call that stands for several homes is to be answered.
    Group(GroupId),
    /// The machine may not be going to sleep any more, or has woken and nobody says so.
    Hold(u64),
}

/// Something happened.
pub enum Event {
    /// A front asks.
    Asked(RequestId, Caller, Box<Operation>),
    /// Nobody waits for that answer any more.
    Abandoned(RequestId),
    /// A worker ended, or could not be started.
    Ended(UserName, JobId, Outcome),
    /// A worker is past the point from which on it is finished even if nobody waits.
    Committed(UserName, JobId),
    /// A worker asks tokens, which may take as long as people do; or it does not any more.
    Asking(UserName, JobId, bool),
    /// Nothing was heard of a worker for a while, which was at this step; `None`: it is heard again.
    Silent(UserName, JobId, Option<String>),
    /// A check came back.
    Checked(UserName, JobId, Findings),
    /// What is to be seen of a lock, as [`Effect::Prove`] asked; `None`: nobody could tell in time.
    Proven(UserName, JobId, Option<Seal>),
    /// A host record was read at the start; whether its last job never ended; which references are held.
    Loaded(Box<Record>, Interrupted, Vec<AtSuspend>),
    /// A host record was signed when it was written.
    Signed(Box<Record>),
    /// Storage was seen: in `/home`, or as a partition.
    Found(Found),
    /// Somebody asks for a home to be made known that lies at a path of his own; or why that is none.
    Adopted(Result<Found, Refused>, RequestId),
    /// Storage may have gone.
    Vanished(String),
    /// The token that has opened a user's home was pulled out.
    TokenGone(UserName),
    /// The storage of that home was looked at.
    Seen(UserName),
    /// Other keys may be trusted now, or strangers otherwise.
    KeysChanged,
    /// Something was mounted or unmounted: with it, storage of open homes may have gone.
    MountsChanged,
    /// The last reference of its kind has gone.
    Released(UserName, AtSuspend),
    /// A timer of [`Effect::SetTimer`] rang.
    Rang(Timer),
    /// An inhibitor of an earlier daemon is still held.
    Inhibited(Box<Inhibitor>),
    /// An inhibitor was let go of, or its time is over.
    LetGo(UserName, InhibitorId),
    /// The machine has slept, for so many µs.
    Slept(u64),
    /// How large homes are, as [`Effect::Measure`] asked; those that could not be measured in time are left out.
    Measured(GroupId, Vec<(UserName, Figures)>),
    /// An earlier daemon was killed while the machine was going to sleep; for how long it may go on holding.
    Held(Duration),
    /// Whether a sleep is on its way, as [`Effect::AskForSleep`] asked; what cannot be told in time counts as one.
    SleepSeen(u64, bool),
}

/// What a daemon that was stopped or killed left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// Nothing.
    No,
    /// The home's last holder went while no daemon ran.
    HolderGone,
    /// A job was running that opens or changes something.
    Job,
    /// A job was running that leaves the home where it rests.
    Look,
    /// A home was being closed or given up.
    Close,
    /// A lock or unlock was under way.
    Lock,
    /// A change of size was under way.
    Resize,
}

impl Interrupted {
    /// What a job of that name ([`StartJob::what`]) has left that never ended.
    pub fn of(what: &str) -> Self {
        if super::is_lock(what) {
            Self::Lock
        } else if super::is_close(what) {
            Self::Close
        } else if super::is_resize(what) {
            Self::Resize
        } else if super::is_look(what) {
            Self::Look
        } else {
            Self::Job
        }
    }
}

/// Storage of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose it is, by its name or label.
    pub name: records::FullName,
    /// Where it is.
    pub image: String,
    /// Storage kind, as the record's `storage` field says it.
    pub storage: records::Storage,
}

/// Something is to be done.
pub enum Effect {
    /// Answer a call.
    Answer(RequestId, Result<Answer, Failed>, Duration),
    /// Answer a call with a new reference.
    HandOver(RequestId, UserName, AtSuspend),
    /// Run a worker.
    Start(Box<StartJob>),
    /// Kill a worker; its end is reported all the same.
    Stop(JobId),
    /// Look things up that may block.
    Check(Box<Check>),
    /// Look for the volume key of a locked home, wherever it could be; it may block.
    Prove(JobId, Box<Place>),
    /// Write the host record; none runs that would.
    Save(Box<Record>),
    /// Delete host record and blobs, then answer.
    Forget(UserName, Option<RequestId>),
    /// Close and delete the home's references: it is deactivated or gone.
    DropReferences(UserName),
    /// Ring after a while.
    SetTimer(Timer, Duration),
    /// Answer a call with something to hold this inhibitor by.
    Inhibit(RequestId, Box<Inhibitor>),
    /// Tell the fronts.
    Announce(Announcement),
    /// Tell the log.
    Log(UserName, String),
    /// Tell the log, about no home alone.
    Warn(String),
    /// Shut the machine down.
    PowerOff,
    /// Note, or forget, for a daemon that is started again, that the machine is going to sleep.
    Hold(Sleep),
    /// Ask those who have the machine sleep whether it is still to; the number comes back with the answer.
    AskForSleep(u64),
    /// Look whether storage is there that nobody knows.
    LookForStorage,
    /// Tell how large these homes are; it may block.
    Measure(GroupId, Vec<Place>),
}

impl Effect {
    /// The call that is answered by it.
    pub fn answers(&self) -> Option<RequestId> {
        match self {
            Self::Answer(id, ..)
            | Self::HandOver(id, ..)
            | Self::Inhibit(id, _)
            | Self::Forget(_, Some(id)) => Some(*id),
            _ => None,
        }
    }
}

/// A worker to be run.
pub struct StartJob {
    /// Its name.
    pub id: JobId,
    /// The record's user.
    pub user: UserName,
    /// What it does, for the log.
    pub what: &'static str,
    /// What it is given.
    pub job: Job,
    /// Who is told of progress.
    pub progress: Option<ProgressSink>,
    /// It is killed when it takes longer.
    pub bound: Option<Bound>,
}

/// A worker's failure, or a refusal.
#[derive(Debug, Clone, PartialEq)]
pub enum Failed {
    /// The caller can act on it.
    Refused(Refused),
    /// The chain of causes, for the log.
    Fault(String),
}

impl From<records::Refusal> for Failed {
    fn from(refusal: records::Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<crate::job::Failure> for Failed {
    fn from(failure: crate::job::Failure) -> Self {
        match failure {
            crate::job::Failure::Refused(refused) => Self::Refused(refused),
            crate::job::Failure::Fault(chain) => Self::Fault(chain),
        }
    }
}

/// A change that fronts are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// It is there.
    Appeared(UserName),
    /// Its state or record is another.
    Changed(UserName),
    /// It is gone; it had this UID.
    Vanished(UserName, u32),
    /// It should have been locked and is not, for this reason.
    NotLocked(UserName, String),
    /// It will be locked at that time, µs since 1970, because its user is idle.
    LockComing(UserName, u64),
    /// The machine was to sleep, and stays awake: not all of them could be locked.
    SleepRefused,
    /// The machine has slept for so many µs while these were open.
    SleptOpen(Vec<UserName>, u64),
}

/// Look-ups before a job starts.
pub struct Check {
    /// Whose home.
    pub user: UserName,
    /// Name of the question.
    pub id: JobId,
    /// None of these may be a user or group of somebody else.
    pub names: Vec<String>,
    /// The first of these that nobody else has is chosen.
    pub uids: Vec<u32>,
    /// The one that it has on this machine already: it is another's only if that is known.
    pub keeps: Option<u32>,
    /// New passwords to be judged.
    pub quality: Option<Quality>,
}

/// Passwords to be judged.
pub struct Quality {
    /// The new ones.
    pub new: Credentials,
    /// The ones before.
    pub old: Option<Credentials>,
}

/// Answers to a [`Check`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// A name that is taken.
    pub taken: Option<String>,
    /// The UID to use; `None`: none was free, or none was asked for.
    pub uid: Option<u32>,
    /// Why a new password is too weak.
    pub weak: Option<String>,
}
