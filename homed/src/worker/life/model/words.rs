//! What is done with a home, how it is cut, and what is minded.

use crate::worker::life::plan::Planner;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// A home is made, with pictures.
    Create,
    /// Its user logs in, and out again.
    Login,
    /// It is removed.
    Remove,
    /// Something of it is rebuilt; what was there is kept.
    Repair,
    /// It is made smaller by a copy, which takes its place.
    Copy,
    /// Its user gets other pictures.
    Pictures,
    /// A daemon starts.
    Start,
    /// systemd-homed removes it.
    TheirRemove,
}

pub const ALL: [Verb; 8] = [
    Verb::Create,
    Verb::Login,
    Verb::Remove,
    Verb::Repair,
    Verb::Copy,
    Verb::Pictures,
    Verb::Start,
    Verb::TheirRemove,
];

/// How a run is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// The process is killed.
    Kill,
    /// The power fails.
    Power,
    /// One operation fails.
    Fail,
    /// One is told to have failed, and has happened.
    Late,
}

pub const WAYS: [How; 4] = [How::Kill, How::Power, How::Fail, How::Late];

/// Where: before the operation with this number.
pub type Cut = (u32, How);

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    Done,
    /// Nothing was begun.
    Refused,
    /// The user was told that it failed.
    Failed,
    /// Nobody told anything.
    Cut,
}

/// What is minded outside of the plan.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The plan.
    pub planner: Planner,
    /// A change is on disk before the next (`sys/durable.rs`).
    pub flushes: bool,
    /// What somebody else has done, or a run that was killed, is on disk before it is relied on (`worker/copies.rs`,
    /// `storage/luks/mod.rs`).
    pub flushes_what_is_there: bool,
    /// What is kept has its name when it is whole (`storage/luks/mend.rs`).
    pub named_when_whole: bool,
    /// A home whose storage is not there is removed as any other (`home/verdict.rs`).
    pub absent_is_removed: bool,
    /// A daemon that starts takes away what has no name (`statedir`, `storage/strays.rs`).
    pub sweeps: bool,
    /// Removing storage takes what is unfinished with it (`storage/luks/mod.rs`).
    pub unfinished_goes: bool,
}
