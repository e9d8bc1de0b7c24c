//! What a power cut can leave: from a log of every write and flush while a home is made, grown, shrunk, given another
//! password and another record, states of the disk are made, one more verb is done, and they are opened. Nothing that
//! was synced may be missing.
//! `HOMED_FILE_SYSTEM=ext4` has one with ext4 grown, locked and unlocked, and shrunk while it is closed.
//!
//! The log is of the device that /home lies on, so a state holds the image and all that the file system around it
//! keeps. The order of writes between two flushes is not relied on: any part of them may be missing.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;
use homed_tests::security_key::SecurityKey;
use homed_tests::smart_card::Cards;
use homed_tests::tpm::Tpm;
use machine::{Image, Init, Machine};
use std::time::Duration;

const RECORD: &str = include_str!("crash_states/record.py");
const STATES: &str = include_str!("crash_states/states.py");

/// /home and the state folder on a logged device.
const LOGGED: &str = "\
set -e
mount -o remount,size=95% /dev/shm
modprobe dm-log-writes; modprobe dm-snapshot
truncate -s 700M /dev/shm/data /dev/shm/base
truncate -s 3G /dev/shm/log
data=$(losetup -f --show /dev/shm/data) log=$(losetup -f --show /dev/shm/log)
echo \"0 $(blockdev --getsz $data) log-writes $data $log\" | dmsetup create logged
dmsetup mknodes logged
mkfs.ext4 -q /dev/mapper/logged
mount /dev/mapper/logged /home
mkdir -p /home/.state /var/lib/systemd/home
mount --bind /home/.state /var/lib/systemd/home
sync";

/// The log is whole, and nothing of the devices is left.
const ENDED: &str = "\
umount /var/lib/systemd/home /home
dmsetup remove logged
losetup -D
rm /dev/shm/data";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How many states are opened: a sample. Two thousand take most of an hour.
fn states() -> u64 {
    number("HOMED_STATES", 24)
}

/// Who writes the log and opens the states: `ours`, `original` (both), or `either`, where the original opens what we
/// have written. The latter two are for comparison, and whatever they lose is printed and nobody's failure here.
fn who() -> String {
    std::env::var("HOMED_WHO").unwrap_or_else(|_| "ours".into())
}

/// Puts the original in our daemon's place, for one machine.
const THEIRS: &str = "\
cp -a /opt/peer/files/usr/lib/systemd/systemd-home* /usr/lib/systemd/
cp -a /opt/peer/files/usr/bin/homectl /usr/bin/homectl
# What systemd would have made; homectl asks whether it runs before it looks for the bus, sd_booted(3).
mkdir -p /run/systemd/system /var/cache/systemd/home
mount --make-rshared /";

const START_THEIRS: &str = "\
setsid /usr/lib/systemd/systemd-homed >>/run/homed.log 2>&1 </dev/null &
echo $! > /run/homed.pid
for try in $(seq 600); do busctl --quiet status org.freedesktop.home1 >/dev/null 2>&1 && exit 0; sleep 0.05; done
exit 1";

#[test]
fn no_power_cut_loses_what_was_synced() -> Result<()> {
    let file_system = std::env::var("HOMED_FILE_SYSTEM").unwrap_or_else(|_| "btrfs".into());
    none_is_lost(&file_system, |_| Ok(()))
}

/// Recovery key, security key, smart card and PIN of the TPM come, are replaced and go; whoever was told that a key opens the
/// home gets in by it alone, and the password always does.
#[test]
fn no_power_cut_in_a_change_of_keys_leaves_a_home_that_a_key_does_not_open() -> Result<()> {
    none_is_lost("keys", |machine| {
        SecurityKey::new(machine, env!("CARGO_BIN_EXE_softkey"), "a", Some("7391"))?;
        Tpm::new(machine).put_in("a")?;
        Cards::new(machine, env!("CARGO_BIN_EXE_softcard"))?.make("card", "7391", "rsa")
    })
}

/// Writes the log, and opens the states.
fn none_is_lost(what: &str, plugged_in: impl FnOnce(&Ours) -> Result<()>) -> Result<()> {
    let who = who();
    let machine = Machine::builder().image(Image::Ours).init(Init::Small).memory(2560).start()?;
    machine.check(LOGGED)?;
    machine.write_file("/root/record.py", RECORD.as_bytes())?;
    machine.write_file("/root/states.py", STATES.as_bytes())?;
    let machine = Ours(machine);
    if who == "original" {
        machine.check(&format!("{THEIRS}\n{START_THEIRS}"))?;
    } else {
        machine.start_daemon()?;
    }
    plugged_in(&machine)?;
    let record = format!("python3 /root/record.py {who} {what}");
    let recorded = machine.command(record).timeout(Duration::from_secs(600)).run()?;
    ensure!(recorded.status == 0, "{}{}\n{}", recorded.stdout, recorded.stderr, machine.log());
    machine.kill_daemon()?;
    machine.check(ENDED)?;
    if who == "either" {
        machine.check(THEIRS)?;
    }
    let opener = if who == "ours" { "ours" } else { "original" };
    let (seed, states) = (number("HOMED_SEED", 1), states());
    let script = format!("python3 /root/states.py /dev/shm/log /dev/shm/base {seed} {states} 10 {opener}");
    let done = machine.command(script).timeout(Duration::from_secs(60 + 20 * states)).run()?;
    println!("{}", done.stdout);
    ensure!(done.status == 0, "{}{}", done.stdout, done.stderr);
    let summary = done.stdout.lines().last().context("no summary")?;
    let summary: serde_json::Value = serde_json::from_str(summary)?;
    ensure!(summary["states"].as_u64() == Some(states), "not that many states: {summary}");
    ensure!(who != "ours" || summary["lost"] == 0, "{}", done.stdout);
    Ok(())
}
