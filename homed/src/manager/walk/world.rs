//! The machine around the core, and what survives a daemon: disks, host records, references, inhibitors, the markers of jobs.

use super::Draws;
use crate::home::TimerKind;
use crate::home::effect::{Check, Effect, Event, Interrupted, JobId, StartJob, Timer};
use crate::home::facts::{Facts, Mount, Parts, Place, SignedLocally, Storage, Whereabouts};
use crate::home::inhibitor::Inhibitor;
use crate::home::{GroupId, Sleep};
use crate::manager::{Defaults, Manager, Now, Tuning};
use crate::words::request::{AtSuspend, Operation, RequestId};
use records::{HostName, Machine, MachineId, Record, UserName};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// What has happened, in words.
pub type Told = Rc<RefCell<Vec<String>>>;

/// What kernel and disks show.
#[derive(Default)]
pub struct Disks(pub BTreeMap<UserName, Whereabouts>);

impl Facts for Disks {
    fn whereabouts(&self, place: &Place) -> Whereabouts {
        self.0.get(&place.user).copied().unwrap_or_default()
    }
    fn parts(&self, _: &Place) -> Option<Parts> {
        Some(Parts::ALL)
    }
    fn signed_locally(&self, _: &Record) -> Option<SignedLocally> {
        Some(SignedLocally::Yes)
    }
}

/// All of it.
pub struct World {
    pub manager: Manager,
    pub disks: Disks,
    pub draws: Draws,
    pub events: u64,
    pub now_usec: u64,
    pub running: Vec<StartJob>,
    /// Workers that were told to stop.
    pub stopped: BTreeSet<JobId>,
    pub checks: Vec<Check>,
    pub proofs: Vec<(UserName, JobId)>,
    pub measures: Vec<(GroupId, Vec<UserName>)>,
    pub timers: Vec<(u64, Timer)>,
    pub calls: u64,
    pub open_calls: BTreeSet<RequestId>,
    /// Callers that have gone.
    pub left: BTreeSet<RequestId>,
    /// Host records, as they are on disk.
    pub records: BTreeMap<UserName, Record>,
    pub references: Vec<(UserName, AtSuspend)>,
    /// References that were given since the home was opened, as files: whoever held one may have gone.
    pub held_once: BTreeSet<(UserName, AtSuspend)>,
    pub inhibitors: Vec<Inhibitor>,
    /// Jobs that have not ended, for a daemon that is started after this one.
    pub markers: BTreeMap<UserName, &'static str>,
    /// Since when the core holds for a sleep.
    pub holding: Option<u64>,
    /// Whether somebody was told that the machine may sleep, and nobody has said since that this is over.
    pub on_its_way: bool,
    /// Whether it was asked for that, and with which number.
    pub sleep_asked: Option<u64>,
    /// Homes of which a worker that was killed may have left a device, or processes that stand still.
    pub left_open: BTreeSet<UserName>,
    /// Homes that are open beside their directory, without a key.
    pub wiped: BTreeSet<UserName>,
    /// Started by the last event.
    pub just_started: BTreeSet<UserName>,
    /// Somebody got in by the last event.
    pub just_came: BTreeSet<UserName>,
    /// The call that was asked by this event.
    pub asked: Option<super::calls::Asked>,
    /// The call that was turned away by it, for want of room.
    pub crowded: Option<RequestId>,
    /// The timer that rang last: it may ring again, for nobody.
    pub rung: Option<Timer>,
    /// What has happened, for who reads of a failure. (It takes most of the time.)
    pub told: Option<Told>,
}

pub fn user(index: usize) -> UserName {
    UserName::parse(NAMES[index % NAMES.len()]).expect("valid")
}

fn manager() -> Manager {
    let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
    let machine = Machine { id, host: HostName("a".into()) };
    Manager::new(
        machine,
        Tuning { grain: std::time::Duration::ZERO, ..Tuning::default() },
        Defaults::default(),
    )
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            manager: manager(),
            disks: Disks::default(),
            draws: Draws(seed),
            events: 0,
            now_usec: 1_700_000_000_000_000,
            running: Vec::new(),
            stopped: BTreeSet::new(),
            checks: Vec::new(),
            proofs: Vec::new(),
            measures: Vec::new(),
            timers: Vec::new(),
            calls: 0,
            open_calls: BTreeSet::new(),
            left: BTreeSet::new(),
            records: BTreeMap::new(),
            references: Vec::new(),
            held_once: BTreeSet::new(),
            inhibitors: Vec::new(),
            markers: BTreeMap::new(),
            holding: None,
            on_its_way: false,
            sleep_asked: None,
            left_open: BTreeSet::new(),
            wiped: BTreeSet::new(),
            just_started: BTreeSet::new(),
            just_came: BTreeSet::new(),
            asked: None,
            crowded: None,
            rung: None,
            told: None,
        }
    }

    /// Whose turn it is.
    pub fn any_user(&mut self) -> UserName {
        user(self.draws.below(NAMES.len()))
    }

    /// For who reads of a failure.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = &self.told {
            told.borrow_mut().push(what());
        }
    }

    pub fn at(&mut self, user: &UserName) -> &mut Whereabouts {
        self.disks.0.entry(user.clone()).or_default()
    }

    /// Something happens to the core; what it wants done is done, and what must hold is looked at.
    pub fn take(&mut self, event: Event) {
        self.events += 1;
        self.just_started.clear();
        self.just_came.clear();
        let ended = match &event {
            Event::Ended(user, ..) => Some(user.clone()),
            Event::Asked(_, _, operation) if matches!(**operation, Operation::SleepOver) => {
                self.on_its_way = false;
                None
            }
            _ => None,
        };
        let effects = self.manager.handle(event, &Now { usec: self.now_usec, facts: &self.disks });
        if let Some(user) = ended.filter(|user| !self.manager.is_to_be_settled(user)) {
            self.markers.remove(&user);
        }
        for effect in effects {
            self.obey(effect);
        }
        self.holds();
        self.asked = None;
    }

    fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(id, answer, _) => self.answered(id, Some(&answer)),
            Effect::HandOver(id, user, kind) => {
                self.answered(id, None);
                self.held_once.insert((user.clone(), kind));
                self.just_came.insert(user.clone());
                self.references.push((user, kind));
            }
            Effect::Start(start) => self.started(*start),
            Effect::Stop(id) => {
                assert!(self.running.iter().any(|job| job.id == id), "{id:?} is stopped, and does not run");
                self.stopped.insert(id);
            }
            Effect::Prove(id, place) => self.proofs.push((place.user.clone(), id)),
            Effect::Hold(sleep) => self.holds_for(sleep),
            Effect::AskForSleep(timer) => self.sleep_asked = Some(timer),
            Effect::Inhibit(id, inhibitor) => {
                self.answered(id, None);
                self.inhibitors.push(*inhibitor);
            }
            Effect::Measure(id, places) => {
                self.measures.push((id, places.into_iter().map(|place| place.user).collect()));
            }
            Effect::Check(check) => self.checks.push(*check),
            Effect::Save(record) => {
                assert!(!self.running.iter().any(|job| job.user == *record.user()), "saved under a worker");
                self.records.insert(record.user().clone(), *record);
            }
            Effect::Forget(user, call) => {
                assert!(!self.running.iter().any(|job| job.user == user), "forgotten under a worker");
                self.records.remove(&user);
                call.into_iter().for_each(|id| self.answered(id, None));
            }
            Effect::DropReferences(user) => self.forget_references(&user),
            Effect::SetTimer(timer, after) => {
                let after = u64::try_from(after.as_micros()).expect("fits");
                self.tell(|| format!("    → {timer:?} is set"));
                self.timers.push((self.now_usec + after, timer));
            }
            Effect::Announce(_)
            | Effect::Log(..)
            | Effect::Warn(_)
            | Effect::LookForStorage
            | Effect::PowerOff => {}
        }
    }

    fn holds_for(&mut self, sleep: Sleep) {
        assert!(
            sleep == Sleep::Holding || !self.on_its_way,
            "homes may be opened, and a sleep is on its way"
        );
        self.holding = (sleep == Sleep::Holding).then_some(self.now_usec);
    }

    fn started(&mut self, start: StartJob) {
        self.tell(|| format!("    → {} of {} starts", start.what, start.user));
        self.may_start(&start);
        self.markers.insert(start.user.clone(), start.what);
        if super::rules::takes_key(&start) {
            self.wiped.remove(&start.user);
        }
        self.just_started.insert(start.user.clone());
        self.running.push(start);
    }

    fn forget_references(&mut self, user: &UserName) {
        let mounted = self.disks.0.get(user).is_some_and(|at| at.mount.is_there());
        assert!(!mounted, "the home of {user} is mounted, and its references are forgotten");
        self.references.retain(|(of, _)| of != user);
        self.held_once.retain(|(of, _)| of != user);
    }

    /// Who has the machine sleep is asked: one sleep in a few was given up, and nobody has said so.
    pub fn sleep_is_seen(&mut self, timer: u64) {
        self.on_its_way &= !self.draws.once_in(3);
        let on_its_way = self.on_its_way;
        self.tell(|| format!("a sleep is on its way: {on_its_way}"));
        self.take(Event::SleepSeen(timer, on_its_way));
    }

    /// The daemon is killed with its workers, and another is started.
    pub fn daemon_dies(&mut self) {
        for start in std::mem::take(&mut self.running) {
            self.cut(&start);
        }
        self.manager = manager();
        self.calls += 1;
        self.open_calls.clear();
        self.left.clear();
        self.stopped.clear();
        self.checks.clear();
        self.proofs.clear();
        self.measures.clear();
        self.timers.clear();
        self.sleep_asked = None;
        self.rung = None;
        if let Some(since) = self.holding.take() {
            let left = crate::manager::sleep::LONGEST.saturating_sub(micros(self.now_usec - since));
            self.holding = Some(since);
            self.take(Event::Held(left));
        }
        for record in self.records.values().cloned().collect::<Vec<_>>() {
            let user = record.user().clone();
            let what = self.markers.remove(&user).filter(|what| !crate::home::is_tending(what));
            let held: BTreeSet<AtSuspend> =
                self.references.iter().filter(|(of, _)| *of == user).map(|(_, kind)| *kind).collect();
            let gone = self.held_once.iter().any(|(of, kind)| *of == user && !held.contains(kind));
            let otherwise = if gone { Interrupted::HolderGone } else { Interrupted::No };
            let interrupted = what.map_or(otherwise, Interrupted::of);
            self.take(Event::Loaded(Box::new(record), interrupted, held.into_iter().collect()));
        }
        // What was never made to its end goes with its process, and nobody knows of it.
        self.markers.retain(|user, _| self.records.contains_key(user));
        let unknown: Vec<UserName> =
            self.left_open.iter().filter(|user| !self.records.contains_key(*user)).cloned().collect();
        for user in unknown {
            self.left_open.remove(&user);
            self.at(&user).mount = Mount::None;
        }
        for inhibitor in self.inhibitors.clone() {
            self.take(Event::Inhibited(Box::new(inhibitor)));
        }
    }

    /// Which timers of that home will ring.
    pub fn is_set(&self, user: &UserName, kind: TimerKind) -> bool {
        let is_it =
            |timer: &Timer| matches!(timer, Timer::Home(of, timer) if of == user && timer.kind == kind);
        self.timers.iter().any(|(_, timer)| is_it(timer))
    }

    /// Storage that is there, and none that is missing or gives no answer.
    pub fn is_there(&self, user: &UserName) -> bool {
        let at = self.disks.0.get(user).copied().unwrap_or_default();
        matches!(at.storage, Storage::There | Storage::Dirty)
    }
}

pub fn micros(usec: u64) -> std::time::Duration {
    std::time::Duration::from_micros(usec)
}
