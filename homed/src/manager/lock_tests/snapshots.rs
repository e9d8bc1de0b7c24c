//! Work on snapshots: nobody waits for it, and nobody keeps its owner from it.

use super::*;
use crate::job::Snapshots;

const OWNER: u32 = 60001;

fn alice() -> HomeKey {
    HomeKey::Name("alice".into())
}

/// The owner has something restored; the job that does it.
fn restores(scene: &mut Scene) -> JobId {
    let wish = Snapshots::Restore { name: "begin".into(), path: "x".into() };
    scene.ask(OWNER, Operation::Snapshot(alice(), wish));
    started(scene).expect("it is started")
}

fn started(scene: &Scene) -> Option<JobId> {
    scene.starts().find(|start| matches!(start.job.task, Task::Snapshot { .. })).map(|start| start.id)
}

fn killed() -> Outcome {
    Outcome::Fault { chain: "killed".into() }
}

#[test]
fn who_tries_to_get_in_does_not_wait_for_it_and_it_begins_again() {
    let mut scene = Scene::new("", |_| {});
    let mut job = restores(&mut scene);
    // Strangers, too, and as often as they like.
    for _ in 0..5 {
        scene.ask(0, Operation::Authenticate(alice(), offer("right")));
        assert!(scene.has(|effect| matches!(effect, Effect::Stop(id) if *id == job)), "it makes way");
        scene.take(Event::Ended(user("alice"), job, killed()));
        assert_eq!(scene.answer(), None, "the owner is told nothing yet");
        assert!(scene.starts().any(|start| matches!(start.job.task, Task::Authenticate { .. })));
        scene.end_as_it_is(done);
        job = started(&scene).expect("it begins again");
    }
    let told = Outcome::Told { report: serde_json::json!({}), warnings: Vec::new() };
    scene.take(Event::Ended(user("alice"), job, told));
    assert_eq!(scene.answer(), Some(Ok(())));
}

#[test]
fn a_lock_does_not_wait_for_it_and_its_owner_hears_of_that() {
    let mut scene = Scene::new("", |_| {});
    let job = restores(&mut scene);
    scene.ask(0, Operation::LockAll(request::Then::Hold));
    assert!(scene.has(|effect| matches!(effect, Effect::Stop(id) if *id == job)), "it makes way");
    scene.take(Event::Ended(user("alice"), job, killed()));
    assert_eq!(scene.locking(), ["alice"]);
    scene.end(done);
    assert!(started(&scene).is_none());
    let Some(Err(told)) = scene.answer() else { panic!("not told") };
    assert_eq!(told, Refusal::HomeLocked.sentence());
}

/// It may have been done already: once more, behind a login, it would put back what has been worked on since.
#[test]
fn all_of_a_home_is_put_back_once_and_who_has_gone_has_nothing_begun_again() {
    let wish = |path: &str| Snapshots::Restore { name: "begin".into(), path: path.into() };
    for (path, gone) in [("", false), ("x", true)] {
        let mut scene = Scene::new("", |_| {});
        scene.ask(OWNER, Operation::Snapshot(alice(), wish(path)));
        let job = started(&scene).expect("it is started");
        if gone {
            scene.take(Event::Abandoned(RequestId(scene.calls)));
        }
        scene.ask(0, Operation::Authenticate(alice(), offer("right")));
        scene.take(Event::Ended(user("alice"), job, killed()));
        scene.end_as_it_is(done);
        assert!(started(&scene).is_none(), "{path:?}");
    }
}

/// One that fails by itself is not tried for ever.
#[test]
fn what_fails_by_itself_is_told() {
    let mut scene = Scene::new("", |_| {});
    let job = restores(&mut scene);
    scene.take(Event::Ended(user("alice"), job, killed()));
    assert!(started(&scene).is_none() && scene.answer().is_some_and(|answer| answer.is_err()));
    assert!(!scene.settles(), "whoever comes puts it in order");
}
