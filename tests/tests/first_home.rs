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

/// Options of one new home, and what is read of each of them outside of the record: commands for the open home, and what
/// they print.
const EFFECTS: &[(&str, &str, &str)] = &[
    ("--luks-pbkdf-type=argon2i", "slot .kdf.type", "argon2i"),
    ("--luks-pbkdf-memory-cost=1M", "slot .kdf.memory", "1024"),
    ("--luks-pbkdf-force-iterations=5", "slot .kdf.time", "5"),
    ("--luks-pbkdf-parallel-threads=1", "slot .kdf.cpus", "1"),
    ("--luks-pbkdf-hash-algorithm=sha256", "slot .af.hash", "sha256"),
    ("--luks-volume-key-size=32", "slot .key_size", "32"),
    ("--luks-sector-size=512", "segment .sector_size", "512"),
    ("--luks-cipher=aes --luks-cipher-mode=xts-plain64", "segment .encryption", "aes-xts-plain64"),
    ("--disk-size=64M", "stat -c %s /srv/homes/dora", "67108864"),
    ("--image-path=/srv/homes/dora", "losetup -nl -O BACK-FILE | grep dora", "/srv/homes/dora"),
    ("--fs-type=ext4", "findmnt -no FSTYPE /srv/dora", "ext4"),
    ("--home-dir=/srv/dora", "getent passwd dora | cut -d: -f6", "/srv/dora"),
    ("--access-mode=0750", "stat -c %a /srv/dora", "750"),
    ("--skel=/srv/skel", "cat /srv/dora/from-skel", "here"),
    ("--uid=60222", "stat -c %u /srv/dora", "60222"),
    ("--nodev=no", "findmnt -no OPTIONS /srv/dora | grep -c nodev", "0"),
    ("--nosuid=yes", "findmnt -no OPTIONS /srv/dora | grep -c nosuid", "1"),
    ("--noexec=yes", "findmnt -no OPTIONS /srv/dora | grep -c noexec", "1"),
    ("--shell=/bin/sh", "getent passwd dora | cut -d: -f7", "/bin/sh"),
    ("--real-name=Dora", "getent passwd dora | cut -d: -f5", "Dora"),
    ("--member-of=games", "id -nG dora | tr ' ' '\\n' | grep games", "games"),
    ("--ssh-authorized-keys=@/srv/key", "userdbctl ssh-authorized-keys dora", "ssh-ed25519 AAAA"),
];

#[test]
fn what_options_of_create_ask_for_is_there() -> Result<()> {
    let machine = Ours::small()?;
    machine.check(
        "mkdir -p /srv/homes /srv/skel; echo here > /srv/skel/from-skel; echo 'ssh-ed25519 AAAA' > /srv/key",
    )?;
    let options: Vec<&str> = EFFECTS.iter().map(|(option, ..)| *option).collect();
    let create = format!("create dora {} --enforce-password-policy=no", options.join(" "));
    machine.done(&create, "", "correcthorse")?;
    machine.done("activate dora", "correcthorse", "")?;
    machine.check(
        "cryptsetup luksDump --dump-json-metadata $(losetup -nl -O NAME,BACK-FILE | awk '/dora/ {print $1}') > /srv/header",
    )?;
    for (option, command, expected) in EFFECTS {
        let script = match command.split_once(' ') {
            Some(("slot", member)) => format!("jq -r '.keyslots[] | {member}' /srv/header"),
            Some(("segment", member)) => format!("jq -r '.segments[] | {member}' /srv/header"),
            _ => (*command).to_owned(),
        };
        let printed = machine.run(&script)?.stdout;
        anyhow::ensure!(printed.trim() == *expected, "{option}: {script}: {printed}");
    }
    let mode = machine.check("homectl inspect -j dora | jq '.status[].accessMode'")?;
    assert_eq!(mode.trim(), (0o750).to_string());
    Ok(())
}
