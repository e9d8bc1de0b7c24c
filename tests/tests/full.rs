//! Full disks, outside and inside, and what is done about space while nobody waits: it keeps nobody out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::{Image, Init, Machine};

/// A /home of its own, small enough to be filled.
const SMALL_DISK: &str =
    "truncate -s SIZE /root/disk && mkfs.ext4 -q -m 0 /root/disk && mount -o loop /root/disk /home";
/// No byte is left for anybody.
const FILL: &str = "cat /dev/zero > /home/fill 2>/dev/null; sync -f /home; cat /dev/zero >> /home/fill 2>/dev/null; df /home >&2";

/// A small machine whose /home is a small disk.
fn machine() -> Result<Ours> {
    with_disk("900M")
}

fn with_disk(size: &str) -> Result<Ours> {
    let machine = Machine::builder().image(Image::Ours).init(Init::Small).start()?;
    machine.check(&SMALL_DISK.replace("SIZE", size))?;
    Ours::on(machine)
}

/// Bytes of an image that have blocks.
fn allocated(machine: &Ours, user: &str) -> Result<u64> {
    let words = format!("stat -c '%b %B' /home/{user}.home");
    let text = machine.check(&words)?;
    let numbers: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
    Ok(numbers[0] * numbers[1])
}

#[test]
fn a_full_disk_outside_keeps_nobody_out() -> Result<()> {
    let machine = machine()?;
    // More than is there: it gets what is there.
    machine.done(&format!("create alice {CHEAP} --disk-size=100T --luks-discard=yes"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(
        "head -c 50M /dev/urandom > /home/alice/before; sha256sum /home/alice/before > /root/sum; sync",
    )?;
    machine.done("deactivate alice", "", "")?;
    ensure!(allocated(&machine, "alice")? < 400 << 20, "it takes all of the disk");

    machine.check(FILL)?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("sha256sum -c /root/sum >&2")?;
    machine.check("echo small > /home/alice/small; sync -f /home/alice; rm /home/alice/small")?;
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    // More than there is room for; what happens to it is its writer's business.
    machine.run("head -c 300M /dev/urandom > /home/alice/much; sync -f /home/alice")?;
    let cut = Ours(machine.0.power_cut()?.start()?);
    cut.check("mount -o loop /root/disk /home && df /home >&2")?;
    cut.start_daemon()?;
    ensure!(cut.state("alice")? == "dirty", "the power was cut, and it is {}", cut.state("alice")?);
    let begin = Instant::now();
    cut.done("activate alice", "batterystaple", "")?;
    ensure!(begin.elapsed() < Duration::from_secs(10), "a login took {:?}", begin.elapsed());
    cut.check("sha256sum -c /root/sum >&2")?;
    cut.check("rm -f /home/alice/much /home/fill")?;
    cut.done("deactivate alice", "", "")?;
    cut.done("activate alice", "batterystaple", "")?;
    cut.check("echo there is room again > /home/alice/small")?;
    cut.done("deactivate alice", "", "")?;
    cut.nothing_open("alice")
}

#[test]
fn a_full_home_can_be_opened_changed_and_emptied() -> Result<()> {
    let machine = machine()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(
        "cd /home/alice; head -c 600M /dev/urandom > big 2>/dev/null; sync -f .\n\
         i=0; while mkdir -p d$((i / 200)) 2>/dev/null && head -c 1900 /dev/urandom > d$((i / 200))/$i 2>/dev/null; do i=$((i + 1)); done\n\
         sync -f . ; btrfs filesystem usage . >&2; echo $i",
    )?;
    ensure!(
        machine.run("head -c 5M /dev/urandom > /home/alice/more && sync -f /home/alice")?.status != 0,
        "it is not full"
    );
    machine.done("deactivate alice", "", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.done("deactivate alice", "", "")?;
    machine.refused("activate alice", "correcthorse", "")?;
    machine.done("activate alice", "batterystaple", "")?;
    machine.check("cd /home/alice; rm -r big d*; sync -f .; echo room > file; sync -f .")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// Files made one after the other, none of them synced.
const UNSYNCED: &str = "for user in alice bob carol; do (cd /home/$user; n=0
while head -c 100K /dev/urandom > new$n; do n=$((n + 1)); done) & done >/dev/null 2>&1
until [ -e /home/alice/new20 ] && [ -e /home/bob/new20 ] && [ -e /home/carol/new20 ]; do sleep 0.05; done";

#[test]
fn large_homes_open_at_once_after_a_power_cut() -> Result<()> {
    let machine = Machine::builder().image(Image::Ours).init(Init::Small).start()?;
    machine.check(
        "truncate -s 400G /root/disk && mkfs.xfs -q -K -l size=64m /root/disk && mount -o loop /root/disk /home",
    )?;
    let machine = Ours::on(machine)?;
    for (user, kind, size) in [("alice", "btrfs", 200), ("bob", "ext4", 60), ("carol", "xfs", 60)] {
        let words = format!("create {user} {CHEAP} --fs-type={kind} --disk-size={size}G --luks-discard=yes");
        machine.done(&words, "", "correcthorse")?;
        machine.done(&format!("activate {user}"), "correcthorse", "")?;
        machine.check(&format!(
            "cd /home/{user}; head -c 20M /dev/urandom > old; sync old; sha256sum $PWD/old >> /root/sum; sync /root/sum"
        ))?;
    }
    machine.check(UNSYNCED)?;
    let machine = machine.0.power_cut()?.start()?;
    machine.check("mount -o loop /root/disk /home")?;
    let machine = Ours::on(machine)?;
    for user in ["alice", "bob", "carol"] {
        ensure!(machine.state(user)? == "dirty", "the power was cut, and {user} is {}", machine.state(user)?);
        let begin = Instant::now();
        machine.done(&format!("activate {user}"), "correcthorse", "")?;
        println!("{user}: {:?}", begin.elapsed());
        ensure!(begin.elapsed() < Duration::from_secs(10), "a login took {:?}", begin.elapsed());
    }
    machine.check("sha256sum --quiet -c /root/sum")?;
    for user in ["alice", "bob", "carol"] {
        machine.done(&format!("deactivate {user}"), "", "")?;
        machine.done(&format!("check {user}"), "correcthorse", "")?;
    }
    Ok(())
}

#[test]
fn absurd_sizes_are_refused_or_made_to_fit() -> Result<()> {
    let machine = machine()?;
    for (size, fits) in
        [("max", true), ("min", true), ("5T", true), ("16E", false), ("0", true), ("1000%", false)]
    {
        let words = format!("create alice {CHEAP} --disk-size={size}");
        if !fits {
            machine.refused(&words, "", "correcthorse")?;
            ensure!(machine.state("alice")? == "none", "{size} left something");
            continue;
        }
        machine.done(&words, "", "correcthorse")?;
        machine.done("activate alice", "correcthorse", "")?;
        machine.check("echo x > /home/alice/x; sync -f /home/alice")?;
        machine.done("deactivate alice", "", "")?;
        machine.done("remove alice", "", "")?;
    }
    Ok(())
}

/// Has the home tended, and prints the worker's process once it stands still.
const STANDS_STILL: &str = "homectl rebalance </dev/null >/dev/null 2>&1 &
until pgrep -r T -fx /usr/lib/homed/worker | grep -m 1 .; do sleep 0.05; done";

#[test]
fn a_login_does_not_wait_for_housekeeping() -> Result<()> {
    let machine = machine()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("rebalance", "", "")?;
    ensure!(machine.log().contains("tend is done"), "nothing was done");
    ensure!(allocated(&machine, "alice")? >= 256 << 20, "its blocks are not reserved");
    // It stands still, and would for ever.
    machine.check("echo allocate stop > /run/homed/fault")?;
    for words in ["authenticate alice", "passwd alice", "lock alice", "unlock alice", "deactivate alice"] {
        let still = match words {
            "unlock alice" => None,
            _ => {
                let stands = machine.command(STANDS_STILL).timeout(Duration::from_secs(60)).check();
                Some(stands.with_context(|| format!("before {words}: {}", machine.log()))?)
            }
        };
        let begin = Instant::now();
        machine.done(words, "correcthorse", "correcthorse")?;
        let took = begin.elapsed();
        ensure!(took < Duration::from_secs(20), "{words} took {took:?}");
        // The worker that stood in the way is gone. (Another may have begun by now: the home's own time to be tended.)
        if let Some(worker) = still {
            machine.check(&format!("! test -e /proc/{}", worker.trim()))?;
        }
    }
    machine.nothing_open("alice")?;

    // Whoever leaves last gives back what is not used.
    machine.check("rm /run/homed/fault")?;
    ensure!(allocated(&machine, "alice")? >= 256 << 20, "a deactivation by name gave blocks back");
    machine.done("with alice -- true", "correcthorse", "")?;
    machine.check("until homectl list | grep -q inactive; do sleep 0.1; done")?;
    let left = allocated(&machine, "alice")?;
    ensure!(left < 200 << 20, "{} MiB were not given back", left >> 20);
    machine.nothing_open("alice")
}

/// The size of an image.
fn size(machine: &Ours, user: &str) -> Result<u64> {
    Ok(machine.check(&format!("stat -c %s /home/{user}.home"))?.trim().parse()?)
}

#[test]
fn free_space_is_shared_by_weight_and_goes_on_to_be() -> Result<()> {
    let machine = with_disk("3G")?;
    for (user, weight) in [("alice", 100), ("bob", 300), ("carol", 0)] {
        machine.done(&format!("create {user} {CHEAP} --rebalance-weight={weight}"), "", "correcthorse")?;
    }
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("rebalance", "", "")?;
    let alone = size(&machine, "alice")?;
    ensure!(alone > 400 << 20, "alone she got {} MiB", alone >> 20);
    // Again she has to give up some of it, with something in it.
    machine.check("head -c 20M /dev/urandom > /home/alice/file; sha256sum /home/alice/file > /root/sum")?;
    machine.done("activate bob", "correcthorse", "")?;
    machine.done("activate carol", "correcthorse", "")?;
    machine.done("rebalance", "", "")?;
    let (alice, bob) = (size(&machine, "alice")?, size(&machine, "bob")?);
    ensure!(alice < alone && bob > alice, "alice {} MiB, bob {} MiB", alice >> 20, bob >> 20);
    machine.check("sha256sum -c /root/sum >&2; df /home /home/alice /home/bob >&2")?;
    ensure!(size(&machine, "carol")? == 274 << 20, "carol takes no part");
    machine.done("rebalance", "", "")?;
    ensure!((alice, bob) == (size(&machine, "alice")?, size(&machine, "bob")?), "shared anew");
    let shown = machine.check("homectl inspect --details bob")?;
    ensure!(shown.contains("weight 300") && shown.contains("promised"), "{shown}");
    for user in ["alice", "bob", "carol"] {
        machine.done(&format!("deactivate {user}"), "", "")?;
        machine.nothing_open(user)?;
    }
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("sha256sum -c /root/sum >&2")?;
    machine.done("deactivate alice", "", "").map(drop)
}

#[test]
fn nothing_is_tidied_up_on_the_way_down() -> Result<()> {
    let machine = Ours::full()?;
    machine.done(&format!("create alice {CHEAP} --disk-size=2G"), "", "correcthorse")?;
    machine.console().login("alice", "correcthorse")?;
    machine.check("homectl rebalance >/dev/null 2>&1; head -c 200M /dev/urandom > /home/alice/file; sync; rm /home/alice/file")?;
    let machine = Ours(machine.0.shutdown()?.start()?);
    let said = machine.check("journalctl -b -1 -u homed --no-pager -o cat")?;
    ensure!(said.contains("deactivate is done") && !said.contains("resize begins"), "{said}");
    let left = allocated(&machine, "alice")?;
    ensure!(left >= 2 << 30, "of 2 GiB {} MiB are left", left >> 20);
    ensure!(machine.state("alice")? == "inactive", "it is {}", machine.state("alice")?);
    Ok(())
}
