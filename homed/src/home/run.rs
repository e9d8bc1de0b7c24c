//! One job of one home, from the check before it to what follows from its end.
//!
//! ```text
//! start ─→ checking (names, UID, password quality) ─→ working ─→ ended ─→ queue
//!             └── refused ──────────────────────────────────────────┘
//! ```

use super::belief::Believed;
use super::effect::{Check, Effect, Failed, Findings, JobId, Quality, StartJob};
use super::state::Work;
use super::task::Chosen;
use super::update::new_passwords;
use super::verdict::Verb;
use super::{Attempt, Fate, Home, Turn, Waiter, Wanted};
use crate::job::{Job, Known, Outcome, Remember, Size};
use crate::words::request::Answer;
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, Sections};
use serde_json::{Map, Value};
use std::time::Duration;

pub(super) use super::running::{Phase, Running};

impl Home {
    pub(super) fn start(&mut self, work: Work, mut wanted: Wanted, turn: &mut Turn) {
        if !wanted.counted
            && let Err(wait) = self.count(&wanted, turn.now_usec)
        {
            return turn.answer(wanted.waiter, Err(limit_hit(wait)));
        }
        wanted.counted = wanted.is_attempt();
        let id = turn.job_id();
        let check = self.check_before(work, &wanted, id, turn);
        self.running = Some(Running::checking(id, work, wanted));
        self.presence.begins(work);
        self.changed(turn);
        let Some(check) = check else { return self.work(self.uid, turn) };
        turn.effects.push(Effect::Check(Box::new(check)));
    }

    /// Counts what is wanted, or says how long to wait.
    fn count(&mut self, wanted: &Wanted, now_usec: u64) -> Result<(), Duration> {
        match wanted.attempt {
            Attempt::No => Ok(()),
            Attempt::Asks => self.attempts.ask(&wanted.trier, now_usec),
            Attempt::Offers => self.attempts.take(&wanted.trier, now_usec),
        }
    }

    /// What must be looked up first, if anything.
    pub(super) fn check_before(&self, work: Work, wanted: &Wanted, id: JobId, turn: &Turn) -> Option<Check> {
        // A new home has none yet, whatever was chosen for it.
        let keeps = self.bound_uid.filter(|_| work != Work::Creating);
        let check =
            |names, uids, quality| Check { user: self.user().clone(), id, names, uids, keeps, quality };
        match work {
            Work::Activating(_) | Work::Fixating(_) => {
                Some(check(Vec::new(), self.uid_candidates(work, turn), None))
            }
            Work::Creating => {
                let quality =
                    self.judged(&new_passwords(&wanted.offer.credentials, &self.record()), None, turn);
                let (names, quality) = wanted.of_an_account(self.user(), self.names(), quality);
                Some(check(names, self.uid_candidates(work, turn), quality))
            }
            Work::ChangingPassword => {
                let new = wanted.new.as_ref().filter(|new| !new.is_empty())?;
                let quality = self.judged(new, Some(&wanted.offer.credentials), turn)?;
                Some(check(Vec::new(), Vec::new(), Some(quality)))
            }
            Work::Updating => self.check_before_update(wanted, id, turn),
            Work::Authenticating(_)
            | Work::Checking
            | Work::Repairing
            | Work::Rescuing
            | Work::Deactivating
            | Work::Removing
            | Work::Resizing
            | Work::Locking
            | Work::Unlocking(_)
            | Work::Settling
            | Work::GivingUp
            | Work::Snapshotting
            | Work::Tending(_) => None,
        }
    }

    pub(super) fn judged(
        &self,
        new: &Credentials,
        old: Option<&Credentials>,
        turn: &Turn,
    ) -> Option<Quality> {
        if self.record().on(turn.machine).enforce_password_policy == Some(false) {
            return None;
        }
        Some(Quality { new: new.duplicate(), old: old.map(Credentials::duplicate) })
    }

    /// The check came back.
    pub fn checked(&mut self, id: JobId, findings: Findings, turn: &mut Turn) -> Fate {
        let Some(running) = self.running.as_ref().filter(|r| r.id == id && r.phase == Phase::Checking) else {
            return Fate::Stays;
        };
        let wants_uid = matches!(running.work, Work::Activating(_) | Work::Fixating(_) | Work::Creating);
        let refused = if let Some(name) = findings.taken {
            Refused::new(Refusal::UserNameExists, format!("A user or group called {name} exists already."))
        } else if let Some(why) = findings.weak {
            Refused::new(Refusal::LowPasswordQuality, why)
        } else {
            match findings.uid.or((!wants_uid).then_some(self.uid)) {
                Some(_) if self.queue.is_urgent() && running.work.steps_back() => {
                    return self.steps_back(turn);
                }
                Some(uid) if self.has_lost(uid, turn) => return self.checks_again(turn),
                Some(uid) => {
                    self.work(uid, turn);
                    return Fate::Stays;
                }
                None => Refused::new(
                    Refusal::UidInUse,
                    format!("UID {} belongs to somebody else, and no other may be taken.", self.uid),
                ),
            }
        };
        self.ended(id, Outcome::Refused(refused), turn)
    }

    fn work(&mut self, uid: u32, turn: &mut Turn) {
        let (resting, known) = (turn.facts.whereabouts(&self.place).resting(self.known), self.known);
        self.uid = uid;
        let (record, host) = self.for_the_worker(turn);
        let level = record.on(turn.machine).lock_level.unwrap_or(turn.lock_level);
        let user = self.user().clone();
        let asked = self.running.as_ref().and_then(|running| running.wanted.size);
        // What cannot be meant was refused before.
        let (size, remember) = self.size_asked(asked, turn.machine).unwrap_or((Size::AsIs, Remember::No));
        let Some(running) = &mut self.running else { return };
        running.phase = Phase::Working;
        let task =
            running.task(Chosen { uid, known, level, size, remember, resting, overcommit: turn.overcommit });
        let job = Job {
            home: record.full_name().clone(),
            machine: turn.machine.clone(),
            record,
            host,
            strangers: super::belief::strangers_at(&self.place.image, self.known, turn.strangers),
            removal: turn.removal,
            credentials: std::mem::take(&mut running.wanted.offer.credentials),
            task,
        };
        let progress = running.wanted.offer.progress.take();
        let bound = super::lock::bound(running.work, level);
        let start = StartJob { id: running.id, user, what: what(running.work), job, progress, bound };
        turn.effects.push(Effect::Start(Box::new(start)));
    }

    /// The worker is past its point of no return.
    pub fn committed(&mut self, id: JobId) -> Fate {
        if let Some(running) = self.running.as_mut().filter(|r| r.id == id) {
            (running.phase, running.silent) = (Phase::Committed, None);
        }
        Fate::Stays
    }

    /// The caller of the running job has gone.
    pub(super) fn abandon_running(&mut self, turn: &mut Turn) -> Fate {
        let Some(running) = &mut self.running else { return Fate::Stays };
        running.wanted.waiter = Waiter::Nobody;
        let (id, phase, work) = (running.id, running.phase, running.work);
        match (phase, work) {
            (Phase::Checking, _) => {
                let gone = Refused::new(Refusal::HomeBusy, "The caller has gone; nothing was started.");
                self.ended(id, Outcome::Refused(gone), turn)
            }
            (Phase::Working, Work::Creating | Work::Checking | Work::Resizing) => {
                turn.effects.push(Effect::Stop(id));
                Fate::Stays
            }
            (Phase::Asking, _) => {
                self.make_way(turn);
                Fate::Stays
            }
            (Phase::Working | Phase::Committed | Phase::Ending | Phase::Proving, _) => Fate::Stays,
        }
    }

    /// The job has ended, with whatever follows.
    pub fn ended(&mut self, id: JobId, outcome: Outcome, turn: &mut Turn) -> Fate {
        let Some(mut running) =
            self.running.take_if(|running| running.id == id && running.phase != Phase::Proving)
        else {
            return Fate::Stays;
        };
        if let Work::Tending(care) = running.work {
            self.tended(care, running.wanted, outcome, turn);
            return self.run_queue(turn);
        }
        let work = running.work;
        running.broke_off = matches!(outcome, Outcome::Stopped | Outcome::Fault { .. });
        let broke_off = running.broke_off;
        let well = matches!(outcome, Outcome::Done { .. });
        let fate = match outcome {
            Outcome::Done { record, warnings } => {
                self.log_all(warnings, turn);
                self.done(running, record, turn)
            }
            Outcome::Checked { report, record, warnings } => {
                self.log_all(warnings, turn);
                self.looked_at(running, report, record, turn)
            }
            Outcome::Told { report, warnings } => {
                self.log_all(warnings, turn);
                turn.answer(running.wanted.waiter, Ok(Answer::Told(Box::new(report))));
                Fate::Stays
            }
            Outcome::Refused(refused) => self.refused(running, refused, turn),
            Outcome::Stopped => {
                let stopped = Failed::Fault("the worker was stopped".into());
                self.failed(running, stopped, Duration::ZERO, turn)
            }
            Outcome::Fault { chain } => self.failed(running, Failed::Fault(chain), Duration::ZERO, turn),
        };
        if fate == Fate::Stays && broke_off {
            self.clean_up_after(work, turn);
        }
        let fate = if fate == Fate::Stays { self.goes(work, well, turn) } else { fate };
        if fate == Fate::Stays {
            self.changed(turn);
            return self.run_queue(turn);
        }
        fate
    }

    /// The worker's record becomes the host's.
    pub(super) fn take_record(&mut self, value: Value, turn: &mut Turn) {
        match Record::from_value(value, Sections::HOST) {
            Ok(record) if record.user() == self.user() => self.set_record(record, turn),
            Ok(_) => self.log(turn, "the worker gave a record of another user; it is not taken"),
            Err(error) => self.log(turn, &format!("the worker gave a record that is not valid: {error}")),
        }
    }

    /// The record was signed when it was written. A worker that runs brings a newer one.
    pub fn signed(&mut self, record: Record, turn: &mut Turn) {
        if self.running.is_none() {
            self.set_record(record, turn);
            self.changed(turn);
        }
    }

    fn set_record(&mut self, record: Record, turn: &mut Turn) {
        self.known = Known::Yes;
        self.signed_locally = turn.facts.signed_locally(&record);
        self.record = Believed::judged(record, self.signed_locally, turn);
        let record = self.record.record();
        self.place = super::facts::Place::of(&record, turn.machine);
        self.attempts.follow(&record, turn.machine);
        let bound = crate::words::uids::bound(&record, turn.machine);
        self.follow_binding(bound, turn);
    }

    pub(super) fn save(&self, turn: &mut Turn) {
        if self.known == Known::Yes {
            let host = self.with_counters(self.record.host(), turn);
            turn.effects.push(Effect::Save(Box::new(host)));
        }
    }

    /// What is believed of the record, and what is on disk where that is more.
    fn for_the_worker(&self, turn: &Turn) -> (Record, Option<Record>) {
        let host = self.is_restricted().then(|| self.with_counters(self.record.host(), turn));
        (self.with_counters(self.record(), turn), host)
    }

    fn with_counters(&self, record: Record, turn: &Turn) -> Record {
        let counters: Map<String, Value> = self.attempts.status();
        if counters.is_empty() {
            return record;
        }
        record.with_status(&turn.machine.id, counters)
    }

    /// It is taken out: whoever waits for it hears so.
    pub fn refuse_queue(&mut self, turn: &mut Turn) {
        for wanted in self.queue.take() {
            let answer = match wanted.verb {
                Verb::Release | Verb::DeactivateAll | Verb::Tend => Ok(Answer::Done),
                _ => Err(Refusal::NoSuchHome.into()),
            };
            turn.answer(wanted.waiter, answer);
        }
    }

    fn log_all(&self, texts: Vec<String>, turn: &mut Turn) {
        texts.iter().for_each(|text| self.log(turn, text));
    }

    pub(super) fn log(&self, turn: &mut Turn, text: &str) {
        turn.effects.push(Effect::Log(self.user().clone(), text.to_owned()));
    }

    /// Whether something runs on it, or waits to.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || !self.queue.is_empty()
    }

    /// Whether the home is being made and nothing of it may be shown yet.
    pub fn is_being_checked(&self) -> bool {
        self.running.as_ref().is_some_and(|r| r.work == Work::Creating && r.phase == Phase::Checking)
    }

    /// Names nobody else may have.
    pub fn names(&self) -> Vec<String> {
        self.record.names().to_vec()
    }
}

pub(super) fn what(work: Work) -> &'static str {
    match work {
        Work::Fixating(_) => "fixate",
        Work::Activating(_) => "activate",
        Work::Deactivating => "deactivate",
        Work::Creating => "create",
        Work::Removing => "remove",
        Work::ChangingPassword => "passwd",
        Work::Updating => "update",
        Work::Checking => "check",
        Work::Repairing => "repair",
        Work::Rescuing => "rescue",
        Work::Resizing => "resize",
        Work::Authenticating(_) => "authenticate",
        Work::Locking => "lock",
        Work::Unlocking(_) => "unlock",
        Work::Settling => "settle",
        Work::GivingUp => "give up",
        Work::Snapshotting => "snapshot",
        Work::Tending(_) => "tend",
    }
}

fn limit_hit(wait: Duration) -> Failed {
    let seconds = wait.as_secs().saturating_add(1);
    Failed::Refused(Refused::new(
        Refusal::AuthenticationLimitHit,
        format!("Too many attempts: try again in {seconds} s. Nothing was changed."),
    ))
}
