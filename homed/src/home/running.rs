//! The job that runs on a home, and what becomes of who waits for it when nothing is heard of it any more.
//!
//! A worker whose disk, or the server that has its image, gives no answer cannot be ended by anybody as long as that is so, and
//! one that is busy for long (a check of a file system) must not be. It keeps its home, and nobody else with it: whoever waits
//! for it is refused in words, and so is whoever comes, until it is heard again or ends. Locks have a bound of their own, and
//! what the daemon itself wants waits.

use super::attempts::Trier;
use super::effect::{Effect, Failed, JobId};
use super::facts::Facts;
use super::queue::Class;
use super::state::Work;
use super::verdict::{Favour, Situation, Waits};
use super::without::{Rule, has};
use super::{Fate, Home, Turn, Waiter, Wanted};
use records::Refusal;
use records::refusal::Refused;
use std::time::Duration;

/// A worker that has told of no progress for so long is silent. (Trying a key takes seconds at most; the longest steps that are
/// silent by themselves are programs that check or make a file system.)
pub const SILENCE: Duration = Duration::from_secs(60);

/// A job, from the moment it is decided on.
pub(super) struct Running {
    pub id: JobId,
    pub work: Work,
    pub wanted: Wanted,
    /// Somebody waits who is not to wait: the worker was told to stop.
    pub makes_way: bool,
    /// Its worker ended without an outcome.
    pub broke_off: bool,
    /// Nothing is heard of its worker any more, which was at this step.
    pub silent: Option<String>,
    pub phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A question is out; nothing has been done yet.
    Checking,
    /// The worker runs.
    Working,
    /// It waits for a person at a token, and has nothing of the home open.
    Asking,
    /// The worker is past its point of no return.
    Committed,
    /// The worker is being ended: somebody wants the home.
    Ending,
    /// The worker has locked the home and has ended; what the kernel shows is being looked at.
    Proving,
}

impl Running {
    /// A question is out, or the worker is about to start.
    pub fn checking(id: JobId, work: Work, wanted: Wanted) -> Self {
        let (makes_way, broke_off) = (false, false);
        Self { id, work, wanted, makes_way, broke_off, silent: None, phase: Phase::Checking }
    }

    /// In whose favour it runs, for who wants the home meanwhile. Whoever tries to get in from somewhere else has not shown yet
    /// that they may (most who try over the network are nobody): for that nobody is refused, they wait for the answer.
    fn favour_beside(&self, asks: &Trier) -> Favour {
        let gets_in = matches!(
            self.work,
            Work::Fixating(_) | Work::Activating(_) | Work::Authenticating(_) | Work::Unlocking(_)
        );
        let is_a_guess = gets_in && self.wanted.is_attempt() && self.wanted.trier.origin != asks.origin;
        if is_a_guess && has(Rule::GuessesKeepNobodyOut) { Favour::Stranger } else { self.wanted.favour() }
    }

    /// What its caller is told, who may have had to make way.
    pub fn why_it_failed(&self, failed: Failed) -> Failed {
        match self.phase {
            Phase::Ending => super::look::broken_off(),
            Phase::Asking if self.makes_way && self.broke_off => super::urgent::left(),
            Phase::Working if self.makes_way && self.broke_off => super::urgent::made_way(self.work),
            Phase::Checking | Phase::Working | Phase::Asking | Phase::Committed | Phase::Proving => failed,
        }
    }

    /// At which step it hangs, for all that is heard; `None`: it works, waits for a person, or is about to end.
    pub fn hangs_at(&self) -> Option<&str> {
        let works = matches!(self.phase, Phase::Working | Phase::Committed) && !self.makes_way;
        self.silent.as_deref().filter(|_| works)
    }

    /// Why nobody should wait for it.
    fn why_not_to_wait(&self) -> Option<Refused> {
        let step = self.hangs_at().filter(|_| has(Rule::NobodyWaitsInSilence))?;
        let sentence = format!(
            "The home is busy: {} (\u{201c}{step}\u{201d}), and nothing was heard of that for {} s. It checks much, or its disk, or the \
             server that its image lies on, gives no answer. It goes on by itself; this call has changed nothing. Try again \
             later; \u{201c}journalctl -k\u{201d} tells of disks.",
            self.work.words(),
            SILENCE.as_secs()
        );
        Some(Refused::new(Refusal::HomeBusy, sentence))
    }
}

impl Home {
    /// The situation, for who wants something.
    pub(super) fn situation(&self, asks: &Trier, facts: &dyn Facts) -> Situation {
        let favour = self.running.as_ref().map_or(Favour::Owner, |running| running.favour_beside(asks));
        let waits = match &self.running {
            Some(running) if running.phase == Phase::Asking && asks.favour <= running.wanted.favour() => {
                Waits::ForPerson
            }
            Some(_) | None => Waits::No,
        };
        Situation { state: self.state(facts), held: self.held(), favour, waits }
    }

    /// Nothing is heard of the worker any more, which was at this step; `None`: it is heard again.
    pub fn silent(&mut self, id: JobId, step: Option<String>, turn: &mut Turn) -> Fate {
        let Some(running) = self.running.as_mut().filter(|running| running.id == id) else {
            return Fate::Stays;
        };
        running.silent = step;
        let Some(why) = running.why_not_to_wait() else { return Fate::Stays };
        self.log(turn, &why.sentence);
        for wanted in self.queue.take_calls() {
            turn.answer(wanted.waiter, Err(Failed::Refused(why.clone())));
        }
        Fate::Stays
    }

    /// Somebody has just got in, and has no process in it yet that would keep it open: who wanted it closed before that is told
    /// that it is busy. What closes all homes, and what closes one without anybody's word, stays.
    pub(super) fn newcomers_stay(&mut self, turn: &mut Turn) {
        if !has(Rule::NewcomersStay) {
            return;
        }
        for wanted in self.queue.take_closings() {
            turn.answer(wanted.waiter, Err(Failed::Refused(self.somebody_came())));
        }
    }

    /// The same of what was taken out of the queue, to be looked at.
    pub(super) fn closes_on_newcomers(&self, wanted: &Wanted, turn: &Turn) -> Option<Refused> {
        let is_theirs =
            |effect: &Effect| matches!(effect, Effect::HandOver(_, user, _) if user == self.user());
        let came = wanted.closes_by_name() && turn.effects.iter().any(is_theirs);
        (came && has(Rule::NewcomersStay)).then(|| self.somebody_came())
    }

    fn somebody_came(&self) -> Refused {
        let sentence = format!(
            "Somebody has got into the home of {} meanwhile: it stays open, and is as it was. Try again when nobody uses it any more.",
            self.user()
        );
        Refused::new(Refusal::HomeBusy, sentence)
    }

    /// Whether something runs that this may wait for.
    pub(super) fn works_for(&self, wanted: &Wanted) -> bool {
        self.running.is_some() && self.not_to_wait(wanted).is_none()
    }

    /// Why this is not to wait for the job that runs.
    pub(super) fn not_to_wait(&self, wanted: &Wanted) -> Option<Refused> {
        let waits = matches!(wanted.waiter, Waiter::Call(_)) && wanted.class() != Class::Urgent;
        self.running.as_ref().filter(|_| waits)?.why_not_to_wait()
    }
}
