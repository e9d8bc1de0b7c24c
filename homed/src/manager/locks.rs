//! What concerns the locks of all homes together: what follows a failure, who is left out, and what is told of it.

use super::{LockFailure, Manager};
use crate::home::effect::{Announcement, Effect, Failed};
use crate::home::presence::{LOOK_AGAIN, LOOK_AGAIN_LOCKED};
use crate::home::rules::AtWake;
use crate::home::state::Resting;
use crate::home::verdict::Verb;
use crate::home::{Fate, Home, Turn, Waiter, Wanted};
use crate::words::request::{Answer, Caller, HomeKey, Locks, OpenSleep, RequestId, Session, Wish};
use records::refusal::Refused;
use records::span::show_span;
use records::{Refusal, UserName};
use std::time::Duration;

impl Manager {
    /// What happens to one home, and does not end it.
    pub(super) fn lock_event(
        &mut self,
        user: &UserName,
        turn: &mut Turn,
        act: impl FnOnce(&mut Home, &mut Turn),
    ) {
        self.on(user, turn, |home, turn| {
            act(home, turn);
            Fate::Stays
        });
    }

    pub(super) fn inhibit(
        &mut self,
        (key, wish): (&HomeKey, Wish),
        call: RequestId,
        caller: &Caller,
        turn: &mut Turn,
    ) {
        let Some(user) = self.find(key, caller.uid).map(|home| home.user().clone()) else {
            return turn.answer(Waiter::Call(call), Err(Failed::Refused(key.unknown())));
        };
        self.lock_event(&user, turn, |home, turn| home.inhibit(wish, caller.uid, call, turn));
    }

    pub(super) fn sessions(&mut self, all: &[Session], turn: &mut Turn) -> Option<Duration> {
        for user in self.homes.concerned_by(all) {
            self.lock_event(&user, turn, |home, turn| home.sessions(all, turn));
        }
        let again = |home: &Home| match home.state(turn.facts).resting {
            Resting::Locked => Some(LOOK_AGAIN_LOCKED),
            Resting::Active => home.limits(turn).idle.map(|_| LOOK_AGAIN),
            Resting::Unfixated | Resting::Absent | Resting::Inactive | Resting::Dirty | Resting::Open => None,
        };
        self.homes.may_be_open().filter_map(again).min()
    }

    pub(super) fn locks(&self, turn: &Turn) -> Locks {
        let shown = || self.homes.walk().filter(|home| !home.is_being_checked());
        Locks {
            inhibitors: shown().flat_map(|home| home.inhibitors(turn.now_usec)).cloned().collect(),
            homes: shown().map(|home| home.lock_report(turn)).collect(),
            open_sleep: self.last_open_sleep.clone(),
        }
    }

    /// The machine has slept. Homes that were open then had their keys in memory: it went past our unit, or
    /// somebody had them left out, or it was set so.
    pub(super) fn slept(&mut self, slept_usec: u64, turn: &mut Turn) {
        let open: Vec<UserName> = self
            .homes
            .walk()
            // What is open beside its directory has its key in memory, too.
            .filter(|home| matches!(home.state(turn.facts).resting, Resting::Active | Resting::Open))
            .filter(|home| !home.has_no_key(turn.facts))
            .map(|home| home.user().clone())
            .collect();
        if open.is_empty() {
            return;
        }
        for user in &open {
            let text = format!(
                "{user}: THE MACHINE SLEPT for {} with this home open: its key was in memory all the while",
                show_span(slept_usec / 1_000_000 * 1_000_000)
            );
            turn.effects.push(Effect::Log(user.clone(), text));
        }
        turn.effects.push(Effect::Announce(Announcement::SleptOpen(open.clone(), slept_usec)));
        self.last_open_sleep = Some(OpenSleep { woke_usec: turn.now_usec, slept_usec, users: open.clone() });
        if self.defaults.lock_rules.at_wake == AtWake::Say {
            return;
        }
        for user in open {
            let wanted = Wanted::by_the_daemon(Verb::LockAll, turn.now_usec);
            self.lock_event(&user, turn, |home, turn| home.lock_unasked(wanted, turn));
        }
    }

    /// All homes were to be locked: what was set for those that are not.
    pub(super) fn all_locked(
        &self,
        ended: Result<Answer, Failed>,
        not_locked: &[String],
        turn: &mut Turn,
    ) -> Result<Answer, Failed> {
        if ended.is_ok() {
            return ended;
        }
        let sentence = format!("Not every home is locked. {}", not_locked.join(" "));
        match self.defaults.lock_failure {
            LockFailure::Ignore => {
                turn.effects.push(Effect::Warn(format!(
                    "{sentence} The machine sleeps WITH THESE KEYS IN MEMORY, as LockFailure=ignore says."
                )));
                return Ok(Answer::Done);
            }
            LockFailure::PowerOff => turn.effects.push(Effect::PowerOff),
            LockFailure::Abort => {}
        }
        Err(Failed::Refused(Refused::new(Refusal::NotLocked, sentence)))
    }
}
