//! "May I?": the only table that answers it.
//!
//! Rows are what is wanted, columns where the home rests; a running job answers for nearly all rows
//! with "busy" or "later". Not here: rate limits ([`super::attempts`]), signatures and passwords
//! (the worker), and who may ask at all (the fronts).

use super::state::{Lingering, Purpose, Resting, State, Work};
use crate::manager::request::Later;
use records::Refusal;

/// What is wanted of one home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Mount.
    Activate,
    /// Mount, if somebody holds a reference.
    ActivateIfReferenced,
    /// Take over.
    Fixate,
    /// Check credentials.
    Authenticate,
    /// Whatever makes it usable, and a reference.
    Acquire,
    /// A reference on an active home.
    Ref,
    /// A reference in any state.
    RefUnrestricted,
    /// Unmount once nobody holds it: asked by a holder that has let go.
    Release,
    /// The last holder has gone.
    HolderGone,
    /// Unmount, held or not.
    Deactivate,
    /// Unmount, held or not, as one of all.
    DeactivateAll,
    /// The storage vanished under a mounted home.
    StorageGone,
    /// Make storage.
    Create,
    /// New passwords.
    ChangePassword,
    /// A new record, in all its copies.
    Update,
    /// A new record, in the host's copy only.
    UpdateOffline,
    /// Look at every part.
    Check,
    /// Rebuild what can be rebuilt.
    Repair,
    /// Open what is left, to be read only.
    Rescue,
    /// Delete.
    Remove,
    /// Forget the record.
    Unregister,
    /// Take the volume key out of memory.
    Lock,
    /// The same, as one of all.
    LockAll,
    /// Put it back.
    Unlock,
    /// Finish or take back a lock or unlock that was broken off.
    Settle,
    /// End what is locked, without the key: the machine goes down.
    GiveUp,
    /// Not built yet.
    Later(Later),
}

impl Verb {
    /// All of them, for tables.
    pub const ALL: [Self; 28] = [
        Self::Activate,
        Self::ActivateIfReferenced,
        Self::Fixate,
        Self::Authenticate,
        Self::Acquire,
        Self::Ref,
        Self::RefUnrestricted,
        Self::Release,
        Self::HolderGone,
        Self::Deactivate,
        Self::DeactivateAll,
        Self::StorageGone,
        Self::Create,
        Self::ChangePassword,
        Self::Update,
        Self::UpdateOffline,
        Self::Check,
        Self::Repair,
        Self::Rescue,
        Self::Remove,
        Self::Unregister,
        Self::Lock,
        Self::LockAll,
        Self::Unlock,
        Self::Settle,
        Self::GiveUp,
        Self::Later(Later::Resize),
        Self::Later(Later::Realize),
    ];

    /// Whether it tries credentials, and so counts as an attempt.
    pub fn is_attempt(self) -> bool {
        match self {
            Self::Activate
            | Self::ActivateIfReferenced
            | Self::Fixate
            | Self::Authenticate
            | Self::Acquire
            | Self::Unlock
            | Self::ChangePassword
            | Self::Update
            | Self::Check
            | Self::Repair
            | Self::Rescue => true,
            Self::Ref
            | Self::RefUnrestricted
            | Self::Release
            | Self::HolderGone
            | Self::Deactivate
            | Self::DeactivateAll
            | Self::StorageGone
            | Self::Create
            | Self::UpdateOffline
            | Self::Remove
            | Self::Unregister
            | Self::Lock
            | Self::LockAll
            | Self::Settle
            | Self::GiveUp
            | Self::Later(_) => false,
        }
    }
}

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
    /// The owner, root, or the daemon itself.
    Owner,
    /// A caller who has no more right to the home than anybody: the owner waits for it, and is not refused.
    Stranger,
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
    /// Success without doing anything.
    AlreadySo,
    /// No.
    Refuse(Refusal),
}

/// The answer to `verb` in `situation`.
pub fn verdict(situation: Situation, verb: Verb) -> Verdict {
    match situation.state.doing {
        Some(_) => while_working(situation, verb),
        None => at_rest(situation, verb),
    }
}

fn while_working(situation: Situation, verb: Verb) -> Verdict {
    match verb {
        Verb::Acquire
        | Verb::Release
        | Verb::HolderGone
        | Verb::DeactivateAll
        | Verb::StorageGone
        | Verb::LockAll
        | Verb::Settle
        | Verb::GiveUp => Verdict::Queue,
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
        | Verb::Authenticate
        | Verb::Deactivate
        | Verb::Create
        | Verb::ChangePassword
        | Verb::Update
        | Verb::UpdateOffline
        | Verb::Check
        | Verb::Repair
        | Verb::Rescue
        | Verb::Remove
        | Verb::Unregister
        | Verb::Lock
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
        Verb::Fixate => match resting {
            Resting::Unfixated => Verdict::Start(Work::Fixating(Purpose::Itself)),
            Resting::Absent | Resting::Inactive | Resting::Dirty | Resting::Active | Resting::Locked => {
                Verdict::Refuse(Refusal::HomeAlreadyFixated)
            }
        },
        Verb::Authenticate => usable(resting, Work::Authenticating(Purpose::Itself)),
        Verb::ChangePassword => usable(resting, Work::ChangingPassword),
        Verb::Update => usable(resting, Work::Updating),
        Verb::UpdateOffline if resting == Resting::Absent => Verdict::Start(Work::Updating),
        Verb::UpdateOffline => usable(resting, Work::Updating),
        Verb::Check => Verdict::Start(Work::Checking),
        Verb::Repair | Verb::Rescue => mend(resting, verb),
        Verb::Acquire => acquire(resting),
        Verb::RefUnrestricted => Verdict::AtOnce,
        Verb::Ref => match resting {
            Resting::Active => Verdict::AtOnce,
            Resting::Absent => Verdict::Refuse(Refusal::HomeAbsent),
            Resting::Locked => Verdict::Refuse(Refusal::HomeLocked),
            Resting::Unfixated | Resting::Inactive | Resting::Dirty => {
                Verdict::Refuse(Refusal::HomeNotActive)
            }
        },
        Verb::Release | Verb::HolderGone | Verb::Deactivate | Verb::DeactivateAll | Verb::StorageGone => {
            deactivate(resting, situation.held, verb)
        }
        Verb::Create => match resting {
            Resting::Absent => Verdict::Start(Work::Creating),
            Resting::Unfixated | Resting::Inactive | Resting::Dirty | Resting::Active | Resting::Locked => {
                Verdict::Refuse(Refusal::HomeExists)
            }
        },
        Verb::Remove | Verb::Unregister => forget(resting, verb),
        Verb::Lock | Verb::LockAll | Verb::Unlock | Verb::Settle | Verb::GiveUp => lock(resting, verb),
        Verb::Later(later) => not_yet(resting, later),
    }
}

fn activate(resting: Resting, lingering: Lingering) -> Verdict {
    match (resting, lingering) {
        (Resting::Unfixated, _) => Verdict::Start(Work::Fixating(Purpose::Itself)),
        (Resting::Absent, _) => Verdict::Refuse(Refusal::HomeAbsent),
        (Resting::Inactive | Resting::Dirty, _) => Verdict::Start(Work::Activating(Purpose::Itself)),
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
        (Resting::Unfixated | Resting::Inactive | Resting::Dirty, Verb::Rescue) => {
            Verdict::Start(Work::Rescuing)
        }
        (Resting::Unfixated | Resting::Inactive | Resting::Dirty, _) => Verdict::Start(Work::Repairing),
    }
}

fn acquire(resting: Resting) -> Verdict {
    match resting {
        Resting::Unfixated => Verdict::Start(Work::Fixating(Purpose::Reference)),
        Resting::Absent => Verdict::Refuse(Refusal::HomeAbsent),
        Resting::Inactive | Resting::Dirty => Verdict::Start(Work::Activating(Purpose::Reference)),
        Resting::Active => Verdict::Start(Work::Authenticating(Purpose::Reference)),
        Resting::Locked => Verdict::Start(Work::Unlocking(Purpose::Reference)),
    }
}

fn usable(resting: Resting, work: Work) -> Verdict {
    match resting {
        Resting::Inactive | Resting::Dirty | Resting::Active => Verdict::Start(work),
        Resting::Unfixated => Verdict::Refuse(Refusal::HomeUnfixated),
        Resting::Absent => Verdict::Refuse(Refusal::HomeAbsent),
        Resting::Locked => Verdict::Refuse(Refusal::HomeLocked),
    }
}

fn deactivate(resting: Resting, held: Held, verb: Verb) -> Verdict {
    match (verb, resting, held) {
        (Verb::Release, _, Held::Yes) => Verdict::Refuse(Refusal::HomeBusy),
        (Verb::HolderGone, _, Held::Yes) => Verdict::AlreadySo,
        (_, Resting::Active, _) => Verdict::Start(Work::Deactivating),
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
        (Verb::Settle, Resting::Active | Resting::Locked) => Verdict::Start(Work::Settling),
        (Verb::GiveUp, Resting::Locked) => Verdict::Start(Work::GivingUp),
        (Verb::Unlock, Resting::Locked) => Verdict::Start(Work::Unlocking(Purpose::Itself)),
        (Verb::Unlock, _) => Verdict::Refuse(Refusal::HomeNotLocked),
        (Verb::Lock | Verb::LockAll, Resting::Active) => Verdict::Start(Work::Locking),
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
        (Resting::Absent, _) => Verdict::AtOnce,
        (Resting::Unfixated, Verb::Unregister) => Verdict::Refuse(Refusal::HomeUnfixated),
        (Resting::Inactive | Resting::Dirty, Verb::Unregister) => Verdict::AtOnce,
        (Resting::Unfixated | Resting::Inactive | Resting::Dirty, _) => Verdict::Start(Work::Removing),
    }
}

fn not_yet(resting: Resting, later: Later) -> Verdict {
    let refusal = match (later, resting) {
        (Later::Realize, Resting::Active | Resting::Locked) => Refusal::HomeBusy,
        (Later::Realize, Resting::Unfixated | Resting::Inactive | Resting::Dirty) => Refusal::HomeExists,
        (Later::Resize, Resting::Unfixated) => Refusal::HomeUnfixated,
        (Later::Resize, Resting::Locked) => Refusal::HomeLocked,
        (Later::Resize, Resting::Absent) => Refusal::HomeAbsent,
        (Later::Realize | Later::Resize, _) => Refusal::NotSupported,
    };
    Verdict::Refuse(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_situations() -> impl Iterator<Item = Situation> {
        let doings = std::iter::once(None).chain(Work::ALL.map(Some));
        doings.flat_map(|doing| {
            Resting::ALL.into_iter().flat_map(move |resting| {
                [Lingering::No, Lingering::Yes].into_iter().flat_map(move |lingering| {
                    [Held::No, Held::Yes].into_iter().flat_map(move |held| {
                        [Favour::Owner, Favour::Stranger].into_iter().map(move |favour| Situation {
                            state: State { resting, doing, lingering },
                            held,
                            favour,
                        })
                    })
                })
            })
        })
    }

    #[test]
    fn two_jobs_never_run_at_once() {
        for situation in all_situations().filter(|s| s.state.doing.is_some()) {
            for verb in Verb::ALL {
                let answer = verdict(situation, verb);
                assert!(!matches!(answer, Verdict::Start(_)), "{situation:?} {verb:?}");
            }
        }
    }

    #[test]
    fn nothing_waits_for_a_home_at_rest() {
        for situation in all_situations().filter(|s| s.state.doing.is_none()) {
            for verb in Verb::ALL {
                assert_ne!(verdict(situation, verb), Verdict::Queue, "{situation:?} {verb:?}");
            }
        }
    }

    #[test]
    fn a_mounted_home_is_never_removed_nor_mounted_twice() {
        for situation in all_situations() {
            let mounted = matches!(situation.state.resting, Resting::Active | Resting::Locked);
            for verb in Verb::ALL {
                let work = match verdict(situation, verb) {
                    Verdict::Start(work) => work,
                    Verdict::AtOnce if matches!(verb, Verb::Remove | Verb::Unregister) => Work::Removing,
                    _ => continue,
                };
                let needs_unmounted =
                    matches!(work, Work::Removing | Work::Creating | Work::Activating(_) | Work::Fixating(_));
                assert!(!(mounted && needs_unmounted), "{situation:?} {verb:?} {work:?}");
            }
        }
    }

    #[test]
    fn the_last_holder_does_not_pull_the_home_from_under_another() {
        for situation in all_situations().filter(|s| s.held == Held::Yes) {
            for verb in [Verb::HolderGone, Verb::Release] {
                let answer = verdict(situation, verb);
                assert!(!matches!(answer, Verdict::Start(_)), "{situation:?} {verb:?}");
            }
        }
    }

    #[test]
    fn the_owner_waits_for_a_stranger_and_is_not_refused() {
        for situation in all_situations().filter(|s| s.state.doing.is_some()) {
            let situation = Situation { favour: Favour::Stranger, held: Held::Yes, ..situation };
            for verb in Verb::ALL {
                assert!(!matches!(verdict(situation, verb), Verdict::Refuse(_)), "{situation:?} {verb:?}");
            }
        }
    }

    /// One line per verb; columns: unfixated absent inactive dirty active lingering locked.
    const AT_REST: &str = "
        Activate             fixate   Absent    mount    mount    AlreadyActive auth     Locked
        ActivateIfReferenced fixate   Absent    mount    mount    AlreadyActive auth     Locked
        Fixate               fixate   AlreadyFixated AlreadyFixated AlreadyFixated AlreadyFixated AlreadyFixated AlreadyFixated
        Authenticate         Unfixated Absent   auth     auth     auth     auth     Locked
        Acquire              fixate+  Absent    mount+   mount+   auth+    auth+    unlock+
        Ref                  NotActive Absent   NotActive NotActive now    now      Locked
        RefUnrestricted      now      now       now      now      now      now      now
        Release              so       so        so       so       unmount  unmount  giveup
        HolderGone           so       so        so       so       unmount  unmount  giveup
        Deactivate           NotActive NotActive NotActive NotActive unmount unmount Locked
        DeactivateAll        so       so        so       so       unmount  unmount  giveup
        StorageGone          so       so        so       so       unmount  unmount  giveup
        Create               Exists   create    Exists   Exists   Exists   Exists   Exists
        ChangePassword       Unfixated Absent   passwd   passwd   passwd   passwd   Locked
        Update               Unfixated Absent   update   update   update   update   Locked
        UpdateOffline        Unfixated update   update   update   update   update   Locked
        Check                check    check     check    check    check    check    check
        Repair               repair   Absent    repair   repair   Busy     Busy     Locked
        Rescue               rescue   Absent    rescue   rescue   AlreadyActive AlreadyActive Locked
        Remove               remove   now       remove   remove   Busy     Busy     Locked
        Unregister           Unfixated now      now      now      Busy     Busy     Locked
        Lock                 NotActive NotActive NotActive NotActive lock   lock   Locked
        LockAll              so       so        so       so       lock     lock     so
        Unlock               NotLocked NotLocked NotLocked NotLocked NotLocked NotLocked unlock
        Settle               so       so        so       so       settle   settle   settle
        GiveUp               so       so        so       so       so       so       giveup
        Later(Resize)        Unfixated Absent   NotSupported NotSupported NotSupported NotSupported Locked
        Later(Realize)       Exists   NotSupported Exists Exists  Busy     Busy     Busy";

    #[test]
    fn the_table_says_what_the_interface_promises() {
        let mut rows = AT_REST.lines().filter(|line| !line.trim().is_empty());
        for verb in Verb::ALL {
            let row = rows.next().expect("one row per verb");
            let cells: Vec<&str> = row.split_whitespace().collect();
            assert_eq!(cells[0], format!("{verb:?}"));
            let held = if verb == Verb::ActivateIfReferenced { Held::Yes } else { Held::No };
            for (column, expected) in columns().into_iter().zip(&cells[1..]) {
                let situation = Situation { state: column, held, favour: Favour::Owner };
                assert_eq!(&short(verdict(situation, verb)), expected, "{verb:?} {column:?}");
            }
            assert_eq!(cells.len(), 8, "{row}");
        }
    }

    fn columns() -> [State; 7] {
        let state = |resting, lingering| State { resting, doing: None, lingering };
        [
            state(Resting::Unfixated, Lingering::No),
            state(Resting::Absent, Lingering::No),
            state(Resting::Inactive, Lingering::No),
            state(Resting::Dirty, Lingering::No),
            state(Resting::Active, Lingering::No),
            state(Resting::Active, Lingering::Yes),
            state(Resting::Locked, Lingering::No),
        ]
    }

    fn short(verdict: Verdict) -> String {
        match verdict {
            Verdict::AtOnce => "now".into(),
            Verdict::AlreadySo => "so".into(),
            Verdict::Queue => "queue".into(),
            Verdict::Refuse(refusal) => format!("{refusal:?}").trim_start_matches("Home").to_owned(),
            Verdict::Start(work) => match work {
                Work::Fixating(Purpose::Itself) => "fixate",
                Work::Fixating(Purpose::Reference) => "fixate+",
                Work::Activating(Purpose::Itself) => "mount",
                Work::Activating(Purpose::Reference) => "mount+",
                Work::Authenticating(Purpose::Itself) => "auth",
                Work::Authenticating(Purpose::Reference) => "auth+",
                Work::Deactivating => "unmount",
                Work::Creating => "create",
                Work::Removing => "remove",
                Work::ChangingPassword => "passwd",
                Work::Updating => "update",
                Work::Checking => "check",
                Work::Repairing => "repair",
                Work::Rescuing => "rescue",
                Work::Locking => "lock",
                Work::Unlocking(Purpose::Itself) => "unlock",
                Work::Unlocking(Purpose::Reference) => "unlock+",
                Work::Settling => "settle",
                Work::GivingUp => "giveup",
            }
            .into(),
        }
    }
}
