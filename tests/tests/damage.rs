//! One part of a home damaged at a time: what can be rebuilt from the other copies is, the rest is told.

use anyhow::{Result, ensure};
use homed_tests::Ours;

/// A machine with a home of alice, closed, with a file in it and a copy of all that can be damaged.
fn prepared() -> Result<Ours> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("echo kept > ~/file").user("alice").check()?;
    machine.done("deactivate alice", "", "")?;
    machine.check(
        "cp --sparse=always /home/alice.home /root/; cp /var/lib/systemd/home/alice.identity /root/",
    )?;
    Ok(machine)
}

fn opens(machine: &Ours) -> Result<()> {
    machine.done("activate alice", "correcthorse", "")?;
    ensure!(machine.command("cat ~/file").user("alice").check()? == "kept\n", "the file has changed");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// Offsets and lengths in bytes in the image; the partition begins at 1 MiB.
fn damage(machine: &Ours, offset: u64, length: u64) -> Result<()> {
    machine
        .check(&format!(
            "dd if=/dev/urandom of=/home/alice.home bs=64K conv=notrunc status=none oflag=seek_bytes seek={offset} \
             iflag=count_bytes,fullblock count={length}"
        ))
        .map(drop)
}

fn restore(machine: &Ours) -> Result<()> {
    machine.check("cp --sparse=always /root/alice.home /home/").map(drop)
}

/// Takes the record's token out of the header, and puts in what lies in /root/token, if anything.
const REPLACE_TOKEN: &str = "\
set -e
loop=$(losetup --find --show --offset 1048576 /home/alice.home)
cryptsetup token remove --token-id 0 $loop
[ ! -s /root/token ] || cryptsetup token import --token-id 0 --json-file /root/token $loop
losetup --detach $loop";

/// Prints the header's JSON.
const SHOW_TOKEN: &str = "\
loop=$(losetup --find --show --read-only --offset 1048576 /home/alice.home)
cryptsetup luksDump --dump-json-metadata $loop
losetup --detach $loop";

#[test]
fn what_has_a_second_copy_is_rebuilt() -> Result<()> {
    let machine = prepared()?;
    // The first partition table: the last one is used.
    damage(&machine, 512, 2 * 512)?;
    opens(&machine)?;
    // Both tables: homes are made with one layout, and a LUKS header is found where it puts one.
    restore(&machine)?;
    let image = machine.check("stat -c %s /home/alice.home")?.trim().parse::<u64>()?;
    damage(&machine, 0, 34 * 512)?;
    damage(&machine, image - 34 * 512, 34 * 512)?;
    opens(&machine)?;
    // The first LUKS header: the second one is used.
    restore(&machine)?;
    damage(&machine, 1 << 20, 4096)?;
    opens(&machine)?;

    // The record in the header: taken away, and one that nothing can be made of.
    for token in
        ["", r#"{"type":"systemd-homed","keyslots":[],"record":"bm9pc2U=","iv":"AAAAAAAAAAAAAAAAAAAAAA=="}"#]
    {
        restore(&machine)?;
        machine.write_file("/root/token", token)?;
        machine.check(REPLACE_TOKEN)?;
        opens(&machine)?;
        let now = machine.check(SHOW_TOKEN)?;
        ensure!(
            now.contains("systemd-homed") && !now.contains("bm9pc2U="),
            "the token was not rebuilt: {now}"
        );
    }

    // The record inside the home.
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("echo noise > /home/alice/.identity")?;
    machine.done("deactivate alice", "", "")?;
    opens(&machine)?;
    machine.done("activate alice", "correcthorse", "")?;
    assert!(machine.check("cat /home/alice/.identity")?.contains("\"alice\""));
    machine.done("deactivate alice", "", "")?;

    // The host's record, damaged and gone: the home is as one from elsewhere, signed by this machine.
    for harm in
        ["echo noise > /var/lib/systemd/home/alice.identity", "rm /var/lib/systemd/home/alice.identity"]
    {
        machine.kill_daemon()?;
        machine.check(harm)?;
        machine.start_daemon()?;
        opens(&machine)?;
    }
    Ok(())
}

#[test]
fn what_has_none_is_told_and_nothing_is_changed() -> Result<()> {
    let machine = prepared()?;
    type Harm = Box<dyn Fn(&Ours) -> Result<()>>;
    let cases: Vec<(&str, Harm)> = vec![
        ("both LUKS headers", Box::new(|m| damage(m, 1 << 20, 16 << 20))),
        ("an empty image", Box::new(|m| m.check(": > /home/alice.home").map(drop))),
        (
            "a folder in its place",
            Box::new(|m| m.check("rm /home/alice.home; mkdir /home/alice.home").map(drop)),
        ),
    ];
    for (what, harm) in cases {
        harm(&machine)?;
        let said = machine.refused("activate alice", "correcthorse", "")?;
        ensure!(!said.contains("unexpectedly"), "{what}: {said}");
        machine.nothing_open("alice").map_err(|e| e.context(what))?;
        machine.check("[ ! -d /home/alice.home ] || rmdir /home/alice.home")?;
        restore(&machine)?;
        opens(&machine).map_err(|e| e.context(what))?;
    }
    Ok(())
}
