//! Who may be left out of a lock at sleep, and what follows where a home cannot be locked.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use homed_tests::Ours;
use machine::Console;

/// What a suspend that is broken off may take: 40 s until a worker must have come on, and the way there and back
/// on a slow machine.
const BOUND: Duration = Duration::from_secs(60);

/// Homes of both, and both logged in at their terminals.
fn alice_and_bob() -> Result<Ours> {
    let machine = Ours::full()?;
    for (user, console) in [("alice", machine.console()), ("bob", machine.second_console())] {
        machine.create(user, "correcthorse")?;
        console.login(user, "correcthorse")?;
    }
    Ok(machine)
}

/// Gives the password at the prompt in front of the user's terminal.
fn unlock_at(console: &Console) -> Result<()> {
    console.expect("assword")?;
    console.send("correcthorse")?;
    console.expect("is unlocked")?;
    Ok(())
}

/// Waits until the log says so.
fn said(machine: &Ours, words: &str) -> Result<()> {
    machine.check(&format!(
        "for try in $(seq 600); do journalctl -q -o cat -u homed -u homed-lock -u homed-hibernate -g '{words}' | tail -1 | grep . && exit 0; sleep 0.1; done
        journalctl -o cat -n 60 -u homed -u homed-lock; exit 1"
    ))?;
    Ok(())
}

#[test]
fn who_is_left_out_is_seen_and_for_a_time_only() -> Result<()> {
    let machine = alice_and_bob()?;
    let inhibit = "inhibit-lock alice --why='a long copy'";
    let told = |who: &str, words: &str| {
        machine.command(format!("setsid --wait homectl {words} 2>&1")).user(who).run()
    };

    // Only her owner and root may, with a reason, and not for ever.
    let denied = told("bob", &format!("{inhibit} --for=1h true"))?;
    ensure!(denied.status != 0 && denied.stdout.contains("not"), "{denied:?}");
    let late = told("alice", &format!("{inhibit} --for=9h true"))?;
    ensure!(late.status != 0 && late.stdout.contains("at most 8h"), "{late:?}");
    let mute = told("alice", "inhibit-lock alice --for=1h true")?;
    ensure!(mute.status != 0 && mute.stdout.contains("Say why"), "{mute:?}");
    ensure!(machine.check("homectl inhibitors")?.contains("No home is left out"));

    // It is seen everywhere, and outlives the daemon.
    let console = machine.console();
    console.shell(&format!("homectl {inhibit} --for=2h -- sleep 5000 & echo $! > copy"))?;
    machine.check("until homectl inhibitors -j | jq -e '.[0].userName == \"alice\"'; do sleep 0.1; done")?;
    machine.check("systemctl restart homed")?;
    let listed = told("bob", "inhibitors")?.stdout;
    ensure!(listed.contains("a long copy") && listed.contains("sleep"), "{listed}");
    ensure!(machine.check("homectl inspect --details alice")?.contains("a long copy"));
    ensure!(machine.check("homectl security")?.contains("alice is left open at sleep"));

    machine.suspend()?;
    machine.wake()?;
    assert_eq!((machine.state("alice")?, machine.state("bob")?), ("active".into(), "locked".into()));
    said(
        &machine,
        "alice: NOT LOCKED, its key stays in memory: sleep .UID .* left out for another 1h .*: a long copy",
    )?;
    said(&machine, "alice: THE MACHINE SLEPT")?;
    ensure!(machine.check("homectl security")?.contains("slept"));
    unlock_at(machine.second_console())?;

    // Who names the home is obeyed.
    machine.check("homectl lock alice")?;
    unlock_at(console)?;

    // Let go of, it is over.
    machine.check(
        "kill $(cat /home/alice/copy); until homectl inhibitors | grep -q 'No home'; do sleep 0.1; done",
    )?;
    // And so it is at its time, though somebody still has it.
    console.shell("homectl inhibit-lock alice --why=short --for=2s -- sleep 5000 & :")?;
    machine.check("until homectl inhibitors | grep -q short; do sleep 0.1; done; until homectl inhibitors | grep -q 'No home'; do sleep 0.1; done; pgrep -u alice -f 'sleep 5000'")?;
    machine.suspend()?;
    machine.wake()?;
    assert_eq!(machine.state("alice")?, "locked");
    machine.check("[ -z \"$(ls /run/homed/inhibitors)\" ]")?;
    Ok(())
}

/// Closes the lid and waits until it is clear that the machine does not sleep; how long that took.
fn stays_awake(machine: &Ours) -> Result<Duration> {
    let begin = Instant::now();
    machine.check("systemctl suspend; until systemctl is-failed homed-lock.service; do sleep 0.1; done")?;
    let took = begin.elapsed();
    machine.check(
        "while systemctl list-jobs | grep -q -E 'sleep|suspend'; do sleep 0.1; done; systemctl reset-failed",
    )?;
    ensure!(machine.run("dmesg | grep 'PM: suspend entry'")?.status != 0, "it slept");
    ensure!(took < BOUND, "it took {took:?}");
    Ok(took)
}

fn set(machine: &Ours, line: &str) -> Result<()> {
    machine.check(&format!(
        "mkdir -p /etc/systemd/homed.conf.d; printf '[Home]\\n{line}\\n' > /etc/systemd/homed.conf.d/test.conf; systemctl restart homed"
    ))?;
    Ok(())
}

#[test]
fn a_lock_that_fails_is_followed_by_what_was_set() -> Result<()> {
    let machine = alice_and_bob()?;
    let (alice, bob) = (machine.console(), machine.second_console());
    machine.check(
        "dbus-monitor --system \"interface='org.freedesktop.home1.LockPolicy'\" > /run/heard 2>&1 &",
    )?;

    // A desktop of alice's, of which what is shown is kept.
    machine.check(
        "setsid runuser -u alice -- dbus-run-session -- sh -c '
            dbus-monitor --session \"interface=org.freedesktop.Notifications\" > /tmp/shown & exec /usr/lib/homed/desk notify
        ' > /tmp/notify.log 2>&1 < /dev/null &
        until busctl list | grep -q ' desk .* alice '; do sleep 0.1; done",
    )?;
    // A step fails: everybody is told, and goes on.
    machine.write_file("/run/homed/fault", "evict fail")?;
    println!("a step that fails: {:?}", stays_awake(&machine)?);
    for console in [alice, bob] {
        console.expect("homed: The machine does not sleep: Not every home is locked. ")?;
        assert_eq!(console.shell("echo open")?.0, "open\n");
    }
    machine.check("until grep -q NotLocked /run/heard; do sleep 0.1; done")?;
    for words in ["Your home could not be locked", "The computer stays awake"] {
        machine.check(&format!("until grep -q '{words}' /tmp/shown; do sleep 0.1; done"))?;
    }

    // A worker that hangs.
    machine.write_file("/run/homed/fault", "evict stop")?;
    println!("a worker that hangs: {:?}", stays_awake(&machine)?);
    machine.check("rm /run/homed/fault")?;
    said(&machine, "The machine does not sleep: .* did not come on within [0-9]+ s")?;
    for (user, console) in [("alice", alice), ("bob", bob)] {
        machine.check(&format!("until homectl list -j | jq -e 'any(.[]; .name == \"{user}\" and .state == \"active\")'; do sleep 0.1; done"))?;
        assert_eq!(console.shell("echo open")?.0, "open\n");
    }

    // A daemon that hangs.
    machine.check("kill -STOP $(systemctl show -P MainPID homed)")?;
    println!("a daemon that hangs: {:?}", stays_awake(&machine)?);
    machine.check("kill -CONT $(systemctl show -P MainPID homed)")?;
    // wall(1) breaks lines after 79 letters.
    alice.expect("homed does not answer (it has been silent")?;
    alice.expect("open: alice, bob.")?;
    assert_eq!(machine.state("alice")?, "active");

    // None at all.
    machine.check("systemctl mask --runtime --now homed 2>&1")?;
    println!("no daemon: {:?}", stays_awake(&machine)?);
    machine.check("systemctl unmask --runtime homed; systemctl start homed")?;
    alice.expect("homed does not answer (")?;
    alice.expect("alice, bob.")?;

    Ok(())
}

/// A worker that has the key in its memory, and no device yet, while the daemon hangs.
#[test]
fn a_worker_beside_a_daemon_that_hangs_keeps_the_machine_awake() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.write_file("/run/homed/fault", "mark-open stop")?;
    machine.check("(PASSWORD=correcthorse setsid homectl activate alice >/dev/null 2>&1 </dev/null &)")?;
    machine.check("until pgrep -r T -fx /usr/lib/homed/worker; do sleep 0.05; done; rm /run/homed/fault; ! dmsetup ls | grep home-")?;
    machine.check("kill -STOP $(systemctl show -P MainPID homed)")?;
    println!("{:?}", stays_awake(&machine)?);
    said(&machine, "a worker of its own is at a home")?;
    // Without it nothing is open, and the daemon's silence keeps nobody awake.
    machine.check("pkill -KILL -fx /usr/lib/homed/worker; systemctl start homed-lock.service; systemctl stop homed-lock.service")?;
    machine.check("kill -CONT $(systemctl show -P MainPID homed)").map(drop)
}

#[test]
fn a_machine_that_sleeps_with_open_homes_says_so_or_goes_down() -> Result<()> {
    let machine = alice_and_bob()?;
    let (alice, bob) = (machine.console(), machine.second_console());

    // Going on is said loudly, before and afterwards.
    set(&machine, "LockFailure=ignore\\nLockAtWake=no")?;
    machine.write_file("/run/homed/fault", "evict fail")?;
    machine.suspend()?;
    machine.wake()?;
    said(&machine, "WITH THESE KEYS IN MEMORY, as LockFailure=ignore says")?;
    said(&machine, "alice: THE MACHINE SLEPT")?;
    machine.check("rm -f /run/homed/fault")?;

    // A tool that goes past systemd is seen afterwards; and who is awake is locked at once.
    set(&machine, "LockFailure=ignore")?;
    machine.suspend_by("echo mem > /sys/power/state")?;
    machine.wake()?;
    said(&machine, "bob: THE MACHINE SLEPT")?;
    machine.check("until homectl list -j | jq -e 'all(.[]; .state == \"locked\")'; do sleep 0.1; done")?;
    machine.check("homectl security -j | jq -e '.lastOpenSleep.userNames == [\"alice\", \"bob\"]'")?;
    for console in [alice, bob] {
        unlock_at(console)?;
    }

    // The machine is shut down rather than sleep with a key.
    set(&machine, "LockFailure=poweroff")?;
    machine.write_file("/run/homed/fault", "evict fail")?;
    let _ = machine.command("systemctl suspend").spawn()?;
    let machine = Ours(machine.0.ended()?.start()?);
    machine.check("journalctl -q -b -1 -u homed -g 'LockFailure=poweroff' | grep .")?;
    Ok(())
}
