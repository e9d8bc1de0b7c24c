//! Homes in places that are not what their path says: behind a symlink, in a bind mount, with something mounted over
//! them or below, in other mount namespaces. All of them open, lock, unlock and close, or it is said what is in the way.

use anyhow::{Result, ensure};
use homed_tests::Ours;

/// Logs in, locks, unlocks and closes, with a file that must be there each time.
fn used(machine: &Ours) -> Result<()> {
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("echo kept > /home/alice/kept")?;
    locked_and_unlocked(machine)?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

fn locked_and_unlocked(machine: &Ours) -> Result<()> {
    machine.done("lock alice", "", "")?;
    ensure!(machine.run("ls /home/alice/kept")?.status != 0, "somebody comes in");
    no_key(machine)?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check("grep -q kept /home/alice/kept")?;
    Ok(())
}

/// The kernel has no key of it: not in the device's table, nor in a keyring.
fn no_key(machine: &Ours) -> Result<()> {
    machine.check(
        "[ \"$(dmsetup info -c --noheadings -o suspended home-alice)\" = Suspended ]
        [ -z \"$(dmsetup table home-alice | cut -d' ' -f5 | tr -d 0)\" ]
        [ -z \"$(dmsetup table --inactive home-alice)\" ]
        uuid=$(cryptsetup luksUUID $(dmsetup deps -o devname home-alice | sed 's|.*(\\(.*\\))|/dev/\\1|'))
        [ -n \"$uuid\" ]; ! grep $uuid /proc/keys",
    )?;
    Ok(())
}

#[test]
fn a_home_root_behind_a_symlink_or_in_a_bind_mount_is_as_any_other() -> Result<()> {
    let machine = Ours::small()?;
    for prepare in [
        "mkdir -p /data && mv /home /data/home && ln -s data/home /home",
        "rm /home && mkdir /home && mount --bind /data/home /home",
        "mkdir -p /deeper && umount /home && mount --bind /data /deeper && rmdir /home && ln -s deeper/home /home",
        "rm /home && mkdir /home && mount --bind /data/home /home && mount --bind /data/home /home",
    ] {
        machine.check(prepare)?;
        machine.kill_daemon()?;
        machine.start_daemon()?;
        machine.create("alice", "correcthorse")?;
        used(&machine).map_err(|e| {
            let mounts = machine.check("grep home /proc/self/mountinfo").unwrap_or_default();
            e.context(format!("{prepare}\n{mounts}\n{}", machine.log()))
        })?;
        machine.done("remove alice", "", "")?;
    }
    Ok(())
}

#[test]
fn what_is_mounted_over_an_open_home_keeps_nobody_from_locking_it() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(
        "echo kept > /home/alice/kept; mkdir /home/alice/below; mount -t tmpfs below /home/alice/below",
    )?;
    machine.check("mount -t tmpfs over /home/alice; echo kept > /home/alice/kept")?;
    locked_and_unlocked(&machine)?;
    let said = machine.not_closed("alice")?;
    ensure!(said.contains("tmpfs at /home/alice"), "{said}");
    machine.check("umount /home/alice; grep -q kept /home/alice/kept")?;
    let said = machine.not_closed("alice")?;
    ensure!(said.contains("tmpfs at /home/alice/below"), "{said}");
    locked_and_unlocked(&machine)?;
    machine.check("umount /home/alice/below")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    // A locked home whose place somebody has covered is given up all the same.
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("mount -t tmpfs over /home/alice")?;
    machine.done("lock alice", "", "")?;
    machine.check("homectl deactivate-all")?;
    machine.nothing_open("alice")
}

#[test]
fn a_second_mount_of_a_home_is_closed_with_it() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine
        .check("echo kept > /home/alice/kept; mkdir -p /srv/second; mount --bind /home/alice /srv/second")?;
    locked_and_unlocked(&machine)?;
    machine.done("lock alice", "", "")?;
    ensure!(machine.run("ls /srv/second/kept")?.status != 0, "somebody comes in by the second mount");
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check("grep -q kept /srv/second/kept")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    machine.check("! grep /srv/second /proc/self/mountinfo")?;
    Ok(())
}

#[test]
fn copies_of_the_mounts_elsewhere_keep_no_home_open() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("echo kept > /home/alice/kept; unshare -m --propagation private setsid sleep 1000 </dev/null >/dev/null 2>&1 & :")?;
    machine.check("until [ \"$(readlink /proc/$(pidof sleep)/ns/mnt)\" != \"$(readlink /proc/self/ns/mnt)\" ]; do sleep 0.05; done")?;
    locked_and_unlocked(&machine)?;
    // Who comes to it there gets an error at once, and would wait without end otherwise.
    machine.done("lock alice", "", "")?;
    let there = "timeout -s KILL 10 nsenter -m -t $(pidof sleep) cat /home/alice/kept";
    ensure!(machine.run(there)?.status == 1, "it is not covered there");
    machine.done("unlock alice", "correcthorse", "")?;
    ensure!(machine.check(there)?.contains("kept"));
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    used(&machine)?;
    // Who works there is named, and nothing is taken away.
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("unshare -m --propagation private sh -c 'cd /home/alice && exec tail -f /dev/null' </dev/null >/dev/null 2>&1 & :")?;
    machine.check("until [ \"$(readlink /proc/$(pidof tail)/cwd)\" = /home/alice ]; do sleep 0.05; done")?;
    locked_and_unlocked(&machine)?;
    machine.homectl("deactivate alice", "", "")?;
    ensure!(machine.log().contains("still in use by tail ("), "{}", machine.log());
    machine.check("[ \"$(readlink /proc/$(pidof tail)/cwd)\" = /home/alice ] && kill $(pidof tail)")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// The volume `data` of an LVM group `home`, as device-mapper has it.
const VOLUME: &str = "set -e; truncate -s 64M /run/volume
dmsetup create home-data --uuid LVM-pqGKyZRJSYXGRHrZP2zYzcCDzTcIaB8F \
  --table \"0 131072 linear $(losetup --find --show /run/volume) 0\"
dmsetup mknodes home-data; mkfs.ext4 -q /dev/mapper/home-data; mkdir -p /srv/volume
mount /dev/mapper/home-data /srv/volume";

#[test]
fn a_volume_that_is_called_as_a_home_s_device_is_left_alone() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("data", "correcthorse")?;
    machine.check(VOLUME)?;
    let is_left = "grep -q ' /srv/volume ' /proc/self/mountinfo; [ -b /dev/mapper/home-data ]";
    ensure!(machine.state("data")? == "inactive", "{}", machine.state("data")?);
    let said = machine.refused("activate data", "correcthorse", "")?;
    ensure!(said.contains("another program (LVM?)"), "{said}");
    machine.homectl("deactivate data", "", "")?;
    machine.kill_daemon()?;
    machine.start_daemon()?;
    machine.check(is_left)?;
    // Without a record nobody knows the home's UUID: the name alone is no device of it, mounted or not.
    machine.check("mkdir /run/kept; mv /var/lib/systemd/home/data.identity /run/kept; umount /srv/volume")?;
    machine.kill_daemon()?;
    machine.start_daemon()?;
    machine
        .check("homectl lock-all; [ -b /dev/mapper/home-data ]; dmsetup info home-data | grep -q ACTIVE")?;
    machine
        .check("mount /dev/mapper/home-data /srv/volume; mv /run/kept/data.identity /var/lib/systemd/home")?;
    machine.check(&format!("{is_left}; dmsetup rename home-data other"))?;
    machine.kill_daemon()?;
    machine.start_daemon()?;
    machine.done("activate data", "correcthorse", "")?;
    machine.done("lock data", "", "")?;
    machine.done("unlock data", "correcthorse", "")?;
    machine.done("deactivate data", "", "")?;
    machine.check("grep -q ' /srv/volume ' /proc/self/mountinfo").map(drop)
}

#[test]
fn a_worker_that_changes_one_home_does_not_keep_another_open() -> Result<()> {
    let machine = Ours::small()?;
    for user in ["alice", "bob"] {
        machine.create(user, "correcthorse")?;
    }
    machine.done("activate alice", "correcthorse", "")?;
    machine.write_file("/run/homed/fault", "shrink-file-system stop")?;
    machine.done("resize bob 400M", "correcthorse", "")?;
    machine.check("PASSWORD=correcthorse setsid homectl resize bob 300M </dev/null >/dev/null 2>&1 & :")?;
    machine.check("until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done")?;
    machine.write_file("/run/homed/fault", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    used(&machine)?;
    machine.check("pkill -CONT -fx /usr/lib/homed/worker")?;
    Ok(())
}
