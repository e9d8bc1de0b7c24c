//! On the way to sleep: what waits, what is ended, who is told, and when homes may be opened again.

use super::scene::{ENCRYPTED, FOLDER};
use super::*;
use crate::words::request::Then;
use records::LockLevel;

fn key(name: &str) -> HomeKey {
    HomeKey::Name(name.into())
}

pub fn acquire(name: &str) -> Operation {
    Operation::Acquire(key(name), AtSuspend::Stay, offer("right"))
}

impl Scene {
    /// alice and bob are locked, and the machine may sleep.
    pub fn asleep(change: impl FnOnce(&mut Defaults)) -> Self {
        let mut scene = Self::new("", change);
        scene.ask(0, Operation::LockAll(Then::Hold));
        assert_eq!(scene.locking(), ["alice", "bob"]);
        scene.end(done);
        assert_eq!(scene.answer(), Some(Ok(())));
        scene
    }

    pub fn begun(&self) -> Vec<&'static str> {
        self.starts().map(|start| start.what).collect()
    }

    /// Rings the last timer of that kind that was set by these effects.
    fn ring(&mut self, set: Option<(UserName, Timer, u64)>) {
        let (_, timer, _) = set.expect("set");
        self.take(Event::Rang(timer));
    }

    pub fn common(&self, is_it: impl Fn(&Timer) -> bool) -> Timer {
        let timers = self.last.iter().filter_map(|effect| match effect {
            Effect::SetTimer(timer, _) if is_it(timer) => Some(timer.clone()),
            _ => None,
        });
        timers.last().expect("set")
    }

    pub fn lets_go(&self) -> bool {
        self.has(|effect| matches!(effect, Effect::Hold(crate::home::Sleep::Awake)))
    }
}

/// What a hook of the sleep asks for, or an administrator, is no word about the sleep that was granted before.
#[test]
fn a_second_order_to_lock_that_fails_does_not_end_the_first_one_s_sleep() {
    let mut scene = Scene::asleep(|_| {});
    scene.mounts.borrow_mut().insert("alice".into(), Mount::Usable);
    scene.ask(0, Operation::LockAll(Then::Hold));
    let job = scene.starts().map(|start| start.id).last().expect("alice's");
    scene.take(Event::Ended(user("alice"), job, Outcome::Fault { chain: "a test's".into() }));
    assert!(scene.answer().is_some_and(|answer| answer.is_err()));
    assert!(!scene.lets_go());
    scene.ask(0, acquire("bob"));
    assert!(!scene.begun().contains(&"unlock"), "the machine is on its way to sleep");
    scene.ask(0, Operation::SleepOver);
    assert!(scene.lets_go());
}

/// All that a person at a prompt, a session, a timer or an administrator may want meanwhile.
fn everything(name: &str) -> Vec<Operation> {
    let offer = || offer("right");
    let new = records::Credentials::default();
    vec![
        acquire(name),
        Operation::Unlock(key(name), offer()),
        Operation::Activate(key(name), offer()),
        Operation::Authenticate(key(name), offer()),
        Operation::ChangePassword { home: key(name), new, old: offer() },
        Operation::Resize(key(name), 1 << 30, offer()),
        Operation::Check(key(name), offer()),
        Operation::Repair(key(name), Default::default(), offer()),
        Operation::Rescue(key(name), None, offer()),
    ]
}

#[test]
fn no_key_comes_into_memory_between_the_lock_and_the_wake() {
    let mut scene = Scene::asleep(|_| {});
    scene.mounts.borrow_mut().insert("bob".into(), Mount::None);
    for name in ["alice", "bob"] {
        for operation in everything(name) {
            scene.ask(0, operation);
            assert_eq!(scene.begun(), [""; 0]);
            assert!(scene.check().is_none());
        }
    }
    let text = r#"{"userName":"carol"}"#;
    let record = Box::new(Record::parse(text, Sections::EMBEDDED).expect("valid"));
    scene.ask(0, Operation::Create(record, None, offer("right")));
    assert!(scene.answer().is_some_and(|answer| answer.is_err_and(|why| why.contains("going to sleep"))));
    // What takes no key goes on: another sleep, a close, what looks.
    scene.ask(0, Operation::LockAll(Then::Hold));
    assert_eq!(scene.answer(), Some(Ok(())));
    // A wake in between is not the end of a sleep.
    scene.take(Event::Slept(SECOND));
    assert_eq!(scene.begun(), [""; 0]);
    scene.ask(0, Operation::SleepOver);
    assert_eq!(scene.begun(), ["unlock"]);
    assert!(scene.check().is_some(), "bob's home is opened");
}

#[test]
fn who_waited_gets_in_one_after_the_other() {
    let mut scene = Scene::asleep(|_| {});
    for uid in [0, 0, 60001] {
        scene.ask(uid, acquire("alice"));
    }
    scene.ask(0, Operation::SleepOver);
    let mut given = 0;
    for _ in 0..3 {
        assert_eq!(scene.starts().count(), 1);
        scene.mounts.borrow_mut().insert("alice".into(), Mount::Usable);
        scene.end_as_it_is(done);
        given += scene.last.iter().filter(|effect| matches!(effect, Effect::HandOver(..))).count();
    }
    assert_eq!(given, 3);
}

#[test]
fn what_was_asked_for_before_and_has_not_begun_goes_back_and_counts_once() {
    let mut scene = Scene::new("", |_| {});
    scene.mounts.borrow_mut().insert("alice".into(), Mount::None);
    scene.ask(0, acquire("alice"));
    let (before, _) = scene.check().expect("its UID is looked up");
    scene.ask(0, Operation::LockAll(Then::Hold));
    assert_eq!(scene.locking(), ["bob"]);
    scene.end(done);
    assert_eq!(scene.answer(), Some(Ok(())), "nobody waits for what has not begun");
    let findings = || crate::home::effect::Findings { uid: Some(60001), ..Default::default() };
    scene.take(Event::Checked(user("alice"), before, findings()));
    assert_eq!(scene.begun(), [""; 0]);
    scene.ask(0, Operation::SleepOver);
    let (again, _) = scene.check().expect("it is looked up again");
    scene.take(Event::Checked(user("alice"), again, findings()));
    assert_eq!(scene.begun(), ["activate"]);
}

#[test]
fn a_home_without_a_key_keeps_no_machine_awake() {
    for (level, then, locked, good) in [
        (LockLevel::Cache, Then::Hold, vec!["alice"], true),
        (LockLevel::Key, Then::Hold, vec!["alice"], true),
        // Something was promised that would not be kept, or can be.
        (LockLevel::Strict, Then::Hold, vec!["alice", "bob"], false),
        (LockLevel::Terminate, Then::Hold, vec!["alice", "bob"], false),
        // Somebody asks, and hears of it.
        (LockLevel::Cache, Then::GoOn, vec!["alice", "bob"], false),
    ] {
        let mut scene = Scene::new("", |defaults| defaults.lock_level = level);
        scene.bob = FOLDER;
        scene.ask(0, Operation::LockAll(then));
        assert_eq!(scene.locking(), locked, "{level:?}");
        scene.end(|user| if user == "bob" { busy("alice") } else { done(user) });
        assert_eq!(scene.answer().map(|answer| answer.is_ok()), Some(good), "{level:?}");
    }
    // Nor is it told afterwards that a key was in memory.
    let mut scene = Scene::new("", |_| {});
    scene.bob = FOLDER;
    scene.ask(0, Operation::LockAll(Then::Hold));
    scene.end(done);
    scene.take(Event::Slept(SECOND));
    assert!(!scene.has(|effect| matches!(effect, Effect::Announce(Announcement::SleptOpen(..)))));
    assert_eq!(scene.locking(), [""; 0]);
}

#[test]
fn a_home_whose_key_stays_keeps_no_machine_awake_and_that_is_told() {
    for (level, locked) in [
        (LockLevel::Cache, vec!["alice"]),
        (LockLevel::Key, vec!["alice"]),
        (LockLevel::Strict, vec!["alice", "bob"]),
        (LockLevel::Terminate, vec!["alice", "bob"]),
    ] {
        let mut scene = Scene::new("", |defaults| defaults.lock_level = level);
        scene.bob = ENCRYPTED;
        scene.ask(0, Operation::LockAll(Then::Hold));
        assert_eq!(scene.locking(), locked, "{level:?}");
        let told = |effect: &Effect| matches!(effect, Effect::Log(user, text) if user.as_str() == "bob" && text.contains("its key stays in memory"));
        assert_eq!(scene.has(told), locked.len() == 1, "{level:?}");
        // Whoever has the machine sleep asks the kernel as well, and must know which key it may find.
        scene.end(done);
        let named: &[UserName] = if locked.len() == 1 { &[user("bob")] } else { &[] };
        let answered = |effect: &Effect| matches!(effect, Effect::Answer(_, Ok(Answer::LeftOut(users)), _) if users == named);
        assert!(scene.has(answered), "{level:?}");
    }
    let mut scene = Scene::new("", |_| {});
    scene.bob = ENCRYPTED;
    scene.ask(0, Operation::LockAll(Then::Hold));
    scene.end(done);
    scene.take(Event::Slept(SECOND));
    let open = |effect: &Effect| matches!(effect, Effect::Announce(Announcement::SleptOpen(users, _)) if users == &[user("bob")]);
    assert!(scene.has(open));
}

#[test]
fn what_runs_with_a_key_ends_before_the_answer() {
    let mut scene = Scene::new("", |_| {});
    scene.mounts.borrow_mut().insert("alice".into(), Mount::None);
    scene.ask(0, Operation::Rescue(key("alice"), None, offer("right")));
    let rescue = scene.starts().next().map(|start| start.id).expect("begun");
    scene.ask(0, Operation::LockAll(Then::Hold));
    let hurry = scene.timer(TimerKind::Hurry);
    scene.end(done);
    assert_eq!(scene.answer(), None, "a worker has alice's key");
    scene.ring(hurry);
    assert!(scene.has(|effect| matches!(effect, Effect::Stop(id) if *id == rescue)));
    scene.take(Event::Ended(user("alice"), rescue, Outcome::Stopped));
    assert!(scene.answer().is_some_and(|answer| answer.is_err_and(|why| why.contains("broken off"))));
    assert_eq!(scene.begun(), ["settle"]);
    scene.end_as_it_is(done);
    assert_eq!(scene.answer(), Some(Ok(())));
}

#[test]
fn what_cannot_be_ended_is_waited_for_and_then_named() {
    for (failure, good) in
        [(LockFailure::Abort, false), (LockFailure::PowerOff, false), (LockFailure::Ignore, true)]
    {
        let mut scene = Scene::new("", |defaults| defaults.lock_failure = failure);
        let new = records::Credentials::default();
        scene.ask(60001, Operation::ChangePassword { home: key("alice"), new, old: offer("right") });
        assert_eq!(scene.begun(), ["passwd"]);
        scene.ask(0, Operation::LockAll(Then::Hold));
        let hurry = scene.timer(TimerKind::Hurry);
        scene.end(done);
        scene.ring(hurry);
        assert!(!scene.has(|effect| matches!(effect, Effect::Stop(_))));
        let late = scene.timer(TimerKind::Late);
        scene.ring(late);
        match scene.answer() {
            Some(Err(why)) => {
                let words = "alice: its password is being changed, and that has not ended in 25 s";
                assert!(why.contains(words) && !good, "{why}");
            }
            answer => assert!(answer == Some(Ok(())) && good, "{failure:?}"),
        }
        assert_eq!(scene.has(|effect| matches!(effect, Effect::PowerOff)), failure == LockFailure::PowerOff);
        let refused = scene.has(|effect| matches!(effect, Effect::Announce(Announcement::SleepRefused)));
        assert_eq!(refused, failure == LockFailure::Abort);
        // A sleep that is given up is over.
        assert_eq!(scene.lets_go(), !good, "{failure:?}");
    }
}

#[test]
fn a_lock_that_never_ends_is_answered_for() {
    let mut scene = Scene::new("", |_| {});
    scene.ask(0, Operation::LockAll(Then::Hold));
    let deadline = scene.common(|timer| matches!(timer, Timer::Group(_)));
    let bob = scene.starts().find(|start| start.user.as_str() == "bob").map(|start| start.id).expect("begun");
    scene.mounts.borrow_mut().insert("bob".into(), Mount::Suspended);
    scene.take(Event::Ended(user("bob"), bob, done("bob")));
    scene.take(Event::Rang(deadline.clone()));
    let why = scene.answer().expect("answered").expect_err("not locked");
    assert!(why.contains("alice: it is still being locked") && !why.contains("bob"), "{why}");
    assert!(scene.lets_go());
    scene.take(Event::Rang(deadline));
    assert_eq!(scene.answer(), None);
}

#[test]
fn whoever_locks_all_homes_holds_only_while_a_sleep_is_prepared() {
    for (prepared, then, holds) in [
        (false, Then::GoOn, false),
        (false, Then::Hold, true),
        (true, Then::GoOn, true),
        (true, Then::Hold, true),
    ] {
        let mut scene = Scene::new("", |_| {});
        if prepared {
            scene.ask(0, Operation::SleepPrepared);
        }
        scene.ask(0, Operation::LockAll(then));
        scene.end(done);
        scene.ask(0, acquire("alice"));
        assert_eq!(scene.begun().is_empty(), holds, "{prepared} {then:?}");
    }
}

#[test]
fn a_crowd_at_the_door_keeps_nobody_from_locking() {
    let mut scene = Scene::new("", |_| {});
    for _ in 0..150 {
        scene.ask(0, acquire("alice"));
    }
    assert!(scene.answer().is_some(), "there is an end to those who may wait");
    scene.ask(60001, Operation::Lock(key("alice")));
    assert_eq!(scene.answer(), None);
    // The first of the crowd is at work.
    let first = scene.manager.homes.get(&user("alice")).and_then(Home::job).expect("runs");
    scene.take(Event::Ended(user("alice"), first, done("alice")));
    assert_eq!(scene.locking(), ["alice"]);
}

#[test]
fn who_is_left_out_is_named_to_whoever_has_the_machine_sleep() {
    let mut scene = Scene::new("", |_| {});
    scene.wish(3600 * SECOND).expect("given");
    scene.ask(0, Operation::LockAll(Then::Hold));
    scene.end(done);
    let alice = [user("alice")];
    assert!(
        scene.has(
            |effect| matches!(effect, Effect::Answer(_, Ok(Answer::LeftOut(users)), _) if *users == alice)
        )
    );
}

#[test]
fn a_sleep_that_is_over_before_all_is_locked_is_no_sleep() {
    let mut scene = Scene::new("", |defaults| defaults.lock_failure = LockFailure::PowerOff);
    scene.ask(0, Operation::LockAll(Then::Hold));
    let jobs: Vec<_> = scene.starts().map(|start| (start.user.clone(), start.id)).collect();
    scene.ask(0, Operation::SleepOver);
    for (user, id) in jobs {
        scene.mounts.borrow_mut().insert(user.to_string(), Mount::Suspended);
        scene.take(Event::Ended(user, id, done("")));
    }
    assert!(scene.answer().is_some_and(|answer| answer.is_err_and(|why| why.contains("given up"))));
    assert!(!scene.has(|effect| matches!(effect, Effect::PowerOff)));
}

#[test]
fn a_machine_without_homes_sleeps_like_any_other() {
    let mut scene = Scene::new("", |_| {});
    for name in ["alice", "bob"] {
        drop(scene.manager.homes.remove(&user(name)));
    }
    let effects = scene.ask(0, Operation::LockAll(Then::Hold));
    let left_out = |effect: &Effect| matches!(effect, Effect::Answer(_, Ok(Answer::LeftOut(users)), _) if users.is_empty());
    assert!(effects.iter().any(left_out));
}
