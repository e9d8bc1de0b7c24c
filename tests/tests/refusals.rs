//! What is refused, in words, with nothing changed.

use anyhow::Result;
use homed_tests::{CHEAP, Ours};

#[test]
fn what_does_not_exist_or_exists_already_is_refused() -> Result<()> {
    let machine = Ours::small()?;
    for verb in ["activate", "deactivate", "authenticate", "inspect", "remove"] {
        let said = machine.refused(&format!("{verb} mallory"), "correcthorse", "")?;
        assert!(said.contains("No home for \"mallory\" is known"), "{verb}: {said}");
    }
    for taken in ["messagebus", "games", "daemon"] {
        let said = machine.refused(&format!("create {taken} {CHEAP}"), "", "correcthorse")?;
        assert!(said.contains("exists already"), "{taken}: {said}");
        assert!(said.contains(&format!("getent passwd {taken}")), "{said}");
    }
    let said = machine.refused(&format!("create root {CHEAP}"), "", "correcthorse")?;
    assert!(said.contains("reserved"), "{said}");
    let said = machine.refused(&format!("create bad/name {CHEAP}"), "", "correcthorse")?;
    assert!(said.contains("bad/name"), "{said}");
    machine.check("useradd --uid 60123 --no-create-home other")?;
    let said = machine.refused(&format!("create alice --uid=60123 {CHEAP}"), "", "correcthorse")?;
    assert!(said.contains("60123"), "{said}");
    assert_eq!(machine.check("ls -A /home")?, "");

    machine.create("alice", "correcthorse")?;
    let said = machine.refused(&format!("create alice {CHEAP}"), "", "correcthorse")?;
    assert!(said.contains("already"), "{said}");
    machine.done("activate alice", "correcthorse", "")?;
    machine.refused("remove alice", "", "")?;
    machine.done("deactivate alice", "", "")?;
    Ok(())
}

#[test]
fn an_absent_image_is_told_and_found_again() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("mv /home/alice.home /root/away")?;
    let said = machine.refused("activate alice", "correcthorse", "")?;
    assert!(said.contains("not there"), "{said}");
    assert_eq!(machine.state("alice")?, "absent");
    machine.check("mv /root/away /home/alice.home")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "").map(drop)
}

#[test]
fn a_home_in_use_is_not_taken_away_and_not_opened_twice() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    let said = machine.refused("activate alice", "correcthorse", "")?;
    assert!(said.contains("already active"), "{said}");
    machine.check("setsid tail -f /dev/null > /home/alice/open 2>&1 < /dev/null & echo $! > /run/holder")?;
    let said = machine.refused("deactivate alice", "", "")?;
    assert!(said.contains("use"), "{said}");
    assert_eq!(machine.check("test -e /home/alice/open; echo $?")?, "0\n");
    machine.check("kill $(cat /run/holder); tail --pid=$(cat /run/holder) -f /dev/null")?;
    machine.done("deactivate alice", "", "")?;

    // Somebody else has the image open: another program, or another machine on shared storage.
    machine.check(
        "setsid flock /home/alice.home tail -f /dev/null >/dev/null 2>&1 </dev/null & echo $! > /run/holder\n\
                   while flock -n /home/alice.home true; do kill -0 $(cat /run/holder); done",
    )?;
    let said = machine.refused("activate alice", "correcthorse", "")?;
    assert!(said.contains("in use"), "{said}");
    machine.nothing_open("alice").err();
    machine.check("pkill tail; while ! flock -n /home/alice.home true; do :; done")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

#[test]
fn what_is_mounted_at_the_home_directory_stays() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("mkdir -p /home/alice && mount -t tmpfs none /home/alice && touch /home/alice/theirs")?;
    machine.refused("activate alice", "correcthorse", "")?;
    machine.check("test -e /home/alice/theirs && umount /home/alice")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

#[test]
fn a_full_disk_refuses_a_new_home_and_leaves_nothing() -> Result<()> {
    let machine = Ours::small()?;
    machine.check("truncate -s 200M /disk; mkfs.ext4 -q /disk; mount /disk /home; rmdir /home/lost+found")?;
    let said = machine.refused(&format!("create alice {CHEAP}"), "", "correcthorse")?;
    assert!(said.to_lowercase().contains("space"), "{said}");
    assert_eq!(machine.check("ls -A /home; ls /var/lib/systemd/home | grep identity || :")?, "");
    machine.nothing_open("alice")
}

/// A file system with errors is mounted so, by the kernel: nothing is unexpected about it.
#[test]
fn a_disk_that_can_only_be_read_is_told_and_nothing_is_lost() -> Result<()> {
    let machine = Ours::small()?;
    machine.check(
        "truncate -s 1G /root/disk; mkfs.ext4 -q /root/disk; mount -o loop /root/disk /home; pkill -USR1 -x homed",
    )?;
    machine.create("alice", "correcthorse")?;
    machine.check("mount -o remount,ro /home")?;
    for verb in
        ["activate alice", "passwd alice", "update alice --real-name=A", "resize alice 400M", "rescue alice"]
    {
        let said = machine.refused(verb, "correcthorse", "anotherhorse")?;
        assert!(said.contains("can only be read") && !said.contains("unexpected"), "{verb}: {said}");
    }
    let said = machine.refused("remove alice", "", "")?;
    assert!(said.contains("can only be read"), "{said}");
    machine.check("mount -o remount,rw /home")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "").map(drop)
}
