//! What is found in the kernel when there is no daemon to ask, or one that is wrong, or no record that tells what to look for.

use anyhow::{Result, ensure};
use homed_tests::Ours;

const BEFORE_SLEEP: &str = "/usr/lib/homed/homed before-sleep";

#[test]
fn a_key_in_a_device_of_any_name_or_in_a_second_table_keeps_the_machine_awake() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("dmsetup table --showkeys home-alice >/run/table; dmsetup info -c --noheadings -o uuid home-alice >/run/uuid")?;
    machine.done("lock alice", "", "")?;
    machine.kill_daemon()?;
    // Locked, and nothing else: it may sleep.
    machine.check(BEFORE_SLEEP)?;

    // The key is gone from the keyring: the tables are made with one of the test's own.
    let other = "sed -E 's/ :[0-9]+:logon:[^ ]+ / '$(printf 'ab%.0s' $(seq 64))' /' /run/table >/run/other";
    machine.check(other)?;
    machine.check(
        "set -e; truncate -s 1M /run/disk; loop=$(losetup -f --show /run/disk)
         echo \"0 8 crypt aes-xts-plain64 $(printf 'ab%.0s' $(seq 64)) 0 $loop 0\" >/run/small",
    )?;
    for (what, make, unmake) in [
        (
            "by-hand",
            "dmsetup create by-hand --notable --uuid $(sed s/-home-alice$/-by-hand/ /run/uuid)
             dmsetup load by-hand /run/small; dmsetup resume by-hand",
            "dmsetup remove by-hand",
        ),
        ("home-alice", "dmsetup load home-alice /run/other", "dmsetup clear home-alice"),
    ] {
        machine.check(&format!("set -e\n{make}"))?;
        let said = machine.run(BEFORE_SLEEP)?;
        ensure!(said.status != 0, "{what}: the machine may sleep: {}{}", said.stdout, said.stderr);
        ensure!(said.stderr.contains("alice") && said.stderr.contains(what), "{what}: {}", said.stderr);
        machine.check(unmake)?;
        machine.check(BEFORE_SLEEP)?;
    }
    Ok(())
}

/// It would open a home for whoever waits there, when it goes on: it has not heard that the machine sleeps.
#[test]
fn a_daemon_that_is_silent_is_ended_before_the_sleep_and_the_next_one_holds() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("kill -STOP $(cat /run/homed.pid)")?;
    machine.check(BEFORE_SLEEP)?;
    machine.check("! kill -0 $(cat /run/homed.pid) 2>/dev/null && test -e /run/homed/hold")?;
    machine.start_daemon()?;
    machine.done("list", "", "")?;
    machine.check("test -e /run/homed/hold && /usr/lib/homed/homed after-sleep")?;
    machine.done("activate alice", "correcthorse", "").map(drop)
}

/// The daemon has ended it, and it waits for a disk: it has its key as long as it is there.
#[test]
fn a_worker_that_has_been_ended_and_lives_keeps_the_machine_awake() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check(
        "setsid flock /run/homed/secrets/worker.77.1 sleep 5000 </dev/null >/dev/null 2>&1 &
        until pgrep -fx 'sleep 5000'; do sleep 0.05; done",
    )?;
    let said = machine.run(BEFORE_SLEEP)?;
    ensure!(said.status != 0 && said.stderr.contains("a worker of its own is at a home"), "{said:?}");
    machine.check("pkill -fx 'sleep 5000'; while pgrep -x flock; do sleep 0.05; done")?;
    machine.check(BEFORE_SLEEP)?;
    machine.check("! ls /run/homed/secrets | grep ^worker")?;
    Ok(())
}

/// What is not seen is not closed.
#[test]
fn where_nobody_can_tell_what_is_open_the_machine_stays_awake() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("mv /var/lib/systemd/home /run/away && touch /var/lib/systemd/home")?;
    let said = machine.run(BEFORE_SLEEP)?;
    ensure!(said.status != 0 && said.stderr.contains("cannot be told"), "{said:?}");
    machine.check("rm /var/lib/systemd/home && mv /run/away /var/lib/systemd/home")?;
    // Nor may it sleep where a daemon that starts on the way would not know that it does.
    machine.check("rm -f /run/homed/hold && mkdir /run/homed/hold")?;
    let said = machine.run(BEFORE_SLEEP)?;
    ensure!(said.status != 0 && said.stderr.contains("cannot be noted"), "{said:?}");
    machine.check("rmdir /run/homed/hold")?;
    machine.check(BEFORE_SLEEP).map(drop)
}

/// A first login while /var could not be written: the record does not tell which header is the home's.
#[test]
fn the_key_goes_where_no_record_tells_its_name() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    let forget = |machine: &Ours| {
        machine.kill_daemon()?;
        machine.check(
            "cd /var/lib/systemd/home; jq 'del(.binding[].luksUuid)' alice.identity > /run/alice; cat /run/alice > alice.identity
            ! grep -q luksUuid alice.identity",
        )?;
        machine.start_daemon()
    };
    forget(&machine)?;
    machine.check("grep -q cryptsetup: /proc/keys")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    // The worker that saw the device is killed when it has gone.
    machine.done("activate alice", "correcthorse", "")?;
    forget(&machine)?;
    machine.check(
        "umount /home/alice; while dmsetup info home-alice 2>/dev/null | grep -q .; do sleep 0.1; done",
    )?;
    machine.homectl("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}
