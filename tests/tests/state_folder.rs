//! The folder for host records can only be read, or has no room: every verb says so, and nothing is left half.

use anyhow::Result;
use homed_tests::{CHEAP, Ours};

const FOLDER: &str = "/var/lib/systemd/home";

/// A machine with two homes and an account, and a file system of its own for the folder.
fn machine() -> Result<Ours> {
    let machine = Ours::small()?;
    machine.check(&format!(
        "truncate -s 8M /root/state; mkfs.ext4 -q /root/state; mkdir -p {FOLDER}; mount -o loop /root/state {FOLDER}
         chmod 700 {FOLDER}; useradd -m bob; echo bob:correcthorse | chpasswd"
    ))?;
    machine.create("alice", "correcthorse")?;
    machine.create("carol", "correcthorse")?;
    Ok(machine)
}

/// What is to be seen of homes and accounts, and how many.
fn seen(machine: &Ours) -> Result<String> {
    machine.check(&format!(
        "homectl list -j | jq -c '.[] | [.name, .state, .uid]'; ls -A /home /var/cache/systemd/home; ls {FOLDER}
         grep -E '^(bob|carol):' /etc/passwd /etc/shadow"
    ))
}

/// Each verb that would write is refused in these words, and all is as it was; who has a home gets in.
fn refused_in_words(machine: &Ours, verbs: &[&str], words: &str) -> Result<()> {
    let before = seen(machine)?;
    for verb in verbs {
        let said = machine.refused(verb, "correcthorse", "anotherhorse")?;
        assert!(
            said.contains(words) && said.contains(FOLDER) && !said.contains("unexpected"),
            "{verb}: {said}"
        );
        assert_eq!(seen(machine)?, before, "{verb}: {said}");
    }
    machine.done("activate alice", "correcthorse", "")?;
    for verb in ["authenticate alice", "lock alice", "unlock alice", "deactivate alice"] {
        machine.done(verb, "correcthorse", "")?;
    }
    Ok(())
}

#[test]
fn a_folder_that_can_only_be_read_is_told_and_nothing_is_left_half() -> Result<()> {
    let machine = machine()?;
    machine.check(&format!("mount -o remount,ro {FOLDER}"))?;
    let create = format!("create dora {CHEAP}");
    let verbs = [
        &*create,
        "convert bob --yes",
        "passwd alice",
        "update alice --real-name=A",
        "resize alice 400M",
        "repair alice",
        "unregister alice",
        "remove carol",
    ];
    refused_in_words(&machine, &verbs, "can only be read")?;
    // It is told when much is done already, and all of that is taken back.
    let before = seen(&machine)?;
    let said = machine.refused("release carol --yes", "correcthorse", "")?;
    assert!(said.contains("can only be read") && said.contains("Nothing was changed"), "{said}");
    machine.check("rm -rf /home/.carol.put-away-*")?;
    assert_eq!(seen(&machine)?, before);
    machine.check(&format!("mount -o remount,rw {FOLDER}"))?;
    machine.done("passwd alice", "correcthorse", "anotherhorse")?;
    machine.done("remove carol", "", "")?;
    machine.create("dora", "correcthorse")
}

#[test]
fn a_folder_without_room_is_told_and_a_home_can_be_removed() -> Result<()> {
    let machine = machine()?;
    machine.check(&format!("dd if=/dev/zero of={FOLDER}/fill bs=1k 2>/dev/null || :"))?;
    let create = format!("create dora {CHEAP}");
    let verbs = [&*create, "convert bob --yes", "passwd alice", "update alice --real-name=A", "repair alice"];
    refused_in_words(&machine, &verbs, "no room")?;
    machine.done("remove carol", "", "")?;
    assert_eq!(machine.state("carol")?, "none");
    machine.check(&format!(
        "test ! -e {FOLDER}/carol.identity && test ! -e /home/carol.home; rm {FOLDER}/fill"
    ))?;
    machine.done("passwd alice", "correcthorse", "anotherhorse").map(drop)
}

/// The disk is found out to be broken while the home is being made.
#[test]
fn what_was_made_before_the_folder_could_only_be_read_is_taken_back() -> Result<()> {
    let machine = machine()?;
    let before = seen(&machine)?;
    machine.check(&format!(
        "echo publish stop > /run/homed/fault
         (export NEWPASSWORD=correcthorse; setsid --wait homectl --no-ask-password create dora {CHEAP} 2> /run/said; \
          echo $? > /run/status) > /dev/null 2>&1 < /dev/null &
         until pgrep -r T -fx /usr/lib/homed/worker > /run/worker; do sleep 0.05; done
         mount -o remount,ro {FOLDER}; kill -CONT $(cat /run/worker); wait; test $(cat /run/status) -ne 0"
    ))?;
    let said = machine.check("cat /run/said")?;
    assert!(said.contains("can only be read") && said.contains("Nothing was made"), "{said}");
    assert_eq!(seen(&machine)?, before);
    Ok(())
}
