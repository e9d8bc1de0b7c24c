//! A file system that gives no answer: it holds up its own home, and nobody and nothing else.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};

/// A disk whose answers can be kept back, at /srv/slow. Nothing of it is in memory when they are.
const MAKE: &str = "set -e
    truncate -s 400M /var/slow.img; loop=$(losetup -f --show /var/slow.img)
    echo \"0 $(blockdev --getsz $loop) linear $loop 0\" | dmsetup create slow; dmsetup mknodes slow
    mkfs.ext4 -q /dev/mapper/slow; mkdir -p /srv/slow; mount /dev/mapper/slow /srv/slow";
/// Nothing was written that would stay in memory.
const AGAIN: &str = "umount /srv/slow && mount -o ro /dev/mapper/slow /srv/slow";
/// Somebody has the image open: its name and its marks stay in memory, and are told without the disk.
const KEEP: &str = "sleep infinity </srv/slow/bob.home >/dev/null 2>&1 & echo $! >/run/keeper";
/// Kept back: who reads waits in the kernel.
const HANG: &str = "set -e
    dmsetup suspend --nolockfs slow
    echo 3 >/proc/sys/vm/drop_caches
    dd if=/srv/slow/bob.home of=/dev/null bs=4096 count=1 iflag=direct 2>/run/seen & p=$!; echo $p >/run/hanging
    until [ $(cut -d' ' -f3 /proc/$p/stat) = D ]; do :; done";

#[test]
fn a_file_system_without_an_answer_holds_up_its_own_home_alone() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check(MAKE)?;
    machine.done(&format!("create bob {CHEAP} --image-path=/srv/slow/bob.home"), "", "horsecorrect")?;
    machine.done("authenticate bob", "horsecorrect", "")?;
    machine.check(AGAIN)?;
    machine.check(KEEP)?;
    machine.check(HANG)?;

    let said = machine.refused("authenticate bob", "horsecorrect", "")?;
    ensure!(said.contains("/srv/slow/bob.home") && said.contains("gives no answer"), "{said}");
    machine.check("[ $(cut -d' ' -f3 /proc/$(cat /run/hanging)/stat) = D ]")?;
    // Killed while somebody looks: nothing of the daemon stays that would keep the next one from its place.
    machine.check("kill -KILL $(cat /run/homed.pid); while busctl --quiet status org.freedesktop.home1; do sleep 0.05; done")?;
    machine.check("[ $(cut -d' ' -f3 /proc/$(cat /run/homed.pid)/stat) = Z ]")?;
    machine.start_daemon()?;
    // Who comes now is told at once; bob is known, and everybody else's homes work.
    machine.refused("activate bob", "horsecorrect", "")?;
    machine.check("getent passwd bob && homectl inspect bob >/run/inspected")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("lock alice", "", "")?;
    machine.done("unlock alice", "correcthorse", "")?;
    // What is mounted has all homes looked at; the machine goes to sleep, and wakes.
    machine.check(
        "mount -t tmpfs none /mnt; /usr/lib/homed/homed before-sleep && dmsetup info -c --noheadings -o suspended home-alice | grep Suspended
         /usr/lib/homed/homed after-sleep",
    )?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.refused("authenticate bob", "horsecorrect", "")?;
    machine.done("deactivate alice", "", "")?;

    machine
        .check("umount /mnt; dmsetup resume slow; kill $(cat /run/keeper); mount -o remount,rw /srv/slow")?;
    machine.check("export PASSWORD=horsecorrect; until homectl authenticate bob 2>/run/said; do grep -q 'no answer' /run/said || exit 1; done")?;
    machine.done("activate bob", "horsecorrect", "")?;
    machine.done("deactivate bob", "", "")?;

    // Gone for good, and let go of: what is mounted there instead is asked, though who looked before still hangs.
    machine.check("mkdir /var/other; cp --sparse=always /srv/slow/bob.home /var/other/")?;
    machine.check(AGAIN)?;
    machine.check(HANG)?;
    machine.refused("authenticate bob", "horsecorrect", "")?;
    machine.check("umount --lazy /srv/slow")?;
    machine.check("until homectl list -j | jq -r '.[] | select(.name == \"bob\").state' | grep -qx absent; do sleep 0.05; done")?;
    machine.check(
        "mount --bind /var/other /srv/slow; [ $(cut -d' ' -f3 /proc/$(cat /run/hanging)/stat) = D ]",
    )?;
    machine.done("authenticate bob", "horsecorrect", "")?;
    machine.check("dmsetup resume slow")?;
    machine.nothing_open("alice")?;
    machine.nothing_open("bob")
}
