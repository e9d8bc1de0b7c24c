//! What holds after each event.

use super::world::World;
use crate::home::effect::{Failed, StartJob, Timer};
use crate::home::facts::Mount;
use crate::home::inside::{Class, ONE_ORIGIN, ONE_STRANGER, OWNER, STRANGER, Seen, URGENT};
use crate::home::verdict::Verb;
use crate::home::{Home, TimerKind, Waiter};
use crate::job::Task;
use crate::words::request::{Answer, RequestId};
use records::UserName;
use std::collections::BTreeSet;

/// How often what costs much is looked at.
const OFTEN: u64 = 32;

/// Whether a volume key is in that worker's memory, or comes into the kernel by it.
pub fn takes_key(start: &StartJob) -> bool {
    match start.job.task {
        Task::Update { .. } | Task::Check { .. } | Task::Repair { .. } => !start.job.credentials.is_empty(),
        Task::Deactivate { .. }
        | Task::Remove
        | Task::Lock { .. }
        | Task::Settle { .. }
        | Task::GiveUp { .. } => false,
        Task::Create { .. }
        | Task::Activate { .. }
        | Task::Authenticate { .. }
        | Task::ChangePassword { .. }
        | Task::Rescue { .. }
        | Task::Resize { .. }
        | Task::Unlock { .. }
        | Task::Snapshot { .. }
        | Task::Tend { .. } => true,
    }
}

/// Whether it brings into order what was left.
fn mends(task: &Task) -> bool {
    matches!(task, Task::Settle { .. } | Task::Lock { .. } | Task::GiveUp { .. })
}

impl World {
    /// What must be so when a worker is started.
    pub fn may_start(&self, start: &StartJob) {
        let user = &start.user;
        assert!(self.running.iter().all(|job| job.user != *user), "{user} has two workers");
        assert!(self.holding.is_none() || !takes_key(start), "{} starts on the way to sleep", start.what);
        let is_mended = mends(&start.job.task) || !self.left_open.contains(user);
        assert!(is_mended, "{} of {user} starts before what was left is in order", start.what);
        let Some((_, runs)) = self.manager.homes.get(user).and_then(Home::runs) else { return };
        if matches!(runs.verb, Verb::HolderGone | Verb::Release) {
            assert!(self.references.iter().all(|(of, _)| of != user), "{user} is held, and closed");
        }
        let by_name = runs.verb == Verb::Deactivate && is_call(&runs);
        assert!(!by_name || !self.just_came.contains(user), "{user} has just come, and is closed out");
    }

    /// A call is answered: once, and a sleep not before no key is in memory.
    pub fn answered(&mut self, id: RequestId, answer: Option<&Result<Answer, Failed>>) {
        self.tell(|| {
            let words = answer.map_or("a descriptor or nothing".to_owned(), |answer| format!("{answer:?}"));
            format!("    → {id:?} is answered: {words:.160}")
        });
        let open = self.open_calls.remove(&id);
        assert!(open || self.left.contains(&id), "{id:?} is answered twice");
        match answer {
            Some(Ok(Answer::LeftOut(left_out))) => {
                self.sleeps_without_keys(left_out);
                self.on_its_way = true;
            }
            Some(Err(Failed::Refused(refused))) if refused.refusal == records::Refusal::TooManyOperations => {
                self.crowded = Some(id);
            }
            Some(Err(Failed::Refused(refused))) if refused.refusal == records::Refusal::HomeBusy => {
                let behind = self.asked.as_ref().filter(|call| call.id == id && call.is_behind);
                assert!(behind.is_none(), "{id:?} is refused because somebody else tries to get in");
            }
            _ => {}
        }
    }

    /// The machine may sleep.
    fn sleeps_without_keys(&self, left_out: &[UserName]) {
        assert!(self.holding.is_some(), "the machine may sleep, and homes may be opened");
        for start in self.running.iter().filter(|start| !left_out.contains(&start.user)) {
            assert!(!takes_key(start), "{} of {} runs while the machine sleeps", start.what, start.user);
        }
        for home in self.manager.homes.walk() {
            let at = self.disks.0.get(home.user()).copied().unwrap_or_default();
            let open = match at.mount {
                Mount::Usable => true,
                Mount::Open => !self.wiped.contains(home.user()),
                Mount::None | Mount::Suspended => false,
            };
            let open = open && !left_out.contains(home.user());
            assert!(!open, "{} is open while the machine sleeps", home.user());
        }
    }

    /// What must be so after each event.
    pub fn holds(&mut self) {
        for home in self.manager.homes.walk() {
            let (runs, waits) = (home.runs().map(|(_, runs)| runs), home.waits());
            self.is_bounded(home, &waits);
            self.nobody_starves(home, runs.as_ref(), &waits);
            self.is_mended(home, runs.as_ref(), &waits);
            nobody_waits_in_silence(home, &waits);
            for kind in TimerKind::ALL.into_iter().filter(|kind| home.waits_for(*kind)) {
                assert!(self.is_set(home.user(), kind), "{}: {kind:?} will never ring", home.user());
            }
        }
        self.room_for_all();
        self.sleeps_end();
        if self.events.is_multiple_of(OFTEN) {
            crate::manager::tests::crowd::is_found_by_what_it_has(&self.manager, &self.open_calls);
            self.everybody_is_waited_for();
        }
    }

    /// No class takes the room of another, no origin that of others.
    fn is_bounded(&self, home: &Home, waits: &[Seen]) {
        let calls = |class| waits.iter().filter(move |seen| seen.class == class && is_call(seen));
        for (class, most) in [(Class::Urgent, URGENT), (Class::Owner, OWNER), (Class::Stranger, STRANGER)] {
            assert!(calls(class).count() <= most, "{}: too many wait as {class:?}", home.user());
        }
        for (class, most) in [(Class::Owner, ONE_ORIGIN), (Class::Stranger, ONE_STRANGER)] {
            for seen in calls(class) {
                let own = calls(class).filter(|other| other.origin == seen.origin).count();
                assert!(own <= most, "{}: {own} of {:?} wait", home.user(), seen.origin);
            }
        }
        for seen in waits.iter().filter(|seen| seen.waiter == Waiter::Nobody) {
            let own = waits.iter().filter(|other| other.waiter == Waiter::Nobody && other.verb == seen.verb);
            assert!(own.count() <= 1, "{}: the daemon waits twice for {:?}", home.user(), seen.verb);
        }
    }

    /// Who waits, waits for something; what comes first, comes first.
    fn nobody_starves(&self, home: &Home, runs: Option<&Seen>, waits: &[Seen]) {
        let user = home.user();
        let Some(runs) = runs else {
            let reason = self.holding.is_some() || home.waits_for(TimerKind::Settle);
            assert!(waits.is_empty() || reason, "{user}: {waits:?} wait for nothing");
            // (What is put in order first is what has lost its storage.)
            let waits_for_order =
                |seen: &&Seen| seen.verb == Verb::StorageGone && home.waits_for(TimerKind::Settle);
            let urgent = waits.iter().find(|seen| seen.class == Class::Urgent && !waits_for_order(seen));
            assert!(urgent.is_none(), "{user}: {urgent:?} waits for nothing");
            return;
        };
        // (Of a home that is being made nothing is open; one that is closed, for whoever opened it has gone, loses its key.)
        let closes = matches!(runs.verb, Verb::Create | Verb::Deactivate | Verb::HolderGone);
        let comes_first = runs.class == Class::Urgent || closes;
        if !self.just_started.contains(user) || comes_first {
            return;
        }
        let urgent = waits.iter().find(|seen| seen.class == Class::Urgent);
        assert!(urgent.is_none(), "{user}: {:?} starts, and {urgent:?} waits", runs.verb);
    }

    /// Whatever a worker that was killed has left is being put in order, or will be.
    fn is_mended(&self, home: &Home, runs: Option<&Seen>, waits: &[Seen]) {
        let user = home.user();
        let closes = waits.iter().any(|seen| matches!(seen.verb, Verb::HolderGone | Verb::Release));
        if home.lingers() && runs.is_none() && !closes {
            assert!(home.waits_for(TimerKind::Deactivate), "{user}: nobody tries to close it again");
        }
        if !self.left_open.contains(user) {
            return;
        }
        let mends = |seen: &Seen| seen.class == Class::Urgent;
        let will_be = home.waits_for(TimerKind::Settle) || runs.is_some_and(mends) || waits.iter().any(mends);
        assert!(will_be, "{user}: what was left is never put in order");
    }

    /// Who is turned away for want of room finds none indeed.
    fn room_for_all(&mut self) {
        let (Some(id), Some(call)) = (self.crowded.take(), self.asked.take()) else { return };
        let Some(home) = self.manager.homes.get(&call.user).filter(|_| call.id == id) else { return };
        let waits = home.waits();
        let of = |class| waits.iter().filter(move |seen| seen.class == class && is_call(seen));
        let is_full = match call.class {
            Class::Urgent => of(Class::Urgent).count() >= URGENT,
            Class::Owner => {
                let own = |origin| of(Class::Owner).filter(|seen| seen.origin == origin).count();
                of(Class::Owner).count() >= OWNER
                    || of(Class::Owner).any(|seen| own(seen.origin.clone()) >= ONE_ORIGIN)
            }
            Class::Stranger => true,
        };
        assert!(is_full, "{}: there is room, and {:?} is turned away", call.user, call.class);
    }

    /// A sleep that never comes ends, and so does the wait for it.
    fn sleeps_end(&self) {
        let rings = |is_it: &dyn Fn(&Timer) -> bool| self.timers.iter().any(|(_, timer)| is_it(timer));
        if self.holding.is_some() {
            assert!(rings(&|timer| matches!(timer, Timer::Hold(_))), "no home ever opens again");
        }
        for (id, group) in &self.manager.groups {
            let bounded = rings(&|timer| *timer == Timer::Group(*id));
            assert!(group.verb != Verb::LockAll || bounded, "a lock of all may never be answered");
        }
    }

    /// Every call that is open is waited for somewhere.
    fn everybody_is_waited_for(&self) {
        let mut known: BTreeSet<RequestId> = BTreeSet::new();
        let mut add = |waiter: Waiter| {
            if let Waiter::Call(id) = waiter {
                known.insert(id);
            }
        };
        for home in self.manager.homes.walk() {
            home.runs().into_iter().for_each(|(_, seen)| add(seen.waiter));
            home.waits().into_iter().for_each(|seen| add(seen.waiter));
            home.untold().into_iter().for_each(&mut add);
        }
        self.manager.groups.values().for_each(|group| add(group.waiter));
        self.manager.measuring.values().for_each(|(_, group)| add(group.waiter));
        self.manager
            .pending
            .values()
            .filter_map(|pending| pending.asked())
            .for_each(|id| add(Waiter::Call(id)));
        let lost: Vec<_> = self.open_calls.difference(&known).collect();
        assert!(lost.is_empty(), "{lost:?} are never answered");
    }
}

/// A worker of which nothing is heard keeps nobody waiting, but for locks, which have a bound of their own.
fn nobody_waits_in_silence(home: &Home, waits: &[Seen]) {
    let vain = waits.iter().find(|seen| home.hangs() && is_call(seen) && seen.class != Class::Urgent);
    assert!(vain.is_none(), "{}: {vain:?} waits for a worker of which nothing is heard", home.user());
}

fn is_call(seen: &Seen) -> bool {
    matches!(seen.waiter, Waiter::Call(_))
}
