//! A worker of which nothing is heard any more keeps its home, and nobody with it.

use super::*;

fn waiting(scene: &Scene) -> Vec<u64> {
    scene.open_calls.iter().map(|id| id.0).collect()
}

/// Its disk gave no answer, and every login waited with it for ever.
#[test]
fn nobody_waits_for_a_worker_of_which_nothing_is_heard() {
    let (mut manager, mut scene) = (manager(), Scene::default());
    let text = r#"{"userName":"alice","storage":"luks","uid":60001}"#;
    let record = Box::new(Record::parse(text, Sections::HOST).expect("valid"));
    scene.take(&mut manager, Event::Loaded(record, Interrupted::No, Vec::new()));
    scene.disks.borrow_mut().insert(user(0), Whereabouts { storage: Storage::There, mount: Mount::None });
    // Each third call has a password with it.
    let ask = |scene: &mut Scene, manager: &mut Manager, call: u64, what: What| {
        scene.calls = call - 1;
        scene.apply(manager, Op::Ask(what, 0, 0));
    };
    ask(&mut scene, &mut manager, 3, What::Acquire);
    scene.apply(&mut manager, Op::Check(true));
    let (opens, id) = (scene.running[0].user.clone(), scene.running[0].id);
    let tell = |scene: &mut Scene, manager: &mut Manager, step: Option<&str>| {
        scene.take(manager, Event::Silent(opens.clone(), id, step.map(str::to_owned)));
    };
    ask(&mut scene, &mut manager, 6, What::Acquire);
    assert_eq!(waiting(&scene), [3, 6]);
    tell(&mut scene, &mut manager, Some("Mounting"));
    assert_eq!(waiting(&scene), [3], "who waits is told");
    ask(&mut scene, &mut manager, 9, What::Acquire);
    assert_eq!(waiting(&scene), [3], "who comes is told");
    // A lock has a bound of its own.
    ask(&mut scene, &mut manager, 10, What::Lock);
    assert_eq!(waiting(&scene), [3, 10]);
    assert!(scene.stopped.is_empty(), "it may only be busy");
    tell(&mut scene, &mut manager, None);
    ask(&mut scene, &mut manager, 12, What::Acquire);
    assert_eq!(waiting(&scene), [3, 10, 12], "it is heard again");
    scene.apply(&mut manager, Op::End(End::Good));
    assert!(!waiting(&scene).contains(&3));
}

/// A check of a large home tells nothing for long, and nobody waits for one.
#[test]
fn a_look_of_which_nothing_is_heard_is_broken_off_for_whoever_comes() {
    let (mut manager, mut scene) = (manager(), Scene::default());
    let text = r#"{"userName":"alice","storage":"luks","uid":60001}"#;
    let record = Box::new(Record::parse(text, Sections::HOST).expect("valid"));
    scene.take(&mut manager, Event::Loaded(record, Interrupted::No, Vec::new()));
    scene.disks.borrow_mut().insert(user(0), Whereabouts { storage: Storage::There, mount: Mount::None });
    scene.calls = 2;
    scene.apply(&mut manager, Op::Ask(What::Check, 0, 0));
    let (looks, id) = (scene.running[0].user.clone(), scene.running[0].id);
    scene.take(&mut manager, Event::Silent(looks, id, Some("Checking the file system".into())));
    scene.calls = 5;
    scene.apply(&mut manager, Op::Ask(What::Acquire, 0, 0));
    assert_eq!(waiting(&scene), [3, 6]);
    assert!(scene.stopped.contains(&id));
}
