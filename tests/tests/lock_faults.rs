//! Locks and unlocks that fail or are broken off at every step: nobody stays frozen over an open home, what is
//! locked stays locked and opens with the password, and nothing is lost.

use anyhow::{Result, ensure};
use homed_tests::Ours;

const LOCK: &[&str] =
    &["freeze-user", "cover", "sync", "evict", "freeze-file-system", "suspend-device", "scrub"];
const UNLOCK: &[&str] =
    &["unlock", "read-copies", "resume-device", "uncover", "thaw-file-system", "thaw-user"];

/// Counts in the home, a number a line, until it is ended.
const COUNTER: &str = "cd; echo $$ > counter; i=0; while :; do echo $((i++)); sleep 0.05; done > count";

/// A home in which a process of its user counts.
fn counting() -> Result<Ours> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.write_file("/run/counter", COUNTER)?;
    machine.check("setsid setpriv --reuid=alice --regid=alice --clear-groups env HOME=/home/alice bash /run/counter </dev/null >/dev/null 2>&1 & :")?;
    counts(&machine)?;
    Ok(machine)
}

/// The process counts on, and has left no number out.
fn counts(machine: &Ours) -> Result<()> {
    machine.check(
        "until cd /home/alice && before=$(wc -l < count 2>/dev/null); do sleep 0.1; done
        for try in $(seq 100); do now=$(wc -l < count); [ $now -gt $((before + 3)) ] && break; sleep 0.1; done
        [ $now -gt $((before + 3)) ] || { echo it does not count; exit 1; }
        head -n $now count | awk '$1 != NR - 1 { exit 1 }'",
    )?;
    Ok(())
}

/// Waits until no job runs; the home is open and its process runs, or it is locked and nobody comes in.
fn settled(machine: &Ours) -> Result<String> {
    machine.check(
        "until state=$(homectl list -j | jq -r '.[0].state'); [ $state = active ] || [ $state = locked ]; do sleep 0.05; done
        while ps -C exe,homed -o args= | grep -q ' worker'; do sleep 0.05; done",
    )?;
    let state = machine.state("alice")?;
    if state == "active" {
        counts(machine)?;
        machine.check("[ -z \"$(ls /run/homed/locked)\" ]")?;
    } else {
        ensure!(state == "locked", "it is {state}");
        ensure!(machine.run("ls /home/alice/count")?.status != 0, "somebody comes in");
        machine.check("[ -z \"$(dmsetup table home-alice | cut -d' ' -f5 | tr -d 0)\" ]")?;
    }
    Ok(state)
}

fn fault(machine: &Ours, wish: &str) -> Result<()> {
    machine.write_file("/run/homed/fault", wish)
}

fn unlock(machine: &Ours) -> Result<()> {
    machine.refused("unlock alice", "wrong", "")?;
    machine.done("unlock alice", "correcthorse", "")?;
    counts(machine)
}

#[test]
fn a_lock_that_fails_or_is_killed_leaves_a_home_that_is_open_or_locked() -> Result<()> {
    let machine = counting()?;
    for step in LOCK {
        for how in ["fail", "kill"] {
            fault(&machine, &format!("{step} {how}"))?;
            let done = machine.homectl("lock alice", "", "")?.status == 0;
            fault(&machine, "")?;
            let state =
                settled(&machine).map_err(|e| e.context(format!("{step} {how}\n{}", machine.log())))?;
            // The key is wiped after the last of these begins, and before the first that follows.
            let expected = if *step == "scrub" { "locked" } else { "active" };
            ensure!(state == expected, "{step} {how}: it is {state}");
            ensure!(!done || state == "locked", "{step} {how}: done, and {state}");
            if state == "locked" {
                unlock(&machine)?;
            }
        }
    }
    machine.done("lock alice", "", "")?;
    unlock(&machine)
}

#[test]
fn an_unlock_that_fails_or_is_killed_leaves_a_home_that_is_open_or_locked() -> Result<()> {
    let machine = counting()?;
    for step in UNLOCK {
        for how in ["fail", "kill"] {
            machine.done("lock alice", "", "")?;
            fault(&machine, &format!("{step} {how}"))?;
            machine.homectl("unlock alice", "correcthorse", "")?;
            fault(&machine, "")?;
            let state =
                settled(&machine).map_err(|e| e.context(format!("{step} {how}\n{}", machine.log())))?;
            if state == "locked" {
                unlock(&machine)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_daemon_killed_in_a_lock_finds_the_truth_in_the_kernel() -> Result<()> {
    let machine = counting()?;
    for (words, step) in [
        ("lock alice", "freeze-user"),
        ("lock alice", "evict"),
        ("lock alice", "suspend-device"),
        ("lock alice", "scrub"),
        ("unlock alice", "resume-device"),
        ("unlock alice", "uncover"),
        ("unlock alice", "thaw-user"),
    ] {
        let state = machine.state("alice")?;
        if words == "unlock alice" && state == "active" {
            machine.done("lock alice", "", "")?;
        } else if words == "lock alice" && state == "locked" {
            unlock(&machine)?;
        }
        fault(&machine, &format!("{step} stop"))?;
        let running = machine
            .command(format!("export PASSWORD=correcthorse; exec setsid --wait homectl {words}"))
            .spawn()?;
        machine.check("until ps -C exe,homed -o stat=,args= | grep -q '^T.* worker'; do sleep 0.05; done")?;
        machine.kill_daemon()?;
        ensure!(running.wait()?.status != 0, "{words}: done, without a daemon");
        fault(&machine, "")?;
        machine.start_daemon()?;
        settled(&machine)
            .map_err(|e| e.context(format!("{words}, daemon killed at {step}\n{}", machine.log())))?;
    }
    // At rest, too: locked stays locked.
    if machine.state("alice")? == "active" {
        machine.done("lock alice", "", "")?;
    }
    machine.kill_daemon()?;
    machine.start_daemon()?;
    ensure!(settled(&machine)? == "locked", "it is no longer locked");
    unlock(&machine)
}

#[test]
fn a_locked_home_is_given_up_without_its_password_and_loses_nothing_that_was_written() -> Result<()> {
    for file_system in ["btrfs", "ext4"] {
        let machine = Ours::small()?;
        machine.done(
            &format!("create alice {} --fs-type={file_system}", homed_tests::CHEAP),
            "",
            "correcthorse",
        )?;
        machine.done("activate alice", "correcthorse", "")?;
        machine
            .command("echo kept > ~/file; head -c 20M /dev/urandom > ~/big; sha256sum ~/big > ~/sum")
            .user("alice")
            .check()?;
        machine.done("lock alice", "", "")?;
        assert!(machine.refused("deactivate alice", "", "")?.contains("locked"));
        machine.check("homectl deactivate-all")?;
        machine.nothing_open("alice")?;
        machine.done("activate alice", "correcthorse", "")?;
        machine.command("cat ~/file && sha256sum --quiet -c ~/sum").user("alice").check()?;
        machine.done("deactivate alice", "", "")?;
        machine.nothing_open("alice")?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_locked_is_refused_and_stays_as_it_was() -> Result<()> {
    let machine = counting()?;
    assert!(machine.refused("unlock alice", "correcthorse", "")?.contains("not locked"));
    // An image in the home that the kernel reads and writes by itself.
    machine
        .check("truncate -s 1M /home/alice/inner; losetup --find --show /home/alice/inner > /run/inner")?;
    assert!(machine.refused("lock alice", "", "")?.contains("attached image"));
    assert_eq!(settled(&machine)?, "active");
    machine.check("losetup -d $(cat /run/inner)")?;
    machine.done("lock alice", "", "")?;
    assert!(machine.refused("lock alice", "", "")?.contains("locked"));
    assert!(machine.refused("passwd alice", "correcthorse", "batterystaple9")?.contains("locked"));
    machine.check("homectl lock-all")?;
    unlock(&machine)
}
