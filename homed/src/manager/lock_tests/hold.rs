//! When a hold ends that nobody has ended: not by the clock alone.

use super::sleep::acquire;
use super::*;
use crate::words::request::Then;

impl Scene {
    /// A timer of the hold rings, and whoever is asked for a sleep says that.
    fn is_asked_for(&mut self, timer: Timer, on_its_way: bool) {
        self.take(Event::Rang(timer));
        let asked = self.last.iter().find_map(|effect| match effect {
            Effect::AskForSleep(number) => Some(*number),
            _ => None,
        });
        assert!(!self.lets_go(), "it is asked first");
        self.take(Event::SleepSeen(asked.expect("asked"), on_its_way));
    }
}

fn is_hold(timer: &Timer) -> bool {
    matches!(timer, Timer::Hold(_))
}

#[test]
fn homes_open_again_when_nobody_says_that_the_sleep_is_over() {
    let mut scene = Scene::new("", |_| {});
    scene.ask(0, Operation::LockAll(Then::Hold));
    let first = scene.common(is_hold);
    scene.end(done);
    scene.take(Event::Slept(SECOND));
    let second = scene.common(is_hold);
    scene.take(Event::Rang(first));
    assert!(!scene.has(|effect| matches!(effect, Effect::AskForSleep(_))), "it may sleep again");
    scene.is_asked_for(second, false);
    assert!(scene.lets_go());
    scene.ask(0, acquire("alice"));
    assert_eq!(scene.begun(), ["unlock"]);

    // Who asked for it is killed.
    let mut scene = Scene::new("", |_| {});
    scene.ask(0, Operation::LockAll(Then::Hold));
    let call = RequestId(scene.calls);
    scene.take(Event::Abandoned(call));
    assert!(scene.lets_go());

    // The daemon is killed, and the next one holds on.
    let mut scene = Scene::new("", |_| {});
    scene.mounts.borrow_mut().insert("alice".into(), Mount::Suspended);
    scene.take(Event::Held(std::time::Duration::from_secs(9)));
    let held = scene.common(is_hold);
    scene.ask(0, acquire("alice"));
    assert_eq!(scene.begun(), [""; 0]);
    scene.is_asked_for(held, false);
    assert_eq!(scene.begun(), ["unlock"]);
}

/// A backup before the sleep, a hook between the two halves of suspend-then-hibernate: the clock knows of neither.
#[test]
fn a_sleep_that_is_long_on_its_way_is_held_for() {
    let mut asleep = Scene::asleep(|_| {});
    asleep.take(Event::Slept(SECOND));
    let woken = asleep.common(is_hold);
    let mut restarted = Scene::new("", |_| {});
    restarted.mounts.borrow_mut().insert("alice".into(), Mount::Suspended);
    restarted.take(Event::Held(std::time::Duration::ZERO));
    let held = restarted.common(is_hold);
    for (mut scene, timer) in [(asleep, woken), (restarted, held)] {
        scene.ask(0, acquire("alice"));
        scene.take(Event::Rang(timer.clone()));
        let again = scene.common(is_hold);
        let Some(asked) = scene.last.iter().find_map(|effect| match effect {
            Effect::AskForSleep(number) => Some(*number),
            _ => None,
        }) else {
            panic!("nobody is asked")
        };
        let warned = |scene: &Scene| {
            scene.has(|effect| matches!(effect, Effect::Warn(text) if text.contains("after-sleep")))
        };
        scene.take(Event::SleepSeen(asked, true));
        assert!(!scene.lets_go() && scene.begun().is_empty() && warned(&scene));
        // It is asked again and again, and told once; what was answered before counts no more.
        scene.is_asked_for(again, true);
        assert!(!scene.lets_go() && scene.begun().is_empty() && !warned(&scene));
        scene.take(Event::SleepSeen(asked, false));
        assert!(!scene.lets_go());
        // What another has asked meanwhile, and does not wait for any more, is no word about it.
        scene.mounts.borrow_mut().insert("bob".into(), Mount::Usable);
        scene.ask(0, Operation::LockAll(Then::Hold));
        let call = RequestId(scene.calls);
        scene.take(Event::Abandoned(call));
        assert!(!scene.lets_go());
        scene.ask(0, Operation::SleepOver);
        assert!(scene.lets_go());
    }
}

/// It opens the home for good, and nobody has written more of it down than one group.
#[test]
fn a_recovery_key_that_was_confirmed_too_late_does_not_wait_for_the_wake() {
    let confirm = {
        let record = Record::parse(r#"{"userName":"alice"}"#, Sections::EMBEDDED).expect("valid");
        let part = crate::job::Part::RecoveryKey;
        let change =
            crate::job::RecordChange { record, blobs: None, reach: crate::job::Reach::Everywhere, part };
        let mut offer = offer("right");
        offer.credentials.new_recovery_key = Some(records::Secret::from_text("shown".into()));
        Operation::Update(HomeKey::Name("alice".into()), Box::new(change), offer)
    };
    let mut scene = Scene::asleep(|_| {});
    scene.mounts.borrow_mut().insert("alice".into(), Mount::None);
    scene.ask(0, confirm);
    let refused =
        scene.answer().is_some_and(|answer| answer.is_err_and(|why| why.contains("going to sleep")));
    assert!(refused && scene.begun().is_empty(), "{:?}", scene.answer());
}
