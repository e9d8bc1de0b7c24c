//! A machine of two homes, and everything the core asked for: what must hold is checked as it happens.

use super::super::walk::rules::takes_key;
use super::*;
use crate::job::Part;

/// Whether there may be something to be seen to when that worker is killed.
fn leaves_something(start: &StartJob) -> bool {
    let by_itself = matches!(
        start.job.task,
        Task::Deactivate { .. }
            | Task::GiveUp { .. }
            | Task::Remove
            | Task::Settle { .. }
            | Task::Snapshot { .. }
            | Task::Tend { .. }
    );
    !by_itself
}

/// A machine of two homes, and everything the core asked for.
#[derive(Default)]
pub struct Scene {
    pub disks: RefCell<BTreeMap<UserName, Whereabouts>>,
    pub running: Vec<StartJob>,
    pub checks: Vec<(UserName, JobId, Vec<u32>)>,
    pub references: Vec<(UserName, AtSuspend)>,
    /// Workers that were told to stop.
    pub stopped: BTreeSet<JobId>,
    /// Locks that were asked about.
    pub proofs: Vec<(UserName, JobId)>,
    /// Homes whose sizes were asked for.
    pub measures: Vec<(GroupId, Vec<UserName>)>,
    /// Whether the machine is going to sleep, by the core's own word.
    pub holding: bool,
    /// Calls that have all homes locked for a sleep.
    pub sleeps: BTreeSet<RequestId>,
    /// Homes of which a worker that ended without an outcome may have left devices, or frozen processes.
    pub left_open: BTreeSet<UserName>,
    /// … and nothing has been started for them since.
    pub just_left: BTreeSet<UserName>,
    /// Events so far.
    pub events: u64,
    pub timers: Vec<Timer>,
    /// Who asks whether a sleep is on its way.
    pub sleeps_asked: Vec<u64>,
    pub tendings: Vec<Timer>,
    pub open_calls: BTreeSet<RequestId>,
    pub left: BTreeSet<RequestId>,
    /// The homes as they were published.
    pub shown: BTreeMap<UserName, crate::home::view::HomeView>,
    pub calls: u64,
    pub now_usec: u64,
}

impl Facts for Scene {
    fn whereabouts(&self, place: &Place) -> Whereabouts {
        self.disks.borrow().get(&place.user).copied().unwrap_or_default()
    }
    fn parts(&self, _: &Place) -> Option<Parts> {
        Some(Parts::ALL)
    }
    fn signed_locally(&self, _: &Record) -> Option<SignedLocally> {
        Some(SignedLocally::Yes)
    }
}

pub fn manager() -> Manager {
    let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
    let defaults = Defaults::default();
    let tuning = Tuning {
        grain: Duration::ZERO,
        tend_first: TEND,
        tend_second: TEND,
        tend_again: TEND,
        ..Tuning::default()
    };
    Manager::new(Machine { id, host: HostName("a".into()) }, tuning, defaults)
}

pub fn change(key: HomeKey, user: UserName, (time, reach): (u64, Reach), offer: Offer) -> Operation {
    let text = format!(r#"{{"userName":"{user}","lastChangeUSec":{time}}}"#);
    let record = Record::parse(&text, Sections::EMBEDDED).expect("valid");
    Operation::Update(key, Box::new(RecordChange { record, blobs: None, reach, part: Part::Whole }), offer)
}

pub fn user(index: usize) -> UserName {
    UserName::parse(NAMES[index % NAMES.len()]).expect("valid")
}

/// Sizes of a home of 8 GiB on a disk of 100 GiB, with so many GiB free inside; `None`: unknown.
fn figures(free: Option<u64>) -> Figures {
    let Some(free) = free else { return Figures::default() };
    let gib = |count: u64| Some(count << 30);
    let (size, allocated) = (gib(8), gib(8 - free));
    Figures { size, free: gib(free), allocated, outside: gib(50), disk: gib(100), ..Figures::default() }
}

impl Scene {
    pub fn take(&mut self, manager: &mut Manager, event: Event) {
        self.now_usec += 40_000_000;
        self.events += 1;
        let effects = manager.handle(event, &Now { usec: self.now_usec, facts: self });
        let news = manager.news(&Now { usec: self.now_usec, facts: self });
        for (user, view) in news {
            match view {
                Some(view) => drop(self.shown.insert(user, view)),
                None => drop(self.shown.remove(&user)),
            }
        }
        let now = Now { usec: self.now_usec, facts: self };
        assert_eq!(self.shown, manager.as_they_are(&now), "look-ups are answered from what is so no more");
        for effect in effects {
            self.note(effect);
        }
        self.check_invariants(manager);
    }

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(id, answer, _) => {
                if self.sleeps.remove(&id) && answer.is_ok() {
                    self.sleeps_without_keys();
                }
                self.answered(id);
            }
            Effect::HandOver(id, user, kind) => {
                self.answered(id);
                self.references.push((user, kind));
            }
            Effect::Start(start) => self.started(*start),
            Effect::Stop(id) => drop(self.stopped.insert(id)),
            Effect::Prove(id, place) => self.proofs.push((place.user.clone(), id)),
            Effect::AskForSleep(timer) => self.sleeps_asked.push(timer),
            Effect::Hold(sleep) => self.holding = sleep == crate::home::Sleep::Holding,
            Effect::Announce(_)
            | Effect::Log(..)
            | Effect::Warn(_)
            | Effect::LookForStorage
            | Effect::PowerOff => {}
            Effect::Inhibit(id, _) => self.answered(id),
            Effect::Measure(id, places) => {
                self.measures.push((id, places.into_iter().map(|place| place.user).collect()));
            }
            Effect::Check(check) => self.checks.push((check.user, check.id, check.uids)),
            Effect::Save(record) => {
                assert!(!self.running.iter().any(|job| job.user == *record.user()), "saved under a worker");
            }
            Effect::Forget(user, call) => {
                assert!(!self.running.iter().any(|job| job.user == user), "forgotten under a worker");
                call.into_iter().for_each(|id| self.answered(id));
            }
            Effect::DropReferences(user) => {
                let mounted = self.disks.borrow().get(&user).is_some_and(|at| at.mount != Mount::None);
                assert!(!mounted, "a mounted home forgot its references");
            }
            // These ring for as long as a home is open.
            Effect::SetTimer(timer, wait) if wait == TEND => self.tendings.push(timer),
            Effect::SetTimer(timer, _) => self.timers.push(timer),
        }
    }

    fn started(&mut self, start: StartJob) {
        assert!(!self.holding || !takes_key(&start), "{} starts on the way to sleep", start.what);
        let settles = matches!(start.job.task, Task::Settle { .. });
        assert!(settles || !self.just_left.contains(&start.user), "{} before what was left", start.what);
        self.just_left.remove(&start.user);
        self.running.push(start);
    }

    /// All homes are locked, and the machine may sleep.
    fn sleeps_without_keys(&self) {
        assert!(self.holding);
        for start in &self.running {
            assert!(!takes_key(start), "{} runs while the machine sleeps", start.what);
        }
        for (user, at) in self.disks.borrow().iter() {
            assert_ne!(at.mount, Mount::Usable, "{user} is open while the machine sleeps");
        }
    }

    fn answered(&mut self, id: RequestId) {
        let open = self.open_calls.remove(&id);
        assert!(open || self.left.contains(&id), "{id:?} is answered twice");
    }

    fn check_invariants(&self, manager: &Manager) {
        for name in NAMES {
            let jobs = self.running.iter().filter(|job| job.user.as_str() == name).count();
            assert!(jobs <= 1, "{name} has {jobs} jobs");
        }
        let mut uids = BTreeSet::new();
        for home in manager.homes.walk() {
            assert!(uids.insert(home.uid()), "a UID is given twice");
        }
        crowd::is_found_by_what_it_has(manager, &self.open_calls);
    }

    fn ask(&mut self, manager: &mut Manager, what: What, index: usize, uid: u32) {
        self.calls += 1;
        let id = RequestId(self.calls);
        self.open_calls.insert(id);
        let key = HomeKey::Name(user(index).to_string());
        let offered = self.calls.is_multiple_of(3);
        let passwords = offered.then(|| records::Secret::new(b"right".to_vec())).into_iter().collect();
        let credentials = records::Credentials { passwords, ..Default::default() };
        let offer = Offer { credentials, progress: None };
        let operation = match what {
            What::Create => {
                let text = format!(r#"{{"userName":"{}"}}"#, user(index));
                let record = Record::parse(&text, Sections::EMBEDDED).expect("valid");
                Operation::Create(Box::new(record), None, offer)
            }
            What::Activate => Operation::Activate(key, offer),
            What::Acquire => Operation::Acquire(key, AtSuspend::Stay, offer),
            What::Authenticate => Operation::Authenticate(key, offer),
            What::Ref => Operation::Ref(key, AtSuspend::Lock),
            What::RefUnrestricted => Operation::RefUnrestricted(key, AtSuspend::Stay),
            What::Release => Operation::Release(key),
            What::Deactivate => Operation::Deactivate(key),
            What::DeactivateAll => Operation::DeactivateAll,
            What::Remove => Operation::Remove(key),
            What::Unregister => Operation::Unregister(key),
            What::Resize => Operation::Resize(key, 0, offer),
            What::Lock => Operation::Lock(key),
            What::LockAll => Operation::LockAll(request::Then::GoOn),
            What::LockAllForSleep => {
                self.sleeps.insert(id);
                Operation::LockAll(request::Then::Hold)
            }
            What::SleepPrepared => Operation::SleepPrepared,
            What::SleepOver => Operation::SleepOver,
            What::Unlock => Operation::Unlock(key, offer),
            What::GiveUpAll => Operation::GiveUpAll,
            What::Update => change(key, user(index), (self.calls, Reach::Everywhere), offer),
            What::UpdateOffline => change(key, user(index), (self.calls, Reach::HostOnly), offer),
            What::Check => Operation::Check(key, offer),
            What::Repair => Operation::Repair(key, Default::default(), offer),
            What::Rescue => Operation::Rescue(key, None, offer),
            What::Passwd => {
                Operation::ChangePassword { home: key, new: records::Credentials::default(), old: offer }
            }
        };
        let from = request::Provenance::default();
        let caller = Caller { uid, bus_name: None, interactive: Interactive::No, from };
        self.take(manager, Event::Asked(id, caller, Box::new(operation)));
    }

    fn end(&mut self, manager: &mut Manager, end: End) {
        if self.running.is_empty() {
            return;
        }
        let start = self.running.remove(0);
        let end = if self.stopped.remove(&start.id) && end != End::Good { End::Stopped } else { end };
        if matches!(end, End::Fault | End::Stopped) && leaves_something(&start) {
            self.left_open.insert(start.user.clone());
            self.just_left.insert(start.user.clone());
        }
        let outcome = match end {
            End::Stopped => Outcome::Stopped,
            End::Good => {
                if matches!(start.job.task, Task::Settle { .. }) {
                    self.left_open.remove(&start.user);
                }
                self.done(&start);
                Outcome::Done { record: None, warnings: Vec::new() }
            }
            End::BadPassword => Outcome::Refused(Refused::from(Refusal::BadPassword)),
            End::Busy => Outcome::Refused(Refused::from(Refusal::HomeBusy)),
            End::Fault => Outcome::Fault { chain: "power cut".into() },
        };
        self.take(manager, Event::Ended(start.user, start.id, outcome));
    }

    fn done(&self, start: &StartJob) {
        let mut disks = self.disks.borrow_mut();
        let at = disks.entry(start.user.clone()).or_default();
        match start.job.task {
            Task::Create { .. } => at.storage = Storage::There,
            Task::Activate { .. } | Task::Rescue { .. } => at.mount = Mount::Usable,
            Task::Deactivate { .. } => at.mount = Mount::None,
            Task::Remove => at.storage = Storage::Missing,
            Task::Lock { .. } => at.mount = Mount::Suspended,
            Task::Unlock { .. } => at.mount = Mount::Usable,
            Task::GiveUp { .. } => at.mount = Mount::None,
            Task::Authenticate { .. }
            | Task::ChangePassword { .. }
            | Task::Update { .. }
            | Task::Check { .. }
            | Task::Repair { .. }
            | Task::Resize { .. }
            | Task::Snapshot { .. }
            | Task::Tend { .. } => {}
            Task::Settle { .. } => {}
        }
    }

    /// Now and then the others belong to somebody.
    fn free(&self, uids: &[u32]) -> Option<u32> {
        let free = if self.calls.is_multiple_of(2) { uids.first() } else { uids.last() };
        free.copied()
    }

    fn measured(&mut self, manager: &mut Manager, free: Option<u64>) {
        if let Some((id, users)) = (!self.measures.is_empty()).then(|| self.measures.remove(0)) {
            let sizes = users.into_iter().zip(std::iter::repeat(figures(free))).collect();
            self.take(manager, Event::Measured(id, sizes));
        }
    }

    fn let_go(&mut self, manager: &mut Manager) {
        if !self.references.is_empty() {
            let (user, kind) = self.references.remove(0);
            if !self.references.contains(&(user.clone(), kind)) {
                self.take(manager, Event::Released(user, kind));
            }
        }
    }

    pub fn apply(&mut self, manager: &mut Manager, op: Op) {
        match op {
            Op::Ask(what, index, uid) => self.ask(manager, what, index, uid),
            Op::End(end) => self.end(manager, end),
            Op::Asks(asks) => super::asks(self, manager, asks),
            Op::Check(good) => {
                if let Some((user, id, uids)) = (!self.checks.is_empty()).then(|| self.checks.remove(0)) {
                    let uid = self.free(&uids).filter(|_| good);
                    self.take(manager, Event::Checked(user, id, Findings { uid, ..Findings::default() }));
                }
            }
            Op::LetGo => self.let_go(manager),
            Op::Leave => {
                if let Some(id) = self.open_calls.pop_first() {
                    self.left.insert(id);
                    self.take(manager, Event::Abandoned(id));
                }
            }
            Op::Prove(well) => {
                if let Some((user, id)) = self.proofs.pop() {
                    let seal = well.then(|| Seal::unseen("it is dark"));
                    self.take(manager, Event::Proven(user, id, seal));
                }
            }
            Op::Measured(free) => {
                self.measured(manager, free);
            }
            Op::Storage(index, storage) => {
                if let Some(at) = self.disks.get_mut().get_mut(&user(index)) {
                    at.storage = storage;
                }
                self.take(manager, Event::Seen(user(index)));
            }
            Op::Slept => self.take(manager, Event::Slept(1_000_000)),
            Op::Mounts => self.take(manager, Event::MountsChanged),
            Op::Tend => {
                if let Some(timer) = self.tendings.pop() {
                    self.take(manager, Event::Rang(timer));
                }
            }
            Op::Ring => {
                if let Some(timer) = self.timers.pop() {
                    self.take(manager, Event::Rang(timer));
                }
            }
        }
    }

    /// Everybody lets go, and everything goes well.
    pub fn come_to_rest(&mut self, manager: &mut Manager) {
        for _ in 0..10_000 {
            if !self.running.is_empty() {
                self.end(manager, End::Good);
            } else if !self.checks.is_empty() {
                self.apply(manager, Op::Check(true));
            } else if !self.proofs.is_empty() {
                self.apply(manager, Op::Prove(true));
            } else if !self.measures.is_empty() {
                self.apply(manager, Op::Measured(None));
            } else if !self.references.is_empty() {
                self.apply(manager, Op::LetGo);
            } else if let Some(timer) = self.sleeps_asked.pop() {
                self.take(manager, Event::SleepSeen(timer, false));
            } else if !self.timers.is_empty() {
                self.apply(manager, Op::Ring);
            } else {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}
