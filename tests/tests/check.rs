//! `homectl check`, `repair` and `rescue`: each damage is told, what can be rebuilt is, and the home opens with
//! its files.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use serde_json::Value;

/// A machine with a home of alice, closed, with a file in it and a copy of all that can be damaged.
fn prepared(options: &str) -> Result<Ours> {
    let machine = Ours::small()?;
    machine.done(&format!("create alice {CHEAP} {options}"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("echo kept > ~/file; sync ~/file").user("alice").check()?;
    machine.done("deactivate alice", "", "")?;
    machine.check(
        "cp --sparse=always /home/alice.home /root/; cp /var/lib/systemd/home/alice.identity /root/",
    )?;
    Ok(machine)
}

fn opens(machine: &Ours, password: &str) -> Result<()> {
    machine.done("activate alice", password, "")?;
    ensure!(machine.command("cat ~/file").user("alice").check()? == "kept\n", "the file has changed");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// What a check finds that is not sound, and how it ends.
fn checked(machine: &Ours, password: &str) -> Result<(Vec<String>, i32)> {
    let output = machine.homectl("check --json=short alice", password, "")?;
    ensure!(output.status < 3, "not checked: {}\n{}", output.stderr, machine.log());
    let report: Value = serde_json::from_str(&output.stdout)?;
    let wrong = report["findings"].as_array().into_iter().flatten();
    let wrong = wrong.filter(|finding| finding["severity"] != "sound");
    Ok((wrong.filter_map(|finding| Some(finding["kind"].as_str()?.to_owned())).collect(), output.status))
}

fn finds(machine: &Ours, password: &str, kinds: &[&str], status: i32) -> Result<()> {
    let found = checked(machine, password)?;
    let expected = (kinds.iter().map(|kind| (*kind).to_owned()).collect(), status);
    let text =
        || machine.homectl("check alice", password, "").map(|output| output.stdout).unwrap_or_default();
    ensure!(found == expected, "found {found:?}, not {kinds:?}:\n{}", text());
    Ok(())
}

/// Offsets and lengths in bytes in the image; the partition begins at 1 MiB.
fn damage(offset: &str, length: u64) -> String {
    format!(
        "dd if=/dev/urandom of=/home/alice.home bs=64K conv=notrunc status=none oflag=seek_bytes seek=$(({offset})) \
         iflag=count_bytes,fullblock count={length}"
    )
}

/// Replaces the record's token in the header by what lies in /root/token, if anything.
const REPLACE_TOKEN: &str = "\
set -e
loop=$(losetup --find --show --offset 1048576 /home/alice.home)
cryptsetup token remove --token-id 0 $loop
[ ! -s /root/token ] || cryptsetup token import --token-id 0 --json-file /root/token $loop
losetup --detach $loop";
/// Opens the home's encrypted device as a killed run would leave it.
const LEAVE_OPEN: &str = "\
loop=$(losetup --find --show --offset 1048576 /home/alice.home)
printf correcthorse | cryptsetup open --key-file - $loop home-alice";
/// Overwrites `.identity` behind the daemon's back.
const SPOIL_IDENTITY: &str = "\
set -e
loop=$(losetup --find --show --offset 1048576 /home/alice.home)
printf correcthorse | cryptsetup open --key-file - $loop peek
mount /dev/mapper/peek /mnt; echo noise > /mnt/alice/.identity
umount /mnt; cryptsetup close peek; losetup -d $loop";

struct Case {
    what: &'static str,
    harm: String,
    /// What a check with the password finds.
    finds: &'static [&'static str],
    /// Whether the repair needs the password.
    needs_key: bool,
}

fn cases() -> Vec<Case> {
    let end = "$(stat -c %s /home/alice.home) - 34 * 512";
    let second = "1048576 + $(od -An -t u8 --endian=big -j 1048584 -N 8 /home/alice.home)";
    let case = |what, harm, finds, needs_key| Case { what, harm, finds, needs_key };
    vec![
        case("the first table", damage("512", 1024), &["firstTableDamaged"], false),
        case("the second table", damage(end, 34 * 512), &["secondTableDamaged"], false),
        case(
            "both tables",
            format!("{}; {}", damage("0", 34 * 512), damage(end, 34 * 512)),
            &["bothTablesDamaged"],
            true,
        ),
        case("the first header", damage("1048576", 4096), &["firstHeaderDamaged"], false),
        case("the second header", damage(second, 4096), &["secondHeaderDamaged"], false),
        case(
            "the header's record",
            format!(": > /root/token; {REPLACE_TOKEN}"),
            &["headerRecordMissing"],
            true,
        ),
        case(
            "noise in its place",
            format!(
                "echo '{{\"type\":\"systemd-homed\",\"keyslots\":[],\"record\":\"bm9pc2U=\",\
                 \"iv\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}}' > /root/token; {REPLACE_TOKEN}"
            ),
            &["headerRecordUnreadable"],
            true,
        ),
        case("the home's record", SPOIL_IDENTITY.into(), &["homeRecordUnreadable"], true),
        case("the mark", "setfattr -n user.home-dirty -v 1 /home/alice.home".into(), &["markedDirty"], true),
        case("a loop device", "losetup --find /home/alice.home".into(), &["staleDevices"], false),
        case("an open device", LEAVE_OPEN.into(), &["staleDevices"], false),
        case(
            "an unfinished image",
            "echo x > /home/.#homeworkalice.home0123".into(),
            &["temporaryImages"],
            false,
        ),
    ]
}

#[test]
fn each_damage_is_told_and_mended() -> Result<()> {
    let machine = prepared("")?;
    finds(&machine, "correcthorse", &[], 0)?;
    finds(&machine, "", &["passwordNotGiven"], 0)?;
    let wrong = machine.homectl("check alice", "wrong", "")?;
    ensure!(wrong.status == 3 && wrong.stderr.contains("password"), "{}: {}", wrong.status, wrong.stderr);
    let said = machine.homectl("repair --yes alice", "correcthorse", "")?;
    ensure!(said.status == 0 && said.stderr.contains("nothing that could be repaired"), "{}", said.stderr);
    for case in cases() {
        let told = |e: anyhow::Error| e.context(case.what);
        machine.check("cp --sparse=always /root/alice.home /home/").map_err(told)?;
        machine.check(&case.harm).map_err(told)?;
        let before = machine.check("sha256sum /home/alice.home")?;
        finds(&machine, "correcthorse", case.finds, 1).map_err(told)?;
        let asked = machine.homectl("repair alice", "correcthorse", "")?;
        ensure!(asked.status == 1 && asked.stderr.contains("--yes"), "{}: {}", case.what, asked.stderr);
        let dry = machine.homectl("repair --dry-run alice", "correcthorse", "")?;
        ensure!(dry.stdout.contains("It will"), "{}: {}", case.what, dry.stdout);
        ensure!(machine.check("sha256sum /home/alice.home")? == before, "{}: changed by looking", case.what);
        let password = if case.needs_key { "correcthorse" } else { "" };
        let done = machine.homectl("repair --yes alice", password, "")?;
        ensure!(done.status == 0, "{}: {}{}\n{}", case.what, done.stdout, done.stderr, machine.log());
        finds(&machine, "correcthorse", &[], 0).map_err(told)?;
        opens(&machine, "correcthorse").map_err(told)?;
    }
    // What was written over is kept, and nothing else was left.
    let kept = machine.check("cd /var/lib/systemd/home; ls alice.home.*.backup | wc -l; du -ms alice.home.*.backup | sort -n | tail -1")?;
    ensure!(kept.lines().next().is_some_and(|count| count.trim().parse::<u32>().unwrap_or(0) >= 4), "{kept}");
    assert_eq!(machine.check("ls -A /home")?, "alice\nalice.home\n");
    // A login that fails in the end leaves no mark: other machines would refuse the image.
    machine.check("echo 'expose fail' > /run/homed/fault")?;
    ensure!(machine.homectl("activate alice", "correcthorse", "")?.status != 0);
    machine.check("rm /run/homed/fault; ! getfattr -d /home/alice.home 2>/dev/null | grep home-dirty")?;
    let mark = "dd if=/home/alice.home bs=1 skip=$((1048576 - 4096)) count=10 2>/dev/null | tr -d '\\0'";
    assert_eq!(machine.check(mark)?, "");
    // Removed, nothing of it stays, though the removal is cut short when the image is gone.
    machine.check("echo 'remove-mount-point kill' > /run/homed/fault")?;
    ensure!(machine.homectl("remove alice", "", "")?.status != 0);
    machine.check(
        "rm /run/homed/fault; [ ! -e /home/alice.home ]; ls /var/lib/systemd/home/alice.home.*.backup",
    )?;
    machine.done("remove alice", "", "")?;
    machine.check("! ls -d /home/alice* /var/lib/systemd/home/alice* /var/cache/systemd/home/alice").map(drop)
}

#[test]
fn what_cannot_be_mended_is_told() -> Result<()> {
    let machine = prepared("")?;
    for (what, harm, kinds) in [
        ("no image", "rm /home/alice.home".into(), &["imageMissing"][..]),
        ("a folder", "mkdir /home/alice.home".into(), &["imageNotAFile"]),
        ("an empty image", "rmdir /home/alice.home; : > /home/alice.home".into(), &["headersDamaged"]),
        (
            "both headers",
            format!("cp --sparse=always /root/alice.home /home/; {}", damage("1048576", 16 << 20)),
            &["headersDamaged"],
        ),
    ] {
        machine.check(&harm)?;
        let found = checked(&machine, "")?;
        ensure!(found.1 == 2 && found.0 == kinds, "{what}: {found:?}");
        let done = machine.homectl("repair --yes alice", "", "")?;
        ensure!(done.status != 0, "{what}: {}", done.stdout);
    }
    // The text for people says it too, and what to do.
    let text = machine.homectl("check alice", "", "")?.stdout;
    ensure!(text.contains("BROKEN") && text.contains("backup"), "{text}");
    Ok(())
}

#[test]
fn records_and_slots_of_different_age_are_told_and_brought_together() -> Result<()> {
    let machine = prepared("")?;
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    // The host's record is restored from before: its password opens no slot.
    machine.kill_daemon()?;
    machine.check("cp /root/alice.identity /var/lib/systemd/home/")?;
    machine.start_daemon()?;
    finds(&machine, "correcthorse", &["passwordOfRecordOnly"], 1)?;
    finds(&machine, "batterystaple", &["hostRecordOlder"], 1)?;
    let done = machine.homectl("repair --yes alice", "batterystaple", "")?;
    ensure!(done.status == 0, "{}{}", done.stdout, done.stderr);
    finds(&machine, "batterystaple", &[], 0)?;
    opens(&machine, "batterystaple")?;
    machine.refused("activate alice", "correcthorse", "")?;
    // The image is restored from before: its slots are those of the old password.
    machine.check("cp --sparse=always /root/alice.home /home/")?;
    finds(&machine, "correcthorse", &["headerRecordOlder", "homeRecordOlder"], 1)?;
    Ok(())
}

#[test]
fn an_open_home_and_one_that_is_checked_are_nobodys_hindrance() -> Result<()> {
    let machine = prepared("")?;
    machine.done("activate alice", "correcthorse", "")?;
    finds(&machine, "correcthorse", &["fileSystemOpen"], 0)?;
    let said = machine.refused("repair --yes alice", "correcthorse", "")?;
    ensure!(said.contains("busy") || said.contains("use"), "{said}");
    machine.done("deactivate alice", "", "")?;
    // Of what somebody has opened by hand nothing is rebuilt.
    machine.check(&format!("{}; {}", damage("512", 1024), LEAVE_OPEN.replace("home-alice", "peek")))?;
    let before = machine.check("sha256sum /home/alice.home")?;
    let said = machine.refused("repair --yes alice", "", "")?;
    ensure!(said.contains("/dev/mapper/peek") && said.contains("cryptsetup close peek"), "{said}");
    ensure!(machine.check("sha256sum /home/alice.home")? == before, "it was changed");
    // Nor of what somebody only reads, or writes, without a key.
    machine.check("cryptsetup close peek; setsid sleep 100000 <$(losetup -nO NAME -j /home/alice.home) >/dev/null 2>&1 & echo $! >/run/reads")?;
    let said = machine.refused("repair --yes alice", "", "")?;
    ensure!(said.contains("attached already, as /dev/loop"), "{said}");
    ensure!(machine.check("sha256sum /home/alice.home")? == before, "it was changed");
    machine.check("kill $(cat /run/reads)")?;
    let done = machine.homectl("repair --yes alice", "", "")?;
    ensure!(done.status == 0, "{}{}", done.stdout, done.stderr);
    // A check that does not come to its end gives way to whoever wants the home.
    machine.check("echo check-file-system stop > /run/homed/fault")?;
    let checking = machine.command("PASSWORD=correcthorse setsid --wait homectl check alice").spawn()?;
    machine.check("until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done")?;
    machine.check("rm /run/homed/fault")?;
    opens(&machine, "correcthorse")?;
    let checked = checking.wait()?;
    ensure!(checked.status == 3 && checked.stderr.contains("broken off"), "{}", checked.stderr);
    Ok(())
}

#[test]
fn an_image_that_was_cut_before_its_table_was_written_opens() -> Result<()> {
    let machine = prepared("")?;
    // As far as a shrinking comes that writes the table last: the file system, then the file.
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("resize alice 320M", "correcthorse", "")?;
    machine.check("btrfs filesystem resize -40M /home/alice >&2")?;
    machine.done("deactivate alice", "", "")?;
    machine.check("truncate --size=-20M /home/alice.home; cp --sparse=always /home/alice.home /root/")?;
    assert_eq!(machine.run("blkid -p -o value -s PTTYPE /home/alice.home")?.stdout, "PMBR\n");
    finds(&machine, "correcthorse", &["imageCutShort"], 1)?;
    // Without the password nobody can tell whether all is there.
    machine.homectl("repair --yes alice", "", "")?;
    finds(&machine, "correcthorse", &["imageCutShort"], 1)?;
    let done = machine.homectl("repair --yes alice", "correcthorse", "")?;
    ensure!(done.status == 0, "{}{}\n{}", done.stdout, done.stderr, machine.log());
    finds(&machine, "correcthorse", &[], 0)?;
    opens(&machine, "correcthorse")?;
    // A login does the same.
    machine.check("cp --sparse=always /root/alice.home /home/")?;
    opens(&machine, "correcthorse")?;
    finds(&machine, "correcthorse", &[], 0)?;
    machine.check(
        "sgdisk --version >/dev/null 2>&1 && sgdisk -v /home/alice.home; blkid -p /home/alice.home >&2",
    )?;
    // Where a part of the file system is gone, that is said, and nothing is made worse.
    machine.check("cp --sparse=always /root/alice.home /home/; truncate --size=-30M /home/alice.home")?;
    let before = machine.check("sha256sum /home/alice.home")?;
    let said = machine.refused("activate alice", "correcthorse", "")?;
    ensure!(said.contains("cut short") && said.contains("MiB of it are missing"), "{said}");
    machine.nothing_open("alice")?;
    ensure!(machine.check("sha256sum /home/alice.home")? == before, "it was changed");
    Ok(())
}

/// Runs a program on the decrypted file system of a closed home.
fn on_device(command: &str) -> String {
    format!(
        "set -e\nloop=$(losetup --find --show --offset 1048576 /home/alice.home)\n\
         printf correcthorse | cryptsetup open --key-file - $loop peek\n\
         {command}\ncryptsetup close peek; losetup -d $loop"
    )
}

#[test]
fn a_damaged_file_system_is_told_rescued_and_repaired() -> Result<()> {
    let machine = prepared("--fs-type=ext4")?;
    // The journal is gone: the kernel does not mount that.
    machine.check(&on_device("debugfs -w -R 'clri <8>' /dev/mapper/peek 2>/dev/null"))?;
    let said = machine.refused("activate alice", "correcthorse", "")?;
    ensure!(
        said.contains("The key is right")
            && said.contains("homectl rescue")
            && !said.contains("unexpectedly"),
        "{said}"
    );
    machine.nothing_open("alice")?;
    // Nothing inside was changed: a refused home is not marked as cut off.
    assert_eq!(machine.state("alice")?, "inactive");
    finds(&machine, "correcthorse", &["fileSystemErrors"], 1)?;
    machine.check("setfattr -n user.home-dirty -v 1 /home/alice.home")?;
    let before = machine.check("sha256sum /home/alice.home")?;
    for words in ["rescue alice", "rescue alice /mnt"] {
        machine.refused(words, "wrong", "")?;
        machine.done(words, "correcthorse", "")?;
        let at = if words.ends_with("mnt") { "/mnt" } else { "/home/alice" };
        assert_eq!(machine.check(&format!("cat {at}/file"))?, "kept\n");
        assert_ne!(machine.run(&format!("echo x > {at}/file"))?.status, 0, "it can be written");
        match at {
            "/mnt" => machine.check("umount /mnt").map(drop)?,
            _ => machine.done("deactivate alice", "", "").map(drop)?,
        }
        machine.nothing_open("alice")?;
    }
    assert_eq!(machine.check("sha256sum /home/alice.home")?, before, "changed by a rescue");
    assert_eq!(machine.state("alice")?, "dirty");
    // By itself a repair leaves the file system alone.
    machine.check("setfattr -x user.home-dirty /home/alice.home")?;
    machine.homectl("repair --yes alice", "correcthorse", "")?;
    assert_eq!(machine.check("sha256sum /home/alice.home")?, before, "repaired without being asked to");
    let done = machine.homectl("repair --yes --file-system alice", "correcthorse", "")?;
    ensure!(done.status == 0, "{}{}\n{}", done.stdout, done.stderr, machine.log());
    finds(&machine, "correcthorse", &[], 0)?;
    opens(&machine, "correcthorse")
}

/// btrfs below, and a folder in it that compresses.
const COMPRESSED: &str = "
truncate -s 900M /root/disk; mkfs.btrfs -q /root/disk; mount -o loop /root/disk /srv
btrfs subvolume create /srv/homes >&2; chattr +c /srv/homes";

#[test]
fn an_image_in_a_folder_that_compresses_is_written_in_place_and_a_snapshot_of_it_is_told() -> Result<()> {
    let machine = Ours::small()?;
    machine.check(COMPRESSED)?;
    let create = format!("create alice {CHEAP} --image-path=/srv/homes/alice.home");
    machine.done(&create, "", "correcthorse")?;
    // Neither is compressed what is there, nor what is written from now on.
    let flags = machine.check("lsattr /srv/homes/alice.home | cut -d ' ' -f 1")?;
    ensure!(flags.contains('C') && !flags.contains('c'), "{flags}");
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("head -c 4M /dev/zero > ~/zeros; sync ~/zeros").user("alice").check()?;
    machine.done("deactivate alice", "", "")?;
    finds(&machine, "correcthorse", &[], 0)?;
    machine.check("btrfs subvolume snapshot -r /srv/homes /srv/before >&2; sync")?;
    finds(&machine, "correcthorse", &["imageShared"], 0)?;
    let said = machine.homectl("check alice", "correcthorse", "")?.stdout;
    ensure!(said.contains("passwords of then"), "{said}");
    machine.check("btrfs subvolume delete -c /srv/before >&2; btrfs subvolume sync /srv >&2")?;
    finds(&machine, "correcthorse", &[], 0)?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    // Another one without that, from before: each write of it goes to another place.
    machine.check("cp --sparse=always --reflink=never /srv/homes/alice.home /srv/copy; mv /srv/copy /srv/homes/alice.home")?;
    finds(&machine, "correcthorse", &["imageCopiedOnWrite"], 0)
}
