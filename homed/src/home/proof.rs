//! The proof of a lock: what the kernel shows is asked for away from the loop, and kept.
//!
//! ```text
//! the worker says "locked" ─→ asked ─→ seen, or nobody could tell in time ─→ judged, answered
//! ```
//!
//! The home counts as being locked meanwhile. A daemon that starts and finds a home locked asks as well.

use super::effect::{Effect, JobId};
use super::rules::Proof;
use super::run::{Phase, Running};
use super::state::{Resting, Work};
use super::verdict::Verb;
use super::{Fate, Home, Turn, Wanted};
use crate::words::request::Answer;
use crate::words::seal::{Conclusion, Seal};

impl Home {
    /// The worker says that it is locked: what the kernel shows is asked for.
    pub(super) fn prove(&mut self, mut running: Running, turn: &mut Turn) {
        match turn.facts.whereabouts(&self.place).resting(self.known) {
            Resting::Locked | Resting::Open => {
                running.phase = Phase::Proving;
                running.id = self.ask_for_proof(turn);
                self.running = Some(running);
            }
            Resting::Active => self.judged_lock(&running.wanted, Err("it is still open".to_owned()), turn),
            // Its level is "terminate": nothing is left to be locked.
            Resting::Unfixated | Resting::Absent | Resting::Inactive | Resting::Dirty => {
                self.log(turn, &format!("{}: closed, nothing of it is open any more", self.user()));
                self.judged_lock(&running.wanted, Ok(()), turn);
            }
        }
    }

    /// Has it looked for the key of a home that is locked.
    pub fn ask_for_proof(&mut self, turn: &mut Turn) -> JobId {
        let id = turn.job_id();
        (self.asked_for_proof, self.seal) = (Some(id), None);
        turn.effects.push(Effect::Prove(id, Box::new(self.place.clone())));
        id
    }

    /// Whether it is locked, and that counts only if the kernel is asked once more: what was seen is not enough, or nothing was
    /// seen yet. A second order to lock it is no better an answer to the first.
    pub(super) fn is_to_be_proven(&self, verb: Verb, turn: &Turn) -> bool {
        let is_locked = || self.running.is_none() && self.state(turn.facts).resting == Resting::Locked;
        let is_enough =
            || self.seal.as_ref().is_some_and(|seal| enough(&seal.conclusion(), turn.rules.proof).is_ok());
        verb == Verb::LockAll && is_locked() && !is_enough()
    }

    /// Has a home that is locked proven again, for whoever wants it locked.
    pub(super) fn prove_anew(&mut self, wanted: Wanted, turn: &mut Turn) {
        let id = self.ask_for_proof(turn);
        let running = Running::checking(id, Work::Locking, wanted);
        self.running = Some(Running { phase: Phase::Proving, ..running });
        self.changed(turn);
    }

    /// What is to be seen; `None`: nobody could tell in time.
    pub fn proven(&mut self, id: JobId, seal: Option<Seal>, turn: &mut Turn) -> Fate {
        if self.asked_for_proof.take_if(|asked| *asked == id).is_none() {
            return Fate::Stays;
        }
        self.seal = Some(seal.unwrap_or_else(|| Seal::unseen("nobody could tell in time")));
        let proves = |running: &mut Running| running.id == id && running.phase == Phase::Proving;
        if let Some(running) = self.running.take_if(proves) {
            let judged = self.judge_proof(turn);
            self.judged_lock(&running.wanted, judged, turn);
            self.changed(turn);
            return self.run_queue(turn);
        }
        self.changed(turn);
        Fate::Stays
    }

    /// What was seen after the lock that holds.
    pub(super) fn seal_shown(&self) -> Option<&Seal> {
        let under_way = self.running.as_ref().is_some_and(|running| running.work == Work::Locking);
        self.seal.as_ref().filter(|_| !under_way)
    }

    fn judged_lock(&mut self, wanted: &Wanted, judged: Result<(), String>, turn: &mut Turn) {
        match judged {
            Ok(()) => turn.answer(wanted.waiter, Ok(Answer::Done)),
            Err(why) => {
                self.log(turn, &format!("{}: the lock is not good enough: {why}", self.user()));
                self.not_locked(wanted.waiter, &why, turn);
                turn.answer(wanted.waiter, Err(self.failed_lock(&why)));
            }
        }
    }

    /// Whether what the kernel shows is enough.
    fn judge_proof(&mut self, turn: &mut Turn) -> Result<(), String> {
        let Some(verdict) = self.seal.as_ref().map(Seal::conclusion) else { return Ok(()) };
        self.last_lock = Some((turn.now_usec, verdict.clone()));
        match &verdict {
            Conclusion::Proven => self.log(turn, "locked: the kernel shows no trace of the volume key"),
            Conclusion::Unproven(doubts) => {
                self.log(turn, &format!("locked, but not proven: {}", doubts.join("; ")));
            }
            // It is told as a lock that has failed.
            Conclusion::Broken(_) => {}
        }
        enough(&verdict, turn.rules.proof)
    }
}

/// Whether what follows from what was seen is enough, or why not.
fn enough(conclusion: &Conclusion, proof: Proof) -> Result<(), String> {
    match (conclusion, proof) {
        (Conclusion::Proven, _) | (Conclusion::Unproven(_), Proof::Wanted) => Ok(()),
        (Conclusion::Unproven(doubts), Proof::Required) => {
            Err(format!("not proven, as LockProof=required wants it: {}", doubts.join("; ")))
        }
        (Conclusion::Broken(leaks), _) => Err(leaks.join("; ")),
    }
}
