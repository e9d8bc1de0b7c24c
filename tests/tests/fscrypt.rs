//! Homes whose folder the kernel encrypts. Only the kernel of the machine with a screen can.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use machine::{Hardware, Image, Init, Machine, past_processor_faults};

const FOLDER: &str = "/srv/alice.homedir";
/// File systems that encrypt at /srv, and one that does not at /mnt.
const DISKS: &str = "truncate -s 256M /root/disk /root/other && mkfs.ext4 -q -O encrypt /root/disk && mkfs.ext4 -q /root/other \
                     && mount -o loop /root/disk /srv && mount -o loop /root/other /mnt";
const CREATE: &str =
    "create alice --enforce-password-policy=no --rate-limit-burst=1000 --storage=fscrypt --image-path=";

fn start(image: Image) -> Result<Ours> {
    let settings = Machine::builder().image(image).init(Init::Full).hardware(Hardware::Screen).memory(1024);
    let machine = Ours(settings.start()?);
    machine.check(DISKS)?;
    Ok(machine)
}

/// Nothing can be read of the folder: neither names nor what is in the files, and no new file can be made.
fn unreadable(machine: &Ours) -> Result<()> {
    let names = machine.check(&format!("find {FOLDER} -type f"))?;
    ensure!(!names.is_empty() && !names.contains("secret") && !names.contains(".identity"), "{names}");
    machine
        .check(&format!("find {FOLDER} -type f | while read -r file; do ! cat \"$file\" || exit 1; done"))?;
    machine.check(&format!("! touch {FOLDER}/new")).map(drop)
}

fn slots(machine: &Ours) -> Result<Vec<String>> {
    let text = machine.check(&format!("getfattr --absolute-names -m '^trusted' -d {FOLDER} | grep ="))?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[test]
fn a_home_is_made_used_closed_and_opened_with_another_password() -> Result<()> {
    let machine = past_processor_faults(|| start(Image::Ours))?;
    refused_where_it_cannot_be(&machine)?;
    machine.check("mkdir -p /etc/skel && echo skeleton > /etc/skel/secret-from-skel")?;
    machine.done(&format!("{CREATE}{FOLDER}"), "", "correcthorse")?;
    assert_eq!(machine.state("alice")?, "inactive");
    unreadable(&machine)?;
    let made = slots(&machine)?;
    ensure!(made.len() == 1 && made[0].starts_with("trusted.fscrypt_slot0=\"$v2:600000:"), "{made:?}");
    assert_eq!(machine.check(&format!("stat -c %a {FOLDER}"))?.trim(), "700");

    machine.refused("activate alice", "wrong", "")?;
    unreadable(&machine)?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.state("alice")?, "active");
    let mount = machine.check("findmnt -no OPTIONS /home/alice")?;
    ensure!(mount.contains("nosuid") && mount.contains("nodev"), "{mount}");
    machine
        .command("cat ~/secret-from-skel && echo of-alice > ~/secret-file && mkdir -p ~/a/b/c && touch ~/a/b/c/d ~/a/b/e")
        .user("alice")
        .check()?;
    cannot_be_locked(&machine)?;
    machine.done("update alice --real-name=Alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    unreadable(&machine)?;
    machine.done("authenticate alice", "correcthorse", "")?;
    unreadable(&machine)?;
    passwords_change(&machine)?;
    machine.done("remove alice", "", "")?;
    machine.check("! ls -d /home/alice /srv/alice.homedir /srv/.#* 2>/dev/null").map(drop)
}

fn refused_where_it_cannot_be(machine: &Ours) -> Result<()> {
    let said = machine.refused(&format!("{CREATE}/mnt/alice.homedir"), "", "correcthorse")?;
    ensure!(said.contains("tune2fs -O encrypt"), "{said}");
    let said = machine.refused(&format!("{CREATE}{FOLDER} --disk-size=64M"), "", "correcthorse")?;
    ensure!(said.contains("--disk-size="), "{said}");
    machine.check("test -z \"$(ls -A /srv /mnt | grep -e alice -e '#')\"").map(drop)
}

/// Nobody is told that a home is locked whose key the kernel has: it stays open in a sleep, is told of, or is closed.
fn cannot_be_locked(machine: &Ours) -> Result<()> {
    let said = machine.refused("lock alice", "", "")?;
    ensure!(said.contains("cannot be locked") && said.contains("--lock-level=terminate"), "{said}");
    machine.check("/usr/lib/homed/homed before-sleep && /usr/lib/homed/homed after-sleep")?;
    assert_eq!(machine.state("alice")?, "active");
    machine.check("journalctl -b -u homed -g 'NOT LOCKED, its key stays in memory'")?;
    machine.done("update alice --lock-level=terminate", "correcthorse", "")?;
    machine.command("exec sleep infinity").user("alice").spawn()?;
    machine.check("until pgrep -u alice -x sleep; do sleep 0.1; done")?;
    machine.done("lock-all", "", "")?;
    assert_eq!(machine.state("alice")?, "inactive");
    unreadable(machine)?;
    machine.done("activate alice", "correcthorse", "").map(drop)
}

fn passwords_change(machine: &Ours) -> Result<()> {
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    unreadable(machine)?;
    machine.refused("authenticate alice", "correcthorse", "")?;
    machine.done("activate alice", "batterystaple", "")?;
    assert_eq!(machine.command("cat ~/secret-file").user("alice").check()?.trim(), "of-alice");
    // While it is open, too.
    machine.done("passwd alice", "batterystaple", "correcthorse")?;
    // Who reads a file past the mount keeps nobody from closing it, and is told of.
    machine.check(&format!(
        "setsid sh -c 'exec 3<{FOLDER}/secret-file; touch /run/held; exec sleep infinity' >/dev/null 2>&1 &
        until test -e /run/held; do sleep 0.1; done"
    ))?;
    machine.done("deactivate alice", "", "")?;
    machine.check("journalctl -b -u homed -g 'some of its files are still open'; pkill -x -u root sleep")?;
    let checked = machine.done("check alice", "correcthorse", "")?;
    ensure!(checked.contains("folder") && checked.contains("slot"), "{checked}");
    machine.refused("authenticate alice", "batterystaple", "")?;
    ensure!(machine.done("inspect alice", "", "")?.contains("fscrypt"));
    let said = machine.refused("rescue alice", "correcthorse", "")?;
    ensure!(said.contains("root"), "{said}");
    unreadable(machine)
}

/// At each cut one of both passwords opens the home, and what a killed worker had opened is closed.
#[test]
fn cut_short_anywhere_a_home_opens_and_nothing_stays_readable() -> Result<()> {
    let machine = past_processor_faults(|| start(Image::Ours))?;
    machine.done(&format!("{CREATE}{FOLDER}"), "", "correcthorse")?;
    let killed_at = |step: &str, words: &str, password: &str, new: &str| -> Result<()> {
        machine.check(&format!("echo {step} kill > /run/homed/fault"))?;
        let output = machine.homectl(words, password, new)?;
        ensure!(output.status != 0, "{words} has no step {step}");
        machine.check("rm -f /run/homed/fault").map(drop)
    };
    for step in ["add-keys", "write-identity", "drop-keys"] {
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
        let left = slots(&machine)?;
        let count = left.iter().filter(|line| line.starts_with("trusted.fscrypt_slot")).count();
        ensure!(count == 1, "{step}: {left:?}");
        if now == "batterystaple" {
            machine.done("passwd alice", now, "correcthorse")?;
        }
    }
    for step in ["read-copies", "expose"] {
        killed_at(step, "activate alice", "correcthorse", "")?;
        machine.becomes("alice", "inactive")?;
        unreadable(&machine)?;
    }
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "").map(drop)
}

/// Prints what the policy of a folder calls its key, or whether the file system of one has a key of that name (1: no, 2: yes, 3:
/// something of it is still open): linux/fscrypt.h.
const KEY: &str = r#"
use strict; my ($what, $folder, $name) = @ARGV; sysopen(my $open, $folder, 0) or die "$folder: $!";
if ($what eq "name") {
    my $policy = pack("Q a24", 24, ""); defined ioctl($open, 0xC0096616, $policy) or die "policy: $!";
    print unpack("H*", substr($policy, 16, 16)), "\n";
} else {
    my $key = pack("L L a32 a24 a64", 2, 0, pack("H*", $name), "", "");
    defined ioctl($open, 0xC080661A, $key) or die "key: $!";
    print unpack("L", substr($key, 64, 4)), "\n";
}"#;

/// Has a worker that makes a home stop when the kernel has the key, kills it, or the daemon and with that the worker, and waits
/// until the key is gone.
const MAKING_KILLED: &str = r#"
echo "STEP stop" > /run/homed/fault
: >/run/said
(NEWPASSWORD=correcthorse setsid homectl create alice --enforce-password-policy=no --storage=fscrypt >/run/said 2>&1; echo ended >>/run/said) &
until worker=$(pgrep -r T -fx /usr/lib/homed/worker); do
    ! grep ended /run/said || { cat /run/said; journalctl -b -u homed -n 30; exit 1; } >&2
    sleep 0.05
done; rm /run/homed/fault
name=$(perl /root/key name /home/.#homed-new-*)
[ $(perl /root/key status /srv $name) = 2 ] || { echo it has no key; exit 1; }
case WHO in worker) kill -KILL $worker;; daemon) kill -KILL $(systemctl show -P MainPID homed);; esac
for try in $(seq 300); do [ $(perl /root/key status /srv $name) != 1 ] || exit 0; sleep 0.1; done
perl /root/key status /srv $name; ls -lA /home; journalctl -b -u homed -n 30; exit 1"#;

/// Nothing told any more which key that was, and it stayed until the file system was unmounted.
#[test]
fn a_home_whose_making_was_killed_leaves_no_key_in_the_kernel() -> Result<()> {
    let machine = past_processor_faults(|| start(Image::Ours))?;
    machine.write_file("/root/key", KEY)?;
    machine.check("mount --bind /srv /home")?;
    for (step, who) in
        [("add-keys", "worker"), ("add-keys", "daemon"), ("sync", "worker"), ("sync", "daemon")]
    {
        machine
            .check(&MAKING_KILLED.replace("STEP", step).replace("WHO", who))
            .map_err(|error| error.context(format!("{who} killed at {step}")))?;
        machine.check("until homectl list >/dev/null; do sleep 0.1; done")?;
    }
    machine.done("create alice --enforce-password-policy=no --storage=fscrypt", "", "correcthorse")?;
    machine.check("! ls -d /home/.#homed-new-* 2>/dev/null")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "").map(drop)
}

/// The original of Debian stable (257) makes policies of version 1, and slots of the older form.
#[test]
fn a_home_of_the_original_opens_with_ours() -> Result<()> {
    let machine = past_processor_faults(|| start(Image::Peer))?;
    machine.done(&format!("{CREATE}{FOLDER}"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    // It leaves the key in the user's own keyring, which no other session has.
    machine.check(
        "systemd-run --quiet --wait -p User=alice -p KeyringMode=shared sh -c 'echo original > /home/alice/secret-file'",
    )?;
    machine.done("deactivate alice", "", "")?;
    machine.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    machine.check("dpkg --install /root/homed.deb >&2 && systemctl is-active homed.service")?;
    machine.refused("activate alice", "wrong", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("grep original ~/secret-file && echo ours >> ~/secret-file").user("alice").check()?;
    machine.done("deactivate alice", "", "")?;
    unreadable(&machine)?;
    ensure!(!slots(&machine)?[0].contains("$v2:"), "it is not of the older form");
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.done("activate alice", "batterystaple", "")?;
    machine.done("deactivate alice", "", "").map(drop)
}
