//! Containers that a home's user starts without root: the IDs of their users are there, are hers alone, and are the same after a move.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::Machine;

/// A small machine on which users may map IDs, as they do for podman.
fn with_containers(settings: machine::Builder) -> Result<Ours> {
    let machine = Ours::small_with(settings)?;
    machine.install("trixie", &["uidmap"])?;
    Ok(machine)
}

/// What runs in a container of alice's, in her home; as root there.
fn inside(machine: &Ours, script: &str) -> Result<String> {
    machine
        .command(format!("cd; unshare --user --map-auto --map-root-user sh -ec '{script}'"))
        .user("alice")
        .check()
}

#[test]
fn users_of_a_container_have_their_files_here_and_on_another_machine() -> Result<()> {
    let first = with_containers(Machine::builder())?;
    first.check("useradd bob; mkdir /srv/images")?;
    let options =
        format!("create alice {CHEAP} --disk-size=64M --fs-type=ext4 --image-path=/srv/images/alice.home");
    first.done(&options, "", "correcthorse")?;
    first.done("activate alice", "correcthorse", "")?;
    let lines = first.check("cat /etc/subuid")?;
    ensure!(lines.contains("bob:100000:65536") && lines.contains("alice:"), "{lines}");
    ensure!(first.check("cat /etc/subgid")?.contains("alice:"));
    // Root there and all others, an owner by list, and what a container's root removes.
    let unpack = "mkdir box; for id in 0 1 33 65534; do echo $id > box/$id; chown $id:$id box/$id; done; \
                  setfacl -m u:33:rwx box/1; chmod 4755 box/33; mkdir gone; chown 7:7 gone; rmdir gone";
    inside(&first, unpack)?;
    let owners = "stat -c %n:%u:%g box/0 box/1 box/33 box/65534; getfacl -nc box/1 | grep user:33";
    let expected = "box/0:0:0\nbox/1:1:1\nbox/33:33:33\nbox/65534:65534:65534\nuser:33:rwx\n";
    assert_eq!(inside(&first, owners)?, expected);
    let seen = first.check("stat -c %u /home/alice/box/33")?;
    ensure!(seen.trim().parse::<u32>()? > 0x7000_0000, "{seen}");
    // What an administrator has given is there as well.
    first.check("chown 100005:100005 /home/alice/box; stat -c %u /home/alice/box | grep -x 100005; chown alice: /home/alice/box")?;
    let uid = first.check("id -u alice")?;
    first.done("deactivate alice", "", "")?;
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("alice.home");
    first.copy_out("/srv/images/alice.home", &image)?;
    first.check("homectl get-signing-key local.public > /root/first.public")?;
    let key = folder.path().join("first.public");
    first.copy_out("/root/first.public", &key)?;

    let second = with_containers(Machine::builder().machine_id("22222222222222222222222222222222"))?;
    second.check(&format!("useradd --uid {} --no-create-home somebody", uid.trim()))?;
    second.copy_in(&key, "/root/first.public")?;
    second.check("homectl add-signing-key /root/first.public")?;
    second.copy_in(&image, "/home/alice.home")?;
    second.becomes("alice", "unfixated")?;
    second.done("activate alice", "correcthorse", "")?;
    ensure!(second.check("id -u alice")? != uid, "she has the same UID there, and nothing is shown");
    assert_eq!(inside(&second, owners)?, expected);
    ensure!(second.check("stat -c %u /home/alice/box/33")? != seen);
    inside(&second, "rm -r box")?;
    second.done("deactivate alice", "", "")?;
    // They go with the home, and come again with it.
    for (goes, comes) in [("unregister alice", true), ("remove alice", false)] {
        second.done(goes, "", "")?;
        ensure!(!second.check("cat /etc/subuid /etc/subgid")?.contains("alice"), "{goes}");
        if comes {
            second.becomes("alice", "unfixated")?;
            second.done("activate alice", "correcthorse", "")?;
            ensure!(second.check("grep -c ^alice: /etc/subuid /etc/subgid")?.matches(":1").count() == 2);
            second.done("deactivate alice", "", "")?;
        }
    }
    Ok(())
}

#[test]
fn lines_of_an_administrator_are_enough() -> Result<()> {
    let machine = with_containers(Machine::builder())?;
    machine.create("alice", "correcthorse")?;
    machine.check("echo alice:200000:65536 | tee /etc/subuid > /etc/subgid")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check("cat /etc/subuid /etc/subgid")?, "alice:200000:65536\nalice:200000:65536\n");
    inside(&machine, "echo 5 > five; chown 5:5 five; stat -c %u five | grep -x 5")?;
    machine.done("deactivate alice", "", "")?;
    machine.done("remove alice", "", "")?;
    assert_eq!(machine.check("cat /etc/subuid")?, "alice:200000:65536\n");
    Ok(())
}
