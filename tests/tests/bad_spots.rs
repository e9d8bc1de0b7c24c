//! Images on a disk of which some sectors cannot be read: what is there twice opens and is rebuilt, what was lost is told, and
//! no password is called wrong for it.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};

const MIB: u64 = 1 << 20;
/// A disk at /srv whose sectors can be made unreadable, until they are written.
const DISK: &str = "
modprobe dm-dust
truncate -s 700M /root/disk; loop=$(losetup -f --show /root/disk)
dmsetup create bad --table \"0 $(blockdev --getsz $loop) dust $loop 0 4096\"; dmsetup mknodes bad
mkfs.ext4 -q -b 4096 /dev/mapper/bad; mount /dev/mapper/bad /srv; dmsetup message bad 0 enable";

fn prepared() -> Result<Ours> {
    let machine = Ours::small()?;
    machine.check(DISK)?;
    let made =
        machine.homectl(&format!("create alice {CHEAP} --image-path=/srv/alice.home"), "", "correcthorse")?;
    ensure!(made.status == 0, "{}", made.stderr);
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("echo kept > ~/file").user("alice").check()?;
    machine.done("deactivate alice", "", "")?;
    Ok(machine)
}

/// Makes 4096 bytes of the image unreadable; `spots` tells whether they still are.
fn spoil(machine: &Ours, offset: u64) -> Result<()> {
    let block = offset / 4096;
    machine
        .check(&format!(
            "sync; block=$(debugfs -R 'bmap /alice.home {block}' /dev/mapper/bad 2>/dev/null); [ \"$block\" -gt 0 ]
            dmsetup message bad 0 addbadblock $block; echo 3 > /proc/sys/vm/drop_caches
            ! dd if=/srv/alice.home bs=4096 skip={block} count=1 of=/dev/null 2>/dev/null"
        ))
        .map(drop)
}

fn spots(machine: &Ours) -> Result<String> {
    machine.check("sync; dmsetup message bad 0 countbadblocks 2>&1; dmsetup message bad 0 clearbadblocks >/dev/null 2>&1")
}

fn opens(machine: &Ours) -> Result<()> {
    machine.done("activate alice", "correcthorse", "")?;
    ensure!(machine.command("cat ~/file").user("alice").check()? == "kept\n", "the file has changed");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

#[test]
fn bad_spots_keep_nobody_out_and_no_repair_from_being_done() -> Result<()> {
    let machine = prepared()?;
    let size = machine.check("stat -c %s /srv/alice.home")?.trim().parse::<u64>()?;
    // The second header, within its text's area; the first table; the second one.
    for (what, offset) in
        [("the second header", 6 * MIB), ("the first table", 0), ("the second table", size - 4096)]
    {
        spoil(&machine, offset)?;
        let said = machine.done("repair --yes alice", "correcthorse", "").map_err(|e| e.context(what))?;
        ensure!(said.contains("did not give 4096 bytes"), "{what}: {said}");
        let left = spots(&machine)?;
        ensure!(left.contains(" 0 badblock"), "{what} was not written anew: {left}");
        machine.check("rm /var/lib/systemd/home/alice.home.*")?;
        opens(&machine).map_err(|e| e.context(what))?;
        // A login does without a repair.
        spoil(&machine, offset)?;
        opens(&machine).map_err(|e| e.context(what))?;
        spots(&machine)?;
    }
    // What is kept and not written over costs nothing either.
    spoil(&machine, 12 * MIB)?;
    machine.check("setfattr -n user.home-dirty -v 1 /srv/alice.home")?;
    let said = machine.done("repair --yes alice", "correcthorse", "")?;
    ensure!(said.contains("did not give 4096 bytes"), "{said}");
    spots(&machine)?;
    opens(&machine)
}

#[test]
fn a_key_slot_that_cannot_be_read_makes_no_password_wrong() -> Result<()> {
    let machine = prepared()?;
    let slot = machine.check(
        "loop=$(losetup -f --show -r -o 1048576 /srv/alice.home)
        cryptsetup luksDump --dump-json-metadata $loop | jq -r '.keyslots[].area.offset' | head -n 1; losetup -d $loop",
    )?;
    spoil(&machine, MIB + slot.trim().parse::<u64>()?)?;
    let unsure = "wrong, or right and its key slot unreadable";
    let said = machine.refused("activate alice", "correcthorse", "")?;
    ensure!(said.contains(unsure) && said.contains("4096 bytes") && said.contains("the right one"), "{said}");
    ensure!(said.contains("not the problem"), "{said}");
    // Whoever has mistyped is told of no damage, and may try again.
    let said = machine.refused("activate alice", "corecthorse", "")?;
    ensure!(said.contains(unsure) && said.contains("4096 bytes") && said.contains("Try again"), "{said}");
    ensure!(!said.contains("damaged") && !said.contains("not the problem"), "{said}");
    spots(&machine)?;
    opens(&machine)
}
