//! "May I?": the only table that answers it.
//!
//! Rows are what is wanted, columns where the home rests; a running job answers for nearly all rows
//! with "busy" or "later". Not here: rate limits ([`super::attempts`]), signatures and passwords
//! (the worker), and who may ask at all (the fronts).

use super::state::{Lingering, Purpose, Resting, State, Work};
use crate::job::Care;
use crate::words::request::Later;
use records::Refusal;

pub use super::verb::Verb;

/// Whether anybody holds a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {
    /// Nobody does.
    No,
    /// Somebody does.
    Yes,
}

/// In whose favour the running job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Favour {
    /// The owner or root, who wait for it.
    Owner,
    /// A caller who has no more right to the home than anybody, one who has not shown it yet, or nobody at all: the owner
    /// waits for it, and is not refused.
    Stranger,
}

/// Whether the running job waits for a person who has to touch a token, or to type on it: nothing of the home is open then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Waits {
    /// It does not, or who asks has no right to end that.
    No,
    /// It does.
    ForPerson,
}

/// All that the answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Situation {
    /// Where it rests, what is being done, whether a deactivation waits.
    pub state: State,
    /// Whether anybody holds it.
    pub held: Held,
    /// In whose favour the running job is.
    pub favour: Favour,
    /// Whether that job waits for a person.
    pub waits: Waits,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This work is to be started.
    Start(Work),
    /// No work: the daemon's own bookkeeping does it now.
    AtOnce,
    /// Ask again when the running job has ended.
    Queue,
    /// End the running job, which makes way; then ask again.
    Yield,
    /// Success without doing anything.
    AlreadySo,
    /// No.
    Refuse(Refusal),
}

/// The answer to `verb` in `situation`.
pub fn verdict(situation: Situation, verb: Verb) -> Verdict {
    match situation.state.doing {
        Some(Work::Tending(care)) => while_tending(situation, verb, care),
        Some(_) if situation.waits == Waits::ForPerson => while_waiting(situation, verb),
        Some(_) => while_working(situation, verb),
        None => at_rest(situation, verb),
    }
}

/// As if nothing were being done, only that what is being done has to end first.
fn while_tending(situation: Situation, verb: Verb, care: Care) -> Verdict {
    match (at_rest(situation, verb), verb, care) {
        (Verdict::Start(Work::Tending(_)), ..) => Verdict::AlreadySo,
        // It is what comes before this.
        (Verdict::Start(_), Verb::Release | Verb::HolderGone, Care::Left) => Verdict::Queue,
        (Verdict::Start(_), ..) => Verdict::Yield,
        (other, ..) => other,
    }
}

/// The person may never come. Logins and checks of a password wait all the same: anybody can begin one.
fn while_waiting(situation: Situation, verb: Verb) -> Verdict {
    match verb {
        // A token's PIN does not stay in memory either.
        Verb::Lock | Verb::LockAll => Verdict::Yield,
        Verb::Activate
        | Verb::ActivateIfReferenced
        | Verb::Fixate
        | Verb::ChangePassword
        | Verb::Update
        | Verb::UpdateOffline
        | Verb::Resize
        | Verb::Deactivate
        | Verb::DeactivateAll
        | Verb::StorageGone
        | Verb::Repair
        | Verb::Rescue
        | Verb::Remove
        | Verb::Unregister
        | Verb::Unlock
        | Verb::Settle
        | Verb::GiveUp => {
            let state = State { doing: None, ..situation.state };
            match at_rest(Situation { state, ..situation }, verb) {
                Verdict::Start(_) | Verdict::AtOnce => Verdict::Yield,
                other => other,
            }
        }
        Verb::Acquire
        | Verb::Release
        | Verb::HolderGone
        | Verb::Ref
        | Verb::RefUnrestricted
        | Verb::Authenticate
        | Verb::Create
        | Verb::Check
        | Verb::Fit
        | Verb::Snapshot
        | Verb::Tend
        | Verb::Later(_) => while_working(situation, verb),
    }
}

fn while_working(situation: Situation, verb: Verb) -> Verdict {
    if super::resize::makes_way(situation.state.doing, verb) {
        return Verdict::Yield;
    }
    match verb {
        Verb::Acquire
        | Verb::Authenticate
        | Verb::Release
        | Verb::HolderGone
        | Verb::DeactivateAll
        | Verb::StorageGone
        | Verb::Lock
        | Verb::LockAll
        | Verb::Settle
        | Verb::GiveUp => Verdict::Queue,
        // There is always another time.
        Verb::Tend => Verdict::AlreadySo,
        Verb::RefUnrestricted => Verdict::AtOnce,
        // What only looks is broken off for it: see Home::want.
        _ if situation.state.doing == Some(Work::Checking) && verb != Verb::Check => Verdict::Queue,
        Verb::Ref if situation.state.is_active() => Verdict::AtOnce,
        Verb::ActivateIfReferenced if situation.held == Held::No => {
            Verdict::Refuse(Refusal::HomeNotReferenced)
        }
        Verb::Ref
        | Verb::Activate
        | Verb::ActivateIfReferenced
        | Verb::Fixate
        | Verb::Deactivate
        | Verb::Create
        | Verb::ChangePassword
        | Verb::Update
        | Verb::UpdateOffline
        | Verb::Check
        | Verb::Repair
        | Verb::Rescue
        | Verb::Resize
        | Verb::Fit
        | Verb::Snapshot
        | Verb::Remove
        | Verb::Unregister
        | Verb::Unlock
        | Verb::Later(_) => match situation.favour {
            Favour::Stranger => Verdict::Queue,
            Favour::Owner => Verdict::Refuse(Refusal::HomeBusy),
        },
    }
}

fn at_rest(situation: Situation, verb: Verb) -> Verdict {
    let resting = situation.state.resting;
    match verb {
        Verb::ActivateIfReferenced if situation.held == Held::No => {
            Verdict::Refuse(Refusal::HomeNotReferenced)
        }
        Verb::Activate | Verb::ActivateIfReferenced => activate(resting, situation.state.lingering),
        Verb::Fixate if resting == Resting::Unfixated => Verdict::Start(Work::Fixating(Purpose::Record)),
        Verb::Fixate => Verdict::Refuse(Refusal::HomeAlreadyFixated),
        Verb::Authenticate => authenticate(resting),
        Verb::ChangePassword => usable(resting, Work::ChangingPassword),
        Verb::Update => usable(resting, Work::Updating),
        Verb::UpdateOffline if resting == Resting::Absent => Verdict::Start(Work::Updating),
        Verb::UpdateOffline => usable(resting, Work::Updating),
        Verb::Check => Verdict::Start(Work::Checking),
        Verb::Repair | Verb::Rescue => mend(resting, verb),
        Verb::Resize => usable(resting, Work::Resizing),
        Verb::Fit if resting == Resting::Active => Verdict::Start(Work::Resizing),
        Verb::Fit => Verdict::AlreadySo,
        Verb::Acquire => acquire(resting),
        Verb::RefUnrestricted => Verdict::AtOnce,
        Verb::Ref => if_active(resting, Verdict::AtOnce),
        Verb::Release | Verb::HolderGone | Verb::Deactivate | Verb::DeactivateAll | Verb::StorageGone => {
            deactivate(resting, situation.held, verb)
        }
        // No home of that name is known, so what lies in its place may be anything: the worker looks, and names it.
        Verb::Create if !situation.state.is_mounted() => Verdict::Start(Work::Creating),
        Verb::Create => Verdict::Refuse(Refusal::HomeExists),
        Verb::Remove | Verb::Unregister => forget(resting, verb),
        Verb::Lock | Verb::LockAll | Verb::Unlock | Verb::Settle | Verb::GiveUp => lock(resting, verb),
        Verb::Snapshot => if_active(resting, Verdict::Start(Work::Snapshotting)),
        Verb::Tend if resting == Resting::Active => Verdict::Start(Work::Tending(Care::InUse)),
        Verb::Tend => Verdict::AlreadySo,
        Verb::Later(later) => not_yet(resting, later),
    }
}

fn if_active(resting: Resting, so: Verdict) -> Verdict {
    match resting {
        Resting::Active => so,
        Resting::Absent => Verdict::Refuse(Refusal::HomeAbsent),
        Resting::Locked => Verdict::Refuse(Refusal::HomeLocked),
        Resting::Unfixated | Resting::Inactive | Resting::Dirty | Resting::Open => {
            Verdict::Refuse(Refusal::HomeNotActive)
        }
    }
}

fn activate(resting: Resting, lingering: Lingering) -> Verdict {
    match (resting, lingering) {
        (Resting::Unfixated, _) => Verdict::Start(Work::Fixating(Purpose::Itself)),
        (Resting::Absent, _) => Verdict::Refuse(Refusal::HomeAbsent),
        // What is open of it is taken over, closed or named: the worker sees what it is.
        (Resting::Inactive | Resting::Dirty | Resting::Open, _) => {
            Verdict::Start(Work::Activating(Purpose::Itself))
        }
        // Staying is granted to who could have mounted it, and to nobody else.
        (Resting::Active, Lingering::Yes) => Verdict::Start(Work::Authenticating(Purpose::Itself)),
        (Resting::Active, Lingering::No) => Verdict::Refuse(Refusal::HomeAlreadyActive),
        (Resting::Locked, _) => Verdict::Refuse(Refusal::HomeLocked),
    }
}

fn mend(resting: Resting, verb: Verb) -> Verdict {
    match (resting, verb) {
        (Resting::Absent, _) => Verdict::Refuse(Refusal::HomeAbsent),
        (Resting::Locked, _) => Verdict::Refuse(Refusal::HomeLocked),
        (Resting::Active, Verb::Rescue) => Verdict::Refuse(Refusal::HomeAlreadyActive),
        (Resting::Active, _) => Verdict::Refuse(Refusal::HomeBusy),
        (Resting::Unfixated | Resting::Inactive | Resting::Dirty | Resting::Open, Verb::Rescue) => {
            Verdict::Start(Work::Rescuing)
        }
        (Resting::Unfixated | Resting::Inactive | Resting::Dirty | Resting::Open, _) => {
            Verdict::Start(Work::Repairing)
        }
    }
}

fn acquire(resting: Resting) -> Verdict {
    match resting {
        Resting::Unfixated => Verdict::Start(Work::Fixating(Purpose::Reference)),
        Resting::Absent => Verdict::Refuse(Refusal::HomeAbsent),
        Resting::Inactive | Resting::Dirty | Resting::Open => {
            Verdict::Start(Work::Activating(Purpose::Reference))
        }
        Resting::Active => Verdict::Start(Work::Authenticating(Purpose::Reference)),
        Resting::Locked => Verdict::Start(Work::Unlocking(Purpose::Reference)),
    }
}

/// A home that this machine does not know is only looked into, and stays so.
fn authenticate(resting: Resting) -> Verdict {
    let work = Work::Authenticating(Purpose::Itself);
    if resting == Resting::Unfixated { Verdict::Start(work) } else { usable(resting, work) }
}

fn usable(resting: Resting, work: Work) -> Verdict {
    match resting {
        Resting::Inactive | Resting::Dirty | Resting::Active | Resting::Open => Verdict::Start(work),
        Resting::Unfixated => Verdict::Refuse(Refusal::HomeUnfixated),
        Resting::Absent => Verdict::Refuse(Refusal::HomeAbsent),
        Resting::Locked => Verdict::Refuse(Refusal::HomeLocked),
    }
}

fn deactivate(resting: Resting, held: Held, verb: Verb) -> Verdict {
    match (verb, resting, held) {
        (Verb::Release, _, Held::Yes) => Verdict::Refuse(Refusal::HomeBusy),
        (Verb::HolderGone, _, Held::Yes) => Verdict::AlreadySo,
        (_, Resting::Active | Resting::Open, _) => Verdict::Start(Work::Deactivating),
        // By name it is not given up: who asks for that may not know that it ends what runs in it.
        (Verb::Deactivate, Resting::Locked, _) => Verdict::Refuse(Refusal::HomeLocked),
        (_, Resting::Locked, _) => Verdict::Start(Work::GivingUp),
        (Verb::Deactivate, _, _) => Verdict::Refuse(Refusal::HomeNotActive),
        (_, Resting::Unfixated | Resting::Absent | Resting::Inactive | Resting::Dirty, _) => {
            Verdict::AlreadySo
        }
    }
}

fn lock(resting: Resting, verb: Verb) -> Verdict {
    match (verb, resting) {
        // Closing a locked home may have been broken off as well.
        (Verb::Settle, _) => Verdict::Start(Work::Settling),
        (Verb::GiveUp, Resting::Locked) => Verdict::Start(Work::GivingUp),
        (Verb::Unlock, Resting::Locked) => Verdict::Start(Work::Unlocking(Purpose::Itself)),
        (Verb::Unlock, _) => Verdict::Refuse(Refusal::HomeNotLocked),
        (Verb::Lock | Verb::LockAll, Resting::Active | Resting::Open) => Verdict::Start(Work::Locking),
        (Verb::Lock, Resting::Locked) => Verdict::Refuse(Refusal::HomeLocked),
        (Verb::Lock, _) => Verdict::Refuse(Refusal::HomeNotActive),
        // One of all that is not open has nothing in memory.
        _ => Verdict::AlreadySo,
    }
}

fn forget(resting: Resting, verb: Verb) -> Verdict {
    match (resting, verb) {
        (Resting::Active, _) => Verdict::Refuse(Refusal::HomeBusy),
        (Resting::Locked, _) => Verdict::Refuse(Refusal::HomeLocked),
        // What is left of it here goes, too: a removal that was cut short is finished so.
        (Resting::Absent, Verb::Remove) => Verdict::Start(Work::Removing),
        (Resting::Absent, _) => Verdict::AtOnce,
        (Resting::Unfixated, Verb::Unregister) => Verdict::Refuse(Refusal::HomeUnfixated),
        (Resting::Inactive | Resting::Dirty | Resting::Open, Verb::Unregister) => Verdict::AtOnce,
        (Resting::Unfixated | Resting::Inactive | Resting::Dirty | Resting::Open, _) => {
            Verdict::Start(Work::Removing)
        }
    }
}

fn not_yet(resting: Resting, later: Later) -> Verdict {
    let refusal = match (later, resting) {
        (Later::Realize, Resting::Active | Resting::Locked) => Refusal::HomeBusy,
        (Later::Realize, Resting::Unfixated | Resting::Inactive | Resting::Dirty | Resting::Open) => {
            Refusal::HomeExists
        }
        (Later::Realize, _) => Refusal::NotSupported,
    };
    Verdict::Refuse(refusal)
}

#[cfg(test)]
mod tests;
