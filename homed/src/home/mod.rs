//! One home: what it is, and what may be done with it now. Pure: no IO, no clock, no bus.
//!
//! ```text
//! resting facts (asked) × running job × queue × holders × attempts
//!        wanted ──→ verdict ──→ start | at once | queue | already so | refuse
//! ```
//!
//! Invariants: one job runs at a time; the host record is saved only while none runs; every call is
//! answered once; a home nobody holds, whose last holder has gone, is deactivated or tried again.

mod after;
pub mod attempts;
mod belief;
pub mod effect;
pub mod facts;
mod hold;
pub mod inhibitor;
#[cfg(test)]
pub(crate) mod inside;
pub mod live;
mod lock;
mod look;
pub mod presence;
mod proof;
mod pulled_out;
mod queue;
pub mod resize;
pub mod rules;
mod run;
mod running;
pub mod state;
mod task;
mod tend;
mod timer;
mod tuning;
mod turn;
mod uid;
mod unsettled;
mod update;
mod urgent;
mod verb;
pub mod verdict;
pub mod view;
mod wanted;
pub mod without;

use crate::job::Known;
use crate::words::request::{Answer, AtSuspend, RequestId};
use crate::words::seal;
use attempts::{Attempts, Trier};
use effect::{Effect, Failed, JobId};
use facts::{Facts, Place, SignedLocally};
pub use hold::Sleep;
use inhibitor::Inhibitor;
pub use lock::{Bound, is_close, is_creation, is_lock};
pub use look::{is_look, tries};
use records::refusal::Refused;
use records::{Record, Refusal, UserName};
pub use resize::is_resize;
use running::Running;
pub use running::SILENCE;
use state::{Lingering, State, Work};
use std::collections::BTreeSet;
pub use tend::is_tending;
pub use timer::{HomeTimer, TimerKind};
pub use tuning::Tuning;
pub use turn::{GroupId, Turn, Waiter};
use verdict::{Held, Verb, Verdict, verdict};
pub use wanted::{Attempt, Wanted};

/// One home.
pub struct Home {
    record: belief::Believed,
    place: Place,
    uid: u32,
    /// That its record names, which may be another for as long as a job runs: nobody else's meanwhile.
    bound_uid: Option<u32>,
    known: Known,
    running: Option<Running>,
    queue: queue::Queue,
    held: BTreeSet<AtSuspend>,
    /// Deactivations that failed since the last holder went; a timer is set.
    failed_deactivations: Option<u32>,
    timers: timer::Timers,
    /// Settling it has failed, and is tried again.
    unsettled: Option<unsettled::Unsettled>,
    tending: tend::Tending,
    inhibitors: Vec<Inhibitor>,
    presence: presence::Presence,
    /// When it was locked last, and what was seen then.
    last_lock: Option<(u64, seal::Conclusion)>,
    /// What was seen after the last lock.
    seal: Option<seal::Seal>,
    /// That was asked for, and is not known yet.
    asked_for_proof: Option<JobId>,
    attempts: Attempts,
    /// Making it was broken off: it goes once that is cleaned up.
    going: Option<after::Going>,
    signed_locally: Option<SignedLocally>,
}

/// Whether a home is still in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It is.
    Stays,
    /// It is to be taken out.
    Goes,
}

impl Home {
    /// A home with a record of this host, or (`known`: no) a synthetic one.
    pub fn new(record: Record, uid: u32, known: Known, turn: &Turn) -> Self {
        let signed_locally = turn.facts.signed_locally(&record);
        let kept = belief::Believed::judged(record, signed_locally, turn);
        let record = kept.record();
        Self {
            place: Place::of(&record, turn.machine),
            attempts: Attempts::of(&record, turn.machine),
            signed_locally,
            // What a record says of a UID that is another home's is worth nothing.
            bound_uid: crate::words::uids::bound(&record, turn.machine)
                .filter(|bound| *bound == uid || !turn.uids.contains(bound)),
            record: kept,
            uid,
            known,
            running: None,
            queue: queue::Queue::default(),
            going: None,
            held: BTreeSet::new(),
            failed_deactivations: None,
            timers: timer::Timers::default(),
            unsettled: None,
            tending: tend::Tending::default(),
            inhibitors: Vec::new(),
            presence: presence::Presence::default(),
            last_lock: None,
            seal: None,
            asked_for_proof: None,
        }
    }

    /// Its user's name.
    pub fn user(&self) -> &UserName {
        self.record.user()
    }

    /// Its record, as far as it is believed: read from its text, so whoever needs it more than once keeps it.
    pub fn record(&self) -> Record {
        self.record.record()
    }

    /// Its record, as the host has it on disk.
    pub fn host_record(&self) -> Record {
        self.record.host()
    }

    /// Its UID on this machine.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether this host has a record of it.
    pub fn known(&self) -> Known {
        self.known
    }

    /// The job that runs.
    #[cfg(test)]
    pub fn job(&self) -> Option<JobId> {
        self.running.as_ref().map(|running| running.id)
    }

    /// Whether nothing would come of it.
    pub fn is_already_so(&self, verb: Verb, turn: &Turn) -> bool {
        verdict(self.situation(&Trier::ourselves(), turn.facts), verb) == Verdict::AlreadySo
            && !self.is_to_be_proven(verb, turn)
    }

    /// Whether its user is known to be away.
    pub fn is_away(&self) -> bool {
        self.presence.away != presence::Away::default()
    }

    /// Where its parts are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether anybody holds it.
    pub fn held(&self) -> Held {
        if self.held.is_empty() { Held::No } else { Held::Yes }
    }

    /// Its state now.
    pub fn state(&self, facts: &dyn Facts) -> State {
        State {
            resting: match &self.running {
                Some(_) => facts.whereabouts(&self.place).during_a_job().resting(self.known),
                None => facts.whereabouts(&self.place).resting(self.known),
            },
            doing: self.running.as_ref().map(|running| running.work),
            lingering: match self.failed_deactivations {
                Some(_) => Lingering::Yes,
                None => Lingering::No,
            },
        }
    }

    /// Does what is wanted, now or when its turn comes.
    pub fn want(&mut self, wanted: Wanted, turn: &mut Turn) -> Fate {
        let wanted = self.follow(wanted);
        match verdict(self.situation(&wanted.trier, turn.facts), wanted.verb) {
            Verdict::Start(_) | Verdict::AtOnce if self.must_stay(wanted.verb) => {
                let sentence =
                    "What is left of a job that was broken off is not cleaned up yet; try again in a moment.";
                let refused = Refused::new(Refusal::HomeBusy, sentence);
                turn.answer(wanted.waiter, Err(Failed::Refused(refused)));
            }
            Verdict::Start(work) => match self.unfit(work, &wanted, turn) {
                Some(refused) => turn.answer(wanted.waiter, Err(Failed::Refused(refused))),
                None => self.begin(self.before(work, (wanted.verb, wanted.waiter), turn), wanted, turn),
            },
            Verdict::AtOnce => return self.at_once(wanted, turn),
            Verdict::Queue => {
                // Nobody waits for a look, however quiet it is.
                self.break_off_look(turn);
                match self.not_to_wait(&wanted) {
                    Some(refused) => turn.answer(wanted.waiter, Err(Failed::Refused(refused))),
                    None => self.enqueue(wanted, turn),
                }
            }
            Verdict::Yield => {
                self.make_way(turn);
                self.enqueue(wanted, turn);
            }
            Verdict::Refuse(Refusal::HomeBusy) if wanted.waited && self.works_for(&wanted) => {
                self.enqueue(wanted, turn);
            }
            Verdict::AlreadySo if self.is_to_be_proven(wanted.verb, turn) => self.prove_anew(wanted, turn),
            Verdict::AlreadySo => turn.answer(wanted.waiter, Ok(Answer::Done)),
            Verdict::Refuse(refusal) => {
                let why = self.not_to_wait(&wanted).filter(|why| why.refusal == refusal);
                let refused =
                    why.unwrap_or_else(|| Refused::new(refusal, self.sentence(refusal, wanted.verb)));
                turn.answer(wanted.waiter, Err(Failed::Refused(refused)));
            }
        }
        Fate::Stays
    }

    /// Whether it may not go: settling it has failed and is tried again.
    fn must_stay(&self, verb: Verb) -> bool {
        matches!(verb, Verb::Remove | Verb::Unregister) && self.is_timed(TimerKind::Settle)
    }

    /// Why it need not even be tried.
    fn unfit(&self, work: Work, wanted: &Wanted, turn: &Turn) -> Option<Refused> {
        if let Some(refused) = self.unanswered(work, turn) {
            return Some(refused);
        }
        let unfit = wanted.change.as_ref().and_then(|change| self.judge(change, turn.now_usec).err());
        let unfit = unfit.or_else(|| self.size_asked(wanted.size, turn.machine).err());
        let needs_none =
            self.resizes_without_password(wanted, turn) || self.updates_without_password(wanted, turn);
        let asks = self.is_a_question(wanted) && !needs_none;
        let unfit = unfit.or_else(|| self.too_early(wanted, turn));
        let unfit = unfit.or_else(|| asks.then(|| Refusal::BadPassword.into()));
        unfit.or_else(|| wanted.strangers_token())
    }

    /// Whether it only asks what is needed: clients try without credentials first. That is no attempt, and
    /// costs nobody a worker and a delay. (Tokens, and which there are of a home that is new here, a worker sees.)
    fn is_a_question(&self, wanted: &Wanted) -> bool {
        wanted.verb.is_attempt()
            && !matches!(wanted.verb, Verb::Check | Verb::Repair)
            && wanted.offer.credentials.is_empty()
            && self.known == Known::Yes
            && self.record.is_opened_by_passwords()
    }

    fn sentence(&self, refusal: Refusal, verb: Verb) -> String {
        match (refusal, verb) {
            (Refusal::NotSupported, Verb::Later(later)) => {
                format!(
                    "This version of homed cannot do that yet ({later:?}); the home of {} is as it was.",
                    self.user()
                )
            }
            (refusal, _) => refusal.sentence().to_owned(),
        }
    }

    fn at_once(&mut self, wanted: Wanted, turn: &mut Turn) -> Fate {
        match wanted.verb {
            Verb::Remove | Verb::Unregister => {
                let call = match wanted.waiter {
                    Waiter::Call(id) => Some(id),
                    Waiter::Nobody | Waiter::Group(_) => None,
                };
                turn.effects.push(Effect::Forget(self.user().clone(), call));
                return Fate::Goes;
            }
            _ => self.hand_over(&wanted, turn),
        }
        Fate::Stays
    }

    /// Gives a reference; if nobody waits for it any more, the last holder has gone at once.
    fn hand_over(&mut self, wanted: &Wanted, turn: &mut Turn) {
        match wanted.waiter {
            Waiter::Call(id) => {
                self.hold(wanted.at_suspend);
                turn.effects.push(Effect::HandOver(id, self.user().clone(), wanted.at_suspend));
                self.newcomers_stay(turn);
            }
            Waiter::Nobody | Waiter::Group(_) => {}
        }
    }

    /// Somebody holds it.
    pub fn hold(&mut self, at_suspend: AtSuspend) {
        self.held.insert(at_suspend);
        self.tending.left = tend::Left::No;
        self.failed_deactivations = None;
    }

    /// The last holder of that kind has gone.
    pub fn released(&mut self, at_suspend: AtSuspend, turn: &mut Turn) {
        if self.held.remove(&at_suspend) && self.held.is_empty() {
            self.nobody_holds_it(turn);
            self.drop_unused_references(turn);
        }
    }

    /// Nobody holds it and it is not mounted: there is nothing left to remember of its references.
    /// (While it is mounted, what is left tells a daemon that starts that it was held.)
    fn drop_unused_references(&self, turn: &mut Turn) {
        let mounted = turn.facts.whereabouts(&self.place).mount.is_there();
        if self.held.is_empty() && !mounted {
            turn.effects.push(Effect::DropReferences(self.user().clone()));
        }
    }

    /// Deactivates a home that was held, or mounted for somebody who has gone.
    pub fn nobody_holds_it(&mut self, turn: &mut Turn) {
        if self.queue.wants(Verb::HolderGone) {
            return;
        }
        let wanted = Wanted::by_the_daemon(Verb::HolderGone, turn.now_usec);
        let Fate::Stays = self.want(wanted, turn) else { return };
    }

    pub(super) fn enqueue(&mut self, wanted: Wanted, turn: &mut Turn) {
        let is_urgent = wanted.class() == queue::Class::Urgent;
        if let Err(wanted) = self.queue.push(Wanted { waited: true, ..wanted }) {
            return turn.answer(wanted.waiter, Err(Refusal::TooManyOperations.into()));
        }
        if is_urgent {
            self.hurry(turn);
        }
    }

    /// Looks at the queue again after a job has ended.
    fn run_queue(&mut self, turn: &mut Turn) -> Fate {
        self.no_hurry();
        let attempts = &self.attempts;
        let mut waiting = self.queue.take_fairly(|wanted| attempts.lately(&wanted.trier, turn.now_usec));
        while let Some(wanted) = waiting.pop_front() {
            if let Some(refused) = self.closes_on_newcomers(&wanted, turn) {
                turn.answer(wanted.waiter, Err(Failed::Refused(refused)));
                continue;
            }
            if self.want(wanted, turn) == Fate::Goes {
                for wanted in waiting {
                    turn.answer(wanted.waiter, Err(Refusal::NoSuchHome.into()));
                }
                return Fate::Goes;
            }
        }
        Fate::Stays
    }

    /// Nobody waits for that call any more.
    pub fn abandoned(&mut self, call: RequestId, turn: &mut Turn) -> Fate {
        self.queue.abandon(call);
        match &mut self.running {
            Some(running) if running.wanted.waiter == Waiter::Call(call) => self.abandon_running(turn),
            Some(_) | None => Fate::Stays,
        }
    }
}
