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
    // The table is guessed then, and what is written over is kept.
    let places = [(0, 34 * 512), (image - 33 * 512, 33 * 512)];
    let before = places.map(|place| bytes(&machine, "/home/alice.home", place));
    opens(&machine)?;
    let kept = machine.check("ls /var/lib/systemd/home/alice.home.*[0-9].backup")?;
    for (place, before) in places.into_iter().zip(before) {
        ensure!(bytes(&machine, kept.trim(), place)? == before?, "{place:?} is not as it was");
    }
    machine.check("rm /var/lib/systemd/home/alice.home.*.backup")?;
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

/// What the bytes of a place of the image are, or of what a repair has kept of it.
fn bytes(machine: &Ours, file: &str, (offset, length): (u64, u64)) -> Result<String> {
    machine.check(&format!(
        "dd if={file} bs=64K status=none iflag=skip_bytes,count_bytes,fullblock skip={offset} count={length} | sha256sum"
    ))
}

/// Nobody can tell what of both tables, or of a header, was worth something: a repair keeps it all.
#[test]
fn a_repair_writes_over_nothing_that_is_kept_nowhere() -> Result<()> {
    let machine = prepared()?;
    let size = machine.check("stat -c %s /home/alice.home")?.trim().parse::<u64>()?;
    let table = 34 * 512;
    let all = [(0, 17 << 20), (size - (1 << 20), 1 << 20)];
    let mark = "setfattr -n user.home-dirty -v 1 /home/alice.home";
    type Harm<'a> = (&'static str, &'a [(u64, u64)], &'static str, &'static str);
    let cases: [Harm<'_>; 4] = [
        ("both tables", &[(0, table), (size - table, table)], "true", "correcthorse"),
        ("the first header", &[(1 << 20, 4096)], "true", ""),
        (
            "both tables and the first header",
            &[(0, table), (size - table, table), (1 << 20, 4096)],
            "true",
            "correcthorse",
        ),
        ("the mark alone", &[], mark, "correcthorse"),
    ];
    for (what, places, harm, password) in cases {
        restore(&machine)?;
        places.iter().try_for_each(|(offset, length)| damage(&machine, *offset, *length))?;
        machine.check(harm)?;
        let before = all.map(|place| bytes(&machine, "/home/alice.home", place));
        machine.done("repair --yes alice", password, "").map_err(|e| e.context(what))?;
        let kept = machine.check("ls /var/lib/systemd/home/alice.home.*[0-9].backup")?;
        for (place, before) in all.into_iter().zip(before) {
            ensure!(bytes(&machine, kept.trim(), place)? == before?, "{what}: {place:?} is not as it was");
        }
        ensure!(machine.check(&format!("stat -c %a:%s {kept}"))?.trim() == format!("600:{size}"), "{what}");
        opens(&machine).map_err(|e| e.context(what))?;
        machine.check("rm /var/lib/systemd/home/alice.home.*.backup")?;
    }
    // Where there is no place to keep it nothing is changed.
    restore(&machine)?;
    for (offset, length) in [(0, table), (size - table, table)] {
        damage(&machine, offset, length)?;
    }
    let before = machine.check("sha256sum /home/alice.home")?;
    machine.check("mount -t tmpfs -o size=1M none /mnt; cp -a /var/lib/systemd/home/. /mnt; mount --bind /mnt /var/lib/systemd/home")?;
    let said = machine.refused("repair --yes alice", "correcthorse", "")?;
    ensure!(said.contains("keeping what was there"), "{said}");
    ensure!(machine.check("sha256sum /home/alice.home")? == before, "it was changed");
    machine.check("! ls /mnt/alice.home.* /mnt/.#* 2>/dev/null; umount /var/lib/systemd/home /mnt")?;
    records_are_kept(&machine)
}

fn records_are_kept(machine: &Ours) -> Result<()> {
    restore(machine)?;
    machine.check("rm -f /var/lib/systemd/home/alice.home.*")?;
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.done("activate alice", "batterystaple", "")?;
    machine.check("echo noise > /home/alice/.identity")?;
    machine.done("deactivate alice", "", "")?;
    machine.kill_daemon()?;
    machine.check("cp /root/alice.identity /var/lib/systemd/home/")?;
    machine.start_daemon()?;
    machine.done("repair --yes alice", "batterystaple", "")?;
    // (Its counters of attempts are the daemon's, who has counted since.)
    let date = |file: &str| machine.check(&format!("grep -o '\"lastChangeUSec\".*[0-9]' {file}"));
    let kept = date("/var/lib/systemd/home/alice.home.*.identity.backup")?;
    assert_eq!(kept, date("/root/alice.identity")?);
    assert_ne!(kept, date("/var/lib/systemd/home/alice.identity")?);
    machine.done("activate alice", "batterystaple", "")?;
    assert_eq!(machine.check("cat /home/alice/.identity.*.backup")?, "noise\n");
    machine.check("grep -q alice /home/alice/.identity")?;
    machine.done("deactivate alice", "", "")?;
    machine.done("remove alice", "", "")?;
    machine.check("! ls -d /var/lib/systemd/home/alice*").map(drop)
}
