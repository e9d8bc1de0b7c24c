//! A tree with everything that copies get wrong, copied by root from ext4 to btrfs: the same, after cuts of the copy and of the
//! power, too.

use anyhow::{Result, ensure};
use machine::{Image, Init, Machine};

const TREECOPY: &str = env!("CARGO_BIN_EXE_treecopy");

/// File systems of both kinds, and the tree on one of them.
const TREES: &str = "\
mkdir -p /mnt/ext4 /mnt/btrfs /disks
truncate -s 600M /disks/ext4 /disks/btrfs
mkfs.ext4 -q -I 256 /disks/ext4
mkfs.btrfs -q /disks/btrfs
mount -o loop /disks/ext4 /mnt/ext4
mount -o loop /disks/btrfs /mnt/btrfs
mkdir /mnt/ext4/bob /mnt/btrfs/bob
/root/treecopy nasty /mnt/ext4/bob
sync";

const COPY: &str = "/root/treecopy copy /mnt/ext4/bob /mnt/btrfs/bob";
const COMPARE: &str = "/root/treecopy differences /mnt/ext4/bob /mnt/btrfs/bob";

fn machine() -> Result<Machine> {
    let machine = Machine::builder().image(Image::Base).init(Init::Small).start()?;
    machine.copy_in(TREECOPY.as_ref(), "/root/treecopy")?;
    machine.check(TREES)?;
    Ok(machine)
}

/// Nothing was lost and nothing differs.
fn is_whole(machine: &Machine) -> Result<String> {
    let told = machine.check(COPY)?;
    ensure!(told.contains("lost_count: 0"), "{told}");
    machine.check(COMPARE)?;
    Ok(told)
}

#[test]
fn a_tree_is_the_same_on_another_file_system() -> Result<()> {
    let machine = machine()?;
    is_whole(&machine)?;
    // The comparison sees what is changed.
    machine.check("chattr -i /mnt/btrfs/bob/held/immutable && setfattr -x security.capability /mnt/btrfs/bob/owners/capable")?;
    let seen = machine.run(COMPARE)?;
    ensure!(seen.status != 0, "nothing was seen");
    for expected in
        ["held/immutable\", what: Flags", "owners/capable\", what: Attribute(\"security.capability\")"]
    {
        ensure!(seen.stdout.contains(expected), "not seen: {expected}\n{}", seen.stdout);
    }
    // The file that nobody may change has three names.
    ensure!(seen.stdout.lines().count() == 4, "{}", seen.stdout);
    // Another copy puts it right, and leaves what is right where it is.
    ensure!(!is_whole(&machine)?.contains("stood: 0"), "all was copied again");
    // On one file system the data is shared.
    machine.check("mkdir /mnt/btrfs/again && /root/treecopy copy /mnt/btrfs/bob /mnt/btrfs/again | grep -q 'shared: [1-9]'")?;
    machine.check("/root/treecopy differences /mnt/btrfs/bob /mnt/btrfs/again")?;
    what_ends_a_copy_is_named(&machine)
}

#[test]
fn a_copy_that_was_cut_goes_on() -> Result<()> {
    let machine = machine()?;
    for reports in [1, 7, 20, 50, 60, 70, 2000] {
        ensure!(machine.run(&format!("{COPY} {reports}"))?.status != 0, "it was not cut");
    }
    let machine = machine.power_cut()?.start()?;
    machine.check("mount -o loop /disks/ext4 /mnt/ext4; mount -o loop /disks/btrfs /mnt/btrfs")?;
    is_whole(&machine)?;
    machine
        .check("/root/treecopy done /mnt/btrfs/bob && ! getfattr -d -m - /mnt/btrfs/bob 2>&1 | grep copytree")
        .map(drop)
}

fn what_ends_a_copy_is_named(machine: &Machine) -> Result<()> {
    let refused = |script: &str, expected: &str| -> Result<()> {
        let said = machine.run(script)?;
        ensure!(
            said.status != 0 && said.stderr.contains(expected),
            "{script}: {}{}",
            said.stdout,
            said.stderr
        );
        Ok(())
    };
    machine.check(
        "mkdir -p /mnt/ext4/amy/usb /mnt/btrfs/amy /mnt/small
         mount -t tmpfs tmpfs /mnt/ext4/amy/usb",
    )?;
    refused("/root/treecopy copy /mnt/ext4/amy /mnt/btrfs/amy", "usb: something is mounted there")?;
    ensure!(machine.check("/root/treecopy measure /mnt/ext4/amy")?.contains("\"usb\""), "not measured");
    machine.check(
        "umount /mnt/ext4/amy/usb
         head -c 20M /dev/urandom >/mnt/ext4/amy/large
         truncate -s 16M /disks/small && mkfs.ext4 -q /disks/small && mount -o loop /disks/small /mnt/small
         mkdir /mnt/small/amy",
    )?;
    refused("/root/treecopy copy /mnt/ext4/amy /mnt/small/amy", "large: no space is left for it")?;
    refused("/root/treecopy copy /mnt/ext4/amy /mnt/small", "what is in it was not put there by a copy")
}
