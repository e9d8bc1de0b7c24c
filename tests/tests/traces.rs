//! What stays in the kernel of a home, whoever has left it there: after a lock no key of it, in any device or table; after
//! a close nothing at all; and what is open already is not opened a second time.

use anyhow::{Context, Result, ensure};
use homed_tests::secrets::pages_with;
use homed_tests::{CHEAP, Ours};
use std::time::{Duration, Instant};

const WORDS: &str = "words-of-the-home";

/// A home with something in it that can be recognized.
fn home() -> Result<Ours> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(&format!("for i in $(seq 1000); do echo {WORDS}; done > /home/alice/x; sync"))?;
    Ok(machine)
}

/// Prints the devices of the home whose plaintext can be read, or that could be made to give it.
const READABLE: &str = "
for name in $(dmsetup ls --target crypt 2>/dev/null | awk '/:/ { print $1 }'); do
    dmsetup info $name | grep -q 'State: *SUSPENDED' || echo $name takes requests
    ! dmsetup info $name | grep -q 'Tables present: *.*INACTIVE' || echo $name has a second table
    ! timeout 5 dmsetup resume $name 2>/dev/null || echo $name goes on without its key
    [ -z \"$(dmsetup table --showkeys $name | cut -d' ' -f5 | tr -d 0)\" ] || echo $name has a key
done
grep cryptsetup: /proc/keys
:";

fn nothing_readable(machine: &Ours) -> Result<()> {
    let readable = machine.check(READABLE)?;
    ensure!(readable.is_empty(), "{readable}\n{}", machine.log());
    Ok(())
}

fn fault(machine: &Ours, step: &str) -> Result<()> {
    machine.write_file("/run/homed/fault", format!("{step} kill"))
}

const NO_FAULT: &str = "rm -f /run/homed/fault";

/// Waits until no device of hers is there.
const GONE: &str = "
for try in $(seq 600); do dmsetup ls 2>/dev/null | grep -q ^home-alice || exit 0; sleep 0.1; done
dmsetup ls; losetup -a; exit 1";

/// The steps in which a device is made.
const MAKING: [&str; 6] =
    ["make-mapped", "blank-mapped", "hold-mapped", "mark-mapped", "key-mapped", "start-mapped"];

#[test]
fn a_worker_killed_while_it_makes_its_device_leaves_nothing() -> Result<()> {
    let machine = home()?;
    machine.done("deactivate alice", "", "")?;
    for step in MAKING {
        for words in ["check alice", "activate alice", "rescue alice /srv"] {
            fault(&machine, step)?;
            machine.refused(words, "correcthorse", "")?;
            machine.check(NO_FAULT)?;
            machine.check(GONE)?;
            machine.nothing_open("alice")?;
        }
    }
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("lock alice", "", "")?;
    nothing_readable(&machine)?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check("[ -b /dev/mapper/home-alice ]")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// Has a worker stop at its step, kills the daemon, with which the worker dies, and prints what the two leave that could
/// have a key, or that nobody would take away: there is nobody to do so.
const KILLED_TOGETHER: &str = r#"
(PASSWORD=correcthorse NEWPASSWORD=correcthorse setsid homectl WORDS >/dev/null 2>&1 &)
until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.02; done
pid=$(cat /run/homed.pid); kill -KILL $pid; tail --pid=$pid -f /dev/null
while pgrep -fx /usr/lib/homed/worker >/dev/null; do sleep 0.02; done
for try in $(seq 600); do
    left=$(dmsetup ls --target crypt 2>/dev/null | grep home-; losetup -a | grep alice; grep cryptsetup: /proc/keys)
    [ -n "$left" ] || exit 0
    sleep 0.1
done
echo "$left"; dmsetup info; exit 1"#;

#[test]
fn a_worker_killed_together_with_the_daemon_leaves_no_key_either() -> Result<()> {
    let machine = home()?;
    machine.done("deactivate alice", "", "")?;
    for step in MAKING {
        machine.write_file("/run/homed/fault", format!("{step} stop"))?;
        machine
            .check(&KILLED_TOGETHER.replace("WORDS", "activate alice"))
            .with_context(|| format!("killed before {step}"))?;
        machine.check(NO_FAULT)?;
        if ["key-mapped", "start-mapped"].contains(&step) {
            // The kernel has taken it away by itself.
            machine.check(GONE)?;
        }
        machine.start_daemon()?;
        machine.done("activate alice", "correcthorse", "")?;
        machine.done("deactivate alice", "", "")?;
        machine.nothing_open("alice")?;
    }
    Ok(())
}

/// What is left of a home that has no record: devices, loop devices, unfinished images, markers, blobs.
const LEFT: &str = "
dmsetup ls 2>/dev/null | grep home-; ls /dev/mapper | grep home-; losetup -a
find /home /run/homed/jobs /var/lib/systemd/home /var/cache/systemd/home -name '*carol*'; :";

#[test]
fn a_home_whose_making_was_killed_together_with_the_daemon_leaves_nothing() -> Result<()> {
    let machine = Ours::small()?;
    let make = KILLED_TOGETHER.replace("WORDS", &format!("create carol {CHEAP}"));
    for step in ["allocate", "attach", "format", "populate", "publish"].iter().chain(&MAKING) {
        machine.write_file("/run/homed/fault", format!("{step} stop"))?;
        machine.check(&make).with_context(|| format!("killed before {step}"))?;
        machine.check(NO_FAULT)?;
        machine.start_daemon()?;
        let left = machine.check(LEFT)?;
        ensure!(left.is_empty(), "killed before {step}: {left}\n{}", machine.log());
    }
    // Where the disk cannot make files without a name. Another machine's is not ours to take away.
    machine.kill_daemon()?;
    machine.check(
        "id=$(cat /etc/machine-id); other=$(echo $id | tr 0-9a-f 1-9a-f0)
        touch /home/.#homeworkcarol.home.$id.abc /home/.#homeworkcarol.home.$other.abc",
    )?;
    machine.start_daemon()?;
    let left = machine.check("ls -A /home | grep carol | grep -v $(cat /etc/machine-id)")?;
    ensure!(left.lines().count() == 1, "{left}");
    machine.check("! ls -A /home | grep carol | grep $(cat /etc/machine-id); rm /home/.#*")?;
    machine.create("carol", "correcthorse")?;
    machine.done("activate carol", "correcthorse", "")?;
    machine.done("deactivate carol", "", "")?;
    machine.nothing_open("carol")
}

#[test]
fn a_second_table_and_a_second_device_do_not_outlive_a_lock() -> Result<()> {
    let machine = home()?;
    machine.check("dmsetup table --showkeys home-alice | dmsetup load home-alice; dmsetup info home-alice | grep INACTIVE")?;
    machine.done("lock alice", "", "")?;
    nothing_readable(&machine)?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check(&format!("grep -q {WORDS} /home/alice/x"))?;

    // A copy of the device, made by hand: it is no process of hers, and named.
    machine.check("dmsetup table --showkeys home-alice | dmsetup create by-hand")?;
    let said = machine.refused("lock alice", "", "")?;
    ensure!(said.contains("by-hand"), "{said}");
    machine.check("dmsetup remove by-hand")?;
    Ok(())
}

#[test]
fn the_key_goes_whoever_has_the_loop_device_open() -> Result<()> {
    let machine = home()?;
    machine.check(
        "exec 9< $(losetup -nl -O NAME,BACK-FILE | awk '/alice/ { print $1 }')
        setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > /run/holder",
    )?;
    machine.check("grep -q cryptsetup: /proc/keys")?;
    machine.check("(setsid homectl deactivate alice >/dev/null 2>&1 &) ; for try in $(seq 600); do grep -q cryptsetup: /proc/keys || exit 0; sleep 0.1; done; cat /proc/keys; exit 1")?;
    machine.check("kill $(cat /run/holder)")?;
    machine.becomes("alice", "inactive")?;
    machine.nothing_open("alice")
}

#[test]
fn an_image_that_somebody_has_opened_is_not_opened_again() -> Result<()> {
    let machine = home()?;
    machine.done("deactivate alice", "", "")?;
    machine.check(
        "loop=$(losetup -f --show -P /home/alice.home); udevadm settle 2>/dev/null || :
        losetup -d $loop
        start=$(sfdisk -J /home/alice.home | jq .partitiontable.partitions[0].start)
        loop=$(losetup -f --show -o $((start * 512)) /home/alice.home)
        echo -n correcthorse | cryptsetup open --key-file=- $loop by-hand
        mkdir -p /mnt/hand; mount /dev/mapper/by-hand /mnt/hand; echo $loop > /run/loop",
    )?;
    for words in ["activate alice", "rescue alice /srv", "resize alice 300M"] {
        let said = machine.refused(words, "correcthorse", "")?;
        ensure!(said.contains("by-hand") && said.contains("/mnt/hand"), "{words}: {said}");
    }
    // Its key is in memory, and it is not ours to close.
    let said = machine.refused("lock-all", "", "")?;
    ensure!(said.contains("by-hand"), "{said}");
    machine.check("umount /mnt/hand; cryptsetup close by-hand")?;
    let said = machine.refused("activate alice", "correcthorse", "")?;
    ensure!(said.contains("losetup -d /dev/loop"), "{said}");
    machine.check("losetup -d $(cat /run/loop)")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(&format!("grep -q {WORDS} /home/alice/x"))?;
    Ok(())
}

/// A file system whose server never answers, and a process that has a folder of it open.
const DEAD_SERVER: &str = r#"
modprobe fuse; mkdir -p /run/dead
cat > /run/server <<'END'
open(my $server, "+<", "/dev/fuse") or die "open: $!";
my $options = "fd=" . fileno($server) . ",rootmode=40000,user_id=0,group_id=0,allow_other";
my ($source, $target, $kind) = ("dead", "/run/dead", "fuse");
syscall(165, $source, $target, $kind, 6, $options) == 0 or die "mount: $!";
sysopen(my $open, "/run/dead", 010000000) or die "open: $!";
sleep 100000;
END
setsid perl /run/server </dev/null >/dev/null 2>/run/server.log &
until ls -l /proc/$!/fd | grep -q /run/dead; do kill -0 $! || { cat /run/server.log; exit 1; }; sleep 0.05; done"#;

#[test]
fn what_is_shown_elsewhere_is_closed_or_named() -> Result<()> {
    let machine = home()?;
    machine.done("deactivate alice", "", "")?;
    machine.done("rescue alice /srv/r", "correcthorse", "")?;
    machine.check("setsid sleep 1000 < /srv/r/x >/dev/null 2>&1 & echo $! > /run/reader")?;
    let said = machine.refused("lock-all", "", "")?;
    ensure!(said.contains("/srv/r") && said.contains("sleep"), "{said}");
    machine.check(
        "kill $(cat /run/reader); while kill -0 $(cat /run/reader) 2>/dev/null; do sleep 0.05; done",
    )?;
    machine.done("lock-all", "", "")?;
    machine.nothing_open("alice")?;
    nothing_readable(&machine)
}

/// A process with a mount namespace of its own, in which she is at work; the machine's own mounts do not reach it.
const PINNED: &str = "
unshare -m --propagation private sh -c 'cd /home/alice; echo > /run/there; exec sleep 100000' </dev/null >/dev/null 2>&1 &
echo $! > /run/pin; until [ -e /run/there ]; do sleep 0.05; done";

#[test]
fn another_mount_namespace_keeps_nobody_out_and_no_key_in() -> Result<()> {
    let machine = home()?;
    machine.check(PINNED)?;
    let said = machine.not_closed("alice")?;
    ensure!(said.contains("sleep"), "{said}");
    machine.becomes("alice", "dirty")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(&format!("grep -q {WORDS} /home/alice/x; echo more >> /home/alice/x; [ $(losetup -l | grep -c alice.home) = 1 ]"))?;
    machine.done("lock alice", "", "")?;
    nothing_readable(&machine)?;
    machine.done("unlock alice", "correcthorse", "")?;

    // Closed as far as that goes, and locked from there.
    machine.not_closed("alice")?;
    machine.becomes("alice", "dirty")?;
    machine.done("lock-all", "", "")?;
    nothing_readable(&machine)?;
    machine.refused("activate alice", "wrong", "")?;
    nothing_readable(&machine)?;
    // A login that was killed on the way leaves what can be locked again. Who settles a lock that was killed covers the home
    // there, and who opens it lets it go on there, too.
    for (words, step) in [("activate alice", "mount"), ("lock-all", "evict")] {
        machine.check(&format!("echo {step} kill > /run/homed/fault"))?;
        ensure!(machine.homectl(words, "correcthorse", "")?.status != 0, "{words} was not killed");
        machine.check("rm -f /run/homed/fault")?;
    }
    machine.done("lock-all", "", "")?;
    nothing_readable(&machine)?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("nsenter -m -t $(cat /run/pin) cat /home/alice/x > /dev/null")?;
    machine.check("grep -q more /home/alice/x; echo again > /home/alice/y; sync")?;
    machine.check("kill $(cat /run/pin)")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// A process of the machine's own that goes on with a file of a home which root has unmounted lazily: no table of mounts shows
/// that home any more. What it writes then is in memory alone.
const UNSEEN: &str = "
mkfifo /run/say
setsid sh -c 'exec 3>>/home/alice/late; cd /; read word < /run/say; echo $word >&3; echo > /run/said; exec sleep 100000' \
    </dev/null >/dev/null 2>&1 &
echo $! > /run/writer; until [ -e /home/alice/late ]; do sleep 0.05; done; sync
umount -l /home/alice; echo written-last > /run/say; until [ -e /run/said ]; do sleep 0.05; done";

/// Prints what a copy of the image has of it, as the disk would have it after a power cut.
const AFTER_A_CUT: &str = "
cp --sparse=always /home/alice.home /root/copy; mkdir -p /mnt/copy
loop=$(losetup -f --show -o 1048576 --sizelimit $((($(stat -c %s /root/copy) / 1048576 - 2) * 1048576)) /root/copy)
printf correcthorse | cryptsetup open --key-file - $loop peek
mount -o ro /dev/mapper/peek /mnt/copy; cat /mnt/copy/alice/late
umount /mnt/copy; cryptsetup close peek; losetup -d $loop; rm /root/copy";

/// The key of such a home was wiped, and what was not written yet hung on the machine's power.
#[test]
fn what_no_table_of_mounts_shows_is_written_out_before_its_key_goes() -> Result<()> {
    for kind in ["ext4", "btrfs"] {
        let machine = Ours::small()?;
        let given = [("NEWPASSWORD", "correcthorse")];
        let made = machine
            .homectl_given(&given, &format!("create alice {CHEAP} --disk-size=256M --fs-type={kind}"))?;
        ensure!(made.status == 0, "{made:?}");
        machine.done("activate alice", "correcthorse", "")?;
        machine.check(UNSEEN)?;
        machine.done("lock-all", "", "")?;
        nothing_readable(&machine)?;
        let found = machine.check(AFTER_A_CUT)?;
        ensure!(found == "written-last\n", "{kind}: {found:?}\n{}", machine.log());
        machine.refused("activate alice", "wrong", "")?;
        machine.done("activate alice", "correcthorse", "")?;
        machine.check("grep -q written-last /home/alice/late; kill $(cat /run/writer)")?;
        machine.done("deactivate alice", "", "")?;
        machine.nothing_open("alice")?;
    }
    Ok(())
}

/// What lies on another device above the home's could be frozen by nobody: it is named, and goes on.
#[test]
fn a_device_on_the_home_s_is_named_and_goes_on() -> Result<()> {
    let machine = home()?;
    machine.check(
        "setsid sleep 100000 < /home/alice/x >/dev/null 2>&1 & echo $! > /run/reader
        until [ /proc/$!/fd/0 -ef /home/alice/x ]; do kill -0 $! || exit 1; sleep 0.05; done
        umount -l /home/alice; loop=$(losetup -f --show /dev/mapper/home-alice) || exit 1; echo $loop > /run/loop",
    )?;
    let said = machine.refused("lock-all", "", "")?;
    ensure!(said.contains("Another block device lies on") && said.contains("home-alice"), "{said}");
    machine.check("dd if=$(cat /run/loop) bs=4096 count=1 iflag=direct status=none > /dev/null")?;
    machine.check("losetup -d $(cat /run/loop); kill $(cat /run/reader)")?;
    machine.done("lock-all", "", "")?;
    machine.nothing_open("alice")
}

/// Pages that a pipe has had, and that may lie in free memory which nobody gets: of the files there are 512.
const UNREACHED: usize = 16;

/// The same, and root there has a file of the home mapped and read.
const MAPPED: &str = r#"
word=$(echo obeebjrq-cntr-bs-gur-ubzr | tr a-z n-za-m)
yes $word | head -c 1M > /home/alice/mapped; yes $word | head -c 1M > /home/alice/plain; sync
cat > /run/map <<'END'
chdir "/home/alice"; open(my $file, "<", "mapped") or die;
my $start = syscall(9, 0, 1 << 20, 1, 1, fileno($file), 0); die if $start == -1;
my $sum = 0; for (my $at = 0; $at < 1 << 20; $at += 4096) { $sum += ord unpack("P1", pack("Q", $start + $at)) }
open(my $there, ">", "/run/there"); close $there; sleep 100000;
END
unshare -m --propagation private perl /run/map </dev/null >/dev/null 2>&1 &
echo $! > /run/pin; until [ -e /run/there ]; do kill -0 $! || exit 1; sleep 0.05; done"#;

#[test]
fn what_another_mount_namespace_has_mapped_of_a_home_leaves_memory_with_the_key() -> Result<()> {
    let machine = home()?;
    machine.check(MAPPED)?;
    let pages = || pages_with(&machine, "borrowed-page-of-the-home");
    ensure!(pages()? >= 512, "the search does not find what is in memory");
    // Mounted here as well, and there alone.
    machine.done("lock alice", "", "")?;
    ensure!(pages()? < UNREACHED, "locked: {} pages\n{}", pages()?, machine.log());
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check("cat /home/alice/mapped /home/alice/plain > /dev/null")?;
    machine.not_closed("alice")?;
    machine.becomes("alice", "dirty")?;
    machine.done("lock-all", "", "")?;
    nothing_readable(&machine)?;
    ensure!(pages()? < UNREACHED, "locked elsewhere: {} pages\n{}", pages()?, machine.log());
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("kill $(cat /run/pin)")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

#[test]
fn a_server_that_never_answers_does_not_hang_the_proof() -> Result<()> {
    let machine = home()?;
    machine.check(DEAD_SERVER)?;
    let begin = Instant::now();
    machine.done("lock alice", "", "")?;
    machine.done("list", "", "")?;
    ensure!(begin.elapsed() < Duration::from_secs(15), "it took {:?}", begin.elapsed());
    ensure!(machine.log().contains("no trace of the volume key"), "{}", machine.log());
    machine.done("unlock alice", "correcthorse", "")?;
    Ok(())
}
