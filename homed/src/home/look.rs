//! Checks and repairs: what they meet, and what follows from their end.

use super::effect::{Effect, Failed};
use super::facts::{Mount, Storage};
use super::run::{Phase, Running};
use super::state::{Resting, Work};
use super::verdict::Verb;
use super::{Attempt, Fate, Home, Turn};
use crate::job::Seen;
use crate::words::request::Answer;
use records::Refusal;
use records::health::Report;
use records::refusal::Refused;
use serde_json::Value;

/// Whether a job of that name ([`super::effect::StartJob::what`]) leaves the home where it rests, so that
/// nothing follows when it is broken off.
pub fn is_look(what: &str) -> bool {
    [Work::Checking, Work::Updating].iter().any(|work| super::run::what(*work) == what)
}

/// What such a request is as an attempt. A check, a repair, an update and a resize go without credentials, where none are
/// offered.
pub fn tries(verb: Verb, offered: bool) -> Attempt {
    match (verb.is_attempt(), offered) {
        (false, _) => Attempt::No,
        (true, true) => Attempt::Offers,
        (true, false) if matches!(verb, Verb::Check | Verb::Repair | Verb::Update | Verb::Resize) => {
            Attempt::No
        }
        (true, false) => Attempt::Asks,
    }
}

pub(super) fn seen(resting: Resting) -> Seen {
    match resting {
        Resting::Unfixated | Resting::Absent | Resting::Inactive | Resting::Dirty | Resting::Open => {
            Seen::Closed
        }
        Resting::Active => Seen::Open,
        Resting::Locked => Seen::Locked,
    }
}

/// What the caller of a check is told that gave way.
pub(super) fn broken_off() -> Failed {
    let sentence = "The check was broken off, for somebody wants the home; nothing was changed.";
    Failed::Refused(Refused::new(Refusal::HomeBusy, sentence))
}

impl Home {
    /// Why work on storage that gives no answer is not begun: the worker would hang, and whoever comes next with it.
    pub(super) fn unanswered(&self, work: Work, turn: &Turn) -> Option<Refused> {
        // A new home's place was never looked at, and settling asks the kernel.
        if matches!(work, Work::Creating | Work::Settling) {
            return None;
        }
        let found = turn.facts.whereabouts(&self.place);
        let hangs = found.mount == Mount::None && found.storage == Storage::Unanswered;
        let sentence = format!(
            "The file system that the home lies on ({}) gives no answer; nothing was changed. Try again when it does. \
             findmnt lists what is mounted, and umount --lazy lets go of what is gone for good.",
            self.place.image
        );
        hangs.then(|| Refused::new(Refusal::HomeAbsent, sentence))
    }

    /// Somebody wants the home: a check that runs is broken off, so that nobody waits for it.
    pub(super) fn break_off_look(&mut self, turn: &mut Turn) {
        if let Some(running) = &mut self.running
            && running.work == Work::Checking
            && running.phase == Phase::Working
        {
            running.phase = Phase::Ending;
            turn.effects.push(Effect::Stop(running.id));
        }
    }

    pub(super) fn looked_at(
        &mut self,
        running: Running,
        report: Report,
        record: Option<Value>,
        turn: &mut Turn,
    ) -> Fate {
        if let Some(value) = record {
            self.take_record(value, turn);
        }
        let wanted = running.wanted;
        if wanted.is_attempt() {
            self.attempts.succeeded(&wanted.trier, turn.now_usec);
            self.save(turn);
        }
        turn.answer(wanted.waiter, Ok(Answer::Report(Box::new(report))));
        Fate::Stays
    }
}
