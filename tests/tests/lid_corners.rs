//! Corners of locking: by time, hibernation, ends of a session, other ways to hold a home.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use machine::Console;

fn unlock_at(console: &Console) -> Result<()> {
    console.expect("assword")?;
    console.send("correcthorse")?;
    console.expect("is unlocked")?;
    Ok(())
}

#[test]
fn homes_are_locked_by_time() -> Result<()> {
    let machine = Ours::full()?;
    let (alice, bob) = (machine.console(), machine.second_console());
    for (user, options, console) in [
        ("alice", "--lock-after-screen-lock=2s", alice),
        ("bob", "--lock-after-idle=40min --lock-after-screen-lock=infinity", bob),
    ] {
        machine.done(&format!("create {user} {} {options}", homed_tests::CHEAP), "", "correcthorse")?;
        console.login(user, "correcthorse")?;
    }
    let shown = machine.check("homectl inspect --details alice bob")?;
    ensure!(shown.contains("Lock Screen: 2s") && shown.contains("Lock Idle: 40min"), "{shown}");

    // The screen is locked for two seconds, and bob's for ever.
    machine.check("loginctl lock-sessions")?;
    machine.becomes("alice", "locked")?;
    machine
        .check("journalctl -q -u homed -g \"alice: its user's screen is locked for long enough\" | grep .")?;
    assert_eq!(machine.state("bob")?, "active");
    unlock_at(alice)?;
    // The answer to the prompt unlocked the screen too.
    machine.check("journalctl -q -u homed -o cat -g 'alice: unlock is done' | grep .")?;
    assert_eq!(alice.shell("echo open")?.0, "open\n");

    // Locked and unlocked in time.
    machine.check("loginctl lock-sessions; loginctl unlock-sessions")?;

    // bob is told before the 40 minutes are over: he has not touched his terminal for 39 and a half.
    machine.check(
        "dbus-monitor --system \"interface='org.freedesktop.home1.LockPolicy'\" > /run/heard 2>&1 &
         until grep -q NameLost /run/heard; do sleep 0.1; done
         touch -a -d '2370 seconds ago' /dev/ttyS1; loginctl unlock-sessions
         until grep -A2 LockComing /run/heard | grep -q bob; do sleep 0.1; done",
    )?;
    assert_eq!(machine.state("bob")?, "active");
    // bob has not touched his terminal for an hour, as logind sees it: it looks once a minute, and when something is said.
    machine.check("touch -a -d '1 hour ago' /dev/ttyS1; loginctl unlock-sessions")?;
    machine.becomes("bob", "locked")?;
    machine.check("journalctl -q -u homed -g 'bob: its user is idle for long enough' | grep .")?;
    assert_eq!(machine.state("alice")?, "active");
    unlock_at(bob)?;
    Ok(())
}

#[test]
fn what_weakens_locks_is_named_and_memory_is_not_written_in_the_clear() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    let ids = || machine.check("homectl security -j | jq -r '.weaknesses[].id' | sort | paste -sd,");
    let sound = ids()?;
    ensure!(sound.contains("init-on-free") && !sound.contains("unit"), "{sound}");
    ensure!(
        !sound.contains("swap") && !sound.contains("hibernation") && !sound.contains("kernel"),
        "{sound}"
    );
    // Anybody may know.
    machine.check("useradd carol")?;
    let text = machine.command("homectl security").user("carol").check()?;
    ensure!(text.contains("init_on_free=1") && text.contains("alice (inactive)"), "{text}");

    // Swap in the clear: named, and no hibernation while somebody is in.
    machine.check(
        "head -c 64M /dev/zero > /swap; chmod 600 /swap; mkswap -q /swap; swapon $(losetup -f --show /swap)",
    )?;
    let plain = ids()?;
    ensure!(plain.contains("swap") && plain.contains("hibernation"), "{plain}");
    machine.check("systemctl start homed-hibernate.service && systemctl stop homed-hibernate.service")?;
    machine.console().login("alice", "correcthorse")?;
    machine.check("! systemctl start homed-hibernate.service")?;
    machine.console().expect("homed: The machine does not hibernate: ")?;
    // Every way to hibernate needs it.
    for unit in ["hibernate", "hybrid-sleep", "suspend-then-hibernate"] {
        machine.check(&format!(
            "systemctl show -P Requires systemd-{unit}.service | grep -qw homed-hibernate.service"
        ))?;
        machine
            .check(&format!("systemctl show -P Requires systemd-{unit}.service | grep -qw sleep.target"))?;
    }
    machine.check(
        "mkdir -p /etc/systemd/homed.conf.d; printf '[Home]\\nHibernateUnencrypted=allow\\n' > /etc/systemd/homed.conf.d/test.conf
        systemctl start homed-hibernate.service; systemctl stop homed-hibernate.service; rm /etc/systemd/homed.conf.d/test.conf
        journalctl -q -u homed-hibernate -g 'HibernateUnencrypted=allow' | grep .",
    )?;

    // The same device, encrypted.
    machine.check(
        "swapoff -a; loop=$(losetup -j /swap -nO NAME)
        cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 256 --key-file /dev/urandom $loop swap
        mkswap -q /dev/mapper/swap; swapon /dev/mapper/swap
        systemctl start homed-hibernate.service; systemctl stop homed-hibernate.service",
    )?;
    let encrypted = ids()?;
    ensure!(!encrypted.contains("swap") && !encrypted.contains("hibernation"), "{encrypted}");

    the_unit_is_looked_at(&machine, &ids)?;

    // What the last lock came to. It takes all the memory that is free, and drives nobody into swap for that.
    let swapped = || machine.check("awk '$1 == \"pswpout\" { print $2 }' /proc/vmstat");
    let before = swapped()?;
    machine.check("homectl lock alice")?;
    assert_eq!(swapped()?, before);
    let locked = machine.check("homectl security")?;
    ensure!(locked.contains("alice (locked): last lock: key absent, checked "), "{locked}");
    Ok(())
}

/// Without the unit nothing would lock.
fn the_unit_is_looked_at(machine: &Ours, ids: &dyn Fn() -> Result<String>) -> Result<()> {
    machine.check("systemctl disable homed-lock.service 2>&1")?;
    ensure!(ids()?.contains("unit"));
    machine.check("systemctl mask homed-lock.service 2>&1")?;
    ensure!(machine.check("homectl security")?.starts_with("!! homed-lock.service is masked"));
    machine.check("systemctl unmask homed-lock.service 2>&1; systemctl enable homed-lock.service 2>&1")?;
    ensure!(!ids()?.contains("unit"));
    Ok(())
}

/// Ends it, and returns after how many seconds nothing of alice was left.
fn gone_after(machine: &Ours, script: &str) -> Result<f64> {
    let text = machine.check(&format!(
        "begin=$(date +%s.%N); {script}
        until homectl list -j | jq -e 'any(.[]; .name == \"alice\" and (.state == \"inactive\" or .state == \"dirty\"))' >/dev/null; do sleep 0.1; done
        echo \"$(date +%s.%N) - $begin\" | awk '{{ print $1 - $3 }}'"
    ))?;
    Ok(text.trim().parse()?)
}

#[test]
fn a_locked_session_can_be_ended_and_loses_nothing_that_was_written() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    let console = machine.console();
    for end in [
        "loginctl terminate-user alice",
        "homectl deactivate-all",
        "loginctl terminate-session $(loginctl list-sessions --no-legend | awk '$3 == \"alice\" { print $1 }')",
    ] {
        console.login("alice", "correcthorse")?;
        console.shell("(while :; do head -c 1M /dev/urandom > dirty; done) & echo kept > file; sync -f .")?;
        machine.check("homectl lock alice")?;
        let took = gone_after(&machine, end)?;
        println!("{end}: {took} s");
        ensure!(took < 10.0, "{end}: {took} s");
        machine.nothing_open("alice")?;
        machine.check("[ -z \"$(ls /run/homed/locked)\" ]")?;
        machine.done("activate alice", "correcthorse", "")?;
        machine.check("grep -q kept /home/alice/file && rm /home/alice/file")?;
        machine.done("deactivate alice", "", "")?;
    }
    Ok(())
}
