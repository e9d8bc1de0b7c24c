//! When the space of a home is cared for: after it was opened, from time to time, and when its last holder has gone.
//! Never when somebody waits, and never on the way down.

use super::state::{Resting, Work};
use super::verdict::Verb;
use super::{Fate, Home, Sleep, Turn, Waiter, Wanted};
use crate::job::{Care, Outcome};
use crate::words::request::Answer;
use std::time::Duration;

/// A home whose last holder has gone is closed after that long, whatever is still being given back.
pub(super) const LEAVING: Duration = Duration::from_secs(2);

/// Every how many times unused blocks are given back while a home is open: a minute after the login, then every 4 h.
const THOROUGH: u32 = 16;

/// What is remembered of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tending {
    /// How often it was cared for since it was opened.
    times: u32,
    /// Whether it was cared for since the last holder has gone.
    pub left: Left,
}

/// Whether a home was cared for since the last holder has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Left {
    /// It was not, or somebody holds it.
    #[default]
    No,
    /// It was: now it is closed.
    Yes,
}

/// Whether a job of that name leaves nothing behind when it is broken off.
pub fn is_tending(what: &str) -> bool {
    [Work::Tending(Care::InUse), Work::Snapshotting].iter().any(|work| super::run::what(*work) == what)
}

impl Home {
    /// Cares for its space after a while.
    pub fn tend_after(&mut self, wait: Duration, turn: &mut Turn) {
        self.set_timer(super::TimerKind::Tend, wait, turn);
    }

    /// Whether its space needs care.
    fn is_tended(&self, turn: &Turn) -> bool {
        turn.facts.parts(self.place()).is_some_and(|parts| parts.tends)
    }

    /// Whether it is long enough open to be given another size: what starts with a session has started.
    pub fn may_be_resized(&self) -> bool {
        self.tending.times > 1
    }

    /// Cares for its space now, and again later as long as it is open.
    pub(super) fn tend(&mut self, turn: &mut Turn) {
        let resting = turn.facts.whereabouts(self.place()).resting(self.known());
        if !matches!(resting, Resting::Active | Resting::Locked) || !self.is_tended(turn) {
            return;
        }
        let first = self.tending.times == 0;
        self.tending.times = self.tending.times.saturating_add(1);
        self.tend_after(if first { turn.tuning.tend_second } else { turn.tuning.tend_again }, turn);
        let wanted = Wanted::by_the_daemon(Verb::Tend, turn.now_usec);
        let Fate::Stays = self.want(wanted, turn) else { return };
    }

    /// What is done in the place of `work`: a home that everybody has left gives back what it does not use before it
    /// is closed. Who closes it by name, or with all others, does not wait for that.
    pub(super) fn before(&self, work: Work, (verb, waiter): (Verb, Waiter), turn: &Turn) -> Work {
        let settings = self.record().on(turn.machine);
        let gives_back = matches!(verb, Verb::Release | Verb::HolderGone)
            && self.tending.left == Left::No
            && self.is_tended(turn)
            && settings.effective_luks_offline_discard();
        // Giving back takes its time where much is free in many pieces.
        let thorough = waiter != Waiter::Nobody || self.tending.times % THOROUGH == 2;
        match work {
            // Nothing is started for it while the machine is going to sleep.
            Work::Deactivating if turn.sleep == Sleep::Holding => Work::Deactivating,
            Work::Deactivating if gives_back => Work::Tending(Care::Left),
            Work::Tending(Care::InUse) if thorough => Work::Tending(Care::Thorough),
            other => other,
        }
    }

    /// It was cared for, as far as nobody wanted anything else. Whoever wants it closed comes after them.
    pub(super) fn tended(&mut self, care: Care, wanted: Wanted, outcome: Outcome, turn: &mut Turn) {
        if let Outcome::Done { warnings, .. } = outcome {
            warnings.iter().for_each(|warning| self.log(turn, warning));
        }
        match care {
            Care::InUse | Care::Thorough => turn.answer(wanted.waiter, Ok(Answer::Done)),
            Care::Left => {
                self.tending.left = Left::Yes;
                self.queue.push_last(wanted);
            }
        }
    }

    /// It was opened.
    pub(super) fn opened(&mut self, turn: &mut Turn) {
        (self.tending.left, self.tending.times) = (Left::No, 0);
        self.tend_after(turn.tuning.tend_first, turn);
    }
}
