//! A lock on a machine with more memory than 4 GiB, where the kernel holds a part of it back from programs: what was freed is
//! written over, and nobody else notices. Only the machine with a screen has such memory.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use homed_tests::secrets::pages_with;
use homed_tests::{CHEAP, Ours};
use machine::{Hardware, Image, Init, Machine, past_processor_faults};

/// How much is told of where it is not all, in hundredths.
const ENOUGH: u64 = 90;

/// MiB that may be left besides: what processors have put aside.
const ASIDE: u64 = 4;

/// Fills nearly all free memory with files in memory, of which every hundredth is one that is deleted then. Those hold a text on
/// each page, and the others another, neither in one piece in what is run here.
const FILL: &str = r#"
mkdir /run/large && mount -t tmpfs -o size=100% none /run/large && perl -e '
    open my $info, "<", "/proc/meminfo" or die;
    my ($free) = map { /^MemFree:\s+(\d+)/ ? $1 : () } <$info>;
    for my $number (1 .. (($free >> 10) - 128) / 32) {
        my $kind = $number % 100 ? "kept" : "freed";
        my $mark = "$kind-5c1a77" . "e09b";
        my $piece = ($mark . " " x (4096 - length $mark)) x 256;
        open my $file, ">", "/run/large/$kind-$number" or die;
        (syswrite $file, $piece) == length $piece or die for 1 .. 32;
    }
'"#;

/// Somebody at work: has memory of their own, looks at it, and counts.
const NEIGHBOUR: &str = r#"
my $own = "n" x 200_000_000;
for (my $count = 1; ; $count++) {
    die unless substr($own, $count * 4096 % length $own, 1) eq "n";
    open my $told, ">", "/run/neighbour.new" or die;
    print $told "$count\n";
    close $told;
    rename "/run/neighbour.new", "/run/neighbour";
    select undef, undef, undef, 0.01;
}
"#;

/// What a lock leaves as it is: nobody is ended or has to wait for memory, and the kernel's settings are those of before.
const KERNEL: &str = "awk '$1 == \"oom_kill\" || $1 ~ /^allocstall_/' /proc/vmstat
    cd /proc/sys/vm; grep . swappiness watermark_boost_factor min_free_kbytes watermark_scale_factor";

fn start() -> Result<Ours> {
    let settings = Machine::builder().image(Image::Ours).init(Init::Full).hardware(Hardware::Screen);
    let machine = Ours(settings.memory(6144).start()?);
    // Memory above 4 GiB.
    machine.check("grep -A 20 'zone *Normal' /proc/zoneinfo | grep -q 'present *[1-9][0-9]\\{5\\}'")?;
    machine.write_file("/run/neighbour.pl", NEIGHBOUR)?;
    machine.check(
        "systemd-run --quiet --unit=neighbour perl /run/neighbour.pl; until [ -e /run/neighbour ]; do sleep 0.1; done",
    )?;
    Ok(machine)
}

fn number(machine: &Ours, script: &str) -> Result<u64> {
    let text = machine.check(script)?;
    text.trim().parse().with_context(|| format!("{script}: {text}"))
}

/// `MemAvailable`, in MiB.
fn available(machine: &Ours) -> Result<u64> {
    Ok(number(machine, "awk '/^MemAvailable:/ { print $2 }' /proc/meminfo")? >> 10)
}

/// Free memory at the beginning of a scrub, and how much of it was written over, in MiB.
#[derive(Debug)]
struct Told {
    written: u64,
    free: u64,
    /// It ended by itself, not because of its bound.
    ended: bool,
}

/// What the daemon's log says of a scrub. `None`: nothing, so it was nearly all.
fn told(log: &str) -> Result<Option<Told>> {
    let Some((_, rest)) = log.split_once("% of the free memory could be written over (") else {
        return Ok(None);
    };
    let (written, rest) = rest.split_once(" of ").context("of how much?")?;
    let (free, rest) = rest.split_once(" MiB").context("of what?")?;
    Ok(Some(Told { written: written.parse()?, free: free.parse()?, ended: rest.starts_with(')') }))
}

/// Locks the home; nobody else notices. What was told.
fn locks(machine: &Ours) -> Result<Option<Told>> {
    let (kernel, before) = (machine.check(KERNEL)?, available(machine)?);
    let counted = number(machine, "cat /run/neighbour")?;
    machine.check("journalctl -b -u homed -o cat --cursor-file=/run/seen >/run/old-log")?;
    let done = machine.homectl("lock alice", "", "")?;
    let log = machine.check("journalctl -b -u homed -o cat --cursor-file=/run/seen")?;
    ensure!(done.status == 0, "{}\n{log}", done.stderr);
    assert_eq!(machine.state("alice")?, "locked");
    assert_eq!(machine.check(KERNEL)?, kernel, "{log}");
    let after = available(machine)?;
    println!("{before} MiB can be had before, {after} MiB after\n{kernel}{log}");
    ensure!(after + 64 > before, "{before} MiB could be had before, {after} MiB after");
    machine.check(&format!(
        "until [ $(cat /run/neighbour) -gt {counted} ]; do systemctl is-active neighbour; done"
    ))?;
    told(&log)
}

/// What is left in memory of what was deleted is no more than is told not to have been written over.
fn honest(machine: &Ours, mark: &str, told: &Told) -> Result<()> {
    let left = (pages_with(machine, mark)? >> 8) as u64;
    println!("{left} MiB with {mark} are left; {told:?}");
    ensure!(left <= told.free - told.written + ASIDE, "{left} MiB are left, {told:?}");
    Ok(())
}

#[test]
fn a_lock_with_much_memory_ends_by_itself_and_nobody_else_notices() -> Result<()> {
    let machine = past_processor_faults(start)?;
    machine.done(&format!("create alice {CHEAP}"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command(FILL).timeout(Duration::from_secs(600)).check()?;
    let (freed, kept) = ("freed-5c1a77e09b", "kept-5c1a77e09b");
    let planted = (pages_with(&machine, freed)?, pages_with(&machine, kept)?);
    println!("{planted:?} pages are deleted and kept");
    ensure!(planted.0 > 8_000 && planted.1 > 1_000_000, "{planted:?}: that is not above 4 GiB");

    // So little is free that even a computed processor comes to the end in time, and that what the kernel holds back is more
    // than a tenth, and told.
    machine.check("rm /run/large/freed-*")?;
    let said = locks(&machine)?.context("nothing was told of what is held back")?;
    ensure!(said.ended, "{said:?}");
    honest(&machine, freed, &said)?;
    let in_use = number(&machine, "du -sk /run/large | cut -f 1")? / 4;
    let there = pages_with(&machine, kept)?;
    println!("{there} pages of {in_use} in use are there");
    ensure!(in_use > 1_000_000 && there as u64 >= in_use, "something of what is in use is gone");

    // With all of it free it may come to its bound before that. Then it says so.
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check("umount /run/large")?;
    let said = locks(&machine)?;
    let all = in_use >> 8;
    honest(&machine, kept, &said.unwrap_or(Told { written: all * ENOUGH / 100, free: all, ended: true }))?;
    machine.done("unlock alice", "correcthorse", "").map(drop)
}
