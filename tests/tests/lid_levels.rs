//! The lid at the levels above the usual one: what processes have in memory of their own is gone, too.

use anyhow::{Result, ensure};
use homed_tests::secrets::{pages_with, traces_of_key, volume_key};
use homed_tests::{CHEAP, Ours, frames};
use machine::{Console, Machine};

/// Not in one piece in anything that is typed or run in the machine.
const MARK: &str = "5c1a77e09b";

/// Where a process has something in memory of its own.
const PLACES: [&str; 5] = ["heap", "stack", "runtime", "shm", "memfd"];

/// Holds marks in all kinds of memory; told by a signal, it says whether they are all as they were.
const HOLD: &str = r#"
use strict;
my $user = getpwuid $<;
my $text = sub { my $word = "$_[0]-$user-5c1a77" . "e09b "; return $word x 100000 };
my $heap = $text->("heap");
my %kept = (runtime => "/run/user/$</kept", shm => "/dev/shm/kept-$<");
for my $kind (keys %kept) { open my $file, ">", $kept{$kind} or die; print $file $text->($kind); close $file; }
my $name = "kept";
open my $memfd, "+<&=", syscall(319, $name, 0) or die;
print $memfd $text->("memfd");
$memfd->flush;
sub deep { my ($left, $mark) = @_; deep($left - 1, "stack" . substr($heap, 4)) if $left; forget(); sleep 1 while 1 }
$SIG{USR1} = sub {
    my $good = $heap eq $text->("heap");
    for my $kind (keys %kept) { open my $file, "<", $kept{$kind}; local $/; $good &&= <$file> eq $text->($kind) }
    seek $memfd, 0, 0;
    { local $/; $good &&= <$memfd> eq $text->("memfd") }
    open my $said, ">", "$ENV{HOME}/said"; print $said $good ? "intact\n" : "damaged\n";
};
# What it copied last is in its registers, which a frozen process keeps: something without a mark comes there.
sub forget { my $else = "." x 300000; my $other = "$else,"; return $other eq $else }
open my $ready, ">", "$ENV{HOME}/ready";
deep(3, "");
"#;

/// Pages with each kind of mark of this user.
fn pages(machine: &Machine, user: &str) -> Result<Vec<(&'static str, usize)>> {
    PLACES.iter().map(|kind| Ok((*kind, pages_with(machine, &format!("{kind}-{user}-{MARK}"))?))).collect()
}

/// Has somebody log in whose home is locked at this level, and hold something in memory.
fn at_work(machine: &Ours, (user, level): (&str, &str), console: &Console) -> Result<()> {
    machine.write_file("/run/hold", HOLD)?;
    machine.done(&format!("create {user} {CHEAP} --lock-level={level}"), "", "correcthorse")?;
    console.login(user, "correcthorse")?;
    console.shell("perl /run/hold & echo $! > holder")?;
    console.shell("(i=0; while :; do echo $((i++)); sleep 0.05; done) > count & echo $! > counter")?;
    machine.check(&format!("until [ -e /home/{user}/ready ]; do sleep 0.1; done"))?;
    let planted = pages(machine, user)?;
    println!("{user}, awake: {planted:?}");
    ensure!(planted.iter().all(|(_, pages)| *pages > 0), "not planted: {planted:?}");
    Ok(())
}

#[test]
fn strict_leaves_nothing_that_processes_hold_and_terminate_nothing_at_all() -> Result<()> {
    let machine = Ours::full()?;
    at_work(&machine, ("alice", "strict"), machine.console())?;
    let key = volume_key(&machine, "alice", "correcthorse")?;
    if let Err(error) = machine.suspend() {
        return Err(error.context(machine.check("journalctl -b -u homed -u homed-lock -o cat | tail -n 40")?));
    }
    let asleep = pages(&machine, "alice")?;
    let traces = traces_of_key(&machine, &key)?;
    let password = machine.find_in_ram(b"correcthorse")?;
    let places = machine.find_in_ram(MARK.as_bytes())?;
    machine.wake()?;
    println!("alice, asleep: {asleep:?}");
    let explained = frames::explain(&machine, &places)?;
    println!("pages with a mark, as they are after waking:\n{explained}");
    println!("pages with the password:\n{}", frames::explain(&machine, &password)?);
    ensure!(traces.is_empty(), "{traces:?}");
    ensure!(asleep.iter().all(|(_, pages)| *pages == 0), "{asleep:?}\n{explained}");
    ensure!(password.is_empty(), "the password is in memory {} times", password.len());
    locked(&machine)?;
    comes_back(&machine)?;
    terminated(&machine)?;
    goes_down(machine)
}

/// Nothing of bob is left.
fn terminated(machine: &Ours) -> Result<()> {
    at_work(machine, ("bob", "terminate"), machine.second_console())?;
    let uid = machine.check("id -u bob")?;
    let uid = uid.trim();
    machine.done("lock bob", "", "")?;
    let left = pages(machine, "bob")?;
    println!("bob, ended: {left:?}");
    ensure!(left.iter().all(|(_, pages)| *pages == 0), "{left:?}");
    assert_eq!(machine.state("bob")?, "inactive");
    machine.nothing_open("bob")?;
    machine.check(&format!("! ls -d /dev/shm/kept-{uid} /run/user/{uid}"))?;
    Ok(())
}

/// Shut down while she is locked, the machine does not wait for what it cannot read.
fn goes_down(machine: Ours) -> Result<()> {
    machine.check("echo kept > /home/alice/file; chown alice: /home/alice/file")?;
    machine.done("lock alice", "", "")?;
    let begun = std::time::Instant::now();
    let stopped = machine.0.shutdown()?;
    println!("shut down in {:?}", begun.elapsed());
    let machine = Ours(stopped.start()?);
    let times = machine.check(
        "journalctl -b -1 -u homed -o short-unix | awk '/give up begins/ { a = $1 } /give up is done/ { print $1 - a }'",
    )?;
    println!("given up in {times} s");
    ensure!(times.trim().parse::<f64>()? < 10.0, "given up in {times} s");
    ensure!(begun.elapsed().as_secs() < 90, "shut down and up again in {:?}", begun.elapsed());
    machine.console().login("alice", "correcthorse")?;
    assert_eq!(machine.console().shell("cat file")?.0, "kept\n");
    Ok(())
}

/// alice is locked, with her memory on disk in no readable form.
fn locked(machine: &Ours) -> Result<()> {
    assert_eq!(machine.state("alice")?, "locked");
    let seal = machine.check(
        "homectl inspect --details alice; homectl inspect -j alice | jq -r '.status[].seal.verdict'",
    )?;
    ensure!(
        seal.contains("not in memory, as far as the kernel shows") && seal.ends_with("proven\n"),
        "{seal}"
    );
    // Who lists processes does not have to wait.
    machine.command("ps -ef | grep -c perl").timeout(std::time::Duration::from_secs(20)).check()?;
    // Something is there, and it is not the text.
    machine.check(&format!(
        "device=$(losetup -nl -O NAME,BACK-FILE | awk '/homed.swap/ {{ print $1 }}')
        [ -n \"$device\" ] && ! cmp -s -n 1M $device /dev/zero
        mark={}; ! grep -a -q \"$mark\"{} $device",
        &MARK[..6],
        &MARK[6..]
    ))?;
    Ok(())
}

/// alice types her password, and everything is as it was; nothing is left of the swap space.
fn comes_back(machine: &Ours) -> Result<()> {
    let console = machine.console();
    console.expect("alice is locked")?;
    console.expect("assword")?;
    console.send("wrong")?;
    console.expect("try again")?;
    console.send("correcthorse")?;
    console.expect("alice is unlocked")?;
    machine.check(
        "cd /home/alice
        kill -USR1 $(cat holder)
        until [ -s said ]; do sleep 0.1; done
        grep -q intact said
        before=$(wc -l < count)
        until [ $(wc -l < count) -gt $((before + 5)) ]; do sleep 0.1; done
        head -n $((before + 5)) count | awk '$1 != NR - 1 { exit 1 }'
        until [ $(wc -l < /proc/swaps) = 1 ] && ! dmsetup info homed-swap-alice >/dev/null 2>&1; do sleep 0.1; done
        [ -z \"$(ls /var/lib/homed/swap)\" ]",
    )?;
    let complaints =
        machine.check("dmesg | grep -E 'cut here|blocked for more than|BUG|BTRFS error' || :")?;
    ensure!(complaints.is_empty(), "the kernel complains:\n{complaints}");
    Ok(())
}

#[test]
fn the_key_of_the_swap_space_goes_too() -> Result<()> {
    let machine = Ours::small()?;
    machine.done(&format!("create alice {CHEAP} --lock-level=strict"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.write_file("/run/homed/fault", "suspend-swap stop")?;
    let running = machine.command("exec setsid --wait homectl lock alice").spawn()?;
    machine.check("until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done")?;
    // Its text is in the guest's memory from now on, the key itself not.
    let table = machine.check("dmsetup table --showkeys homed-swap-alice")?;
    let text = table.split_whitespace().nth(4).unwrap_or_default();
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16);
    let key: Vec<u8> = (0..text.len() / 2).map(byte).collect::<Result<_, _>>()?;
    ensure!(key.len() == 64, "{table}");
    let found = |machine: &Ours| {
        let traces = traces_of_key(machine, &key)?.into_iter();
        anyhow::Ok(traces.filter(|trace| !trace.starts_with("its text")).collect::<Vec<_>>())
    };
    ensure!(!found(&machine)?.is_empty(), "the search does not find the key of swap space in use");
    machine.check("rm /run/homed/fault; pkill -CONT -P $(cat /run/homed.pid)")?;
    assert_eq!(running.wait()?.status, 0);
    let left = found(&machine)?;
    ensure!(left.is_empty(), "{left:?}");
    machine.done("unlock alice", "correcthorse", "")?;
    Ok(())
}

#[test]
fn strict_is_refused_where_it_cannot_be_kept() -> Result<()> {
    let machine = Ours::small()?;
    machine.done(&format!("create alice {CHEAP} --lock-level=strict"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    // Her memory is in other swap space already.
    machine.check(
        "head -c 64M /dev/zero > /other && sync && chmod 600 /other && mkswap -q /other && swapon -p 5 /other
        setsid setpriv --reuid=alice --regid=alice --clear-groups perl -e 'my $x = \"x\" x 30000000; sleep 1000' </dev/null >/dev/null 2>&1 &
        until pid=$(pgrep -u alice perl) && [ $(awk '/RssAnon/ { print $2 }' /proc/$pid/status) -gt 30000 ]; do sleep 0.1; done
        until [ $(awk '/VmSwap/ { print $2 }' /proc/$pid/status) -gt 20000 ]; do echo 20M > /sys/fs/cgroup/memory.reclaim || :; done",
    )?;
    let said = machine.refused("lock alice", "", "")?;
    ensure!(said.contains("other swap space (/other)") && said.contains("swapoff"), "{said}");
    assert_eq!(machine.state("alice")?, "active");
    // What the kernel puts into other swap space is her programs' memory, and never the key.
    let key = volume_key(&machine, "alice", "correcthorse")?;
    let finds = |bytes: &[u8]| {
        let pattern: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        machine.run(&format!("echo 1 > /proc/sys/vm/drop_caches; LC_ALL=C grep -a -q -P '{pattern}' /other"))
    };
    assert_eq!(finds(&[b'x'; 64])?.status, 0);
    for half in key.chunks(key.len() / 2) {
        assert_eq!(finds(half)?.status, 1);
    }
    machine.check("swapoff /other; rm /other")?;
    // The disk is full.
    machine.check("fallocate -l $(($(df --output=avail -B1 / | tail -1) - 50000000)) /full")?;
    let said = machine.refused("lock alice", "", "")?;
    ensure!(said.contains("no room") && said.contains("/var/lib/homed/swap"), "{said}");
    machine.check("rm /full")?;
    machine.done("lock alice", "", "")?;
    machine.done("unlock alice", "correcthorse", "")?;
    Ok(())
}
