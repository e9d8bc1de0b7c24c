//! A recovery key in two steps.

use super::bus::{PASSWORD, World, error_name};
use records::{Record, Sections};

#[tokio::test]
async fn a_recovery_key_counts_when_a_part_of_it_was_typed() {
    let mut world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    client.create("bob").await.expect("created");
    let signed = |text: String| Record::parse(&text, Sections::HOST).expect("valid").only(Sections::SIGNED);
    let before = signed(client.record("alice").await);
    let (text, group) = client.make_recovery_key("alice").await;
    assert!(records::recovery::normalize(text.as_bytes()).is_some());
    let invalid = "org.freedesktop.DBus.Error.InvalidArgs";
    for (user, typed, name) in
        [("bob", group.as_str(), ""), ("alice", "cccccccc", ""), ("alice", &group, "7")]
    {
        let refused = client.own("ConfirmRecoveryKey", &(user, typed, name, PASSWORD)).await;
        assert_eq!(error_name(refused), invalid, "{user} {name}");
    }
    let wrong = r#"{"password":["wrong"]}"#;
    let refused = client.own("ConfirmRecoveryKey", &("alice", group.as_str(), "", wrong)).await;
    assert_eq!(error_name(refused), "org.freedesktop.home1.BadPassword");
    assert_eq!(signed(client.record("alice").await), before, "nothing counts yet");
    let stranger = world.stranger().call("Homed1.MakeRecoveryKey", &["string:alice"]);
    assert!(stranger.contains("AccessDenied"), "{stranger}");
    // Cut short between the steps, by the end of the daemon.
    world.restart().await;
    let client = world.client().await;
    let gone = client.own("ConfirmRecoveryKey", &("alice", group.as_str(), "", PASSWORD)).await;
    assert_eq!(error_name(gone), invalid);
    assert_eq!(signed(client.record("alice").await), before);
    // The whole of it: the new key, with its name and date, in the place of the one before.
    for name in ["paper", "safe"] {
        let (_, group) = client.make_recovery_key("alice").await;
        client
            .own("ConfirmRecoveryKey", &("alice", group.to_uppercase().as_str(), name, PASSWORD))
            .await
            .expect("enrolled");
        let record = signed(client.record("alice").await);
        let keys = record.named_keys();
        let [key] = &keys[..] else { panic!("{keys:?}") };
        assert_eq!((key.kind, key.name.as_deref()), (records::keys::RECOVERY_KEY, Some(name)));
        assert!(key.enrolled_usec.is_some() && record.hashed_passwords() == ["$6$x$y"]);
        let again = client.own("ConfirmRecoveryKey", &("alice", group.as_str(), name, PASSWORD)).await;
        assert_eq!(error_name(again), invalid);
    }
}
