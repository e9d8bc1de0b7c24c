//! What follows from a lock: the proof, and the mending of what was broken off.

use super::effect::{Effect, Failed};
use super::seal::Verdict;
use super::state::{Purpose, Resting, Work};
use super::verdict::Verb;
use super::{Fate, Home, Turn, Wanted};
use crate::job::Care;
use crate::manager::request::Answer;
use std::time::Duration;

/// A worker that locks is killed after this: its own bounds, the longest scrub, and some air.
const LOCKING: Duration = Duration::from_secs(60);
/// A home that could not be settled is settled again after this.
const SETTLING: Duration = Duration::from_secs(1);
/// One that mends or gives up.
const MENDING: Duration = Duration::from_secs(30);

/// How long a worker may take; others have no bound, they show progress.
pub(super) fn bound(work: Work) -> Option<Duration> {
    match work {
        Work::Locking => Some(LOCKING),
        Work::Settling | Work::GivingUp => Some(MENDING),
        Work::Tending(Care::Left) => Some(super::tend::LEAVING),
        _ => None,
    }
}

/// Whether a job of that name ([`super::effect::StartJob::what`]) leaves something to be settled when it is
/// broken off.
pub fn is_lock(what: &str) -> bool {
    [Work::Locking, Work::Unlocking(Purpose::Itself), Work::Settling]
        .iter()
        .any(|work| super::run::what(*work) == what)
}

impl Home {
    /// The worker says that it is locked; the kernel is asked.
    pub(super) fn locked(&mut self, wanted: &Wanted, turn: &mut Turn) {
        let answer = match turn.facts.whereabouts(&self.place).resting(self.known) {
            Resting::Locked => self.proven(turn),
            // Its level is "terminate": nothing is left to be locked.
            _ => Ok(Answer::Done),
        };
        turn.answer(wanted.waiter, answer);
    }

    fn proven(&self, turn: &mut Turn) -> Result<Answer, Failed> {
        match turn.facts.seal(&self.place).verdict() {
            Verdict::Proven => {
                self.log(turn, "locked: the kernel shows no trace of the volume key");
                Ok(Answer::Done)
            }
            Verdict::Unproven(doubts) => {
                self.log(turn, &format!("locked, but not proven: {}", doubts.join("; ")));
                Ok(Answer::Done)
            }
            Verdict::Broken(leaks) => {
                let user = self.user();
                Err(Failed::Fault(format!("locking the home of {user}: {}", leaks.join("; "))))
            }
        }
    }

    /// It could not be settled: soon again, for somebody may be frozen.
    pub(super) fn settle_later(&mut self, turn: &mut Turn) {
        self.unsettled = true;
        self.timer += 1;
        turn.effects.push(Effect::SetTimer(self.user().clone(), self.timer, SETTLING));
    }

    /// Finishes or takes back a lock or unlock that was broken off: nobody stays frozen, and what is locked
    /// stays locked.
    pub fn settle(&mut self, turn: &mut Turn) {
        let wanted = Wanted::by_the_daemon(Verb::Settle, turn.now_usec);
        let Fate::Stays = self.want(wanted, turn) else { return };
    }
}
