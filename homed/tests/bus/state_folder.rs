//! The folder for host records can only be read.

use crate::bus::{PASSWORD, World, error_name};

#[tokio::test]
async fn a_state_folder_that_can_only_be_read_is_told_before_anything_is_made_or_changed() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    world.machine.lose_state();
    let jobs = world.machine.jobs().len();
    let record = r#"{"userName":"bob"}"#;
    let new = r#"{"password":["battery staple"]}"#;
    for refused in [
        client.create("bob").await,
        client.manager("RegisterHome", &(record,)).await,
        client.manager("ChangePasswordHome", &("alice", new, PASSWORD)).await,
        client.manager("ResizeHome", &("alice", 1_u64 << 30, PASSWORD)).await,
        client.manager("RemoveHome", &("alice",)).await,
        client.manager("UnregisterHome", &("alice",)).await,
    ] {
        assert_eq!(error_name(refused), "org.freedesktop.DBus.Error.NotSupported");
    }
    assert_eq!((world.machine.jobs().len(), client.list().await.len()), (jobs, 1));
    client.manager("ActivateHome", &("alice", PASSWORD)).await.expect("nobody is kept out");
    client.manager("DeactivateHome", &("alice",)).await.expect("closed");
}

#[tokio::test]
async fn a_home_whose_record_cannot_be_deleted_is_known_as_before() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    world.machine.lose_state_late();
    let refused = client.manager("UnregisterHome", &("alice",)).await;
    assert_eq!(error_name(refused), "org.freedesktop.DBus.Error.NotSupported");
    client.becomes("alice", "inactive").await;
    client.manager("ActivateHome", &("alice", PASSWORD)).await.expect("it opens");
}
