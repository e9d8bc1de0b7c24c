//! Another size for a home: open and closed, under load, refused, broken off.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use homed_tests::{CHEAP, Ours};

const MIB: u64 = 1 << 20;

/// Bytes of the image.
fn size(machine: &Ours, user: &str) -> Result<u64> {
    Ok(machine.check(&format!("stat -c %s /home/{user}.home"))?.trim().parse()?)
}

/// Bytes of the file system, as a user of the open home sees it.
fn inside(machine: &Ours, user: &str) -> Result<u64> {
    let text = machine.check(&format!("df -B1 --output=size /home/{user} | tail -1"))?;
    text.trim().parse().context("a number")
}

fn member(machine: &Ours, user: &str, name: &str) -> Result<String> {
    let text = machine.check(&format!("homectl inspect {user} -j"))?;
    let record: serde_json::Value = serde_json::from_str(&text)?;
    let mut value = record[name].clone();
    for entry in record["perMachine"].as_array().into_iter().flatten() {
        if !entry[name].is_null() {
            value = entry[name].clone();
        }
    }
    Ok(value.to_string())
}

#[test]
fn a_home_grows_and_shrinks_open_and_closed() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    let fill = "head -c 60M /dev/urandom > ~/data; sha256sum ~/data > ~/sum; sync ~/data ~/sum";
    machine.command(fill).user("alice").check()?;
    let whole = || machine.command("sha256sum --quiet -c ~/sum").user("alice").check().map(drop);
    // Open, and without a password.
    machine.done("resize alice 600M", "", "")?;
    assert_eq!(size(&machine, "alice")?, 600 * MIB);
    assert_eq!(inside(&machine, "alice")?, (600 - 18) * MIB);
    whole()?;
    // And with one.
    machine.refused("resize alice 400M", "wrong", "")?;
    machine.done("resize alice 400M", "correcthorse", "")?;
    assert_eq!(size(&machine, "alice")?, 400 * MIB);
    assert_eq!(inside(&machine, "alice")?, (400 - 18) * MIB);
    whole()?;
    assert_eq!(member(&machine, "alice", "diskSize")?, (400 * MIB).to_string());
    assert_eq!(member(&machine, "alice", "rebalanceWeight")?, "0");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    ensure!(machine.check("grep -c logon /proc/keys || :")?.trim() == "0", "a key stays in a keyring");
    // Closed.
    machine.refused("resize alice 500M", "wrong", "")?;
    machine.done("resize alice 500M", "correcthorse", "")?;
    assert_eq!(size(&machine, "alice")?, 500 * MIB);
    machine.done("resize alice 300M", "correcthorse", "")?;
    assert_eq!(size(&machine, "alice")?, 300 * MIB);
    machine.nothing_open("alice")?;
    assert_eq!(machine.state("alice")?, "inactive");
    assert_eq!(machine.check("getfattr -d /home/alice.home 2>/dev/null || :")?, "");
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(inside(&machine, "alice")?, (300 - 18) * MIB);
    whole()?;
    machine.done("resize alice min", "", "")?;
    whole()?;
    machine.done("deactivate alice", "", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    whole()
}

/// Nothing of a change of size is left for a lock to wait for.
fn locks_at_once(machine: &Ours) -> Result<()> {
    let begin = Instant::now();
    machine.done("lock alice", "", "")?;
    ensure!(begin.elapsed() < Duration::from_secs(15), "the lock took {:?}", begin.elapsed());
    machine.done("unlock alice", "correcthorse", "").map(drop)
}

#[test]
fn sizes_that_cannot_be_are_refused_with_the_limits_named() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    // As the record says: 256 MiB, and a file system that small needs a little more around it.
    machine.done("resize alice", "", "")?;
    assert_eq!(size(&machine, "alice")?, 274 * MIB);
    machine.done("resize alice 600M", "", "")?;
    machine.command("head -c 300M /dev/urandom > ~/data; sync ~/data").user("alice").check()?;
    for absurd in ["1K", "6T", "300M", "4T", "100G"] {
        let said = machine.refused(&format!("resize alice {absurd}"), "", "")?;
        ensure!(said.contains("nothing was changed"), "{absurd}: {said}");
        assert_eq!(size(&machine, "alice")?, 600 * MIB, "{absurd}");
    }
    ensure!(!machine.check("getfattr -d /home/alice.home")?.contains("resize"), "a note stays");
    machine.done("resize alice min", "", "")?;
    ensure!(size(&machine, "alice")? < 700 * MIB, "min: {}", size(&machine, "alice")?);
    locks_at_once(&machine)?;
    let before = size(&machine, "alice")?;
    machine.done("resize alice max", "", "")?;
    ensure!(size(&machine, "alice")? > before, "max is no more than before");
    locks_at_once(&machine)
}

#[test]
fn other_file_systems_grow() -> Result<()> {
    let machine = Ours::small()?;
    for kind in ["ext4", "xfs"] {
        machine.done(
            &format!("create alice {CHEAP} --fs-type={kind} --disk-size=330M"),
            "",
            "correcthorse",
        )?;
        machine.done("activate alice", "correcthorse", "")?;
        let fill = "head -c 60M /dev/urandom > ~/data; sha256sum ~/data > ~/sum; sync ~/data ~/sum";
        machine.command(fill).user("alice").check()?;
        let before = inside(&machine, "alice")?;
        machine.done("resize alice 500M", "", "")?;
        let after = inside(&machine, "alice")?;
        ensure!(after >= before + 150 * MIB, "{kind}: {} MiB inside, then {}", before / MIB, after / MIB);
        // What is new can be written.
        let more =
            "cat ~/data ~/data ~/data ~/data ~/data > ~/more; sha256sum ~/more >> ~/sum; sync ~/more ~/sum";
        machine.command(more).user("alice").check()?;
        let said = machine.refused("resize alice 480M", "", "")?;
        ensure!(said.contains("nothing was changed"), "{said}");
        // Broken off before the file system knows of it: the next login finishes it.
        machine.check("echo grow-file-system kill > /run/homed/fault")?;
        machine.refused("resize alice 550M", "", "")?;
        machine.check("rm /run/homed/fault")?;
        machine.done("deactivate alice", "", "")?;
        machine.done("activate alice", "correcthorse", "")?;
        let settled = inside(&machine, "alice")?;
        ensure!(settled >= after + 40 * MIB, "{kind}: {} MiB inside, not more", settled / MIB);
        machine.command("sha256sum --quiet -c ~/sum").user("alice").check()?;
        machine.done("deactivate alice", "", "")?;
        machine.done("resize alice 600M", "correcthorse", "")?;
        assert_eq!(size(&machine, "alice")?, 600 * MIB);
        machine.done("check alice", "correcthorse", "")?;
        machine.done("activate alice", "correcthorse", "")?;
        machine.command("sha256sum --quiet -c ~/sum").user("alice").check()?;
        machine.done("deactivate alice", "", "")?;
        machine.done("remove alice", "", "")?;
    }
    Ok(())
}

/// Where a shrinking ext4 can be cut.
const COPYING: &[&str] = &["shrink-file-system", "first-table", "publish", "write-header"];

#[test]
fn ext4_shrinks_while_it_is_closed() -> Result<()> {
    let machine = Ours::small()?;
    // First by a copy of all of it, then on a disk where files can share blocks.
    for shares in [false, true] {
        if shares {
            machine.check(
                "truncate -s 2G /root/disk && mkfs.xfs -q /root/disk && mount -o loop /root/disk /home",
            )?;
        }
        machine.done(&format!("create alice {CHEAP} --fs-type=ext4 --disk-size=320M"), "", "correcthorse")?;
        machine.done("activate alice", "correcthorse", "")?;
        let fill = "mkdir a; for n in $(seq 30); do head -c 2M /dev/urandom > a/$n; done; ln a/1 hard; \
                    setfattr -n user.kind -v text a/2; sha256sum a/* > sum; sync";
        machine.command(format!("cd; {fill}")).user("alice").check()?;
        let whole = || -> Result<()> {
            machine.done("activate alice", "correcthorse", "")?;
            let look =
                "cd; sha256sum --quiet -c sum && [ a/1 -ef hard ] && getfattr -n user.kind a/2 >/dev/null";
            machine.command(look).user("alice").check()?;
            machine.done("deactivate alice", "", "").map(drop)
        };
        let said = machine.refused("resize alice 250M", "correcthorse", "")?;
        ensure!(said.contains("only while it is closed"), "{said}");
        machine.done("deactivate alice", "", "")?;
        for step in if shares { &COPYING[2..3] } else { COPYING } {
            let before = size(&machine, "alice")?;
            let to = before - 10 * MIB;
            machine.check(&format!("echo {step} kill > /run/homed/fault"))?;
            machine.refused(&format!("resize alice {to}"), "correcthorse", "")?;
            machine.check("rm /run/homed/fault")?;
            machine.nothing_open("alice").context(*step)?;
            let now = size(&machine, "alice")?;
            let expected = if step.starts_with("write") { to } else { before };
            ensure!(now == expected, "{step}: {} MiB, not {}", now / MIB, expected / MIB);
            whole().context(*step)?;
            ensure!(
                machine.check("ls -A /home")?.trim() == "alice\nalice.home",
                "something is left at {step}"
            );
        }
        let said = machine.refused("resize alice 60M", "correcthorse", "")?;
        ensure!(said.contains("nothing was changed"), "{said}");
        machine.done("resize alice 200M", "correcthorse", "")?;
        assert_eq!(size(&machine, "alice")?, 200 * MIB);
        machine.done("check alice", "correcthorse", "")?;
        whole()?;
        machine.done("resize alice min", "correcthorse", "")?;
        ensure!(size(&machine, "alice")? < 200 * MIB, "min: {} MiB", size(&machine, "alice")? / MIB);
        machine.done("resize alice 250M", "correcthorse", "")?;
        whole()?;
        machine.done("remove alice", "", "")?;
    }
    Ok(())
}

#[test]
fn a_file_system_whose_device_has_another_number_changes_its_size() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    // The home's device is taken out of its file system and put back, as somebody does who mends a disk.
    machine.check(
        "set -e; home=$(losetup --find --show --offset $((1 << 20)) --sizelimit $(($(stat -c %s /home/alice.home) - (2 << 20))) /home/alice.home); own=/dev/mapper/by-hand
         printf correcthorse | cryptsetup open $home by-hand --key-file -; mkdir /run/by-hand; mount $own /run/by-hand; cd /run/by-hand
         truncate -s 300M /run/other; other=$(losetup --find --show /run/other)
         btrfs device add -f $other . ; btrfs device remove $own .; btrfs device add -f $own .; btrfs device remove $other .
         btrfs filesystem show . | grep 'devid *3 '; cd /; umount /run/by-hand; cryptsetup close by-hand; losetup -d $home $other",
    )?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("resize alice 400M", "", "")?;
    assert_eq!(inside(&machine, "alice")?, (400 - 18) * MIB);
    machine.done("resize alice 300M", "", "")?;
    assert_eq!(inside(&machine, "alice")?, (300 - 18) * MIB);
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}
