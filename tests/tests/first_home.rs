//! One home on one machine, from its making to its end.

use anyhow::Result;
use homed_tests::Ours;

#[test]
fn a_home_is_made_opened_changed_closed_and_removed() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.nothing_open("alice")?;
    assert_eq!(machine.state("alice")?, "inactive");

    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.state("alice")?, "active");
    machine.command("echo mine > ~/file && chmod 600 ~/file").user("alice").check()?;
    assert_eq!(
        machine.check("stat -c %U:%G:%a /home/alice /home/alice/file")?,
        "alice:alice:700\nalice:alice:600\n"
    );
    let mount = machine.check("findmnt -no OPTIONS /home/alice")?;
    assert!(mount.contains("nosuid") && mount.contains("nodev") && mount.contains("idmapped"), "{mount}");

    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;

    let said = machine.refused("activate alice", "correcthorse", "")?;
    assert!(said.contains("password is not right") && said.contains("Nothing was changed"), "{said}");
    machine.nothing_open("alice")?;
    machine.done("activate alice", "batterystaple", "")?;
    assert_eq!(machine.command("cat ~/file").user("alice").check()?, "mine\n");
    machine.done("deactivate alice", "", "")?;

    machine.done("remove alice", "", "")?;
    machine.nothing_open("alice")?;
    assert_eq!(machine.check("ls -A /home; ls /var/lib/systemd/home")?, "local.private\nlocal.public\n");
    assert_eq!(machine.state("alice")?, "none");
    Ok(())
}

#[test]
fn each_file_system_of_the_format_makes_a_home() -> Result<()> {
    let machine = Ours::small()?;
    for (user, kind, size) in [("bob", "ext4", "64M"), ("carol", "xfs", "400M")] {
        let options = homed_tests::CHEAP.replace("256M", size);
        machine.done(&format!("create {user} {options} --fs-type={kind}"), "", "correcthorse")?;
        machine.done(&format!("activate {user}"), "correcthorse", "")?;
        assert_eq!(machine.check(&format!("findmnt -no FSTYPE /home/{user}"))?.trim(), kind);
        machine.command("echo kept > ~/file").user(user).check()?;
        machine.done(&format!("deactivate {user}"), "", "")?;
        machine.done(&format!("activate {user}"), "correcthorse", "")?;
        assert_eq!(machine.command("cat ~/file").user(user).check()?, "kept\n");
        machine.done(&format!("deactivate {user}"), "", "")?;
        machine.nothing_open(user)?;
    }
    Ok(())
}

#[test]
fn the_user_database_knows_the_user_in_every_state() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    let expected = "/home/alice:/bin/bash";
    let closed = machine.check("getent passwd alice")?;
    assert!(closed.trim_end().ends_with(expected), "{closed}");
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check("getent passwd alice")?, closed);
    let uid = machine.check("id -u alice")?;
    assert_eq!(machine.check(&format!("getent passwd {}", uid.trim()))?, closed);
    assert_eq!(machine.check("id -gn alice")?, "alice\n");
    assert_eq!(machine.check("getent group alice | cut -d: -f1")?, "alice\n");
    assert!(machine.check("userdbctl --output=classic user")?.contains("alice"));

    // Strangers see the public part only.
    let seen = machine.command("userdbctl -j user alice").user("nobody").check()?;
    assert!(seen.contains("\"alice\"") && !seen.contains("hashedPassword"), "{seen}");
    let all = machine.check("userdbctl -j user alice")?;
    assert!(all.contains("hashedPassword"), "{all}");
    machine.done("with alice -- true", "correcthorse", "")?;
    Ok(())
}

#[test]
fn signing_keys_are_listed_shown_added_and_removed() -> Result<()> {
    let machine = Ours::small()?;
    assert!(machine.check("homectl list-signing-keys")?.contains("local.public"));
    let own = machine.check("homectl get-signing-key local.public")?;
    assert!(own.starts_with("-----BEGIN PUBLIC KEY-----"), "{own}");
    // The example of RFC 8410, section 10.1.
    let other = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                 -----END PUBLIC KEY-----\n";
    machine.write_file("/root/other.public", other)?;
    machine.check("homectl add-signing-key /root/other.public")?;
    assert!(machine.check("homectl list-signing-keys")?.contains("other.public"));
    machine.check("homectl remove-signing-key other.public")?;
    assert!(!machine.check("homectl list-signing-keys")?.contains("other.public"));
    assert_ne!(
        machine.run("echo noise > /root/bad.public; homectl add-signing-key /root/bad.public")?.status,
        0
    );
    Ok(())
}
