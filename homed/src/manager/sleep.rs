//! The machine going to sleep: from the first lock until it has woken nothing starts that takes a key into memory.
//!
//! ```text
//! awake ── before-sleep has all homes locked ──→ holding ── after-sleep, or logind: it is over ───────→ awake
//!          (or anybody has, while logind prepares          ├─ not every home is locked, or the asker is gone
//!           a sleep)                                       └─ it has not slept for long, or slept and nobody says so,
//!                                                             and nobody knows of a sleep that is on its way
//! ```
//!
//! A sleep that wakes in between (suspend-then-hibernate) is over when systemd says so, not at the first wake; nor does one end
//! by the clock whose preparations take long (`docs/decisions/0038-last-look.md`).

use super::groups::Group;
use super::{LockFailure, Manager, Operation};
use crate::home::effect::{Effect, Failed, Timer};
use crate::home::state::Resting;
use crate::home::verdict::Verb;
use crate::home::without::{Rule, has};
use crate::home::{GroupId, Home, Sleep, Turn, Waiter, Wanted};
use crate::words::request::{Answer, RequestId, Then};
use records::refusal::Refused;
use records::{Refusal, UserName};
use std::time::Duration;

/// After so long without a sleep, counted while the machine is awake, it is asked whether one is still on its way.
pub const LONGEST: Duration = Duration::from_secs(300);
/// Once it has slept, somebody says that it is over within so long, or it sleeps again; if not, that is asked, too.
const WOKEN: Duration = Duration::from_secs(60);
/// While a sleep is on its way it is asked again after so long.
const AGAIN: Duration = Duration::from_secs(30);
/// A call that locks all homes is answered after so long, whatever still runs: homed-lock.service has 150 s.
const LOCKED: Duration = Duration::from_secs(95);

/// What the core knows of a sleep.
#[derive(Debug, Default)]
pub(super) struct Sleeping {
    /// Whether nothing may start.
    pub sleep: Sleep,
    /// Whether logind prepares a sleep.
    prepared: bool,
    /// Whether somebody was told that the machine may sleep: from then on nobody but who says that it is over lets go.
    granted: bool,
    /// The timer that counts.
    timer: u64,
    /// Whether it was told that this sleep takes long.
    is_told: bool,
}

impl Manager {
    /// Takes what is about a sleep; gives other operations back.
    pub(super) fn about_sleep(
        &mut self,
        id: RequestId,
        operation: Operation,
        turn: &mut Turn,
    ) -> Option<Operation> {
        let waiter = Waiter::Call(id);
        match operation {
            Operation::LockAll(then) => self.lock_all(then, waiter, turn),
            Operation::SleepPrepared => {
                self.sleeping.prepared = true;
                turn.answer(waiter, Ok(Answer::Done));
            }
            Operation::SleepOver => {
                self.sleeping.prepared = false;
                self.let_go(turn);
                turn.answer(waiter, Ok(Answer::Done));
            }
            other => return Some(other),
        }
        None
    }

    fn lock_all(&mut self, then: Then, waiter: Waiter, turn: &mut Turn) {
        let holds = then == Then::Hold || self.sleeping.prepared;
        if holds {
            self.hold(turn);
        }
        let passed_over = if holds { self.left_out(turn) } else { Vec::new() };
        let group = Group { holds, passed_over, ..Group::of(Verb::LockAll, waiter, 0) };
        let group = self.all_of(group, turn);
        // What waited for a job that was held back, and takes no key, does not wait for the wake; but the locks come first.
        if holds {
            self.each_busy(turn, Home::go_on);
        }
        if has(Rule::LocksAreLate) {
            turn.effects.push(Effect::SetTimer(Timer::Group(group), LOCKED));
        }
    }

    fn hold(&mut self, turn: &mut Turn) {
        self.held_for(LONGEST, turn);
        turn.effects.push(Effect::Hold(Sleep::Holding));
        self.each_busy(turn, Home::hold_back);
    }

    /// An earlier daemon held, and was killed. What it has told whoever has the machine sleep, nobody knows: it may have been yes.
    pub(super) fn held_on(&mut self, left: Duration, turn: &mut Turn) {
        self.held_for(left, turn);
        self.sleeping.granted = true;
    }

    fn held_for(&mut self, left: Duration, turn: &mut Turn) {
        self.sleeping.sleep = Sleep::Holding;
        turn.sleep = Sleep::Holding;
        self.ring_in(left, turn);
    }

    fn ring_in(&mut self, left: Duration, turn: &mut Turn) {
        self.sleeping.timer = turn.job_id().0;
        if has(Rule::HoldEnds) {
            turn.effects.push(Effect::SetTimer(Timer::Hold(self.sleeping.timer), left));
        }
    }

    /// The machine has slept. It may sleep again before it is over.
    pub(super) fn has_slept(&mut self, turn: &mut Turn) {
        if self.sleeping.sleep == Sleep::Holding {
            self.ring_in(WOKEN, turn);
        }
    }

    /// Nobody said that the sleep is over, and it should be.
    pub(super) fn held_for_long(&mut self, timer: u64, turn: &mut Turn) {
        if self.sleeping.sleep != Sleep::Holding || timer != self.sleeping.timer {
            return;
        }
        self.ring_in(AGAIN, turn);
        if has(Rule::AsksForTheSleep) {
            turn.effects.push(Effect::AskForSleep(self.sleeping.timer));
        } else {
            self.sleep_is_seen(self.sleeping.timer, false, turn);
        }
    }

    /// Whether a sleep is on its way, as [`Effect::AskForSleep`] asked.
    pub(super) fn sleep_is_seen(&mut self, timer: u64, on_its_way: bool, turn: &mut Turn) {
        if self.sleeping.sleep != Sleep::Holding || timer != self.sleeping.timer {
            return;
        }
        if !on_its_way {
            let text =
                "The machine was going to sleep, and has not, or nobody said that it woke: homes open again";
            turn.effects.push(Effect::Warn(text.into()));
            return self.let_go(turn);
        }
        if !std::mem::replace(&mut self.sleeping.is_told, true) {
            let text = "The machine has been going to sleep for long, and has not slept: homes stay closed until that is over. \
                        What it waits for: systemctl list-jobs. To open homes all the same: /usr/lib/homed/homed after-sleep";
            turn.effects.push(Effect::Warn(text.into()));
        }
    }

    /// Whoever waited for it gets in.
    fn let_go(&mut self, turn: &mut Turn) {
        if self.sleeping.sleep == Sleep::Awake {
            return;
        }
        (self.sleeping.sleep, self.sleeping.granted, self.sleeping.is_told) = (Sleep::Awake, false, false);
        turn.sleep = Sleep::Awake;
        turn.effects.push(Effect::Hold(Sleep::Awake));
        // What was locked may be opened now: nobody is to sleep who waits for the rest.
        for group in self.groups.values_mut().filter(|group| group.holds) {
            (group.holds, group.given_up) = (false, true);
        }
        if has(Rule::GoesOn) {
            self.each_busy(turn, Home::go_on);
        }
    }

    /// Whoever has all homes locked is told that the machine may sleep.
    pub(super) fn grants(&mut self) {
        self.sleeping.granted = self.sleeping.sleep == Sleep::Holding;
    }

    /// A call that locks all homes has failed, or its caller has gone: a sleep that is given up is over. One that somebody else
    /// was told may come is not.
    pub(super) fn gave_up(&mut self, turn: &mut Turn) {
        if !self.sleeping.granted && !self.groups.values().any(|group| group.holds) {
            self.let_go(turn);
        }
    }

    /// A call that locks all homes is answered now.
    pub(super) fn group_is_late(&mut self, id: GroupId, turn: &mut Turn) {
        if !self.groups.contains_key(&id) {
            return;
        }
        let mut late = Vec::new();
        for user in self.homes.users_where(Home::is_busy) {
            late.extend(self.homes.get_mut(&user).and_then(|home| home.too_late_for(id)));
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.is_late = true;
        let why = format!("that has not ended in {} s", LOCKED.as_secs());
        group.failed.get_or_insert_with(|| Failed::Fault(why.clone()));
        group.not_locked.extend(late.into_iter().map(|text| format!("{text}, and {why}.")));
        self.group_ends(id, turn);
    }

    /// Before the machine may sleep: a home that somebody had left out, and has not any more, is locked after all. Gives
    /// the call back when there is none.
    pub(super) fn lock_who_was_left_out(
        &mut self,
        id: GroupId,
        mut group: Group,
        turn: &mut Turn,
    ) -> Option<Group> {
        // A lock that has failed lets the machine sleep under one policy alone, which is no word for those that can be locked.
        let is_in_vain = group.failed.is_some() && self.defaults.lock_failure != LockFailure::Ignore;
        if !group.holds || group.is_late || is_in_vain || !has(Rule::LockedAfterAll) {
            return Some(group);
        }
        let left_out = self.left_out(turn);
        let open = |user: &UserName| {
            self.homes.get(user).is_some_and(|home| !home.is_already_so(Verb::LockAll, turn))
        };
        let (stay, go): (Vec<_>, Vec<_>) =
            group.passed_over.drain(..).partition(|user| left_out.contains(user));
        let users: Vec<UserName> = go.into_iter().filter(open).collect();
        group.passed_over = stay;
        if users.is_empty() {
            return Some(group);
        }
        group.left = users.len();
        self.groups.insert(id, group);
        for user in users {
            let wanted =
                Wanted { waiter: Waiter::Group(id), ..Wanted::by_the_daemon(Verb::LockAll, turn.now_usec) };
            self.lock_event(&user, turn, |home, turn| home.lock_for_sleep(wanted, turn));
        }
        None
    }

    /// Homes that are open nonetheless: somebody has them left out, or nobody could lock them and the machine sleeps all the
    /// same.
    pub(super) fn left_out(&self, turn: &Turn) -> Vec<UserName> {
        let open = |home: &&Home| {
            let is_open = matches!(home.state(turn.facts).resting, Resting::Active | Resting::Open);
            is_open && (home.inhibitors(turn.now_usec).next().is_some() || home.keeps_its_key(turn))
        };
        self.homes.walk().filter(open).map(|home| home.user().clone()).collect()
    }
}

/// What is said to whoever has all homes locked for a sleep that is none any more.
pub(super) fn given_up() -> Failed {
    let sentence =
        "Meanwhile the sleep was said to be over or given up; homes may be opened again. Try again.";
    Failed::Refused(Refused::new(Refusal::NotLocked, sentence))
}
