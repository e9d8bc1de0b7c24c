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

/// A machine that learns of keys.
#[derive(Default)]
struct Keys(std::cell::Cell<bool>);

impl Facts for Keys {
    fn whereabouts(&self, _: &Place) -> Whereabouts {
        Whereabouts::default()
    }
    fn parts(&self, _: &Place) -> Option<Parts> {
        Some(Parts::ALL)
    }
    fn signed_locally(&self, _: &Record) -> Option<SignedLocally> {
        self.0.get().then_some(SignedLocally::No)
    }
}

/// Does one thing, and gives the record that is saved then.
fn saved(manager: &mut Manager, keys: &Keys, event: Event) -> Option<Record> {
    let saved = |effect: Effect| match effect {
        Effect::Save(record) => Some(*record),
        _ => None,
    };
    manager.handle(event, &Now { usec: 2, facts: keys }).into_iter().filter_map(saved).last()
}

#[test]
fn what_was_accepted_of_a_stranger_does_not_outlive_the_trust_in_its_key() {
    let (keys, mut manager) = (Keys::default(), manager());
    let text = r#"{"userName":"alice","signature":[{"data":"","key":""}],"niceLevel":5}"#;
    let record = Record::parse(text, Sections::HOST).expect("valid");
    manager
        .handle(Event::Loaded(Box::new(record), Interrupted::No, Vec::new()), &Now { usec: 1, facts: &keys });
    let level = |manager: &Manager| {
        manager.homes.get(&user(0)).expect("there").record().members().get("niceLevel").cloned()
    };
    let root = || Caller { uid: 0, bus_name: None, interactive: Interactive::No, from: Default::default() };
    let trust = |id, claims| {
        let operation = Operation::Trust(HomeKey::Name("alice".into()), claims);
        Event::Asked(RequestId(id), root(), Box::new(operation))
    };
    let claims = manager.homes.get(&user(0)).expect("there").trust_report(manager.machine()).claims;
    saved(&mut manager, &keys, trust(1, claims.clone())).expect("saved");
    assert_eq!(level(&manager), Some(5.into()));
    // Taken back.
    let record = saved(&mut manager, &keys, trust(2, Default::default())).expect("saved");
    assert!(
        level(&manager).is_none() && !record.to_compact().contains("niceLevel\":5}"),
        "{}",
        record.to_compact()
    );
    // Accepted, trusted, not trusted any more.
    saved(&mut manager, &keys, trust(3, claims)).expect("saved");
    keys.0.set(true);
    let record = saved(&mut manager, &keys, Event::KeysChanged).expect("saved");
    assert!(!record.to_compact().contains("acceptedClaims"), "{}", record.to_compact());
    keys.0.set(false);
    saved(&mut manager, &keys, Event::KeysChanged);
    assert_eq!(level(&manager), None);
}
