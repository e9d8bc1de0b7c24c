//! Somebody tries to get in from elsewhere: whoever has a right to the home waits for the answer to that, and is not refused.

use super::*;

/// Root asks from a session, or a service for somebody whom nobody knows yet.
const SESSION: &str = "session-1.scope";
const SSH: &str = "ssh.service";

type What = fn(HomeKey, Offer) -> Operation;

fn ask(scene: &mut Scene, manager: &mut Manager, unit: &str, what: What) {
    scene.calls += 1;
    let id = RequestId(scene.calls);
    scene.open_calls.insert(id);
    let passwords = vec![records::Secret::new(b"a guess".to_vec())];
    let offer =
        Offer { credentials: records::Credentials { passwords, ..Default::default() }, progress: None };
    let from = request::Provenance { unit: unit.into(), ..Default::default() };
    let caller = Caller { uid: 0, bus_name: None, interactive: Interactive::No, from };
    // All of it is one moment: attempts are counted by the minute.
    scene.now_usec = 0;
    let operation = what(HomeKey::Name(user(0).to_string()), offer);
    scene.take(manager, Event::Asked(id, caller, Box::new(operation)));
}

fn a_home(mount: Mount) -> (Manager, Scene) {
    let (mut manager, mut scene) = (manager(), Scene::default());
    let text = r#"{"userName":"alice","storage":"luks","uid":60001}"#;
    let record = Box::new(Record::parse(text, Sections::HOST).expect("valid"));
    scene.take(&mut manager, Event::Loaded(record, Interrupted::No, Vec::new()));
    scene.disks.borrow_mut().insert(user(0), Whereabouts { storage: Storage::There, mount });
    (manager, scene)
}

fn acquire(key: HomeKey, offer: Offer) -> Operation {
    Operation::Acquire(key, AtSuspend::Stay, offer)
}

#[test]
fn who_guesses_over_the_network_has_nobody_refused() {
    let rows: [(Mount, What, &str); 4] = [
        (Mount::None, Operation::Activate, "activate"),
        (Mount::Suspended, Operation::Unlock, "unlock"),
        (Mount::Usable, |key, _| Operation::Deactivate(key), "deactivate"),
        (
            Mount::Usable,
            |home, old| Operation::ChangePassword { home, new: Default::default(), old },
            "passwd",
        ),
    ];
    for (mount, what, starts) in rows {
        let (mut manager, mut scene) = a_home(mount);
        // Five are at it, and one more is another's.
        for _ in 0..5 {
            ask(&mut scene, &mut manager, SSH, acquire);
        }
        scene.apply(&mut manager, Op::Check(true));
        ask(&mut scene, &mut manager, SESSION, what);
        assert_eq!(scene.open_calls.len(), 6, "{starts} waits");
        // For that one guess, and not for all of them.
        for _ in 0..2 {
            scene.now_usec = 0;
            scene.apply(&mut manager, Op::End(End::BadPassword));
            scene.apply(&mut manager, Op::Check(true));
        }
        let waiting: Vec<u64> = scene.open_calls.iter().map(|id| id.0).collect();
        assert_eq!(waiting, [2, 3, 4, 5], "{starts}");
    }
}

/// As the original has it: who has begun something is told that it goes on.
#[test]
fn who_asks_twice_is_told_that_the_home_is_busy() {
    let (mut manager, mut scene) = a_home(Mount::None);
    ask(&mut scene, &mut manager, SESSION, Operation::Activate);
    scene.apply(&mut manager, Op::Check(true));
    ask(&mut scene, &mut manager, SESSION, Operation::Activate);
    assert_eq!(scene.open_calls.len(), 1);
}

/// Whoever has just got in has no process in the home yet: closing it would succeed, and leave a session without a home.
#[test]
fn who_has_just_got_in_is_not_closed_out_by_who_wanted_it_closed_before() {
    for mount in [Mount::None, Mount::Usable, Mount::Suspended] {
        let (mut manager, mut scene) = a_home(mount);
        ask(&mut scene, &mut manager, SSH, acquire);
        scene.apply(&mut manager, Op::Check(true));
        for _ in 0..2 {
            ask(&mut scene, &mut manager, SESSION, |key, _| Operation::Deactivate(key));
        }
        assert_eq!(scene.open_calls.len(), 3, "{mount:?}: it waits for the answer");
        scene.apply(&mut manager, Op::End(End::Good));
        assert!(scene.open_calls.is_empty() && scene.running.is_empty(), "{mount:?}: and is refused");
        assert_eq!(scene.references.len(), 1);
        // Asked again, it is an order like any other.
        ask(&mut scene, &mut manager, SESSION, |key, _| Operation::Deactivate(key));
        assert!(matches!(scene.running[..], [StartJob { what: "deactivate", .. }]), "{mount:?}");
    }
}

/// The same of one who needs no password.
#[test]
fn who_has_come_without_a_password_is_not_closed_out_either() {
    let (mut manager, mut scene) = a_home(Mount::Usable);
    ask(&mut scene, &mut manager, SSH, acquire);
    ask(&mut scene, &mut manager, SESSION, |key, _| Operation::Deactivate(key));
    ask(&mut scene, &mut manager, SESSION, |key, _| Operation::Ref(key, AtSuspend::Stay));
    scene.apply(&mut manager, Op::End(End::BadPassword));
    assert!(scene.open_calls.is_empty() && scene.running.is_empty());
    assert_eq!(scene.references.len(), 1);
}

/// What closes a home whoever is in it.
type Order = fn(&mut Scene, &mut Manager);

#[test]
fn all_homes_are_closed_and_so_is_what_has_lost_its_storage_whoever_has_just_come() {
    let gone: Order = |scene, manager| {
        let at = Whereabouts { storage: Storage::Missing, mount: Mount::Usable };
        scene.disks.borrow_mut().insert(user(0), at);
        scene.take(manager, Event::Vanished("/home/alice.home".into()));
    };
    let all: Order = |scene, manager| {
        ask(scene, manager, SESSION, |_, _| Operation::DeactivateAll);
    };
    for order in [gone, all] {
        let (mut manager, mut scene) = a_home(Mount::Usable);
        ask(&mut scene, &mut manager, SSH, acquire);
        order(&mut scene, &mut manager);
        scene.apply(&mut manager, Op::End(End::Good));
        assert!(matches!(scene.running[..], [StartJob { what: "deactivate", .. }]));
    }
}
