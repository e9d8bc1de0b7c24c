//! What follows when a lock that was broken off cannot be put in order at once, or ever.

use super::*;

#[test]
fn nothing_touches_a_home_whose_broken_lock_is_not_mended_yet() {
    let fault = |_: &str| Outcome::Fault { chain: "killed".into() };
    let mut scene = Scene::new("", |_| {});
    scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
    scene.end_as_it_is(fault);
    assert!(scene.settles(), "after a lock that was killed");
    scene.end_as_it_is(fault);
    let (_, again, _) = scene.timer(TimerKind::Settle).expect("another try");
    scene.ask(0, Operation::Authenticate(HomeKey::Name("alice".into()), offer("right")));
    assert_eq!(scene.starts().count(), 0, "its file system may be frozen");
    assert_eq!(scene.answer(), None, "it waits");
    scene.take(Event::Rang(again));
    assert!(scene.settles());
    scene.end_as_it_is(done);
    assert!(
        scene.starts().any(|start| matches!(start.job.task, Task::Authenticate { .. })),
        "its turn has come"
    );
}

/// As with a disk that hangs: "it failed unexpectedly" says neither whether the key is out of memory nor what to do.
#[test]
fn a_lock_that_was_broken_off_is_told_in_words() {
    for (mount, key) in [
        (Mount::Usable, "its key is still in memory"),
        (Mount::Suspended, "its device is suspended without a key"),
        (Mount::None, "nothing of it is open"),
    ] {
        let mut scene = Scene::new("", |_| {});
        scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
        scene.mounts.borrow_mut().insert("alice".into(), mount);
        let late = "suspending the encrypted device takes too long";
        scene.end_as_it_is(|_| Outcome::Fault { chain: late.into() });
        let Some(Err(told)) = scene.answer() else { panic!("not told: {mount:?}") };
        assert!(told.contains(late) && told.contains(key) && told.contains("homectl lock alice"), "{told}");
        assert!(scene.settles(), "and it is settled");
    }
}

#[test]
fn nobody_is_refused_for_what_the_daemon_puts_in_order_by_itself() {
    let mut scene = Scene::new("", |_| {});
    let check = |name: &str| Operation::Check(HomeKey::Name(name.into()), offer("right"));
    scene.ask(0, check("alice"));
    scene.ask(0, check("alice"));
    assert!(matches!(scene.answer(), Some(Err(_))), "busy with what she has asked for herself");
    scene.ask(0, Operation::Lock(HomeKey::Name("bob".into())));
    scene.end_as_it_is(|_| Outcome::Fault { chain: "killed".into() });
    assert!(scene.settles());
    scene.ask(0, Operation::Authenticate(HomeKey::Name("bob".into()), offer("right")));
    assert_eq!(
        (scene.starts().count(), scene.answer()),
        (0, None),
        "he waits for a job that nobody waits for"
    );
}

fn in_the_way(_: &str) -> Outcome {
    Outcome::Refused(records::refusal::Refused::new(
        records::Refusal::HomeBusy,
        "The home's encrypted device is still in use by tar (7).",
    ))
}

#[test]
fn what_cannot_be_mended_is_tried_ever_more_rarely_and_told_to_who_waits() {
    let mut scene = Scene::new("", |_| {});
    scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
    scene.end_as_it_is(|_| Outcome::Fault { chain: "killed".into() });
    let authenticate = || Operation::Authenticate(HomeKey::Name("alice".into()), offer("right"));
    let mut waits = Vec::new();
    for tried in 1..=10 {
        assert!(scene.settles(), "try {tried}");
        scene.end_as_it_is(in_the_way);
        let (_, again, after) = scene.timer(TimerKind::Settle).expect("another try");
        waits.push(after / 1_000_000);
        let told = scene.answer();
        if tried == 1 {
            scene.ask(0, authenticate());
            assert_eq!(scene.answer(), None, "it may be in order in a moment");
        }
        if tried == 6 {
            let Some(Err(told)) = told else { panic!("who waits is told: {told:?}") };
            assert!(told.contains("tar (7)") && told.contains("homectl lock alice"), "{told}");
        } else {
            assert_eq!(told, None, "try {tried}");
        }
        if tried > 6 {
            scene.ask(0, authenticate());
            assert!(matches!(scene.answer(), Some(Err(told)) if told.contains("tar (7)")), "told at once");
            assert_eq!(scene.starts().count(), 0);
        }
        scene.take(Event::Rang(again));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    scene.end_as_it_is(done);
    scene.ask(0, authenticate());
    assert_eq!(scene.starts().count(), 1, "it is in order");
}

#[test]
fn a_lock_is_a_way_out_of_what_cannot_be_mended() {
    let mut scene = Scene::new("", |_| {});
    scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
    scene.end_as_it_is(|_| Outcome::Fault { chain: "killed".into() });
    for _ in 0..7 {
        scene.end_as_it_is(in_the_way);
        let (_, again, _) = scene.timer(TimerKind::Settle).expect("another try");
        scene.take(Event::Rang(again));
    }
    scene.end_as_it_is(in_the_way);
    scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
    assert_eq!(scene.starts().count(), 1, "a lock starts whatever is not in order");
    scene.mounts.borrow_mut().insert("alice".into(), Mount::Suspended);
    scene.end_as_it_is(done);
    let (_, soon, after) = scene.timer(TimerKind::Settle).expect("it is looked at once more");
    assert_eq!(after, 1_000_000);
    scene.ask(0, Operation::Unlock(HomeKey::Name("alice".into()), offer("right")));
    assert_eq!(scene.answer(), None, "it waits for that");
    scene.take(Event::Rang(soon));
    scene.end_as_it_is(done);
    assert!(scene.starts().any(|start| matches!(start.job.task, Task::Unlock { .. })), "the way is free");
}

/// What the daemon itself waits for is answered to nobody, so it waits on: else the home stays open, and nobody tries to close it again.
#[test]
fn a_home_whose_last_holder_goes_while_it_cannot_be_mended_is_closed_once_it_is() {
    for goes_at in [3, 9] {
        let mut scene = Scene::new("", |_| {});
        scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
        scene.end_as_it_is(|_| Outcome::Fault { chain: "killed".into() });
        for tried in 1..=10 {
            scene.end_as_it_is(in_the_way);
            let (_, again, _) = scene.timer(TimerKind::Settle).expect("another try");
            if tried == goes_at {
                scene.take(Event::Released(user("alice"), AtSuspend::Stay));
                assert_eq!(scene.starts().count(), 0, "nothing touches it yet");
            }
            scene.take(Event::Rang(again));
        }
        scene.end_as_it_is(done);
        // Its space is cared for before it is closed.
        assert_eq!(scene.starts().count(), 1, "the holder went at try {goes_at}");
        scene.end_as_it_is(done);
        let closes = |start: &StartJob| matches!(start.job.task, Task::Deactivate { .. });
        assert!(scene.starts().any(closes), "the holder went at try {goes_at}");
    }
}
