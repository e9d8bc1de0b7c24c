//! Random sequences on the core, with invariants checked after each step.

use super::*;
use crate::home::attempts::Origin;
use crate::home::effect::{Findings, Found, Interrupted, StartJob};
use crate::home::facts::{Figures, Mount, Parts, Place, SignedLocally, Storage, Whereabouts};
use crate::job::Reach;
use crate::job::{Outcome, RecordChange, Task};
use crate::words::request::Interactive;
use crate::words::request::{AtSuspend, Offer};
use crate::words::seal::Seal;
use proptest::prelude::*;
use records::refusal::Refused;
use records::{HostName, MachineId, Record, Sections};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// The wait before the space of a home is cared for.
const TEND: Duration = Duration::MAX;
const NAMES: [&str; 2] = ["alice", "bob"];

pub mod crowd;
mod guesses;
mod recovery;
mod scene;
mod silent;
mod trust;

use scene::{Scene, manager, user};

/// What can happen.
#[derive(Debug, Clone, Copy)]
enum Op {
    Ask(What, usize, u32),
    /// The first running job ends.
    End(End),
    /// The first running job asks tokens, or does not any more.
    Asks(bool),
    /// The first open check comes back.
    Check(bool),
    /// The reference given first is let go.
    LetGo,
    /// The oldest caller that still waits goes away.
    Leave,
    Ring,
    Tend,
    /// Somebody has looked at a lock, or could not.
    Prove(bool),
    /// The machine has slept.
    Slept,
    /// Something of an open home's disk changed, or seemed to.
    Mounts,
    /// The homes that are to share space are measured: so many GiB are free in each.
    Measured(Option<u64>),
    /// A file system answers otherwise, or not at all.
    Storage(usize, Storage),
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
    LockAllForSleep,
    SleepPrepared,
    SleepOver,
    Unlock,
    GiveUpAll,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Good,
    BadPassword,
    Busy,
    Fault,
    /// It was told to stop, and did.
    Stopped,
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
        What::LockAllForSleep,
        What::LockAllForSleep,
        What::SleepPrepared,
        What::SleepOver,
        What::Unlock,
        What::GiveUpAll,
    ]);
    let storage = vec![Storage::There, Storage::There, Storage::Dirty, Storage::Missing, Storage::Unanswered];
    let storage = prop::sample::select(storage);
    let end = prop::sample::select(vec![End::Good, End::Good, End::BadPassword, End::Busy, End::Fault]);
    prop_oneof![
        6 => (what, 0..2_usize, prop::sample::select(vec![0, 60456, 2000])).prop_map(|(w, i, u)| Op::Ask(w, i, u)),
        4 => end.prop_map(Op::End),
        2 => prop::bool::ANY.prop_map(Op::Asks),
        3 => prop::bool::weighted(0.8).prop_map(Op::Check),
        2 => Just(Op::LetGo),
        1 => Just(Op::Leave),
        1 => Just(Op::Ring),
        1 => Just(Op::Tend),
        2 => prop::bool::ANY.prop_map(Op::Prove),
        1 => Just(Op::Slept),
        1 => Just(Op::Mounts),
        1 => prop::option::of(1..8_u64).prop_map(Op::Measured),
        1 => (0..2_usize, storage).prop_map(|(index, storage)| Op::Storage(index, storage)),
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

/// The first running job asks tokens, or does not any more.
fn asks(scene: &mut Scene, manager: &mut Manager, asks: bool) {
    if let Some(start) = scene.running.first() {
        let event = Event::Asking(start.user.clone(), start.id, asks);
        scene.take(manager, event);
    }
}

/// Nobody touches the token at the prompt of a locked home: whoever unlocks it otherwise, or closes the lid, waits for nobody,
/// and neither does anybody wait for a caller who has gone.
#[test]
fn a_wait_for_a_touch_makes_way_and_goes_with_its_caller() {
    let begin = || {
        let (mut manager, mut scene) = (manager(), Scene::default());
        let text = r#"{"userName":"alice","storage":"luks","uid":60001}"#;
        let record = Box::new(Record::parse(text, Sections::HOST).expect("valid"));
        scene.take(&mut manager, Event::Loaded(record, Interrupted::No, vec![AtSuspend::Lock]));
        let locked = Whereabouts { storage: Storage::There, mount: Mount::Suspended };
        scene.disks.borrow_mut().insert(user(0), locked);
        // The third call has a password with it.
        scene.calls = 2;
        scene.apply(&mut manager, Op::Ask(What::Unlock, 0, 0));
        assert!(matches!(scene.running[0].job.task, Task::Unlock { .. }));
        (manager, scene)
    };
    let stops = |op: Op, asks: bool| {
        let (mut manager, mut scene) = begin();
        let unlocks = scene.running[0].id;
        scene.apply(&mut manager, Op::Asks(true));
        scene.apply(&mut manager, Op::Asks(asks));
        scene.calls = 5;
        scene.apply(&mut manager, op);
        scene.stopped.contains(&unlocks)
    };
    let all =
        [What::Unlock, What::Lock, What::LockAll, What::LockAllForSleep].map(|what| Op::Ask(what, 0, 0));
    for op in all.into_iter().chain([Op::Leave]) {
        assert!(stops(op, true), "{op:?} is kept waiting");
        assert!(!stops(op, false), "{op:?} breaks off what a person has answered");
    }
    for what in [What::Acquire, What::Authenticate, What::Check] {
        assert!(!stops(Op::Ask(what, 0, 0), true), "anybody can begin {what:?}");
    }
}

#[test]
fn of_two_records_that_name_one_uid_the_second_gets_another() {
    let (mut manager, mut scene) = (manager(), Scene::default());
    for name in ["alice", "bob"] {
        let text =
            format!(r#"{{"userName":"{name}","storage":"luks","uid":60001,"imagePath":"/srv/{name}.home"}}"#);
        let record = Box::new(Record::parse(&text, Sections::HOST).expect("valid"));
        scene.take(&mut manager, Event::Loaded(record, Interrupted::No, Vec::new()));
    }
    let uids: Vec<u32> = manager.homes.walk().flat_map(Home::uids).collect();
    assert!(uids.len() == 2 && uids[0] == 60001 && uids[1] != 60001, "{uids:?}");
    // One that is open keeps the UID that its processes have.
    let text = r#"{"userName":"carol","storage":"luks","uid":60001,"imagePath":"/srv/carol.home"}"#;
    let record = Box::new(Record::parse(text, Sections::HOST).expect("valid"));
    let carol = record.user().clone();
    scene
        .disks
        .borrow_mut()
        .insert(carol.clone(), Whereabouts { storage: Storage::There, mount: Mount::Usable });
    let now = Now { usec: 1, facts: &scene };
    let _ = manager.handle(Event::Loaded(record, Interrupted::No, Vec::new()), &now);
    assert_eq!(manager.homes.get(&carol).map(Home::uid), Some(60001));
}

#[test]
fn storage_without_an_answer_is_refused_in_words_and_an_open_home_is_locked_all_the_same() {
    let (mut manager, mut scene) = (manager(), Scene::default());
    let text = r#"{"userName":"alice","storage":"luks","uid":60001,"imagePath":"/srv/alice.home"}"#;
    let record = Box::new(Record::parse(text, Sections::HOST).expect("valid"));
    scene.take(&mut manager, Event::Loaded(record, Interrupted::No, Vec::new()));
    let mut ask = |mount, operation| {
        let whereabouts = Whereabouts { storage: Storage::Unanswered, mount };
        scene.disks.borrow_mut().insert(user(0), whereabouts);
        scene.calls += 1;
        let from = request::Provenance::default();
        let caller = Caller { uid: 0, interactive: Interactive::No, bus_name: None, from };
        let asked = Event::Asked(RequestId(scene.calls), caller, Box::new(operation));
        manager.handle(asked, &Now { usec: 1, facts: &scene })
    };
    let effects = ask(Mount::None, Operation::Authenticate(HomeKey::Uid(60001), Offer::default()));
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Answer(_, Err(Failed::Refused(refused)), _) => Some(refused.sentence.as_str()),
        _ => None,
    });
    assert!(told.is_some_and(|said| said.contains("(/srv/alice.home) gives no answer")), "{told:?}");
    let effects = ask(Mount::Usable, Operation::Lock(HomeKey::Uid(60001)));
    let locks = |effect: &Effect| matches!(effect, Effect::Start(start) if matches!(start.job.task, Task::Lock { .. }));
    assert!(effects.iter().any(locks));
}

#[test]
fn a_home_that_nobody_knew_is_forgotten_when_what_runs_on_it_has_ended() {
    let (mut manager, mut scene) = (manager(), Scene::default());
    let storage = |storage| Whereabouts { storage, mount: Mount::None };
    scene.disks.borrow_mut().insert(user(0), storage(Storage::There));
    let image = "/home/alice.home";
    let name = records::FullName { user: user(0), realm: None };
    let found = Found { name, image: image.into(), storage: records::Storage::Luks };
    scene.take(&mut manager, Event::Found(found));
    let (_, id, uids) = scene.checks.pop().expect("its names are looked up");
    let findings = Findings { uid: uids.first().copied(), ..Findings::default() };
    scene.take(&mut manager, Event::Checked(user(0), id, findings));
    // The third call has a password with it.
    scene.calls = 2;
    scene.apply(&mut manager, Op::Ask(What::Activate, 0, 0));
    scene.apply(&mut manager, Op::Check(true));
    let job = scene.running.first().expect("a worker runs").id;
    let caller = *scene.open_calls.first().expect("somebody waits");

    scene.disks.borrow_mut().insert(user(0), storage(Storage::Missing));
    scene.take(&mut manager, Event::Vanished(image.into()));
    scene.running.clear();
    scene.take(&mut manager, Event::Ended(user(0), job, Outcome::Refused(Refusal::HomeAbsent.into())));
    assert!(!scene.open_calls.contains(&caller), "nobody waits for ever");
    assert!(scene.shown.is_empty(), "and then it is none any more");
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
    #![proptest_config(ProptestConfig { cases: 750, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_is_answered_once_and_no_home_is_forgotten(ops in prop::collection::vec(any_op(), 1..120)) {
        let (mut manager, mut scene) = (manager(), Scene::default());
        for op in ops {
            scene.apply(&mut manager, op);
        }
        scene.come_to_rest(&mut manager);
        prop_assert!(scene.open_calls.is_empty(), "unanswered: {:?}", scene.open_calls);
        prop_assert!(manager.groups.is_empty());
        prop_assert!(!scene.holding, "nobody may open a home any more");
        prop_assert!(scene.left_open.is_empty(), "never settled: {:?}", scene.left_open);
        for home in manager.homes.walk() {
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

#[test]
fn root_tries_for_whoever_has_started_it() {
    let (mut scene, mut manager) = (Scene::default(), manager());
    let text = format!(
        r#"{{"userName":"alice","binding":{{"{id}":{{"uid":60001,"gid":60001}}}}}}"#,
        id = manager.machine().id.as_str()
    );
    let record = Box::new(Record::parse(&text, Sections::HOST).expect("valid"));
    scene.take(&mut manager, Event::Loaded(record, Interrupted::No, Vec::new()));
    let home = manager.homes.get(&user(0)).expect("loaded");
    let tries = |uid, from: (u32, Option<u32>, &str)| {
        let (real_uid, login, unit) = from;
        let from = request::Provenance { real_uid, login, unit: unit.into() };
        let trier = trier(&Caller { uid, bus_name: None, interactive: Interactive::No, from }, home);
        (trier.origin, trier.favour)
    };
    let service = |unit: &str| Origin::Service(unit.to_owned());
    use crate::home::verdict::Favour::{Owner, Stranger};
    for (uid, from, expected) in [
        (60001, (0, None, ""), (Origin::Owner, Owner)),
        (1001, (0, None, ""), (Origin::User(1001), Stranger)),
        // su, started by somebody, by the owner, and by root.
        (0, (1001, Some(1001), "session-1.scope"), (Origin::User(1001), Stranger)),
        (0, (60001, Some(60001), "session-2.scope"), (Origin::Owner, Owner)),
        (0, (0, Some(0), "session-3.scope"), (service("session-3.scope"), Owner)),
        // sudo, and what an administrator runs with it.
        (0, (0, Some(60001), "session-2.scope"), (Origin::Owner, Owner)),
        (0, (0, Some(1001), "session-1.scope"), (Origin::User(1001), Owner)),
        (0, (0, None, "ssh.service"), (service("ssh.service"), Owner)),
        (0, (0, None, "homed-prompt.service"), (service("homed-prompt.service"), Owner)),
    ] {
        assert_eq!(tries(uid, from), expected, "{uid} {from:?}");
    }
}
