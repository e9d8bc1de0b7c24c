//! Whether a lock counts: what the kernel shows, and what if nobody can tell.

use super::*;

#[test]
fn what_is_seen_afterwards_decides_whether_it_counts_as_locked() {
    let (unseen, found) = (Looked::Unseen("dark".into()), Looked::Found("it is there".into()));
    for (kernel, proof, good) in [
        (Looked::Clear, Proof::Wanted, true),
        (Looked::Clear, Proof::Required, true),
        (unseen.clone(), Proof::Wanted, true),
        (unseen, Proof::Required, false),
        (found.clone(), Proof::Wanted, false),
        (found, Proof::Required, false),
    ] {
        let mut scene = Scene::new("", |defaults| defaults.lock_rules.proof = proof);
        scene.seal.borrow_mut().kernel = kernel.clone();
        scene.ask(0, Operation::LockAll(request::Then::GoOn));
        scene.end(done);
        assert_eq!(scene.answer().map(|answer| answer.is_ok()), Some(good), "{kernel:?} {proof:?}");
    }
}

#[test]
fn a_worker_that_claims_a_lock_is_not_believed() {
    let mut scene = Scene::new("", |_| {});
    scene.ask(0, Operation::Lock(HomeKey::Name("alice".into())));
    let job = scene.starts().next().map(|start| start.id).expect("begun");
    scene.take(Event::Ended(user("alice"), job, done("alice")));
    assert!(scene.answer().is_some_and(|answer| answer.is_err_and(|why| why.contains("still open"))));
}

#[test]
fn a_proof_that_does_not_come_holds_up_its_own_home_alone_and_is_none() {
    for (proof, good) in [(Proof::Wanted, true), (Proof::Required, false)] {
        let mut scene = Scene::new("", |defaults| defaults.lock_rules.proof = proof);
        scene.looks = false;
        scene.ask(0, Operation::LockAll(request::Then::GoOn));
        let jobs: Vec<_> = scene.starts().map(|start| (start.user.clone(), start.id)).collect();
        let mut asked = Vec::new();
        for (user, id) in jobs {
            scene.mounts.borrow_mut().insert(user.to_string(), Mount::Suspended);
            scene.take(Event::Ended(user, id, done("")));
            asked.extend(scene.proofs());
        }
        let [(alice, first), (bob, second)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(scene.answer(), None);
        // Whoever wants the home waits for it, and nobody else does.
        scene.ask(0, Operation::Acquire(HomeKey::Name("alice".into()), AtSuspend::Stay, offer("right")));
        assert_eq!(scene.starts().count(), 0);
        let seen = scene.seal.borrow().clone();
        scene.take(Event::Proven(bob.clone(), *second, Some(seen)));
        scene.ask(0, Operation::Acquire(HomeKey::Name("bob".into()), AtSuspend::Stay, offer("right")));
        assert_eq!(scene.starts().count(), 1);
        scene.take(Event::Proven(alice.clone(), *first, None));
        match scene.answer() {
            Some(Err(why)) => assert!(!good && why.contains("nobody could tell in time"), "{why}"),
            answer => assert_eq!(answer, good.then_some(Ok(()))),
        }
        assert_eq!(scene.starts().count(), 1, "alice's owner gets in");
        // An answer that comes late is for nobody.
        assert_eq!(scene.take(Event::Proven(alice.clone(), *first, None)).len(), 0);
    }
}

/// The machine's own second try, with its lid closed, is the one that counts.
#[test]
fn a_lock_that_was_not_good_enough_is_none_the_second_time_either() {
    let mut scene = Scene::new("", |defaults| defaults.lock_rules.proof = Proof::Required);
    scene.seal.borrow_mut().kernel = Looked::Unseen("dark".into());
    for again in [false, true] {
        scene.ask(0, Operation::LockAll(request::Then::Hold));
        if !again {
            scene.end(done);
        }
        assert!(
            scene.answer().is_some_and(|answer| answer.is_err_and(|why| why.contains("not proven"))),
            "{again}"
        );
    }
    // It can be told now.
    scene.seal.borrow_mut().kernel = Looked::Clear;
    scene.ask(0, Operation::LockAll(request::Then::Hold));
    assert_eq!(scene.answer(), Some(Ok(())));
    // And that is remembered.
    scene.ask(0, Operation::LockAll(request::Then::Hold));
    assert_eq!(scene.answer(), Some(Ok(())));
    assert_eq!(scene.starts().count(), 0, "nobody works");
}
