//! The daemon on a private bus, with a simulated machine behind it.

mod bus;
#[path = "bus/desktops.rs"]
mod desktops;
#[path = "bus/heard.rs"]
mod heard;
#[path = "bus/recovery.rs"]
mod recovery;
#[path = "bus/state_folder.rs"]
mod state_folder;

use bus::{PASSWORD, World, error_name};
use zbus::wire::OwnedFd as Fd;

#[tokio::test]
async fn a_home_is_made_used_and_removed() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    assert_eq!(client.state("alice").await, "inactive");
    let homes = client.list().await;
    assert_eq!(homes, [("alice".to_owned(), "inactive".to_owned())]);

    let wrong = client.manager("ActivateHome", &("alice", r#"{"password":["wrong"]}"#)).await;
    assert_eq!(error_name(wrong), "org.freedesktop.home1.BadPassword");
    client.manager("ActivateHome", &("alice", PASSWORD)).await.expect("activated");
    assert_eq!(client.state("alice").await, "active");
    let again = client.manager("ActivateHome", &("alice", PASSWORD)).await;
    assert_eq!(error_name(again), "org.freedesktop.home1.HomeAlreadyActive");
    let busy = client.manager("RemoveHome", &("alice",)).await;
    assert_eq!(error_name(busy), "org.freedesktop.home1.HomeBusy");

    client.manager("DeactivateHome", &("alice",)).await.expect("deactivated");
    client.manager("RemoveHome", &("alice",)).await.expect("removed");
    let gone = client.manager("GetHomeByName", &("alice",)).await;
    assert_eq!(error_name(gone), "org.freedesktop.home1.NoSuchHome");
}

#[tokio::test]
async fn the_last_reference_takes_the_home_with_it() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    let first: Fd = client.acquire("alice", PASSWORD).await.expect("acquired");
    let second: Fd = client.acquire("alice", PASSWORD).await.expect("acquired again");
    drop(first);
    let held = client.manager("ReleaseHome", &("alice",)).await;
    assert_eq!(error_name(held), "org.freedesktop.home1.HomeBusy");
    assert_eq!(client.state("alice").await, "active");
    drop(second);
    client.manager("ReleaseHome", &("alice",)).await.expect("released, and waited for");
    assert_eq!(client.state("alice").await, "inactive");
}

#[tokio::test]
async fn a_killed_daemon_knows_all_it_knew() {
    let mut world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    client.create("bob").await.expect("created");
    client.create("carol").await.expect("created");
    let held = client.acquire("alice", PASSWORD).await.expect("acquired");
    let dropped_meanwhile = client.acquire("bob", PASSWORD).await.expect("acquired");
    client.manager("ActivateHome", &("carol", PASSWORD)).await.expect("activated");

    world.kill().await;
    drop(dropped_meanwhile);
    world.restart().await;

    let client = world.client().await;
    assert_eq!(client.state("alice").await, "active");
    // Asked to stay by ActivateHome, and held by nobody: it stays.
    assert_eq!(client.state("carol").await, "active");
    client.manager("ReleaseHome", &("bob",)).await.expect("is being deactivated, or is already");
    assert_eq!(client.state("bob").await, "inactive");
    let still = client.manager("ReleaseHome", &("alice",)).await;
    assert_eq!(error_name(still), "org.freedesktop.home1.HomeBusy");
    drop(held);
    client.manager("ReleaseHome", &("alice",)).await.expect("released");
    assert_eq!(client.state("alice").await, "inactive");
}

#[tokio::test]
async fn a_job_cut_short_with_the_daemon_leaves_nothing_active() {
    let mut world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    let door = world.machine.hold_jobs().await;
    let waiting = client.clone();
    let acquiring = tokio::spawn(async move { waiting.acquire("alice", PASSWORD).await });
    world.job_started("activate").await;
    // The worker gets as far as mounting; the daemon hears no more of it.
    world.kill().await;
    world.machine.mount("alice");
    drop(door);
    world.restart().await;
    acquiring.abort();
    let client = world.client().await;
    client.manager("ReleaseHome", &("alice",)).await.expect("is deactivated");
    assert_eq!(client.state("alice").await, "inactive");
}

#[tokio::test]
async fn others_are_served_while_a_job_runs() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    let door = world.machine.hold_jobs().await;
    let waiting = client.clone();
    let activating = tokio::spawn(async move { waiting.manager("ActivateHome", &("alice", PASSWORD)).await });
    world.job_started("activate").await;
    assert_eq!(client.state("alice").await, "activating");
    assert_eq!(client.list().await.len(), 1);
    let busy = client.manager("DeactivateHome", &("alice",)).await;
    assert_eq!(error_name(busy), "org.freedesktop.home1.HomeBusy");
    drop(door);
    activating.await.expect("ran").expect("activated");
}

#[tokio::test]
async fn a_client_that_leaves_while_its_home_is_made_takes_it_along() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("bob").await.expect("created");
    let mut changes = world.link().changes();
    let door = world.machine.hold_jobs().await;
    let leaving = world.leaving_client_creates("alice");
    world.job_of("alice").await;
    drop(leaving);
    loop {
        use homed::daemon::link::Change;
        if let Change::Vanished(user, _) = changes.recv().await.expect("the daemon lives") {
            assert_eq!(user.as_str(), "alice");
            break;
        }
    }
    drop(door);
    assert_eq!(client.list().await.len(), 1);
}

#[tokio::test]
async fn malformed_and_oversized_arguments_are_refused() {
    let world = World::start().await;
    let client = world.client().await;
    const INVALID: &str = "org.freedesktop.DBus.Error.InvalidArgs";
    let long = format!(r#"{{"userName":"alice","x":"{}"}}"#, "x".repeat(2 << 20));
    let deep = "[".repeat(50_000);
    let records = [
        "",
        "{}",
        "[]",
        r#"{"userName":"root"}"#,
        r#"{"userName":"alice","uid":0}"#,
        r#"{"userName":"alice","uid":60100,"gid":1}"#,
        r#"{"userName":"alice","disposition":"system"}"#,
        r#"{"userName":"alice","service":"x"}"#,
        r#"{"userName":"alice","secret":{"ticket":"unknown"}}"#,
        &long,
        &deep,
    ];
    for record in records {
        let refused = client.manager("CreateHome", &(record,)).await;
        assert_eq!(error_name(refused), INVALID, "{:.60}", record);
    }
    client.create("alice").await.expect("the daemon is well");
    for secret in ["", "[]", r#"{"password":7}"#, &long] {
        let refused = client.manager("ActivateHome", &("alice", secret)).await;
        assert_eq!(error_name(refused), INVALID, "{:.60}", secret);
    }
}

#[tokio::test]
async fn names_uids_and_passwords_are_checked_before_anything_is_made() {
    let world = World::start().await;
    let client = world.client().await;
    world.machine.take_account("mallory", 60100);
    assert_eq!(error_name(client.create("mallory").await), "org.freedesktop.home1.UserNameExists");
    let taken = r#"{"userName":"alice","uid":60100,"secret":{"password":["correct horse"]}}"#;
    assert_eq!(error_name(client.manager("CreateHome", &(taken,)).await), "org.freedesktop.home1.UIDInUse");
    let weak = r#"{"userName":"alice","secret":{"password":["x"]}}"#;
    let refused = client.manager("CreateHome", &(weak,)).await;
    assert_eq!(error_name(refused), "org.freedesktop.home1.LowPasswordQuality");
    let after_weak = r#"{"userName":"bob","secret":{"password":["correct horse","x"]}}"#;
    client.manager("CreateHome", &(after_weak,)).await.expect("created");
    let accepted =
        r#"{"userName":"alice","enforcePasswordPolicy":false,"aliases":["al"],"secret":{"password":["x"]}}"#;
    client.manager("CreateHome", &(accepted,)).await.expect("created");
    assert_eq!(error_name(client.create("al").await), "org.freedesktop.home1.UserNameExists");
    client.manager("GetHomeByName", &("al",)).await.expect("found by its alias");
    assert_eq!(world.machine.jobs().len(), 2);
}

#[tokio::test]
async fn a_stranger_can_do_nothing_and_uses_up_nobodys_attempts() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    let stranger = world.stranger();
    let wrong = ["string:alice", r#"string:{"password":["guess"]}"#];
    for _ in 0..5 {
        let told = stranger.call("Manager.AcquireHome", &[&wrong[..], &["boolean:false"]].concat());
        assert!(told.contains("BadPassword"), "{told}");
    }
    let told = stranger.call("Manager.AcquireHome", &[&wrong[..], &["boolean:false"]].concat());
    assert!(told.contains("AuthenticationLimitHit"), "{told}");
    for (method, arguments) in [
        ("ActivateHome", &wrong[..]),
        ("DeactivateHome", &wrong[..1]),
        ("RemoveHome", &wrong[..1]),
        ("UnregisterHome", &wrong[..1]),
        ("ReleaseHome", &wrong[..1]),
        ("DeactivateAllHomes", &[]),
        ("LockAllHomes", &[]),
        ("FixateHome", &wrong[..]),
        ("CreateHome", &wrong[1..]),
        ("ChangePasswordHome", &["string:alice", "string:{}", "string:{}"]),
        ("AddSigningKey", &["string:a.public", "string:x", "uint64:0"]),
    ] {
        let told = stranger.call(&format!("Manager.{method}"), arguments);
        assert!(told.contains("AccessDenied"), "{method}: {told}");
    }
    let record = stranger.call("Manager.GetUserRecordByName", &wrong[..1]);
    assert!(!record.contains("hashedPassword") && record.contains("boolean true"), "{record}");
    client
        .manager("AuthenticateHome", &("alice", PASSWORD))
        .await
        .expect("the owner's attempts are all there");
}

#[tokio::test]
async fn storage_from_elsewhere_is_taken_over_at_the_first_login() {
    let world = World::start_with(|machine, root| {
        machine.bring_storage("carol", "correct horse");
        std::fs::write(root.join("carol.home"), "").expect("written");
    })
    .await;
    let client = world.client().await;
    world.home_appeared("carol").await;
    assert_eq!(client.state("carol").await, "unfixated");
    let refused = client.manager("UnregisterHome", &("carol",)).await;
    assert_eq!(error_name(refused), "org.freedesktop.home1.HomeUnfixated");
    // Its password can be checked, and nothing is taken over by that; who offers none uses up no attempts.
    let wrong = client.manager("AuthenticateHome", &("carol", r#"{"password":["wrong"]}"#)).await;
    assert_eq!(error_name(wrong), "org.freedesktop.home1.BadPassword");
    for _ in 0..32 {
        assert!(client.manager("AuthenticateHome", &("carol", "{}")).await.is_err());
    }
    client.manager("AuthenticateHome", &("carol", PASSWORD)).await.expect("the right one");
    assert_eq!(client.state("carol").await, "unfixated");
    let reference = client.acquire("carol", PASSWORD).await.expect("acquired");
    assert_eq!(client.state("carol").await, "active");
    drop(reference);
    client.manager("ReleaseHome", &("carol",)).await.expect("released");
    assert_eq!(client.state("carol").await, "inactive");
}

#[tokio::test]
async fn a_busy_home_lingers_until_it_can_be_closed() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    let reference = client.acquire("alice", PASSWORD).await.expect("acquired");
    world.machine.set_busy("alice", true);
    drop(reference);
    let busy = client.manager("ReleaseHome", &("alice",)).await;
    assert!(matches!(error_name(busy).as_str(), "org.freedesktop.home1.HomeBusy"));
    let mut changes = world.link().changes();
    world.machine.set_busy("alice", false);
    while client.state("alice").await != "inactive" {
        changes.recv().await.expect("the daemon lives");
    }
}

#[tokio::test]
async fn the_password_is_changed_and_keys_are_kept() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    let new = r#"{"password":["battery staple"]}"#;
    client.manager("ChangePasswordHome", &("alice", new, PASSWORD)).await.expect("changed");
    let old = client.manager("AuthenticateHome", &("alice", PASSWORD)).await;
    assert_eq!(error_name(old), "org.freedesktop.home1.BadPassword");
    client.manager("AuthenticateHome", &("alice", new)).await.expect("authenticated");
    let keys: Vec<(String, String, u64)> =
        client.manager("ListSigningKeys", &()).await.expect("listed").body().deserialize().expect("keys");
    assert_eq!(keys[0].0, "local.public");
    let unknown = client.manager("GetSigningKey", &("x.public",)).await;
    assert_eq!(error_name(unknown), "org.freedesktop.home1.NoSuchKey");
}

#[tokio::test]
async fn a_record_is_changed_by_a_newer_one_only() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    client.create("bob").await.expect("created");
    let record = |more: &str| {
        let privileged = r#""privileged":{"hashedPassword":["$6$x$y"]}"#;
        format!(r#"{{"userName":"alice",{privileged},{more},"secret":{PASSWORD}}}"#)
    };
    let newer = record(r#""lastChangeUSec":10,"realName":"Alice""#);
    client.manager("UpdateHome", &(newer.as_str(),)).await.expect("changed");
    let told: (u32, String, u32, String, String, String, zbus::wire::OwnedObjectPath) = client
        .manager("GetHomeByName", &("alice",))
        .await
        .expect("known")
        .body()
        .deserialize()
        .expect("a row");
    assert_eq!(told.3, "Alice");
    let name = |refusal: &str| format!("org.freedesktop.home1.{refusal}");
    for (more, expected) in [
        (r#""lastChangeUSec":9"#, name("RecordDowngrade")),
        (r#""lastChangeUSec":10,"realName":"Else""#, name("RecordMismatch")),
        (r#""lastChangeUSec":11,"realm":"example.com""#, name("RecordMismatch")),
        (r#""lastChangeUSec":11,"aliases":["bob"]"#, name("UserNameExists")),
        (r#""lastChangeUSec":11,"blobManifest":{"a":"00"}"#, "org.freedesktop.DBus.Error.InvalidArgs".into()),
        (r#""lastChangeUSec":11,"disposition":"system""#, "org.freedesktop.DBus.Error.InvalidArgs".into()),
    ] {
        let refused = client.manager("UpdateHome", &(record(more).as_str(),)).await;
        assert_eq!(error_name(refused), expected, "{more}");
    }
    let unknown = newer.replace("alice", "nobody-else");
    assert_eq!(error_name(client.manager("UpdateHome", &(unknown.as_str(),)).await), name("NoSuchHome"));
    let stranger = world.stranger().call("Manager.UpdateHome", &[&format!("string:{newer}")]);
    assert!(stranger.contains("AccessDenied"), "{stranger}");
}

#[tokio::test]
async fn all_homes_are_deactivated_and_the_first_failure_is_told() {
    let world = World::start().await;
    let client = world.client().await;
    for name in ["alice", "bob"] {
        client.create(name).await.expect("created");
        client.manager("ActivateHome", &(name, PASSWORD)).await.expect("activated");
    }
    world.machine.set_busy("alice", true);
    let told = client.manager("DeactivateAllHomes", &()).await;
    assert_eq!(error_name(told), "org.freedesktop.home1.HomeBusy");
    // It is tried again whenever something happens that might help, as the end of bob's may be.
    client.becomes("alice", "lingering").await;
    assert_eq!(client.state("bob").await, "inactive");
    world.machine.set_busy("alice", false);
    client.manager("DeactivateAllHomes", &()).await.expect("all closed");
    client.manager("LockAllHomes", &()).await.expect("nothing is left to be locked");
}

#[tokio::test]
async fn objects_and_signatures_are_the_originals() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("test-user").await.expect("created");
    let path = "/org/freedesktop/home1/home/test_2duser";
    let state = client.property(path, "State").await;
    assert_eq!(state, "inactive");
    let seen = client.introspect("/org/freedesktop/home1").await;
    for (method, arguments) in bus::signatures::SIGNATURES {
        assert_eq!(bus::signatures::signature(&seen, method).as_deref(), Some(*arguments), "{method}");
    }
    let seen = client.introspect(path).await;
    for (method, arguments) in bus::signatures::HOME_SIGNATURES {
        assert_eq!(bus::signatures::signature(&seen, method).as_deref(), Some(*arguments), "{method}");
    }
}

#[tokio::test]
async fn a_home_is_left_out_of_locks_as_long_as_somebody_holds_it_out() {
    let mut world = World::start().await;
    let client = world.client().await;
    client.create("alice").await.expect("created");
    client.manager("ActivateHome", &("alice", PASSWORD)).await.expect("activated");
    let hour: u64 = 3_600_000_000;
    let wish = ("alice", "rsync", "a copy", hour);
    let held: Fd =
        client.policy("Inhibit", &wish).await.expect("given").body().deserialize().expect("a descriptor");
    let forever = client.policy("Inhibit", &("alice", "rsync", "a copy", u64::MAX)).await;
    assert_eq!(error_name(forever), "org.freedesktop.DBus.Error.InvalidArgs");
    assert!(
        world
            .stranger()
            .call("LockPolicy.Inhibit", &["string:alice", "string:x", "string:y", "uint64:5"])
            .contains("AccessDenied")
    );
    let listed = world.stranger().call("LockPolicy.ListInhibitors", &[]);
    assert!(listed.contains("a copy") && listed.contains("rsync"), "{listed}");

    client.manager("LockAllHomes", &()).await.expect("nothing to lock");
    assert_eq!(client.state("alice").await, "active");
    world.restart().await;
    let client = world.client().await;
    client.manager("LockAllHomes", &()).await.expect("nothing to lock");
    assert_eq!(client.state("alice").await, "active");
    drop(held);
    while !world.stranger().call("LockPolicy.ListInhibitors", &[]).contains("array [\n   ]") {
        tokio::task::yield_now().await;
    }
    client.manager("LockAllHomes", &()).await.expect("locked");
    assert_eq!(client.state("alice").await, "locked");
}
