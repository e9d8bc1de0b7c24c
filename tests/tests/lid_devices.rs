//! Locks while devices and servers give no answer, and while much is to be written: bounded, named, and without loss.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::Console;
use std::time::{Duration, Instant};

/// What a suspend that is broken off may take: ten seconds for what cannot be frozen, and the way there and back.
const BOUND: Duration = Duration::from_secs(30);

/// A device that does not answer.
const DEAD_DEVICE: &str = "
truncate -s 1M /run/stuck.img
dmsetup create stuck --table \"0 2048 linear $(losetup -f --show /run/stuck.img) 0\"
chmod 666 /dev/mapper/stuck
dmsetup suspend --noflush stuck";

/// A file system whose server does not answer.
const DEAD_SERVER: &str = r#"
modprobe fuse; mkdir -p /run/dead
cat > /run/server <<'END'
open(my $server, "+<", "/dev/fuse") or die "open: $!";
my $options = "fd=" . fileno($server) . ",rootmode=40000,user_id=0,group_id=0,allow_other";
my ($source, $target, $kind) = ("dead", "/run/dead", "fuse");
syscall(165, $source, $target, $kind, 6, $options) == 0 or die "mount: $!";
sleep 100000;
END
setsid perl /run/server </dev/null >/dev/null 2>/run/server.log &
until grep -q /run/dead /proc/self/mounts; do kill -0 $! || { cat /run/server.log; exit 1; }; sleep 0.05; done"#;

/// A file system that is served in alice's slice, as sshfs and a desktop's are: one endless file, of which a read takes the server a
/// while. What goes over `/dev/fuse` is in the kernel's `include/uapi/linux/fuse.h`.
const SLOW_SERVER: &str = r#"
modprobe fuse; mkdir -p /run/slow
cat > /run/server <<'END'
open(my $server, "+<", "/dev/fuse") or die "open: $!";
my ($source, $target, $kind) = ("slow", "/run/slow", "fuse");
my $options = "fd=" . fileno($server) . ",rootmode=40755,user_id=0,group_id=0,allow_other";
syscall(165, $source, $target, $kind, 6, $options) == 0 or die "mount: $!";
sub attributes { pack("Q6L10", $_[0], 1 << 50, 0, 0, 0, 0, 0, 0, 0, $_[0] == 1 ? 040755 : 0100444, 1, 0, 0, 0, 4096, 0) }
while (sysread($server, my $asked, 1 << 17)) {
    my ($length, $what, $number, $node) = unpack("LLQQ", $asked);
    next if $what == 2 || $what == 36 || $what == 42;
    my ($error, $said) = (0, "");
    if ($what == 26) { $said = pack("L4S2L2S2L8", 7, 23, 4096, 0, 12, 9, 4096, 1, (0) x 10) }
    elsif ($what == 1) { $said = pack("Q4L2", 2, 0, 100, 100, 0, 0) . attributes(2) }
    elsif ($what == 3) { $said = pack("QL2", 100, 0, 0) . attributes($node) }
    elsif ($what == 14 || $what == 27) { $said = pack("QL2", 1, 1, 0) }
    elsif ($what == 15) { select(undef, undef, undef, 0.02); $said = "x" x unpack("x56L", $asked); }
    elsif ($what != 18 && $what != 25 && $what != 29) { $error = -38 }
    syswrite($server, pack("LlQ", 16 + length($said), $error, $number) . $said);
}
END
echo $$ > $(dirname $(find /sys/fs/cgroup/user.slice -path '*session-*' -name cgroup.procs | head -1))/cgroup.procs
setsid perl /run/server </dev/null >/dev/null 2>/run/server.log &
until cat /proc/self/mounts | grep -q /run/slow; do kill -0 $! || { cat /run/server.log; exit 1; }; sleep 0.05; done"#;

fn unlock_at(console: &Console) -> Result<()> {
    console.expect("assword")?;
    console.send("correcthorse")?;
    console.expect("is unlocked")?;
    Ok(())
}

/// Closes the lid while this program of hers waits where nothing reaches it: the machine stays awake, and it is named.
fn stays_awake(machine: &Ours, program: &str) -> Result<()> {
    machine.check(&format!(
        "until ps -o stat= -p $(pgrep -x -u alice {program}) | grep -q ^D; do sleep 0.05; done"
    ))?;
    let begin = Instant::now();
    machine.check("systemctl suspend; until systemctl is-failed homed-lock.service; do sleep 0.1; done")?;
    let took = begin.elapsed();
    println!("{program}: {took:?}");
    ensure!(took < BOUND, "{program}: it took {took:?}");
    machine.check(&format!(
        "pid=$(pgrep -x -u alice {program})
        journalctl -q -u homed-lock -g \"cannot be stopped: {program} in [^ ]* .$pid.\" | grep .
        while systemctl list-jobs | grep -q -E 'sleep|suspend'; do sleep 0.1; done; systemctl reset-failed
        ! dmesg | grep 'PM: suspend entry'"
    ))?;
    // wall(1) breaks lines.
    machine.console().expect("homed: The machine does not sleep: ")?;
    machine.console().expect("End them and try again.")?;
    assert_eq!(machine.console().shell("echo open")?.0, "open\n");
    Ok(())
}

#[test]
fn who_cannot_be_stopped_is_named_and_the_machine_stays_awake() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    let console = machine.console();
    console.login("alice", "correcthorse")?;

    machine.check(DEAD_SERVER)?;
    console.shell("(ls /run/dead/x >/dev/null 2>&1 &) ; :")?;
    stays_awake(&machine, "ls")?;
    machine.check("umount -f /run/dead; while pgrep -x -u alice ls; do sleep 0.05; done")?;

    machine.check(DEAD_DEVICE)?;
    console.shell("(dd if=/dev/mapper/stuck of=/dev/null bs=4k count=1 2>/dev/null &) ; :")?;
    stays_awake(&machine, "dd")?;
    machine.check("dmsetup resume stuck; while pgrep -x -u alice dd; do sleep 0.05; done")?;

    // Once they have their answer, it sleeps.
    machine.suspend()?;
    machine.wake()?;
    unlock_at(console)
}

/// sshfs, rclone, a desktop's: frozen together with its server, a read would never end.
#[test]
fn who_reads_what_a_process_of_hers_serves_is_frozen_too() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    let console = machine.console();
    console.login("alice", "correcthorse")?;
    machine.check(SLOW_SERVER)?;
    assert_eq!(console.shell("head -c 5 /run/slow/file")?, ("xxxxx".into(), 0));
    // A job in front of a shell that controls jobs.
    console.send("dd if=/run/slow/file of=/dev/null bs=4k")?;
    let reads = "pid=$(pgrep -x dd) && before=$(awk '/^syscr/ { print $2 }' /proc/$pid/io)
        until [ $(awk '/^syscr/ { print $2 }' /proc/$pid/io) -gt $((before + 20)) ]; do sleep 0.05; done";
    for _ in 0..2 {
        machine.check(&format!("until pgrep -x dd; do sleep 0.05; done; {reads}"))?;
        let begin = Instant::now();
        machine.suspend()?;
        println!("asleep after {:?}", begin.elapsed());
        machine.wake()?;
        unlock_at(console)?;
        // Her shell has seen nothing of it: it is in front still, and reads on.
        machine.check(reads)?;
        machine.check("ps -o stat= -p $(pgrep -x dd) | grep -F +")?;
    }
    machine.check("pkill -INT -x dd")?;
    let said = console.expect("records in")?;
    ensure!(!said.contains("Stopped"), "{said}");
    Ok(())
}

/// Writes so much to memory, and nothing to disk.
fn dirty(size: &str) -> String {
    format!("head -c {size} /dev/urandom > dirty && sha256sum dirty > sum")
}

#[test]
fn much_to_write_and_somebody_who_syncs_do_not_hold_up_a_sleep() -> Result<()> {
    let machine = Ours::full()?;
    // The kernel is to leave it where it is; where it watches for hung tasks, it is to do so closely.
    machine.check(
        "cd /proc/sys/vm; echo 90 > dirty_ratio; echo 80 > dirty_background_ratio; echo 0 > dirty_writeback_centisecs
        cd ../kernel; [ ! -e hung_task_timeout_secs ] || echo 20 > hung_task_timeout_secs",
    )?;
    let consoles = [machine.console(), machine.second_console()];
    for (user, system, console) in [("alice", "btrfs", consoles[0]), ("bob", "ext4", consoles[1])] {
        let words = format!("create {user} {CHEAP} --disk-size=700M --fs-type={system}");
        machine.done(&words, "", "correcthorse")?;
        console.login(user, "correcthorse")?;
        assert_eq!(console.shell(&dirty("250M"))?.1, 0);
    }
    let waiting: u64 =
        machine.check("awk '/^Dirty:/ { print int($2 / 1024) }' /proc/meminfo")?.trim().parse()?;
    ensure!(waiting > 300, "only {waiting} MiB are dirty");
    let begin = Instant::now();
    machine.suspend()?;
    println!("{waiting} MiB to write: asleep after {:?}", begin.elapsed());
    ensure!(begin.elapsed() < BOUND, "it took {:?}", begin.elapsed());
    machine.wake()?;

    // Syncs while locked, asleep again from there, and while it unlocks and works.
    machine.check("(while :; do sync; echo > /run/synced; done) </dev/null >/dev/null 2>&1 &")?;
    machine.suspend()?;
    machine.wake()?;
    let syncs =
        "rm -f /run/synced; for try in $(seq 600); do [ -e /run/synced ] && exit 0; sleep 0.1; done; exit 1";
    machine.check(syncs)?;
    consoles.into_iter().try_for_each(unlock_at)?;
    for console in consoles {
        assert_eq!(console.shell("sha256sum --quiet -c sum")?, (String::new(), 0));
        console.shell(&format!("(while {}; do :; done) 2>/dev/null & :", dirty("20M")))?;
    }
    machine.suspend()?;
    machine.wake()?;
    machine.check(syncs)?;
    consoles.into_iter().try_for_each(unlock_at)?;
    machine.check(syncs)?;
    let complaints = machine
        .check("dmesg | grep -E 'cut here|blocked for more than|BUG|BTRFS error|EXT4-fs error' || :")?;
    ensure!(complaints.is_empty(), "the kernel complains:\n{complaints}");
    machine.check("[ ! -e /run/homed/freeze_filesystems ] && grep -qx 0 /sys/power/freeze_filesystems")?;
    Ok(())
}
