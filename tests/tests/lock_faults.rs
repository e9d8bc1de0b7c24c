//! Locks and unlocks that fail or are broken off at every step: nobody stays frozen over an open home, what is
//! locked stays locked and opens with the password, and nothing is lost.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use std::time::{Duration, Instant};

const LOCK: &[&str] = &[
    "freeze-user",
    "cover",
    "sync",
    "evict",
    "freeze-file-system",
    "flush-device",
    "suspend-device",
    "wipe-key",
    "revoke-key",
    "scrub",
];
const UNLOCK: &[&str] =
    &["unlock", "read-copies", "resume-device", "thaw-file-system", "uncover", "keep-key", "thaw-user"];

/// At the level "strict" there are these besides, and the steps around them.
const LOCK_STRICT: &[&str] = &["make-swap", "swap-out", "suspend-device", "scrub", "suspend-swap"];
const UNLOCK_STRICT: &[&str] = &["resume-swap", "resume-device", "bring-back"];

/// Counts in the home, a number a line, until it is ended.
const COUNTER: &str = "cd; echo $$ > counter; i=0; while :; do echo $((i++)); sleep 0.05; done > count";

/// A home in which a process of its user counts.
fn counting() -> Result<Ours> {
    counting_at("cache")
}

/// The same, with a level of locking.
fn counting_at(level: &str) -> Result<Ours> {
    let machine = Ours::small()?;
    let words = format!("create alice {} --lock-level={level}", homed_tests::CHEAP);
    machine.done(&words, "", "correcthorse")?;
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
        for try in $(seq 600); do now=$(wc -l < count); [ $now -gt $((before + 3)) ] && break; sleep 0.1; done
        [ $now -gt $((before + 3)) ] || { echo it does not count; exit 1; }
        head -n $now count | awk '$1 != NR - 1 { exit 1 }'",
    )?;
    Ok(())
}

/// Waits until no job runs. What could not be mended is tried again after a second: what counts is what was seen together.
fn settled_state(machine: &Ours) -> Result<String> {
    let state = machine.check(
        // Where the mending was killed at the same step, the device stands still until it begins again, and has its key.
        "while :; do
            state=$(homectl list -j | jq -r '.[0].state')
            device=$(dmsetup info -c --noheadings -o suspended home-alice)
            if ! pgrep -fx /usr/lib/homed/worker >/dev/null; then
                case $state-$device in locked-*|active-Active) echo $state; exit ;; esac
            fi
            sleep 0.05
        done",
    )?;
    Ok(state.trim().to_owned())
}

/// Waits until no job runs; the home is open and its process runs, or it is locked and nobody comes in.
fn settled(machine: &Ours) -> Result<String> {
    let state = settled_state(machine)?;
    if state == "active" {
        counts(machine)?;
        machine.check("[ -z \"$(ls /run/homed/locked)\" ]")?;
        machine.check(NO_SWAP)?;
    } else {
        ensure!(state == "locked", "it is {state}");
        ensure!(machine.run("ls /home/alice/count")?.status != 0, "somebody comes in");
        // Where the mending was killed at the same step, it begins again after a second.
        machine.check(
            "until [ -z \"$(dmsetup table home-alice | cut -d' ' -f5 | tr -d 0)\" ]; do sleep 0.05; done",
        )?;
        machine.check(SWAP_IS_SEALED)?;
    }
    Ok(state)
}

/// What is brought back comes in the background. Nothing is left of it then, in the kernel nor on disk.
const NO_SWAP: &str = "
until [ $(wc -l < /proc/swaps) = 1 ] && ! dmsetup info homed-swap-alice >/dev/null 2>&1; do sleep 0.05; done
[ ! -e /var/lib/homed/swap ] || [ -z \"$(ls /var/lib/homed/swap)\" ]
[ -z \"$(losetup -nl -O BACK-FILE | grep homed/swap)\" ]
[ $(cat /proc/sys/vm/page-cluster) = 3 ]";

/// Where there is one.
const SWAP_IS_SEALED: &str = "
table=$(dmsetup table homed-swap-alice 2>/dev/null) || exit 0
[ -z \"$(echo $table | cut -d' ' -f5 | tr -d 0)\" ]
[ \"$(dmsetup info -c --noheadings -o suspended homed-swap-alice)\" = Suspended ]
awk 'NR > 1 && $3 != $4 { exit 1 }' /proc/swaps";

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
    broken_locks(&counting()?, LOCK)
}

#[test]
fn a_strict_lock_that_fails_or_is_killed_leaves_no_swap_beside_an_open_home() -> Result<()> {
    let machine = counting_at("strict")?;
    broken_locks(&machine, LOCK_STRICT)?;
    broken_unlocks(&machine, UNLOCK_STRICT)?;
    // Soon after an unlock, while memory is still coming back.
    for _ in 0..2 {
        machine.done("lock alice", "", "")?;
        machine.done("unlock alice", "correcthorse", "")?;
    }
    ensure!(settled(&machine)? == "active");
    Ok(())
}

fn broken_locks(machine: &Ours, steps: &[&str]) -> Result<()> {
    for step in steps {
        for how in ["fail", "kill"] {
            fault(machine, &format!("{step} {how}"))?;
            let done = machine.homectl("lock alice", "", "")?.status == 0;
            fault(machine, "")?;
            let state =
                settled(machine).map_err(|e| e.context(format!("{step} {how}\n{}", machine.log())))?;
            // Killed with its device suspended, the key goes for good; what follows the wipe cannot fail.
            let is_wiped = ["revoke-key", "scrub", "suspend-swap"].contains(step)
                || (*step, how) == ("wipe-key", "kill");
            let expected = if is_wiped { "locked" } else { "active" };
            ensure!(state == expected, "{step} {how}: it is {state}");
            ensure!(!done || state == "locked", "{step} {how}: done, and {state}");
            if state == "locked" {
                unlock(machine)?;
            }
        }
    }
    machine.done("lock alice", "", "")?;
    unlock(machine)
}

#[test]
fn an_unlock_that_fails_or_is_killed_leaves_a_home_that_is_open_or_locked() -> Result<()> {
    broken_unlocks(&counting()?, UNLOCK)
}

fn broken_unlocks(machine: &Ours, steps: &[&str]) -> Result<()> {
    for step in steps {
        for how in ["fail", "kill"] {
            machine.done("lock alice", "", "")?;
            fault(machine, &format!("{step} {how}"))?;
            machine.homectl("unlock alice", "correcthorse", "")?;
            fault(machine, "")?;
            let state =
                settled(machine).map_err(|e| e.context(format!("{step} {how}\n{}", machine.log())))?;
            if state == "locked" {
                unlock(machine)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_daemon_killed_in_a_lock_finds_the_truth_in_the_kernel() -> Result<()> {
    let machine = counting()?;
    let locks = LOCK.iter().map(|step| ("lock alice", *step));
    let unlocks = UNLOCK.iter().map(|step| ("unlock alice", *step));
    for (words, step) in locks.chain(unlocks) {
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
        machine.check("until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done")?;
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

/// Of a home that is given up; it begins again where it was broken off.
const GIVE_UP: &[&str] = &["kill-user", "cut-off", "uncover", "thaw-file-system", "unmount", "detach"];

#[test]
fn giving_up_can_be_broken_off_anywhere_and_is_finished_later() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    let all = std::env::var("HOMED_STEPS").is_ok_and(|text| text == "all");
    let ways = ["fail", "kill", "stop"];
    for (place, step) in GIVE_UP.iter().enumerate() {
        // By itself one way a step, in turns; all of them once nothing is mounted any more, where nobody asks again.
        let tried = ways.iter().enumerate().filter(|(i, _)| all || *step == "detach" || place % 3 == *i);
        for (_, how) in tried {
            given_up_twice(&machine, step, how)
                .map_err(|e| e.context(format!("{step} {how}\n{}", machine.log())))?;
        }
    }
    Ok(())
}

/// The first time it is broken off: `stop` means that the daemon is killed while the worker stands there.
fn given_up_twice(machine: &Ours, step: &str, how: &str) -> Result<()> {
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("echo kept > ~/file").user("alice").check()?;
    machine.done("lock alice", "", "")?;
    fault(machine, &format!("{step} {how}"))?;
    let running = machine.command("exec setsid --wait homectl deactivate-all").spawn()?;
    if how == "stop" {
        machine.check("until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done")?;
        machine.kill_daemon()?;
    }
    ensure!(running.wait()?.status != 0, "done in spite of it");
    fault(machine, "")?;
    if how == "stop" {
        machine.start_daemon()?;
    }
    // Nothing else of it starts before it is in order.
    let update = machine.homectl("update alice --real-name=Alice", "correcthorse", "")?;
    ensure!(!update.stderr.contains("unexpectedly"), "{}", update.stderr);
    machine.check(
        "for try in $(seq 600); do homectl deactivate-all && exit 0; sleep 0.1; done; homectl list; exit 1",
    )?;
    machine.nothing_open("alice")?;
    machine.check("[ -z \"$(ls /run/homed/locked)\" ]")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("grep -q kept ~/file && rm ~/file").user("alice").check()?;
    machine.done("deactivate alice", "", "")?;
    Ok(())
}

#[test]
fn a_strictly_locked_home_is_given_up_in_time_and_leaves_no_swap() -> Result<()> {
    let machine = counting_at("strict")?;
    machine.done("lock alice", "", "")?;
    machine.check(SWAP_IS_SEALED)?;
    let begun = Instant::now();
    machine.check("homectl deactivate-all")?;
    ensure!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    machine.nothing_open("alice")?;
    machine.check(NO_SWAP)?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("tail -n 1 /home/alice/count")?;
    Ok(())
}

#[test]
fn who_syncs_while_a_home_is_locked_does_not_wait_for_it() -> Result<()> {
    let machine = Ours::small()?;
    for kind in ["btrfs", "ext4", "xfs"] {
        let words = format!("create alice {} --disk-size=512M --fs-type={kind}", homed_tests::CHEAP);
        machine.done(&words, "", "correcthorse")?;
        machine.done("activate alice", "correcthorse", "")?;
        let options = machine.check("findmnt -no FS-OPTIONS /home/alice")?;
        machine
            .command("head -c 20M /dev/urandom > ~/big; sha256sum ~/big > ~/sum; sync")
            .user("alice")
            .check()?;
        machine.done("lock alice", "", "")?;
        machine.check(
            "sync & for try in $(seq 600); do kill -0 $! 2>/dev/null || exit 0; sleep 0.1; done; exit 1",
        )?;
        machine.done("unlock alice", "correcthorse", "")?;
        machine.command("sha256sum --quiet -c ~/sum").user("alice").check()?;
        assert_eq!(machine.check("findmnt -no FS-OPTIONS /home/alice")?, options, "{kind}");
        // As before a lock that fails.
        fault(&machine, "suspend-device fail")?;
        machine.refused("lock alice", "", "")?;
        fault(&machine, "")?;
        assert_eq!(settled_state(&machine)?, "active");
        assert_eq!(machine.check("findmnt -no FS-OPTIONS /home/alice")?, options, "{kind}");
        machine.done("deactivate alice", "", "")?;
        machine.done("remove alice", "", "")?;
    }
    Ok(())
}

const NESTED: &str = "rm /run/inner; mkdir /run/there
unshare -m --propagation private sh -c 'mount /dev/mapper/home-alice /run/there
  losetup --find --show /run/there/alice/nested/inner > /run/inner; exec sleep 1000' </dev/null >/dev/null 2>&1 &
until [ -s /run/inner ]; do sleep 0.05; done";

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
    // In a nested subvolume, by a mount that another namespace alone has.
    machine.check(&format!(
        "btrfs subvolume create /home/alice/nested; truncate -s 1M /home/alice/nested/inner; {NESTED}"
    ))?;
    assert!(machine.refused("lock alice", "", "")?.contains("attached image"));
    assert_eq!(settled(&machine)?, "active");
    machine.check("losetup -d $(cat /run/inner); kill $(pidof sleep)")?;
    // What lies on another disk below the home needs no key of it.
    machine.check(
        "mkdir /home/alice/stick; mount -t tmpfs none /home/alice/stick; truncate -s 1M /home/alice/stick/inner
        losetup --find --show /home/alice/stick/inner > /run/inner",
    )?;
    machine.done("lock alice", "", "")?;
    unlock(&machine)?;
    machine.check("losetup -d $(cat /run/inner); umount /home/alice/stick")?;
    machine.done("lock alice", "", "")?;
    assert!(machine.refused("lock alice", "", "")?.contains("locked"));
    assert!(machine.refused("passwd alice", "correcthorse", "batterystaple9")?.contains("locked"));
    machine.check("homectl lock-all")?;
    unlock(&machine)
}
