//! A recovery key that was shown is enrolled in the record that is in force by then.

use super::*;
use crate::job::Part;
use records::{Credentials, Secret, keys};
use serde_json::{Value, json};

/// Its image is there, and closed.
struct There;

impl Facts for There {
    fn whereabouts(&self, _: &Place) -> Whereabouts {
        Whereabouts { storage: Storage::There, mount: Mount::None }
    }
    fn parts(&self, _: &Place) -> Option<Parts> {
        Some(Parts::ALL)
    }
    fn signed_locally(&self, _: &Record) -> Option<SignedLocally> {
        Some(SignedLocally::Yes)
    }
}

fn record(value: Value) -> Record {
    Record::from_value(value, Sections::HOST).expect("valid")
}

#[test]
fn what_another_change_has_done_between_the_two_steps_stays() {
    let mut manager = manager();
    let keys = json!({"hashedPassword": ["$y$1"]});
    let shown_for = record(json!({"userName": "alice", "lastChangeUSec": 5, "privileged": keys}));
    let in_force = record(json!({"userName": "alice", "lastChangeUSec": 9, "shell": "/bin/sh",
        "privileged": keys, "signature": [{"data": "", "key": ""}]}));
    let loaded = Event::Loaded(Box::new(in_force), Interrupted::No, Vec::new());
    manager.handle(loaded, &Now { usec: 1, facts: &There });
    let wish = keys::wishing(&shown_for, Some("paper".into()), 7);
    let credentials = Credentials {
        passwords: vec![Secret::from_text("x".into())],
        new_recovery_key: Some(Secret::from_text("y".into())),
        ..Credentials::default()
    };
    let change =
        RecordChange { record: wish, blobs: None, reach: Reach::Everywhere, part: Part::RecoveryKey };
    let operation = Operation::Update(
        HomeKey::Name("alice".into()),
        Box::new(change),
        Offer { credentials, ..Offer::default() },
    );
    let root = Caller { uid: 0, bus_name: None, interactive: Interactive::No, from: Default::default() };
    let asked = Event::Asked(RequestId(7), root, Box::new(operation));
    let effects = manager.handle(asked, &Now { usec: 2, facts: &There });
    let started = effects.into_iter().find_map(|effect| match effect {
        Effect::Start(start) => Some(start),
        _ => None,
    });
    let Some(Task::Update { change, .. }) = started.map(|start| start.job.task) else {
        panic!("it was not started")
    };
    assert_eq!(change.record.members()["shell"], json!("/bin/sh"));
    assert_eq!((change.record.last_change_usec(), keys::wished_recovery_keys(&change.record)), (10, 1));
}
