//! What desktops call, in the order and with the arguments in which they do.

use super::bus::{Client, PASSWORD, World, error_name};
use super::heard::Heard;
use serde_json::{Value, json};
use std::collections::HashMap;
use zbus::wire::OwnedFd;

/// `UpdateHomeEx`: everywhere, as AccountsService tries first.
const EVERYWHERE: u64 = 0;
/// The same, on this machine alone, as it tries when the first call has failed.
const OFFLINE: u64 = 1;

/// A picture, as a file that is open for reading.
fn picture() -> HashMap<&'static str, OwnedFd> {
    let file = std::fs::File::open("/dev/null").expect("there");
    HashMap::from([("avatar", OwnedFd::from(std::os::fd::OwnedFd::from(file)))])
}

/// The record of a user as AccountsService sends it back: without what the machine has added, and with that set.
async fn edited(client: &Client, user: &str, at: u64, change: Value) -> String {
    let mut record: Value = serde_json::from_str(&client.record(user).await).expect("JSON");
    let members = record.as_object_mut().expect("an object");
    for section in ["status", "binding", "signature", "blobManifest"] {
        members.remove(section);
    }
    members.insert("lastChangeUSec".into(), at.into());
    members.extend(change.as_object().expect("an object").clone());
    record.to_string()
}

/// What the user's record says now.
async fn says(client: &Client, user: &str, member: &str) -> Value {
    let record: Value = serde_json::from_str(&client.record(user).await).expect("JSON");
    record[member].clone()
}

/// How often the record was tried to be opened, with and without success.
async fn attempts(client: &Client, user: &str) -> Value {
    let status = says(client, user, "status").await;
    let own = status.as_object().and_then(|all| all.values().next()).cloned().unwrap_or_default();
    json!([own["goodAuthenticationCounter"], own["badAuthenticationCounter"], own["rateLimitCount"]])
}

#[tokio::test]
async fn accountsservice_reads_everything_as_root() {
    let world = World::start().await;
    let client = world.client().await;
    for name in ["alice", "bob"] {
        client.create(name).await.expect("created");
    }
    for (name, _) in client.list().await {
        let reply = client.manager("GetUserRecordByName", &(name.as_str(),)).await.expect("known");
        let (text, incomplete, _): (String, bool, zbus::wire::OwnedObjectPath) =
            reply.body().deserialize().expect("as in the interface");
        assert!(!incomplete, "{name}: refused by AccountsService");
        assert!(text.contains("hashedPassword"), "{text}");
    }
}

#[tokio::test]
async fn accountsservice_changes_a_home_without_a_secret_and_without_an_attempt() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    let before = attempts(&client, "alice").await;
    // Closed: refused everywhere, as it has no secret; then on this machine alone. More often than attempts are allowed.
    for time in 0..40 {
        let new = json!({ "realName": format!("Alice {time}"), "preferredLanguage": "de_DE.UTF-8",
            "emailAddress": "alice@example.com" });
        let record = edited(&client, "alice", 10 + time, new).await;
        let first = client.manager("UpdateHomeEx", &(record.as_str(), picture(), EVERYWHERE)).await;
        assert_eq!(error_name(first), "org.freedesktop.home1.BadPassword", "{time}");
        client.manager("UpdateHomeEx", &(record.as_str(), picture(), OFFLINE)).await.expect("changed");
    }
    assert_eq!(attempts(&client, "alice").await, before);
    client.manager("ActivateHome", &("alice", PASSWORD)).await.expect("the owner's attempts are all there");
    for (member, expected) in [
        ("realName", json!("Alice 39")),
        ("preferredLanguage", json!("de_DE.UTF-8")),
        ("emailAddress", json!("alice@example.com")),
        ("blobManifest", json!({ "avatar": "0".repeat(64) })),
    ] {
        assert_eq!(says(&client, "alice", member).await, expected, "{member}");
    }
    // Open: the first call is enough.
    let opened = attempts(&client, "alice").await;
    let record = edited(&client, "alice", 100, json!({ "realName": "Alice Liddell" })).await;
    client.manager("UpdateHomeEx", &(record.as_str(), picture(), EVERYWHERE)).await.expect("changed");
    assert_eq!(says(&client, "alice", "realName").await, "Alice Liddell");
    assert_eq!(attempts(&client, "alice").await, opened);
}

#[tokio::test]
async fn one_signal_for_each_change_that_can_be_seen_and_none_for_others() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    let heard = Heard::start(world.address()).await;
    client.manager("ActivateHome", &("alice", PASSWORD)).await.expect("activated");
    client.manager("DeactivateHome", &("alice",)).await.expect("deactivated");
    let record = edited(&client, "alice", 10, json!({ "realName": "Alice Liddell" })).await;
    client.manager("UpdateHomeEx", &(record.as_str(), picture(), OFFLINE)).await.expect("changed");
    let object = "/org/freedesktop/home1/home/alice";
    let all = heard.of(&client, object).await;
    // activating, active, deactivating, inactive, and two for the update: while it runs, and after it.
    assert_eq!(all.len(), 6, "{all:#?}");
    assert!(all.iter().all(|signal| *signal == format!("PropertiesChanged {object}")), "{all:#?}");
    // Nothing that can be seen.
    let record = edited(&client, "alice", 20, json!({ "realName": "Alice" })).await;
    let refused = client.manager("UpdateHomeEx", &(record.as_str(), picture(), EVERYWHERE)).await;
    assert_eq!(error_name(refused), "org.freedesktop.home1.BadPassword");
    client.own("CheckHome", &("alice", "{}")).await.expect("looked at");
    assert_eq!(heard.of(&client, object).await.len(), 6);
}

#[tokio::test]
async fn a_start_tells_of_no_object_and_afterwards_each_is_told_of_once() {
    let mut world = World::start().await;
    let client = world.client().await;
    for name in ["alice", "bob"] {
        client.create(name).await.expect("created");
    }
    world.kill().await;
    let heard = Heard::start(world.address()).await;
    world.restart().await;
    let client = world.client().await;
    let homes = "/org/freedesktop/home1/home";
    let objects = ["alice", "bob"].map(|name| (format!("{homes}/{name}"), "inactive".to_owned()));
    assert_eq!(client.objects("State").await, objects);
    client.manager("RemoveHome", &("bob",)).await.expect("removed");
    let told = heard.of(&client, homes).await;
    assert_eq!(told, ["InterfacesRemoved", "InterfacesAdded"].map(|member| format!("{member} {homes}")));
    let left: Vec<String> = client.objects("UserName").await.into_iter().map(|object| object.1).collect();
    assert_eq!(left, ["alice", "last0"]);
}
