//! A home that could not be put in order after something was broken off: when that is tried again, and what is told
//! meanwhile.

use super::effect::{Failed, Interrupted};
use super::facts::Mount;
use super::queue::Class;
use super::verdict::{Held, Verb};
use super::without::{Rule, has};
use super::{Home, TimerKind, Turn, Waiter, Wanted};
use records::Refusal;
use records::refusal::Refused;
use std::time::Duration;

/// It is tried again after this, then after twice as long, and so on,
const FIRST: Duration = Duration::from_secs(1);
/// … but no later than after this.
const LONGEST: Duration = Duration::from_secs(60);
/// After so many failures nobody waits for it any more: that is half a minute.
const PATIENCE: u32 = 5;

/// Settling that has failed.
#[derive(Debug)]
pub(super) struct Unsettled {
    failures: u32,
    /// What stood in the way the last time, for the owner.
    why: String,
}

impl Unsettled {
    fn wait(&self) -> Duration {
        FIRST.saturating_mul(1 << self.failures.saturating_sub(1).min(8)).min(LONGEST)
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.failures > PATIENCE
    }
}

impl Home {
    /// It could not be settled: soon again, for somebody may be frozen. Whoever waits for it is told, sooner or later.
    pub(super) fn settle_later(&mut self, failed: &Failed, turn: &mut Turn) {
        let (why, said) = match failed {
            Failed::Refused(refused) => (refused.sentence.clone(), refused.sentence.clone()),
            Failed::Fault(chain) => ("the log says what (journalctl -u homed)".to_owned(), chain.clone()),
        };
        let failures = self.unsettled.as_ref().map_or(0, |unsettled| unsettled.failures).saturating_add(1);
        let unsettled = Unsettled { failures, why };
        let wait = unsettled.wait();
        let advice = if unsettled.is_stuck() { self.way_out() } else { String::new() };
        let text = format!(
            "{}: what was broken off could not be put in order ({failures} times by now), next try in {} s: {said}{advice}",
            self.user(),
            wait.as_secs()
        );
        self.unsettled = Some(unsettled);
        self.log(turn, &text);
        if has(Rule::SettlesAgain) {
            self.set_timer(TimerKind::Settle, wait, turn);
        }
        self.answer_who_waits(turn);
    }

    /// Whether it is tried again to settle it.
    pub fn is_to_be_settled(&self) -> bool {
        self.is_timed(TimerKind::Settle) || self.queue.wants(Verb::Settle)
    }

    /// It is in order, or a lock has brought it there: whether it has, is seen soon.
    pub(super) fn is_settled(&mut self, turn: &mut Turn) {
        self.unsettled = None;
        if self.is_timed(TimerKind::Settle) {
            self.set_timer(TimerKind::Settle, FIRST, turn);
        }
    }

    /// Why what is wanted neither starts nor waits; `None`: it may wait.
    pub(super) fn stuck(&self) -> Option<Refused> {
        let unsettled = self.unsettled.as_ref().filter(|unsettled| unsettled.is_stuck())?;
        let sentence = format!(
            "The home cannot be used yet: something that was broken off could not be put in order. In the way: {} It is \
             tried again every minute.{}",
            ended(&unsettled.why),
            self.way_out()
        );
        Some(Refused::new(Refusal::HomeBusy, sentence))
    }

    /// What an administrator can do, as the end of a sentence.
    fn way_out(&self) -> String {
        format!(
            " To try now, as root: homectl lock {}, then log in again. If that fails as well, restart the machine: what was \
             written is on disk.",
            self.user()
        )
    }

    /// (What the daemon itself wants, as closing the home of a holder who has gone, waits on: nobody else would want it again.)
    fn answer_who_waits(&mut self, turn: &mut Turn) {
        let Some(refused) = self.stuck() else { return };
        let waiting: Vec<Wanted> = self.queue.take().into();
        for wanted in waiting {
            let goes_on = wanted.class() == Class::Urgent || wanted.waiter == Waiter::Nobody;
            match goes_on {
                // Nothing was taken in since it was taken out: there is room for it.
                true => drop(self.queue.push(wanted)),
                false => turn.answer(wanted.waiter, Err(Failed::Refused(refused.clone()))),
            }
        }
    }
}

impl Home {
    /// Takes up what a daemon before this one has left of it.
    pub fn goes_on(&mut self, interrupted: Interrupted, turn: &mut Turn) {
        let mounted = turn.facts.whereabouts(self.place()).mount.is_there();
        if matches!(interrupted, Interrupted::Job | Interrupted::Close) {
            let text = "a job was interrupted; what is left of it is cleaned up at the next use";
            self.log(turn, text);
        }
        if turn.facts.whereabouts(self.place()).mount == Mount::Suspended {
            let _ = self.ask_for_proof(turn);
        }
        if mounted {
            self.tend_after(turn.tuning.tend_first, turn);
        }
        let is_left_open = turn.facts.whereabouts(self.place()).mount == Mount::Open;
        // A worker that was killed with the daemon may have left devices: they are seen to before anything starts.
        if is_left_open || !matches!(interrupted, Interrupted::No | Interrupted::HolderGone) {
            self.settle(turn);
        }
        if interrupted == Interrupted::Resize {
            self.settle_size(turn);
        }
        let left = matches!(interrupted, Interrupted::Job | Interrupted::Close | Interrupted::HolderGone);
        if left && self.held() == Held::No {
            self.nobody_holds_it(turn);
        }
    }
}

fn ended(sentence: &str) -> String {
    if sentence.ends_with('.') { sentence.to_owned() } else { format!("{sentence}.") }
}
