//! From the first lock of a sleep to the wake: nothing takes a key into memory, whoever tries and however.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::secrets::{traces_of_key, volume_key};

const PASSWORD: &str = "correcthorse";

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

fn create(machine: &Ours, user: &str) -> Result<()> {
    let words = format!("create {user} {} --rate-limit-burst=1000000", homed_tests::CHEAP);
    machine.done(&words, "", PASSWORD).map(drop)
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
