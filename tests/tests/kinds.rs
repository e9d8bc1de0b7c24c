//! Homes that are not in an image: folders and subvolumes of the machine's own file system.

#[path = "kinds/moving.rs"]
mod moving;

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::Machine;

/// Options of a home that nobody waits for.
const PLAIN: &str = "--enforce-password-policy=no --rate-limit-burst=1000";
/// A btrfs at /srv, and a tree that no home may touch.
const DISK: &str = "truncate -s 1G /root/disk && mkfs.btrfs -q /root/disk && mount -o loop /root/disk /srv \
                    && mkdir /srv/others && echo kept > /srv/others/file";

/// Which kind, where it lies, and whose its files are on the disk.
struct Case {
    kind: &'static str,
    image: &'static str,
    stored: &'static str,
}

const CASES: [Case; 3] = [
    Case { kind: "directory", image: "/home/alice.homedir", stored: "alice" },
    Case { kind: "directory", image: "/srv/alice.homedir", stored: "alice" },
    Case { kind: "subvolume", image: "/srv/alice.homedir", stored: "nobody" },
];

fn start() -> Result<Ours> {
    let machine = Ours::small()?;
    machine.check(DISK)?;
    Ok(machine)
}

fn make(machine: &Ours, case: &Case) -> Result<()> {
    let words = format!("create alice {PLAIN} --storage={} --image-path={}", case.kind, case.image);
    machine.done(&words, "", "correcthorse").map(drop)
}

/// What killed workers have left, anywhere.
fn left(machine: &Ours) -> Result<String> {
    machine.check("find /home /srv -maxdepth 1 -name '.#*'")
}

#[test]
fn a_home_of_each_kind_is_made_opened_changed_closed_and_removed() -> Result<()> {
    let machine = start()?;
    for case in &CASES {
        let Case { kind, image, stored } = case;
        machine.check("mkdir -p /etc/skel && echo skeleton > /etc/skel/from-skel")?;
        make(&machine, case)?;
        assert_eq!(machine.state("alice")?, "inactive");
        let owner =
            |path: &str| machine.check(&format!("stat -c %U {path}")).map(|name| name.trim().to_owned());
        assert_eq!(owner(&format!("{image}/from-skel"))?, *stored, "{kind}");
        assert_eq!(machine.check(&format!("stat -c %a {image}"))?.trim(), "700");
        let is_top = machine.check(&format!("stat -c %i {image}"))?.trim() == "256";
        assert_eq!(is_top, *kind == "subvolume");

        machine.refused("activate alice", "wrong", "")?;
        machine.done("activate alice", "correcthorse", "")?;
        assert_eq!(machine.state("alice")?, "active");
        let mount = machine.check("findmnt -no OPTIONS /home/alice")?;
        ensure!(mount.contains("nosuid") && mount.contains("nodev"), "{mount}");
        machine.command("cat ~/from-skel && echo mine > ~/file && chmod 600 ~/file").user("alice").check()?;
        assert_eq!(owner("/home/alice/file")?, "alice");
        assert_eq!(owner(&format!("{image}/file"))?, *stored);

        let said = machine.refused("lock alice", "", "")?;
        ensure!(said.contains("cannot be locked") && said.contains("deactivate"), "{said}");
        assert_eq!(machine.state("alice")?, "active");
        machine.done("passwd alice", "correcthorse", "batterystaple")?;
        machine.done("update alice --real-name=Alice", "batterystaple", "")?;
        machine.done("deactivate alice", "", "")?;
        ensure!(machine.run("findmnt /home/alice")?.status != 0, "{kind} is still mounted");
        machine.refused("activate alice", "correcthorse", "")?;
        machine.done("authenticate alice", "batterystaple", "")?;
        let checked = machine.done("check alice", "batterystaple", "")?;
        ensure!(checked.contains("folder"), "{checked}");
        ensure!(machine.done("inspect alice", "", "")?.contains(kind));
        machine.done("passwd alice", "batterystaple", "correcthorse")?;
        machine.done("activate alice", "correcthorse", "")?;
        assert_eq!(machine.command("cat ~/file").user("alice").check()?.trim(), "mine");
        machine.command("ln -s /srv/others ~/link && mkdir -p ~/a/b/c/d").user("alice").check()?;
        if *kind == "subvolume" {
            let nested = "btrfs subvolume create ~/s && btrfs subvolume create ~/s/t && mkdir ~/s/t/d";
            machine
                .command(format!(
                    "{nested} && touch ~/s/t/d/f && mkdir ~/a/x && btrfs subvolume create ~/a/x/v"
                ))
                .user("alice")
                .check()?;
        }
        machine.done("deactivate alice", "", "")?;
        machine.done("remove alice", "", "")?;
        ensure!(machine.run(&format!("ls {image} /home/alice"))?.status != 0, "{kind}: something is left");
        assert_eq!(machine.check("cat /srv/others/file")?.trim(), "kept");
        assert_eq!(left(&machine)?, "");
    }
    Ok(())
}

#[test]
fn what_the_file_system_below_cannot_is_refused_before_anything_is_made() -> Result<()> {
    let machine = start()?;
    const LOOK: &str = "ls -A /home /srv; ls /var/lib/systemd/home/*.identity 2>&1 || true";
    let before = machine.check(LOOK)?;
    let create = |words: &str| machine.refused(&format!("create alice {PLAIN} {words}"), "", "correcthorse");
    let said = create("--storage=subvolume --disk-size=64M")?;
    ensure!(said.contains("btrfs") && said.contains("--storage=luks"), "{said}");
    let said = create("--storage=subvolume --image-path=/srv/alice.homedir --disk-size=64M")?;
    ensure!(said.contains("btrfs quota enable"), "{said}");
    let said = create("--storage=directory --disk-size=64M")?;
    ensure!(said.contains("--disk-size="), "{said}");
    machine.check("mkdir /srv/alice.homedir && echo mine > /srv/alice.homedir/file")?;
    let said = create("--storage=directory --image-path=/srv/alice.homedir")?;
    ensure!(said.contains("exists already"), "{said}");
    machine.check("rm -r /srv/alice.homedir")?;
    // The file system encrypts no folders, and nobody says which share of which server.
    for kind in ["fscrypt", "cifs"] {
        create(&format!("--storage={kind}"))?;
    }
    assert_eq!(machine.check(LOOK)?, before);
    Ok(())
}

#[test]
fn a_subvolume_where_there_are_none_is_a_folder() -> Result<()> {
    let machine = start()?;
    // On another file system, and on btrfs a folder that came from one: the quota around it is not its own.
    machine.check("btrfs quota enable /srv")?;
    for moved in [false, true] {
        machine.done(&format!("create alice {PLAIN} --storage=subvolume"), "", "correcthorse")?;
        ensure!(machine.log().contains("an ordinary folder"), "nobody was told");
        if moved {
            machine.check(
                "cp -a /home/alice.homedir /srv/ && mount --bind /srv/alice.homedir /home/alice.homedir",
            )?;
        }
        machine.done("activate alice", "correcthorse", "")?;
        machine.command("echo mine > ~/file").user("alice").check()?;
        let said = machine.refused("resize alice 64M", "correcthorse", "")?;
        ensure!(said.contains("its folder is none"), "{said:?} {}", machine.log());
        machine.done("deactivate alice", "", "")?;
        machine.check("! btrfs qgroup show --raw -r /srv | grep -w 67108864")?;
        if moved {
            machine.check("umount /home/alice.homedir && rm -r /srv/alice.homedir")?;
        }
        machine.done("remove alice", "", "")?;
        machine.check("! ls -d /home/alice* /srv/alice* 2>/dev/null")?;
    }
    Ok(())
}

#[test]
fn the_size_of_a_subvolume_is_a_quota() -> Result<()> {
    let machine = start()?;
    machine.check("btrfs quota enable /srv")?;
    let words =
        format!("create alice {PLAIN} --storage=subvolume --image-path=/srv/alice.homedir --disk-size=32M");
    machine.done(&words, "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    let write = |megabytes: u32| {
        let script = format!("head -c {megabytes}M /dev/urandom > ~/big && sync ~/big");
        machine.command(script).user("alice").run().map(|output| output.status == 0)
    };
    ensure!(!write(48)?, "more than the quota was written");
    machine.check("rm /home/alice/big && sync -f /srv")?;
    machine.done("resize alice 128M", "correcthorse", "")?;
    ensure!(write(48)?, "less than the quota could not be written");
    let said = machine.refused("resize alice 20M", "correcthorse", "")?;
    ensure!(said.contains("too few"), "{said}");
    machine.done("deactivate alice", "", "")?;
    machine.done("resize alice 96M", "correcthorse", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    ensure!(write(64)? && !write(120)?, "it is not as large as it was made while it was closed");
    Ok(())
}

#[test]
fn a_home_without_a_key_is_closed_for_a_sleep_where_its_record_says_so() -> Result<()> {
    let machine = start()?;
    make(&machine, &CASES[0])?;
    machine.done("activate alice", "correcthorse", "")?;
    let all = machine.homectl("lock-all", "", "")?;
    ensure!(all.status != 0 && all.stderr.contains("cannot be locked"), "{}{}", all.stdout, all.stderr);
    assert_eq!(machine.state("alice")?, "active");
    // It keeps no machine awake.
    machine.check("/usr/lib/homed/homed before-sleep && /usr/lib/homed/homed after-sleep")?;
    assert_eq!(machine.state("alice")?, "active");
    machine.done("update alice --lock-level=terminate", "correcthorse", "")?;
    machine.command("exec sleep infinity").user("alice").spawn()?;
    machine.done("lock-all", "", "")?;
    assert_eq!(machine.state("alice")?, "inactive");
    Ok(())
}

/// One that has a mount point.
fn make_and_use(machine: &Ours, case: &Case) -> Result<()> {
    make(machine, case)?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "").map(drop)
}

/// A disk of its own, as one that was plugged in; prints its device.
const PLUG: &str = "losetup --find --partscan --show /root/stick";

#[test]
fn a_home_on_a_disk_is_made_used_and_left_there() -> Result<()> {
    let machine = Ours::small()?;
    machine.check("truncate -s 400M /root/stick && mkfs.ext4 -q /root/stick")?;
    let disk = machine.check(PLUG)?.trim().to_owned();
    let create = format!("create alice {CHEAP} --storage=luks --image-path={disk}");
    let said = machine.refused(&create, "", "correcthorse")?;
    ensure!(said.contains("ext4") && said.contains(&format!("wipefs --all {disk}")), "{said}");
    machine.check(&format!("mount {disk} /mnt"))?;
    ensure!(machine.refused(&create, "", "correcthorse")?.contains("in use"), "it is mounted");
    machine.check(&format!("umount /mnt && e2fsck -n {disk} && wipefs --quiet --all {disk}"))?;
    let said = machine.refused(&create.replace("256M", "1G"), "", "correcthorse")?;
    ensure!(said.contains("400 MiB"), "{said}");
    // Killed before it is whole, nothing is found there.
    machine.check("echo publish kill > /run/homed/fault")?;
    ensure!(machine.homectl(&create, "", "correcthorse")?.status != 0);
    machine.check(&format!("rm /run/homed/fault; test -z \"$(wipefs {disk})\""))?;
    // Taken back after that, too.
    machine.check("echo write-host fail > /run/homed/fault")?;
    ensure!(machine.homectl(&create, "", "correcthorse")?.status != 0);
    machine.check(&format!("rm /run/homed/fault; test -z \"$(wipefs {disk})\" && ! ls {disk}p1"))?;
    // One that can have no partitions is refused, and nothing stays there.
    let bare =
        machine.check("truncate -s 400M /root/bare && losetup --find --show /root/bare")?.trim().to_owned();
    let said = machine.refused(&create.replace(&disk, &bare), "", "correcthorse")?;
    ensure!(said.contains("can have no partitions"), "{said}");
    machine.check(&format!("test -z \"$(wipefs {bare})\" && losetup -d {bare}"))?;
    used_on_a_disk(&machine, &disk, &create)
}

/// Such disks cannot be written to in less than 4096 bytes.
#[test]
fn a_home_on_a_disk_of_large_sectors_is_used_as_any_other() -> Result<()> {
    let machine = Ours::small()?;
    let plug = PLUG.replace("--find", "--sector-size 4096 --find");
    let disk = machine.check(&format!("truncate -s 400M /root/stick && {plug}"))?.trim().to_owned();
    assert_eq!(machine.check(&format!("blockdev --getss {disk}"))?.trim(), "4096");
    used_on_a_disk(&machine, &disk, &format!("create alice {CHEAP} --storage=luks --image-path={disk}"))
}

/// A home on a disk, from when it is made until it is removed.
fn used_on_a_disk(machine: &Ours, disk: &str, create: &str) -> Result<()> {
    machine.done(create, "", "correcthorse")?;
    let part = format!("{disk}p1");
    let table = machine.check(&format!("sfdisk --json {disk}"))?;
    ensure!(table.contains("773f91ef-66d4-49b5-bd83-d683bf40ad16") && table.contains("\"alice\""), "{table}");
    let said = machine.refused(&create.replace("alice", "bob"), "", "correcthorse")?;
    ensure!(said.contains("alice") || said.contains("gpt"), "{said}");

    machine.refused("activate alice", "wrong", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    let marked = format!("dd if={part} bs=1M count=32 iflag=direct status=none | grep -ac 'homed-open 1'");
    assert_eq!(machine.check(&marked)?.trim(), "1", "another machine is not told");
    machine.check(&format!("lsblk -nro NAME {part} | grep -x home-alice"))?;
    machine.command("echo mine > ~/file; sync ~/file").user("alice").check()?;
    let said = machine.refused("resize alice 300M", "correcthorse", "")?;
    ensure!(said.contains("size of the device"), "{said}");
    let size = machine.check(&format!("blockdev --getsize64 {part}"))?;
    let shown = "homectl inspect alice -j | jq .status[].diskSize";
    assert_eq!(machine.check(shown)?, size);
    machine.done("lock alice", "", "")?;
    assert_eq!(machine.state("alice")?, "locked");
    machine.check("dmsetup info -c --noheadings -o suspended home-alice | grep -w Suspended")?;
    let proof = machine.check("homectl inspect alice -j | jq -c .status")?;
    ensure!(proof.contains("\"proven\""), "{proof}");
    machine.refused("unlock alice", "wrong", "")?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.done("update alice --real-name=Alice", "batterystaple", "")?;
    ensure!(machine.run(&format!("mount {part} /mnt || mkfs.ext4 -qF {part}"))?.status != 0);
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    ensure!(machine.run(&marked)?.status == 1, "it is marked yet");

    // A disk does not tell where its holes are, and what a repair writes over is kept all the same.
    machine.check(&format!("dd if=/dev/urandom of={part} bs=4096 count=1 conv=fsync status=none"))?;
    let done = machine.done("repair --yes alice", "", "")?;
    ensure!(done.contains("header was written anew") && done.contains("is kept in"), "{done}");
    let checked = machine.done("check alice", "batterystaple", "")?;
    ensure!(checked.contains(&part), "{checked}");
    let by_hand = format!("echo -n batterystaple | cryptsetup open --key-file=- {part} byhand");
    machine.check(&by_hand)?;
    let said = machine.refused("activate alice", "batterystaple", "")?;
    ensure!(said.contains("byhand") || said.contains("in use"), "{said}");
    machine.check("cryptsetup close byhand")?;
    machine.refused("activate alice", "correcthorse", "")?;
    machine.done("activate alice", "batterystaple", "")?;
    assert_eq!(machine.command("cat ~/file").user("alice").check()?.trim(), "mine");
    machine.done("deactivate alice", "", "")?;
    machine.done("remove alice", "", "")?;
    ensure!(machine.log().contains("left as it is"), "nobody was told");
    machine.check(&format!("cryptsetup isLuks {part} && ! ls -d /home/alice"))?;
    machine.check(GONE).map(drop)
}

const GONE: &str = "! ls -d /home/alice /var/cache/systemd/home/alice /var/lib/systemd/home/alice*";

#[test]
fn killed_at_any_step_nothing_is_lost_and_nothing_is_left() -> Result<()> {
    let machine = start()?;
    let killed_at = |step: &str, words: &str, password: &str, new: &str| -> Result<()> {
        machine.check(&format!("echo {step} kill > /run/homed/fault"))?;
        let output = machine.homectl(words, password, new)?;
        ensure!(output.status != 0, "{words} has no step {step}");
        machine.check("rm -f /run/homed/fault").map(drop)
    };
    for case in &CASES[1..] {
        let create = format!("create alice {PLAIN} --storage={} --image-path={}", case.kind, case.image);
        for step in ["check", "allocate", "populate", "sync", "publish"] {
            killed_at(step, &create, "", "correcthorse")?;
            ensure!(
                machine.run(&format!("ls {}", case.image))?.status != 0,
                "{step}: half a home has a name"
            );
        }
        make(&machine, case)?;
        for step in ["write-identity", "write-host"] {
            killed_at(step, "passwd alice", "correcthorse", "batterystaple")?;
            let (now, other) = match machine.homectl("activate alice", "correcthorse", "")?.status {
                0 => ("correcthorse", "batterystaple"),
                _ => ("batterystaple", "correcthorse"),
            };
            if now == "batterystaple" {
                machine.done("activate alice", now, "")?;
            }
            machine.done("deactivate alice", "", "")?;
            machine.refused("authenticate alice", other, "")?;
            machine.done("passwd alice", now, "correcthorse")?;
        }
        for step in ["unlock", "read-copies", "expose"] {
            killed_at(step, "activate alice", "correcthorse", "")?;
            machine.becomes("alice", "inactive")?;
        }
        machine.done("activate alice", "correcthorse", "")?;
        machine.command("echo mine > ~/file && mkdir -p ~/a/b/c").user("alice").check()?;
        for step in ["unmount", "sync"] {
            machine.check(&format!("echo {step} kill > /run/homed/fault"))?;
            machine.homectl("deactivate alice", "", "")?;
            machine.check("rm -f /run/homed/fault")?;
            machine.homectl("activate alice", "correcthorse", "")?;
            assert_eq!(machine.command("cat ~/file").user("alice").check()?.trim(), "mine");
        }
        machine.done("deactivate alice", "", "")?;
        killed_at("delete", "remove alice", "", "")?;
        machine.done("authenticate alice", "correcthorse", "")?;
        for step in ["sync", "remove-mount-point", "remove-blobs", "remove-host"] {
            killed_at(step, "remove alice", "", "")?;
            ensure!(machine.run(&format!("ls {}", case.image))?.status != 0, "{step}: it has its name yet");
            machine.done("remove alice", "", "")?;
            assert_eq!(left(&machine)?, "", "{}", case.kind);
            machine.check(GONE)?;
            make_and_use(&machine, case)?;
        }
        machine.done("remove alice", "", "")?;
    }
    Ok(())
}

#[test]
fn a_folder_opens_on_another_machine_with_another_uid() -> Result<()> {
    let first = start()?;
    make(&first, &CASES[0])?;
    first.done("activate alice", "correcthorse", "")?;
    first.command("echo mine > ~/file").user("alice").check()?;
    let uid = first.check("id -u alice")?.trim().to_owned();
    first.done("deactivate alice", "", "")?;
    first.check("tar --numeric-owner -C /home -cf /root/alice.tar alice.homedir")?;
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("alice.tar");
    first.copy_out("/root/alice.tar", &home)?;

    let second = Ours::small_with(Machine::builder().machine_id("22222222222222222222222222222222"))?;
    second.check(&format!("useradd --uid {uid} --no-create-home somebody"))?;
    second.copy_in(&home, "/root/alice.tar")?;
    second.check("mkdir /home/x && tar -C /home/x -xpf /root/alice.tar && mv /home/x/alice.homedir /home")?;
    second.becomes("alice", "unfixated")?;
    second.refused("activate alice", "wrong", "")?;
    second.done("activate alice", "correcthorse", "")?;
    let seen = second.command("cat ~/file; stat -c %U ~/file; touch ~/new").user("alice").check()?;
    assert_eq!(seen, "mine\nalice\n");
    assert_ne!(second.check("id -u alice")?.trim(), uid);
    assert_eq!(second.check("stat -c %u /home/alice.homedir/new")?.trim(), uid);
    Ok(())
}
