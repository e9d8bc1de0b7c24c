//! A call about one home, as what is wanted of it and by whom.

use crate::home::attempts::{Origin, Trier};
use crate::home::verdict::{Favour, Verb};
use crate::home::{self, Home};
use crate::job::Reach;
use crate::words::request::{AtSuspend, Caller, HomeKey, Offer, Operation};

/// What is wanted of one home, taken out of an operation.
pub(super) struct Asked {
    pub verb: Verb,
    pub offer: Offer,
    pub new: Option<records::Credentials>,
    pub change: Option<Box<crate::job::RecordChange>>,
    pub repair: crate::job::Repair,
    pub directory: Option<String>,
    pub size: Option<home::resize::Asked>,
    pub snapshots: Option<crate::job::Snapshots>,
    pub at_suspend: AtSuspend,
}

impl Asked {
    fn plain(verb: Verb) -> Self {
        Self::with(verb, Offer::default())
    }

    fn with(verb: Verb, offer: Offer) -> Self {
        Self {
            verb,
            offer,
            new: None,
            change: None,
            size: None,
            repair: Default::default(),
            directory: None,
            snapshots: None,
            at_suspend: AtSuspend::Stay,
        }
    }
}

pub(super) fn of_one_home(operation: Operation) -> Option<(HomeKey, Asked)> {
    let reference = |verb, at_suspend, offer| Asked { at_suspend, ..Asked::with(verb, offer) };
    let asked = match operation {
        Operation::Activate(key, offer) => (key, Asked::with(Verb::Activate, offer)),
        Operation::ActivateIfReferenced(key, offer) => (key, Asked::with(Verb::ActivateIfReferenced, offer)),
        Operation::Fixate(key, offer) => (key, Asked::with(Verb::Fixate, offer)),
        Operation::Authenticate(key, offer) => (key, Asked::with(Verb::Authenticate, offer)),
        Operation::Acquire(key, at, offer) => (key, reference(Verb::Acquire, at, offer)),
        Operation::Ref(key, at) => (key, reference(Verb::Ref, at, Offer::default())),
        Operation::RefUnrestricted(key, at) => (key, reference(Verb::RefUnrestricted, at, Offer::default())),
        Operation::Release(key) => (key, Asked::plain(Verb::Release)),
        Operation::Deactivate(key) => (key, Asked::plain(Verb::Deactivate)),
        Operation::ChangePassword { home, new, old } => {
            (home, Asked { new: Some(new), ..Asked::with(Verb::ChangePassword, old) })
        }
        Operation::Update(key, change, offer) => {
            let verb = update(change.reach);
            (key, Asked { change: Some(change), ..Asked::with(verb, offer) })
        }
        Operation::Check(key, offer) => (key, Asked::with(Verb::Check, offer)),
        Operation::Repair(key, repair, offer) => (key, Asked { repair, ..Asked::with(Verb::Repair, offer) }),
        Operation::Rescue(key, directory, offer) => {
            (key, Asked { directory, ..Asked::with(Verb::Rescue, offer) })
        }
        Operation::Resize(key, bytes, offer) => {
            let size = Some(home::resize::Asked::Number(bytes));
            (key, Asked { size, ..Asked::with(Verb::Resize, offer) })
        }
        Operation::Snapshot(key, wish) => {
            (key, Asked { snapshots: Some(wish), ..Asked::plain(Verb::Snapshot) })
        }
        Operation::Remove(key) => (key, Asked::plain(Verb::Remove)),
        Operation::Unregister(key) => (key, Asked::plain(Verb::Unregister)),
        Operation::Lock(key) => (key, Asked::plain(Verb::Lock)),
        Operation::Unlock(key, offer) => (key, Asked::with(Verb::Unlock, offer)),
        Operation::Later(key, later) => (key, Asked::plain(Verb::Later(later))),
        Operation::Create(..) | Operation::Convert(..) => return None,
        Operation::Register(_) | Operation::Adopt(_) => return None,
        Operation::DeactivateAll | Operation::LockAll(_) | Operation::GiveUpAll => return None,
        Operation::SleepPrepared | Operation::SleepOver | Operation::Alive => return None,
        Operation::Stage(..) | Operation::Rebalance => return None,
        Operation::Inhibit(..) | Operation::Locks | Operation::Weaknesses => return None,
        Operation::Sessions(_) | Operation::Keys(_) => return None,
        Operation::TrustOf(_) | Operation::Trust(..) => return None,
    };
    Some(asked)
}

fn update(reach: Reach) -> Verb {
    match reach {
        Reach::Everywhere => Verb::Update,
        Reach::HostOnly => Verb::UpdateOffline,
    }
}

/// Who tries, and in whose favour: root's calls come from somewhere.
pub(super) fn trier(caller: &Caller, home: &Home) -> Trier {
    let from = &caller.from;
    let person = match caller.uid {
        0 if from.real_uid != 0 => Some(from.real_uid),
        0 => from.login.filter(|uid| *uid != 0),
        uid => Some(uid),
    };
    let origin = match person {
        Some(uid) if uid == home.uid() => Origin::Owner,
        Some(uid) => Origin::User(uid),
        None => Origin::Service(from.unit.clone()),
    };
    // Who is root and no setuid program of somebody's has all rights.
    let has_right = origin == Origin::Owner || (caller.uid == 0 && from.real_uid == 0);
    Trier { origin, favour: if has_right { Favour::Owner } else { Favour::Stranger } }
}
