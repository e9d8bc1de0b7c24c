//! What an administrator may accept of a record that a stranger has signed.

use super::*;

/// alice, whose record claims what is given and is signed by nobody who is known here, and bob.
fn two(claims: &str) -> (Manager, Scene) {
    let (scene, mut manager) = (Scene::default(), manager());
    for (name, more) in [("alice", claims), ("bob", "")] {
        let text = format!(r#"{{"userName":"{name}","signature":[{{"data":"","key":""}}]{more}}}"#);
        let record = Record::parse(&text, Sections::HOST).expect("valid");
        let loaded = Event::Loaded(Box::new(record), Interrupted::No, Vec::new());
        manager.handle(loaded, &Now { usec: 1, facts: &scene });
    }
    (manager, scene)
}

fn trusts(manager: &mut Manager, scene: &Scene) -> Result<(), String> {
    let home = manager.homes.get(&user(0)).expect("loaded");
    let claims = home.trust_report(manager.machine()).claims;
    let root = Caller { uid: 0, bus_name: None, interactive: Interactive::No, from: Default::default() };
    let operation = Operation::Trust(HomeKey::Name("alice".into()), claims);
    let asked = Event::Asked(RequestId(7), root, Box::new(operation));
    let effects = manager.handle(asked, &Now { usec: 2, facts: scene });
    let answer = |effect: Effect| match effect {
        Effect::Answer(_, Ok(_), _) => Some(Ok(())),
        Effect::Answer(_, Err(Failed::Refused(refused)), _) => Some(Err(refused.sentence)),
        Effect::Answer(_, Err(Failed::Fault(chain)), _) => Some(Err(chain)),
        _ => None,
    };
    effects.into_iter().find_map(answer).expect("answered")
}

#[test]
fn a_claim_to_the_name_of_another_home_is_not_accepted() {
    let (mut manager, scene) = two(r#","aliases":["bob"],"niceLevel":5"#);
    let told = trusts(&mut manager, &scene).expect_err("bob is another home");
    assert!(told.contains("answers to bob"), "{told}");
    let (mut manager, scene) = two(r#","aliases":["ally"],"niceLevel":5"#);
    assert_eq!(trusts(&mut manager, &scene), Ok(()));
}
