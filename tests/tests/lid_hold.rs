//! From the first lock of a sleep to the wake: nothing takes a key into memory, whoever tries and however.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::secrets::{traces_of_key, volume_key};
use machine::Console;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PASSWORD: &str = "correcthorse";

/// People and programs that know the passwords and try them all the time, each in a way of their own. The log has a line
/// for each success. Who is refused takes a breath: nine who did not would leave the machine no time to answer anybody.
const CROWD: &str = r#"
export PASSWORD=correcthorse
forever() { name=$1; shift; (while :; do if nice "$@"; then echo "$name $(cut -d' ' -f1 /proc/uptime)" >> /root/successes; else sleep 0.3; fi; done) >/dev/null 2>&1 & }
forever unlock homectl unlock alice
forever unlock-carol homectl unlock carol
forever authenticate homectl authenticate alice
forever with homectl with bob -- true
forever activate homectl activate carol
forever deactivate homectl deactivate carol
forever pam sh -c 'echo correcthorse | pamtester login alice authenticate'
forever ssh expect /root/ssh
forever su sh -c 'echo correcthorse | setpriv --reuid=nobody --regid=nogroup --clear-groups su bob -c true'
jobs -p > /root/crowd
"#;

/// Logs alice in over ssh.
const SSH: &str = r#"
set timeout 30
spawn ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 alice@localhost true
expect assword { send "correcthorse\r" } eof { exit 1 } timeout { exit 1 }
expect eof {} timeout { exit 1 }
exit [lindex [wait] 3]
"#;

/// Somebody at a terminal who types the password whenever anything is said there, be it what was just typed.
fn type_on(console: &Console, stop: &AtomicBool) {
    let mut heard = console.transcript().len();
    while !stop.load(Ordering::Relaxed) {
        let Some(said) = console.after(heard, Duration::from_secs(1)) else { return };
        heard += said.len();
        let typed = if said.contains("login: ") { "alice" } else { PASSWORD };
        if console.send(typed).is_err() {
            return;
        }
    }
}

/// A unit that runs a script after all homes were locked, and before the machine sleeps.
fn between(machine: &Ours, script: &str) -> Result<()> {
    machine.write_file("/root/between", script)?;
    machine.write_file(
        "/etc/systemd/system/between.service",
        "[Unit]\nDefaultDependencies=no\nAfter=homed-lock.service\nBefore=sleep.target\nStopWhenUnneeded=yes\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh /root/between\n",
    )?;
    machine.check("systemctl daemon-reload; systemctl add-requires sleep.target between.service").map(drop)
}

/// How often the machine sleeps.
fn rounds() -> usize {
    std::env::var("HOMED_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Waits until each of these ways in has led in: nine who try all the time are many for one processor.
fn wait_for(machine: &Ours, ways: &[&str]) -> Result<()> {
    for way in ways {
        let script = format!("until grep -q '^{way} ' /root/successes; do sleep 0.1; done");
        machine.command(script).timeout(Duration::from_secs(300)).check()?;
    }
    Ok(())
}

fn create(machine: &Ours, user: &str) -> Result<()> {
    let words = format!("create {user} {} --rate-limit-burst=1000000", homed_tests::CHEAP);
    machine.done(&words, "", PASSWORD).map(drop)
}

#[test]
fn a_crowd_that_knows_the_passwords_brings_no_key_into_a_sleeping_machine() -> Result<()> {
    let machine = Ours::full()?;
    for user in ["alice", "bob", "carol"] {
        create(&machine, user)?;
    }
    let console = machine.console();
    console.login("alice", PASSWORD)?;
    let keys: Vec<Vec<u8>> = ["alice", "bob", "carol"]
        .iter()
        .map(|user| volume_key(&machine, user, PASSWORD))
        .collect::<Result<_>>()?;
    ensure!(
        !traces_of_key(&machine, &keys[0])?.is_empty(),
        "the search does not find the key of an open home"
    );

    // What is in the file of successes after the wake has happened after the locks.
    between(&machine, "mv /root/successes /root/before\n")?;
    machine.write_file("/root/ssh", SSH)?;
    machine.check(CROWD)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for console in [machine.console(), machine.second_console()] {
            scope.spawn(|| type_on(console, &stop));
        }
        let done = (0..rounds()).try_for_each(|_| sleeps_without(&machine, &keys));
        stop.store(true, Ordering::Relaxed);
        done
    })?;
    machine.check("kill $(cat /root/crowd)")?;
    let told = machine.check("journalctl -b -o cat -u homed | grep -c 'THE MACHINE SLEPT' || :")?;
    assert_eq!(told.trim(), "0");
    Ok(())
}

/// One sleep with the crowd: no key is in it, and everybody gets in before and after.
fn sleeps_without(machine: &Ours, keys: &[Vec<u8>]) -> Result<()> {
    const ALL: [&str; 5] = ["authenticate", "with", "activate", "pam", "ssh"];
    wait_for(machine, &ALL)?;
    machine.suspend()?;
    for (user, key) in ["alice", "bob", "carol"].iter().zip(keys) {
        let traces = traces_of_key(machine, key)?;
        ensure!(traces.is_empty(), "the key of {user} while the machine sleeps: {traces:?}");
    }
    machine.wake()?;
    // Everybody gets in: alice by whichever way came first.
    let active = "until homectl list -j | jq -e 'any(.[]; .name == \"alice\" and .state == \"active\")'; do sleep 0.3; done";
    machine.command(active).timeout(Duration::from_secs(300)).check()?;
    wait_for(machine, &ALL)
}

#[test]
fn a_sleep_that_is_given_up_lets_everybody_in_again() -> Result<()> {
    let machine = Ours::full()?;
    create(&machine, "alice")?;
    machine.console().login("alice", PASSWORD)?;
    between(&machine, "test -e /run/homed/hold && touch /root/held\nfalse\n")?;
    machine.check("systemctl suspend; until systemctl is-failed between.service; do sleep 0.2; done")?;
    machine.check("test -e /root/held; while test -e /run/homed/hold; do sleep 0.1; done")?;
    machine.check("dmesg | grep -q 'PM: suspend entry' && exit 1; :")?;
    assert_eq!(machine.state("alice")?, "locked");
    machine.done("unlock alice", PASSWORD, "")?;
    assert_eq!(machine.console().shell("echo open")?.0.trim(), "open");
    Ok(())
}

#[test]
fn a_daemon_that_is_killed_on_the_way_to_sleep_holds_on() -> Result<()> {
    let machine = Ours::full()?;
    create(&machine, "alice")?;
    machine.console().login("alice", PASSWORD)?;
    let key = volume_key(&machine, "alice", PASSWORD)?;
    between(
        &machine,
        "systemctl kill --kill-whom=main -s KILL homed
        until busctl call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.DBus.Peer Ping; do :; done
        PASSWORD=correcthorse timeout 5 homectl unlock alice; echo $? > /root/unlocked\n",
    )?;
    machine.suspend()?;
    let traces = traces_of_key(&machine, &key)?;
    ensure!(traces.is_empty(), "{traces:?}");
    machine.wake()?;
    // It waited until its time was over.
    assert_eq!(machine.check("cat /root/unlocked")?.trim(), "124");
    machine.done("unlock alice", PASSWORD, "")?;
    assert_eq!(machine.state("alice")?, "active");
    Ok(())
}

/// A backup or a hook that takes longer than anybody thought; here the daemon's clock of the hold runs out at once.
#[test]
fn a_sleep_that_is_long_on_its_way_is_held_for() -> Result<()> {
    let machine = Ours::full()?;
    create(&machine, "alice")?;
    machine.console().login("alice", PASSWORD)?;
    let key = volume_key(&machine, "alice", PASSWORD)?;
    between(
        &machine,
        "echo 1 > /run/homed/hold; systemctl kill --kill-whom=main -s KILL homed
        until busctl call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.DBus.Peer Ping; do :; done
        timeout 60 sh -c 'until journalctl -q -b -o cat -u homed -g \"has been going to sleep for long\" | grep .; do sleep 0.1; done'
        PASSWORD=correcthorse timeout 5 homectl unlock alice; echo $? > /root/unlocked\n",
    )?;
    machine.suspend()?;
    let traces = traces_of_key(&machine, &key)?;
    ensure!(traces.is_empty(), "{traces:?}");
    machine.wake()?;
    assert_eq!(machine.check("cat /root/unlocked")?.trim(), "124");
    machine.check("while test -e /run/homed/hold; do sleep 0.1; done")?;
    machine.done("unlock alice", PASSWORD, "").map(drop)
}

#[test]
fn what_is_open_right_before_the_sleep_is_locked_or_keeps_the_machine_awake() -> Result<()> {
    let machine = Ours::full()?;
    create(&machine, "alice")?;
    machine.console().login("alice", PASSWORD)?;
    let key = volume_key(&machine, "alice", PASSWORD)?;
    let open = "/usr/lib/homed/homed after-sleep; PASSWORD=correcthorse homectl unlock alice; echo $? > /root/unlocked";
    between(&machine, &format!("{open}\n"))?;
    machine.suspend()?;
    let traces = traces_of_key(&machine, &key)?;
    ensure!(traces.is_empty(), "{traces:?}");
    machine.wake()?;
    assert_eq!(machine.check("cat /root/unlocked")?.trim(), "0");
    machine.done("unlock alice", PASSWORD, "")?;
    machine.check(&format!("echo '{open}; echo evict fail > /run/homed/fault' > /root/between"))?;
    machine.check(
        "dmesg -C; systemctl suspend; until systemctl is-failed systemd-suspend.service; do sleep 0.1; done",
    )?;
    machine.check("rm /run/homed/fault; while test -e /run/homed/hold; do sleep 0.1; done")?;
    machine.check("dmesg | grep -q 'PM: suspend entry' && exit 1; :")?;
    assert_eq!(machine.state("alice")?, "active");
    // Who has no locks before a sleep has no last look either.
    machine.check("systemctl is-active homed-lock.service && exit 1; /usr/lib/homed/homed last-look")?;
    assert_eq!(machine.state("alice")?, "active");
    Ok(())
}
