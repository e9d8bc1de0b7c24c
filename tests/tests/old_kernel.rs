//! The oldest kernel that homed is tried on: Linux 6.1, that of Debian 12. It makes homes, opens, locks, changes and closes
//! them as on the newest.

use anyhow::{Result, ensure};
use homed_tests::secrets::{pages_with, traces_of_key, volume_key};
use homed_tests::{CHEAP, Ours, frames};
use machine::{Image, Init, Machine, Suite};

/// Not in one piece in what is typed or run in the machine.
const MARK: &str = "old-5c1a77e09b";

/// A file with the mark in each of its 256 pages.
const FILE: &str = r#"perl -e '$mark = join("", "old-5c1a77", "e09b"); print $mark, " " x (4096 - length $mark) for 1 .. 256'"#;

fn full() -> Result<Ours> {
    let settings = Machine::builder().suite(Suite::OldKernel).image(Image::Ours).init(Init::Full);
    let machine = Ours(settings.start()?);
    let release = machine.check("uname -r")?;
    ensure!(release.starts_with("6.1."), "{release}");
    Ok(machine)
}

/// Runs homectl; the error has the end of the journal.
fn done(machine: &Ours, words: &str, password: &str, new: &str) -> Result<()> {
    let output = machine.homectl(words, password, new)?;
    let journal = || machine.check("journalctl -b -u homed -o cat | tail -n 40; dmesg | tail -n 20");
    ensure!(output.status == 0, "homectl {words}: {}\n{}", output.stderr, journal()?);
    // Warnings are for people: here nobody reads them.
    print!("homectl {words}: {}", if output.stderr.is_empty() { "no word\n" } else { &output.stderr });
    Ok(())
}

/// Somebody logs in, whose home has this file system and level, and leaves a file that is on the disk and in memory.
fn at_work(machine: &Ours, file_system: &str, level: &str) -> Result<()> {
    let options = format!("{CHEAP} --disk-size=512M --fs-type={file_system} --lock-level={level}");
    done(machine, &format!("create alice {options}"), "", "correcthorse")?;
    machine.console().login("alice", "correcthorse")?;
    machine.console().shell(&format!("{FILE} > file; sync"))?;
    machine.console().shell("(i=0; while :; do echo $((i++)); sleep 0.05; done) > count & true")?;
    let mount = machine.check("findmnt -nro FSTYPE /home/alice")?;
    ensure!(mount.trim() == file_system, "{mount}");
    let held = pages_with(machine, MARK)?;
    ensure!(held >= 256, "{held} pages have the mark");
    Ok(())
}

/// Locks it, searches all memory, and lets the owner in again.
fn locks(machine: &Ours) -> Result<()> {
    let key = volume_key(machine, "alice", "correcthorse")?;
    ensure!(!traces_of_key(machine, &key)?.is_empty(), "the search does not find the key of an open home");
    done(machine, "lock alice", "", "")?;
    assert_eq!(machine.state("alice")?, "locked");
    let traces = traces_of_key(machine, &key)?;
    ensure!(traces.is_empty(), "{traces:?}");
    let left = machine.find_in_ram(MARK.as_bytes())?;
    ensure!(left.is_empty(), "the file's pages: {}\n{}", left.len(), frames::explain(machine, &left)?);
    machine.refused("unlock alice", "wrong", "")?;
    assert_eq!(machine.state("alice")?, "locked");
    done(machine, "unlock alice", "correcthorse", "")?;
    assert_eq!(machine.state("alice")?, "active");
    // What ran goes on, and what was there is there.
    machine.check(
        "before=$(wc -l < /home/alice/count); until [ $(wc -l < /home/alice/count) -gt $before ]; do :; done",
    )?;
    whole(machine)
}

fn whole(machine: &Ours) -> Result<()> {
    machine.check(&format!("{FILE} | cmp - /home/alice/file"))?;
    Ok(())
}

/// When a home of a file system can get smaller.
#[derive(PartialEq)]
enum Shrinks {
    Open,
    Closed,
    Never,
}

/// All that is done with a home, with one file system.
fn goes_through_all(file_system: &str, shrinks: Shrinks) -> Result<()> {
    let machine = full()?;
    at_work(&machine, file_system, "cache")?;
    locks(&machine)?;
    done(&machine, "passwd alice", "correcthorse", "batterystaple")?;
    done(&machine, "resize alice 700M", "", "")?;
    whole(&machine)?;
    if shrinks == Shrinks::Open {
        done(&machine, "resize alice 600M", "batterystaple", "")?;
        whole(&machine)?;
    }
    machine.console().send("kill %1; exit\n")?;
    machine.becomes("alice", "inactive")?;
    machine.nothing_open("alice")?;
    machine.refused("activate alice", "correcthorse", "")?;
    if shrinks == Shrinks::Closed {
        done(&machine, "resize alice 600M", "batterystaple", "")?;
    }
    done(&machine, "resize alice 800M", "batterystaple", "")?;
    done(&machine, "activate alice", "batterystaple", "")?;
    whole(&machine)?;
    done(&machine, "lock alice", "", "")?;
    done(&machine, "unlock alice", "batterystaple", "")?;
    done(&machine, "deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    done(&machine, "remove alice", "", "")
}

#[test]
fn a_home_with_btrfs_goes_through_all() -> Result<()> {
    goes_through_all("btrfs", Shrinks::Open)
}

#[test]
fn a_home_with_ext4_goes_through_all() -> Result<()> {
    goes_through_all("ext4", Shrinks::Closed)
}

#[test]
fn a_home_with_xfs_goes_through_all() -> Result<()> {
    goes_through_all("xfs", Shrinks::Never)
}

#[test]
fn the_machine_sleeps_with_the_key_out_of_memory() -> Result<()> {
    let machine = full()?;
    at_work(&machine, "ext4", "cache")?;
    let key = volume_key(&machine, "alice", "correcthorse")?;
    ensure!(!traces_of_key(&machine, &key)?.is_empty(), "the search does not find the key of an open home");
    machine.suspend()?;
    let (traces, left) = (traces_of_key(&machine, &key)?, machine.find_in_ram(MARK.as_bytes())?);
    machine.wake()?;
    ensure!(traces.is_empty(), "{traces:?}");
    ensure!(left.is_empty(), "the file's pages: {}\n{}", left.len(), frames::explain(&machine, &left)?);
    assert_eq!(machine.state("alice")?, "locked");
    done(&machine, "unlock alice", "correcthorse", "")?;
    whole(&machine)
}

#[test]
fn at_the_level_strict_what_processes_hold_is_moved_out() -> Result<()> {
    let machine = full()?;
    at_work(&machine, "ext4", "strict")?;
    // Read into its memory, with nothing of it in a command.
    machine.console().shell("exec 3<file; read -r -N 100000 held <&3; exec 3<&-")?;
    locks(&machine)
}
