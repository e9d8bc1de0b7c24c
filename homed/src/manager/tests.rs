//! Random sequences on the core, with invariants checked after each step.

use super::*;
use crate::home::effect::{Findings, Interrupted, StartJob};
use crate::home::facts::{Figures, Mount, Place, SignedLocally, Storage, Whereabouts};
use crate::home::seal::{Looked, Seal};
use crate::job::{Outcome, RecordChange, Task};
use proptest::prelude::*;
use records::refusal::Refused;
use records::{HostName, MachineId, Record, Sections};
use request::Interactive;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// The wait before the space of a home is cared for.
const TEND: Duration = Duration::MAX;
const NAMES: [&str; 2] = ["alice", "bob"];

/// What can happen.
#[derive(Debug, Clone, Copy)]
enum Op {
    Ask(What, usize, u32),
    /// The first running job ends.
    End(End),
    /// The first open check comes back.
    Check(bool),
    /// The reference given first is let go.
    LetGo,
    /// The oldest caller that still waits goes away.
    Leave,
    Ring,
    Tend,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Create,
    Activate,
    Acquire,
    Authenticate,
    Ref,
    RefUnrestricted,
    Release,
    Deactivate,
    DeactivateAll,
    Remove,
    Unregister,
    Passwd,
    Update,
    UpdateOffline,
    Check,
    Repair,
    Rescue,
    Resize,
    Lock,
    LockAll,
    Unlock,
    GiveUpAll,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Good,
    BadPassword,
    Busy,
    Fault,
}

/// A machine of two homes, and everything the core asked for.
#[derive(Default)]
struct Scene {
    disks: RefCell<BTreeMap<UserName, Whereabouts>>,
    running: Vec<StartJob>,
    checks: Vec<(UserName, JobId, Vec<u32>)>,
    references: Vec<(UserName, AtSuspend)>,
    timers: Vec<Timer>,
    tendings: Vec<Timer>,
    open_calls: BTreeSet<RequestId>,
    left: BTreeSet<RequestId>,
    calls: u64,
    now_usec: u64,
}

impl Facts for Scene {
    fn whereabouts(&self, place: &Place) -> Whereabouts {
        self.disks.borrow().get(&place.user).copied().unwrap_or_default()
    }
    fn figures(&self, _: &Place) -> Figures {
        Figures::default()
    }
    fn seal(&self, _: &Place) -> Seal {
        let clear = || Looked::Clear;
        Seal {
            device: clear(),
            table: clear(),
            keyring: clear(),
            swap: clear(),
            holders: clear(),
            kernel: clear(),
        }
    }
    fn signed_locally(&self, _: &Record) -> Option<SignedLocally> {
        Some(SignedLocally::Yes)
    }
}

fn manager() -> Manager {
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

fn change(key: HomeKey, user: UserName, (time, reach): (u64, Reach), offer: Offer) -> Operation {
    let text = format!(r#"{{"userName":"{user}","lastChangeUSec":{time}}}"#);
    let record = Record::parse(&text, Sections::EMBEDDED).expect("valid");
    Operation::Update(key, Box::new(RecordChange { record, blobs: None, reach }), offer)
}

fn user(index: usize) -> UserName {
    UserName::parse(NAMES[index % NAMES.len()]).expect("valid")
}

impl Scene {
    fn take(&mut self, manager: &mut Manager, event: Event) {
        self.now_usec += 40_000_000;
        let effects = manager.handle(event, &Now { usec: self.now_usec, facts: self });
        for effect in effects {
            self.note(effect);
        }
        self.check_invariants(manager);
    }

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(id, ..) => self.answered(id),
            Effect::HandOver(id, user, kind) => {
                self.answered(id);
                self.references.push((user, kind));
            }
            Effect::Start(start) => self.running.push(*start),
            Effect::Stop(_)
            | Effect::Announce(_)
            | Effect::Log(..)
            | Effect::Warn(_)
            | Effect::PowerOff => {}
            Effect::Inhibit(id, _) => self.answered(id),
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
        for home in manager.homes.values() {
            assert!(uids.insert(home.uid()), "a UID is given twice");
        }
    }

    fn ask(&mut self, manager: &mut Manager, what: What, index: usize, uid: u32) {
        self.calls += 1;
        let id = RequestId(self.calls);
        self.open_calls.insert(id);
        let key = HomeKey::Name(user(index).to_string());
        let offer = Offer::default();
        let operation = match what {
            What::Create => {
                let text = format!(r#"{{"userName":"{}"}}"#, user(index));
                Operation::Create(
                    Box::new(Record::parse(&text, Sections::EMBEDDED).expect("valid")),
                    None,
                    offer,
                )
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
            What::LockAll => Operation::LockAll,
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
        let caller = Caller { uid, bus_name: None, interactive: Interactive::No };
        self.take(manager, Event::Asked(id, caller, Box::new(operation)));
    }

    fn end(&mut self, manager: &mut Manager, end: End) {
        if self.running.is_empty() {
            return;
        }
        let start = self.running.remove(0);
        let outcome = match end {
            End::Good => {
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
            | Task::Settle { .. }
            | Task::Tend { .. } => {}
        }
    }

    fn apply(&mut self, manager: &mut Manager, op: Op) {
        match op {
            Op::Ask(what, index, uid) => self.ask(manager, what, index, uid),
            Op::End(end) => self.end(manager, end),
            Op::Check(good) => {
                if let Some((user, id, uids)) = (!self.checks.is_empty()).then(|| self.checks.remove(0)) {
                    let uid = uids.first().copied().filter(|_| good);
                    self.take(manager, Event::Checked(user, id, Findings { uid, ..Findings::default() }));
                }
            }
            Op::LetGo => {
                if !self.references.is_empty() {
                    let (user, kind) = self.references.remove(0);
                    if !self.references.contains(&(user.clone(), kind)) {
                        self.take(manager, Event::Released(user, kind));
                    }
                }
            }
            Op::Leave => {
                if let Some(id) = self.open_calls.pop_first() {
                    self.left.insert(id);
                    self.take(manager, Event::Abandoned(id));
                }
            }
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
    fn come_to_rest(&mut self, manager: &mut Manager) {
        for _ in 0..10_000 {
            if !self.running.is_empty() {
                self.end(manager, End::Good);
            } else if !self.checks.is_empty() {
                self.apply(manager, Op::Check(true));
            } else if !self.references.is_empty() {
                self.apply(manager, Op::LetGo);
            } else if !self.timers.is_empty() {
                self.apply(manager, Op::Ring);
            } else {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    let what = prop::sample::select(vec![
        What::Create,
        What::Activate,
        What::Acquire,
        What::Acquire,
        What::Authenticate,
        What::Ref,
        What::RefUnrestricted,
        What::Release,
        What::Deactivate,
        What::DeactivateAll,
        What::Remove,
        What::Unregister,
        What::Passwd,
        What::Update,
        What::UpdateOffline,
        What::Check,
        What::Repair,
        What::Rescue,
        What::Resize,
        What::Resize,
        What::Lock,
        What::LockAll,
        What::Unlock,
        What::GiveUpAll,
    ]);
    let end = prop::sample::select(vec![End::Good, End::Good, End::BadPassword, End::Busy, End::Fault]);
    prop_oneof![
        6 => (what, 0..2_usize, prop::sample::select(vec![0, 60456, 2000])).prop_map(|(w, i, u)| Op::Ask(w, i, u)),
        4 => end.prop_map(Op::End),
        3 => prop::bool::weighted(0.8).prop_map(Op::Check),
        2 => Just(Op::LetGo),
        1 => Just(Op::Leave),
        1 => Just(Op::Ring),
        1 => Just(Op::Tend),
    ]
}

#[test]
fn an_open_home_is_detached_when_its_disk_is_pulled_out() {
    let (mut manager, mut scene) = (manager(), Scene::default());
    let record = Record::parse(r#"{"userName":"alice","storage":"luks","uid":60001}"#, Sections::HOST);
    let record = Box::new(record.expect("valid"));
    scene.take(&mut manager, Event::Loaded(record, Interrupted::No, vec![AtSuspend::Stay]));
    let mut put = |storage, mount| {
        scene.disks.borrow_mut().insert(user(0), Whereabouts { storage, mount });
        scene.take(&mut manager, Event::MountsChanged);
        scene.running.pop().map(|start| start.job.task)
    };
    assert!(put(Storage::There, Mount::Usable).is_none());
    assert!(put(Storage::Missing, Mount::None).is_none());
    let task = put(Storage::Missing, Mount::Usable);
    assert!(matches!(task, Some(Task::Deactivate { force: crate::job::Force::Yes })));
}

#[test]
fn a_new_home_lies_where_this_machine_is_told() {
    let text = r#"{"userName":"alice","perMachine":[{"matchMachineId":"0123456789abcdef0123456789abcdef",
        "imagePath":"/media/stick/alice.home"}]}"#;
    let record = Record::parse(text, Sections::EMBEDDED).expect("valid");
    let binding = manager().binding(&record, 60001);
    assert_eq!(binding["imagePath"], "/media/stick/alice.home");
    assert_eq!((&binding["storage"], &binding["homeDirectory"]), (&"luks".into(), &"/home/alice".into()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_is_answered_once_and_no_home_is_forgotten(ops in prop::collection::vec(any_op(), 1..120)) {
        let (mut manager, mut scene) = (manager(), Scene::default());
        for op in ops {
            scene.apply(&mut manager, op);
        }
        scene.come_to_rest(&mut manager);
        prop_assert!(scene.open_calls.is_empty(), "unanswered: {:?}", scene.open_calls);
        prop_assert!(manager.groups.is_empty());
        for home in manager.homes.values() {
            prop_assert_eq!(home.held(), Held::No);
            prop_assert!(home.state(&scene).doing.is_none());
        }
    }

    #[test]
    fn a_home_that_was_only_acquired_is_closed_in_the_end(
        ops in prop::collection::vec(any_op(), 1..80).prop_map(|ops| {
            let stays = |op: &Op| matches!(op, Op::Ask(What::Activate | What::Rescue, ..));
            ops.into_iter().filter(|op| !stays(op)).collect::<Vec<_>>()
        })
    ) {
        let (mut manager, mut scene) = (manager(), Scene::default());
        for op in ops {
            scene.apply(&mut manager, op);
        }
        scene.come_to_rest(&mut manager);
        for (user, at) in scene.disks.borrow().iter() {
            prop_assert_eq!(at.mount, Mount::None, "{} stayed open", user);
        }
    }
}
