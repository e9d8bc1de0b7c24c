//! Timers of one home. What a timer is for is part of it, and its number is given once: one that rings late, or for a
//! home that was removed and made again, is taken for no other.

use super::effect::{Effect, Timer};
use super::without::{Rule, has};
use super::{Home, Turn};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a timer of a home is for. Of each kind at most one counts: the one that was set last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// A deactivation that failed is tried again.
    Deactivate,
    /// A settling that failed is tried again: somebody may be frozen.
    Settle,
    /// The home's space is cared for.
    Tend,
    /// Its user may have been away for long enough.
    Away,
    /// A job for whose end a lock waits had its time.
    Hurry,
    /// A lock has waited for a job for long enough.
    Late,
}

/// A timer of a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HomeTimer {
    /// What it is for.
    pub kind: TimerKind,
    number: u64,
}

/// Those that are set.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<TimerKind, u64>);

impl Timers {
    /// Whether this is the one that counts; it counts no longer.
    fn take(&mut self, timer: HomeTimer) -> bool {
        if !has(Rule::TimerKinds) {
            return self.0.pop_first().is_some();
        }
        let counts = self.0.get(&timer.kind) == Some(&timer.number);
        if counts {
            self.0.remove(&timer.kind);
        }
        counts
    }
}

impl Home {
    /// Rings after a while; a timer of that kind that is set already rings in vain.
    pub(super) fn set_timer(&mut self, kind: TimerKind, after: Duration, turn: &mut Turn) {
        let number = turn.job_id().0;
        self.timers.0.insert(kind, number);
        let timer = Timer::Home(self.user().clone(), HomeTimer { kind, number });
        turn.effects.push(Effect::SetTimer(timer, after));
    }

    /// A timer of that kind, if one is set, rings in vain.
    pub(super) fn stop_timer(&mut self, kind: TimerKind) {
        self.timers.0.remove(&kind);
    }

    /// Whether a timer of that kind is set.
    pub(super) fn is_timed(&self, kind: TimerKind) -> bool {
        self.timers.0.contains_key(&kind)
    }

    /// A timer rang.
    pub fn rang(&mut self, timer: HomeTimer, turn: &mut Turn) {
        if !self.timers.take(timer) {
            return;
        }
        match timer.kind {
            TimerKind::Deactivate if self.failed_deactivations.is_some() => self.nobody_holds_it(turn),
            TimerKind::Deactivate => {}
            TimerKind::Settle => self.settle(turn),
            TimerKind::Tend => self.tend(turn),
            TimerKind::Away => self.alarmed(turn),
            TimerKind::Hurry => self.hurried(turn),
            TimerKind::Late => self.late(turn),
        }
    }
}
