//! What follows from the end of a job.

use super::effect::{Announcement, Effect, Failed};
use super::run::{Phase, Running};
use super::state::{Purpose, Resting, Work};
use super::verdict::{Held, Verb};
use super::without::{Rule, has};
use super::{Fate, Home, TimerKind, Turn, Waiter, Wanted};
use crate::job::Snapshots;
use crate::words::request::Answer;
use records::refusal::Refused;
use serde_json::Value;
use std::time::Duration;

impl Work {
    /// Whether its worker, broken off, may leave something: a device with the key in it, or files without a name.
    pub fn leaves_something(self) -> bool {
        match self {
            Self::Fixating(_)
            | Self::Activating(_)
            | Self::Creating
            | Self::Removing
            | Self::ChangingPassword
            | Self::Updating
            | Self::Checking
            | Self::Repairing
            | Self::Rescuing
            | Self::Resizing
            | Self::Authenticating(_)
            | Self::Locking
            | Self::Unlocking(_)
            // Cut off, and not closed yet: who wrote to it would wait for what stands still.
            | Self::GivingUp => true,
            // These are tried again themselves, or have nothing of their own open.
            Self::Deactivating | Self::Settling | Self::Snapshotting | Self::Tending(_) => false,
        }
    }
}

/// A home whose making was broken off: it is taken out when what is left of that has been cleaned up.
pub(super) struct Going {
    /// Who made it, and what is to be told; the first cleaning up is waited for.
    untold: Option<(Waiter, Failed)>,
}

#[cfg(test)]
impl Going {
    pub fn waiter(&self) -> Option<Waiter> {
        self.untold.as_ref().map(|(waiter, _)| *waiter)
    }
}

impl Home {
    /// Fronts are told that it is another.
    pub(crate) fn changed(&self, turn: &mut Turn) {
        turn.effects.push(Effect::Announce(Announcement::Changed(self.user().clone())));
    }

    /// A worker that ended without an outcome may have left devices: they are seen to before anything else starts.
    pub(super) fn clean_up_after(&mut self, work: Work, turn: &mut Turn) {
        if work.leaves_something() && has(Rule::Settles) {
            self.settle(turn);
        }
    }

    /// What was left of making it is cleaned up: it goes, and whole storage of it is found again. Where it could not
    /// be, it stays until it is.
    pub(super) fn goes(&mut self, work: Work, well: bool, turn: &mut Turn) -> Fate {
        let Some(going) = self.going.as_mut().filter(|_| self.running.is_none()) else { return Fate::Stays };
        // Other kinds of storage have nothing to clean up.
        let is_over = match work {
            Work::Settling => well,
            Work::Creating => true,
            _ => return Fate::Stays,
        };
        if let Some((waiter, failed)) = going.untold.take() {
            turn.answer(waiter, Err(failed));
        }
        if !is_over {
            return Fate::Stays;
        }
        turn.effects.push(Effect::LookForStorage);
        Fate::Goes
    }

    /// Whoever waits to pull out what it lies on reads it in the journal. (Others may use the same disk: `homectl eject` looks.)
    fn is_closed(&mut self, work: Work, verb: Verb, turn: &mut Turn) {
        self.failed_deactivations = None;
        let was_pulled_out = verb == Verb::StorageGone;
        if work == Work::Deactivating && !was_pulled_out && self.place.image.starts_with("/dev/") {
            self.log(turn, "closed, and all of it is on disk");
        }
    }

    pub(super) fn done(&mut self, running: Running, record: Option<Value>, turn: &mut Turn) -> Fate {
        if running.work.mends() {
            self.is_settled(turn);
        }
        if running.work == Work::Locking {
            self.prove(running, turn);
            return Fate::Stays;
        }
        let wanted = running.wanted;
        if let Some(value) = record {
            self.take_record(value, turn);
        }
        self.got_in(&wanted, turn);
        match running.work {
            Work::Removing => {
                turn.effects.push(Effect::LookForStorage);
                turn.answer(wanted.waiter, Ok(Answer::Done));
                return Fate::Goes;
            }
            Work::Deactivating | Work::GivingUp => {
                self.is_closed(running.work, wanted.verb, turn);
                self.drop_unused_references(turn);
                turn.answer(wanted.waiter, Ok(Answer::Done));
            }
            Work::Settling => self.settled(wanted.waiter, turn),
            Work::Creating => {
                turn.effects.push(Effect::Announce(Announcement::Appeared(self.user().clone())));
                turn.answer(wanted.waiter, Ok(Answer::Done));
            }
            Work::Fixating(Purpose::Record) => {
                // It was mounted only to be looked into.
                let close = Wanted::by_the_daemon(Verb::Deactivate, turn.now_usec);
                return self.want(Wanted { waiter: wanted.waiter, ..close }, turn);
            }
            Work::Fixating(purpose) | Work::Activating(purpose) => self.now_open(purpose, &wanted, turn),
            Work::Authenticating(purpose) | Work::Unlocking(purpose) => {
                self.usable_now(purpose, &wanted, turn);
            }
            // A lock has been proven, or not, before.
            Work::Locking => {}
            Work::ChangingPassword | Work::Updating | Work::Resizing | Work::Checking | Work::Tending(_) => {
                turn.answer(wanted.waiter, Ok(Answer::Done));
            }
            Work::Repairing | Work::Rescuing | Work::Snapshotting => {
                turn.answer(wanted.waiter, Ok(Answer::Done));
            }
        }
        Fate::Stays
    }

    /// What was tried was right.
    fn got_in(&mut self, wanted: &Wanted, turn: &mut Turn) {
        if wanted.is_attempt() {
            self.attempts.succeeded(&wanted.trier, turn.now_usec);
            self.save(turn);
        }
    }

    /// Settling may have finished a lock that nobody looked at.
    fn settled(&mut self, waiter: Waiter, turn: &mut Turn) {
        if turn.facts.whereabouts(&self.place).resting(self.known) == Resting::Locked {
            let _ = self.ask_for_proof(turn);
        }
        turn.answer(waiter, Ok(Answer::Done));
    }

    fn now_open(&mut self, purpose: Purpose, wanted: &Wanted, turn: &mut Turn) {
        self.opened(turn);
        self.usable_now(purpose, wanted, turn);
    }

    fn usable_now(&mut self, purpose: Purpose, wanted: &Wanted, turn: &mut Turn) {
        let asked_to_stay = matches!(wanted.verb, Verb::Activate | Verb::ActivateIfReferenced);
        if asked_to_stay {
            self.failed_deactivations = None;
        }
        match (purpose, wanted.waiter) {
            (Purpose::Reference, Waiter::Call(_)) => self.hand_over(wanted, turn),
            (Purpose::Reference, _) if self.held() == Held::No => self.nobody_holds_it(turn),
            (Purpose::Reference, _) => {}
            (Purpose::Itself | Purpose::Record, waiter) => turn.answer(waiter, Ok(Answer::Done)),
        }
    }

    pub(super) fn refused(&mut self, running: Running, refused: Refused, turn: &mut Turn) -> Fate {
        let mut wait = Duration::ZERO;
        if refused.refusal.is_bad_authentication() && running.wanted.attempt == super::Attempt::Offers {
            let elapsed = Duration::from_micros(turn.now_usec.saturating_sub(running.wanted.asked_usec));
            wait = self.attempts.failed(&running.wanted.trier, turn.now_usec, turn.tuning.grain, elapsed);
        }
        self.failed(running, Failed::Refused(refused), wait, turn)
    }

    pub(super) fn failed(
        &mut self,
        running: Running,
        failed: Failed,
        wait: Duration,
        turn: &mut Turn,
    ) -> Fate {
        let is_waited_for = running.wanted.waiter != Waiter::Nobody;
        let may_begin_again = || running.wanted.snapshots.as_ref().is_some_and(Snapshots::may_begin_again);
        if running.makes_way && running.broke_off && is_waited_for && may_begin_again() {
            // It begins again behind whoever could not wait: strangers who try to get in keep nobody from it.
            self.queue.push_last(Wanted { waited: true, ..running.wanted });
            return Fate::Stays;
        }
        let failed = running.why_it_failed(failed);
        let wanted = running.wanted;
        if running.work == Work::Creating && running.broke_off {
            self.going = Some(Going { untold: Some((wanted.waiter, failed)) });
            return Fate::Stays;
        }
        let failed =
            if running.work == Work::Locking { self.lock_failed(&wanted, failed, turn) } else { failed };
        let told = failed.clone();
        turn.answer_after(wanted.waiter, Err(failed), wait);
        if wanted.is_attempt() && running.phase != Phase::Checking {
            self.save(turn);
        }
        match running.work {
            Work::Creating => return Fate::Goes,
            Work::Deactivating | Work::GivingUp => self.linger(turn),
            Work::Settling => self.settle_later(&told, turn),
            Work::Locking
            | Work::Unlocking(_)
            | Work::Fixating(_)
            | Work::Activating(_)
            | Work::Removing
            | Work::ChangingPassword
            | Work::Updating
            | Work::Checking
            | Work::Repairing
            | Work::Rescuing
            | Work::Resizing
            | Work::Authenticating(_)
            | Work::Snapshotting
            | Work::Tending(_) => {}
        }
        Fate::Stays
    }

    /// Who waits for a lock by name is told in words, too, also where the log alone has the causes otherwise.
    fn lock_failed(&self, wanted: &Wanted, failed: Failed, turn: &mut Turn) -> Failed {
        match failed {
            Failed::Refused(refused) => {
                self.not_locked(wanted.waiter, &refused.sentence, turn);
                Failed::Refused(refused)
            }
            Failed::Fault(chain) => {
                let why = self.broken_lock(&chain, turn);
                self.not_locked(wanted.waiter, &why, turn);
                self.failed_lock(&why)
            }
        }
    }

    /// It could not be deactivated or given up: later again, unless somebody holds it. Once it is unmounted, nothing
    /// of a lock may stay either.
    fn linger(&mut self, turn: &mut Turn) {
        let resting = turn.facts.whereabouts(&self.place).resting(self.known);
        let mounted = matches!(resting, Resting::Active | Resting::Locked);
        if self.held() == Held::Yes || !mounted {
            self.failed_deactivations = None;
            if !mounted {
                self.settle(turn);
            }
            return;
        }
        let failures = self.failed_deactivations.map_or(0, |n| n.saturating_add(1));
        self.failed_deactivations = Some(failures);
        let wait = turn.tuning.retry.saturating_mul(1 << failures.min(8)).min(turn.tuning.retry_longest);
        if has(Rule::Lingers) {
            self.set_timer(TimerKind::Deactivate, wait, turn);
        }
    }
}
