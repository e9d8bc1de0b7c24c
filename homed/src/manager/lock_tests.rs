//! Locks that nobody asked for by name: who is left out, what follows, and when.

use super::*;
use crate::home::TimerKind;
use crate::home::effect::StartJob;
use crate::home::facts::{Mount, Parts, Place, SignedLocally, Storage, Whereabouts};
use crate::home::rules::{AtWake, Proof};
use crate::job::{Outcome, Task};
use crate::words::request::{AtSuspend, InhibitorId, Interactive, Offer, Provenance, Session, Wish};
use crate::words::seal::{Looked, Seal};
use records::refusal::Refused;
use records::{HostName, MachineId, Record, Sections};
use std::cell::RefCell;

mod hold;
mod proof;
mod scene;
mod settle;
mod sleep;
mod snapshots;

use scene::{Scene, busy, done, offer, user};

const SECOND: u64 = 1_000_000;

#[test]
fn an_inhibitor_leaves_its_home_out_until_its_time_is_over() {
    let mut scene = Scene::new("", |_| {});
    let id = scene.wish(3600 * SECOND).expect("given");
    scene.ask(0, Operation::LockAll(request::Then::GoOn));
    assert_eq!(scene.locking(), ["bob"]);
    scene.end(done);
    assert_eq!(scene.answer(), Some(Ok(())));
    // Who names it is obeyed.
    scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
    assert_eq!(scene.locking(), ["alice"]);
    scene.end(done);
    scene.mounts.borrow_mut().insert("alice".into(), Mount::Usable);
    // Its time is over, and nobody has said so yet.
    scene.now += 3600 * SECOND;
    scene.ask(0, Operation::LockAll(request::Then::GoOn));
    assert_eq!(scene.locking(), ["alice"]);
    scene.end(done);
    scene.mounts.borrow_mut().insert("alice".into(), Mount::Usable);
    let id2 = scene.wish(3600 * SECOND).expect("given");
    assert_ne!(id, id2);
    scene.take(Event::LetGo(user("alice"), id2));
    scene.ask(0, Operation::LockAll(request::Then::GoOn));
    assert_eq!(scene.locking(), ["alice"]);
}

#[test]
fn a_home_is_locked_when_the_token_that_has_opened_it_is_pulled_out_if_it_wants_that() {
    let gone = || Event::TokenGone(user("alice"));
    let wanted = r#","lockOnTokenRemoval":true"#;
    for (record, mount, locks) in [
        (wanted, Mount::Usable, true),
        (wanted, Mount::Suspended, false),
        (wanted, Mount::None, false),
        (r#","lockOnTokenRemoval":false"#, Mount::Usable, false),
        ("", Mount::Usable, false),
    ] {
        let mut scene = Scene::new(record, |_| {});
        scene.mounts.borrow_mut().insert("alice".into(), mount);
        scene.take(gone());
        let expected: &[&str] = if locks { &["alice"] } else { &[] };
        assert_eq!(scene.locking(), expected, "{record} {mount:?}");
    }
    // Who has it left out of locks has it left out of this one.
    let mut scene = Scene::new(wanted, |_| {});
    scene.wish(3600 * SECOND).expect("given");
    scene.take(gone());
    assert!(scene.locking().is_empty());
    // Nobody's home.
    scene.take(Event::TokenGone(user("nobody1")));
    assert!(scene.locking().is_empty());
}

#[test]
fn references_that_say_dont_suspend_are_no_inhibitors() {
    let mut scene = Scene::new("", |_| {});
    // Both are held by such ones.
    scene.ask(0, Operation::LockAll(request::Then::GoOn));
    assert_eq!(scene.locking(), ["alice", "bob"]);
}

#[test]
fn inhibitors_without_reason_or_end_are_refused() {
    let mut scene = Scene::new("", |_| {});
    for (who, why, for_usec) in [
        ("x", "", SECOND),
        ("x", " ", SECOND),
        ("", "y", SECOND),
        ("x", "two\nlines", SECOND),
        ("x", "y", 0),
        ("x", "y", 8 * 3600 * SECOND + 1),
        ("x", "y", u64::MAX),
    ] {
        let wish = Wish { who: who.into(), why: why.into(), pid: 7, for_usec };
        scene.ask(60001, Operation::Inhibit(HomeKey::Name("alice".into()), wish));
        assert!(matches!(scene.answer(), Some(Err(_))), "{who:?} {why:?} {for_usec}");
        assert!(!scene.has(|effect| matches!(effect, Effect::Inhibit(..))));
    }
    for _ in 0..32 {
        assert!(scene.wish(SECOND).is_some());
    }
    assert!(scene.wish(SECOND).is_none());
}

#[test]
fn numbers_of_an_earlier_daemon_are_not_given_again() {
    let mut scene = Scene::new("", |_| {});
    let old = crate::home::inhibitor::Inhibitor {
        id: InhibitorId(500),
        user: user("alice"),
        who: "x".into(),
        why: "y".into(),
        uid: 1,
        pid: 1,
        until_usec: u64::MAX,
    };
    scene.take(Event::Inhibited(Box::new(old)));
    assert!(scene.wish(SECOND).is_some_and(|id| id.0 > 500));
    scene.ask(0, Operation::LockAll(request::Then::GoOn));
    assert_eq!(scene.locking(), ["bob"]);
}

#[test]
fn a_failure_names_the_home_and_is_followed_by_what_is_set() {
    for (failure, answer, power_off) in [
        (LockFailure::Abort, false, false),
        (LockFailure::PowerOff, false, true),
        (LockFailure::Ignore, true, false),
    ] {
        let mut scene = Scene::new("", |defaults| defaults.lock_failure = failure);
        scene.ask(0, Operation::LockAll(request::Then::GoOn));
        scene.end(busy);
        match scene.answer() {
            Some(Ok(())) => assert!(answer),
            Some(Err(why)) => {
                assert_eq!(why, "Not every home is locked. alice: a nap cannot be stopped");
                assert!(!answer);
            }
            None => panic!("{failure:?}: no answer"),
        }
        assert_eq!(scene.has(|effect| matches!(effect, Effect::PowerOff)), power_off, "{failure:?}");
        assert_eq!(scene.has(|effect| matches!(effect, Effect::Warn(_))), answer, "{failure:?}");
    }
}

#[test]
fn homes_that_were_open_in_a_sleep_are_told_of_and_locked() {
    for (at_wake, locked) in [(AtWake::Lock, vec!["bob"]), (AtWake::Say, vec![])] {
        let mut scene = Scene::new("", |defaults| defaults.lock_rules.at_wake = at_wake);
        scene.wish(3600 * SECOND).expect("given");
        scene.take(Event::Slept(5 * SECOND));
        assert_eq!(scene.locking(), locked);
        let told = scene.has(|effect| {
            matches!(effect, Effect::Announce(Announcement::SleptOpen(users, _)) if users.len() == 2)
        });
        assert!(told);
    }
    let mut scene = Scene::new("", |_| {});
    for name in ["alice", "bob"] {
        scene.mounts.borrow_mut().insert(name.into(), Mount::Suspended);
    }
    assert!(scene.take(Event::Slept(SECOND)).is_empty());
}

fn at_screen(locked: bool) -> Operation {
    Operation::Sessions(vec![Session {
        uid: 60001,
        has_screen: true,
        locked,
        closing: false,
        idle_since_usec: None,
    }])
}

#[test]
fn a_locked_screen_locks_the_home_after_its_time() {
    let mut scene = Scene::new(r#","lockAfterScreenLockUSec":60000000"#, |_| {});
    scene.ask(0, at_screen(true));
    let (who, first, after) = scene.alarm().expect("set");
    assert_eq!((who.as_str(), after), ("alice", 60 * SECOND));
    // Unlocked in time.
    scene.ask(0, at_screen(false));
    assert_eq!(scene.alarm(), None);
    scene.now += 60 * SECOND;
    assert!(scene.take(Event::Rang(first)).is_empty());
    // And not.
    scene.ask(0, at_screen(true));
    let (_, second, _) = scene.alarm().expect("set");
    scene.now += 59 * SECOND;
    scene.take(Event::Rang(second));
    assert_eq!(scene.locking(), [""; 0]);
    let (_, third, left) = scene.alarm().expect("set again");
    assert_eq!(left, SECOND);
    scene.now += SECOND;
    scene.take(Event::Rang(third));
    assert_eq!(scene.locking(), ["alice"]);
    // It fails, and is tried again.
    let (_, fourth, again) = scene.alarm().expect("set for another try");
    assert_eq!(again, 60 * SECOND);
    scene.end(busy);
    scene.now += again;
    scene.take(Event::Rang(fourth));
    assert_eq!(scene.locking(), ["alice"]);
}

#[test]
fn a_clock_that_is_set_back_switches_no_lock_by_time_off() {
    let mut scene = Scene::new(r#","lockAfterScreenLockUSec":60000000"#, |_| {});
    scene.now += 86_400 * SECOND;
    scene.ask(0, at_screen(true));
    let (_, first, after) = scene.alarm().expect("set");
    scene.now -= 86_400 * SECOND;
    scene.now += after;
    scene.take(Event::Rang(first));
    let (_, second, left) = scene.alarm().expect("set again");
    assert_eq!((left, scene.locking()), (60 * SECOND, vec![]));
    scene.now += left;
    scene.take(Event::Rang(second));
    assert_eq!(scene.locking(), ["alice"]);
}

/// Whom these effects tell that a lock is coming, and when.
fn told(scene: &Scene) -> Option<u64> {
    scene.last.iter().find_map(|effect| match effect {
        Effect::Announce(Announcement::LockComing(_, at)) => Some(*at),
        _ => None,
    })
}

#[test]
fn who_is_idle_is_told_once_a_minute_before_the_lock() {
    let mut scene = Scene::new(r#","lockAfterIdleUSec":300000000"#, |_| {});
    let idle = |since| {
        let idle_since_usec = Some(since);
        Operation::Sessions(vec![Session {
            uid: 60001,
            has_screen: true,
            locked: false,
            closing: false,
            idle_since_usec,
        }])
    };
    let since = scene.now;
    scene.ask(0, idle(since));
    let (_, first, after) = scene.alarm().expect("set");
    assert_eq!((after, told(&scene)), (240 * SECOND, None));
    scene.now += after;
    scene.take(Event::Rang(first));
    assert_eq!((told(&scene), scene.locking()), (Some(since + 300 * SECOND), vec![]));
    // A key was pressed; later nobody presses one.
    let (_, second, after) = scene.alarm().expect("set again");
    assert_eq!(after, 60 * SECOND);
    scene.now += 10 * SECOND;
    let since = scene.now;
    scene.ask(0, idle(since));
    let (_, third, after) = scene.alarm().expect("set anew");
    assert_eq!((after, told(&scene)), (240 * SECOND, None));
    assert!(scene.take(Event::Rang(second)).is_empty());
    scene.now += after;
    scene.take(Event::Rang(third));
    assert_eq!(told(&scene), Some(since + 300 * SECOND));
    let (_, fourth, after) = scene.alarm().expect("set for the end");
    scene.now += after;
    scene.take(Event::Rang(fourth));
    assert_eq!((told(&scene), scene.locking()), (None, vec!["alice"]));
    // It is heard of late: what is left is told at once, and once.
    let mut scene = Scene::new(r#","lockAfterIdleUSec":300000000"#, |_| {});
    let since = scene.now - 270 * SECOND;
    scene.ask(0, idle(since));
    let (_, first, after) = scene.alarm().expect("set");
    assert_eq!(after, 0);
    scene.take(Event::Rang(first));
    assert_eq!(told(&scene), Some(since + 300 * SECOND));
    assert_eq!(scene.alarm().expect("set for the end").2, 30 * SECOND);
}

#[test]
fn the_record_s_limit_comes_before_the_settings_and_never_is_never() {
    let set = |defaults: &mut Defaults| defaults.lock_rules.after_screen_lock = Some(5 * SECOND);
    for (members, after) in [
        ("", Some(5 * SECOND)),
        (r#","lockAfterScreenLockUSec":7000000"#, Some(7 * SECOND)),
        (r#","lockAfterScreenLockUSec":18446744073709551615"#, None),
    ] {
        let mut scene = Scene::new(members, set);
        scene.ask(0, at_screen(true));
        assert_eq!(scene.alarm().map(|(_, _, after)| after), after, "{members}");
    }
}

#[test]
fn a_locked_home_is_given_up_when_all_its_sessions_are_ended() {
    let session =
        |closing| Session { uid: 60001, has_screen: false, locked: false, closing, idle_since_usec: None };
    for (mount, before, sessions, given_up) in [
        (Mount::Suspended, vec![session(false), session(true)], vec![session(true), session(true)], true),
        (Mount::Suspended, vec![session(false)], vec![session(true), session(false)], false),
        (Mount::Suspended, vec![session(false)], vec![], false),
        (Mount::Usable, vec![session(false)], vec![session(true)], false),
        // Whoever had logged out before, and left something running, has ended nothing.
        (Mount::Suspended, vec![session(true)], vec![session(true)], false),
    ] {
        let mut scene = Scene::new("", |_| {});
        scene.mounts.borrow_mut().insert("alice".into(), mount);
        scene.ask(0, Operation::Sessions(before.clone()));
        scene.ask(0, Operation::Sessions(sessions.clone()));
        let begun = scene.starts().any(|start| matches!(start.job.task, Task::GiveUp { .. }));
        assert_eq!(begun, given_up, "{mount:?} {before:?} {sessions:?}");
    }
}

#[test]
fn what_was_ended_before_is_asked_anew_at_each_lock() {
    let session =
        |closing| Session { uid: 60001, has_screen: false, locked: false, closing, idle_since_usec: None };
    let mut scene = Scene::new("", |_| {});
    scene.mounts.borrow_mut().insert("alice".into(), Mount::Usable);
    // The first lock: somebody is logged in. The second: she has logged out and left something running.
    for closing in [false, true] {
        scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
        let job = scene.starts().map(|start| start.id).next().expect("the lock begins");
        scene.ask(0, Operation::Sessions(vec![session(closing)]));
        scene.mounts.borrow_mut().insert("alice".into(), Mount::Suspended);
        scene.take(Event::Ended(user("alice"), job, done("alice")));
        scene.ask(0, Operation::Sessions(vec![session(closing)]));
        assert_eq!(scene.starts().count(), 0, "{closing}");
        if !closing {
            scene.ask(0, Operation::Unlock(HomeKey::Name("alice".into()), offer("right")));
            assert_eq!(scene.starts().count(), 1, "the unlock begins");
            scene.mounts.borrow_mut().insert("alice".into(), Mount::Usable);
            scene.end_as_it_is(done);
        }
    }
}

#[test]
fn sessions_are_looked_at_again_only_where_idleness_counts() {
    for (idle, again) in [(None, false), (Some(SECOND), true)] {
        let mut scene = Scene::new("", |defaults| defaults.lock_rules.after_idle = idle);
        let effects = scene.ask(0, Operation::Sessions(Vec::new()));
        let asked = effects.iter().any(
            |effect| matches!(effect, Effect::Answer(_, Ok(Answer::LookAgain(after)), _) if after.is_some() == again),
        );
        assert!(asked, "{idle:?}");
    }
}

/// A settling that fails is tried again whatever else was timed meanwhile, and however many timers of other kinds
/// were set before: else the user of a home stays frozen.
#[test]
fn the_retry_of_a_failed_settling_is_taken_for_nothing_else() {
    let fault = |_: &str| Outcome::Fault { chain: "power cut".into() };
    // Numbers of other timers that may be in use at the same time.
    for others in 0..40 {
        let mut scene = Scene::new("", |_| {});
        scene.manager.next_job += others;
        scene.mounts.borrow_mut().insert("alice".into(), Mount::None);
        scene.ask(0, Operation::Activate(HomeKey::Name("alice".into()), offer("right")));
        let (id, uid) = scene.check().expect("asked");
        scene.take(Event::Checked(
            user("alice"),
            id,
            crate::home::effect::Findings { uid: Some(uid), ..Default::default() },
        ));
        scene.mounts.borrow_mut().insert("alice".into(), Mount::Usable);
        scene.end_as_it_is(done);
        let (_, tend, _) = scene.timer(TimerKind::Tend).expect("it is cared for later");
        scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
        scene.end_as_it_is(fault);
        assert!(scene.settles(), "after a lock that failed");
        scene.end_as_it_is(fault);
        let (_, again, _) = scene.timer(TimerKind::Settle).expect("another try");
        assert_ne!(tend, again);
        scene.take(Event::Rang(again));
        assert!(scene.settles(), "{others}");
        scene.end_as_it_is(done);
        scene.take(Event::Rang(tend));
        assert!(scene.starts().any(|start| matches!(start.job.task, Task::Tend { .. })), "{others}");
    }
}
