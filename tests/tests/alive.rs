//! The daemon stays alive: signals, restarts, hanging, and what clients notice of it.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;

/// Waits until the daemon is another process than that one, and says that it is there.
fn await_another(machine: &Ours, pid: &str) -> Result<()> {
    machine
        .command(format!(
            "for try in $(seq 1800); do
                now=$(systemctl show -P MainPID homed)
                [ $now != 0 ] && [ $now != {pid} ] && systemctl is-active --quiet homed && exit 0
                sleep 0.1
            done; systemctl status homed >&2; exit 1"
        ))
        .timeout(std::time::Duration::from_secs(240))
        .check()
        .map(drop)
}

fn main_pid(machine: &Ours) -> Result<String> {
    Ok(machine.check("systemctl show -P MainPID homed")?.trim().to_owned())
}

/// A script that goes on asking the user database until it is told to stop, and counts what went wrong.
const ASKING: &str = "systemd-run --quiet --unit asking sh -c 'bad=0; n=0
    until [ -e /run/enough ]; do
        n=$((n+1)); userdbctl user alice >/dev/null 2>&1 || bad=$((bad+1)); echo $n $bad >/run/asked.new; mv /run/asked.new /run/asked
    done'";

/// So many more questions were answered, all but so many since the beginning well.
fn await_answers(machine: &Ours, more: u32, lost: u32) -> Result<()> {
    let counts = machine.check(&format!(
        "until [ -e /run/asked ]; do sleep 0.1; done; begin=$(cut -d' ' -f1 /run/asked)
         for try in $(seq 1200); do
            [ $(cut -d' ' -f1 /run/asked) -ge $((begin + {more})) ] && break; sleep 0.1
         done; cat /run/asked"
    ))?;
    let failed: u32 = counts.trim().rsplit(' ').next().unwrap_or_default().parse()?;
    ensure!(failed <= lost, "questions and failures: {counts}");
    Ok(())
}

#[test]
fn who_asks_while_the_daemon_is_started_again_waits_and_is_answered() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.check(ASKING)?;
    await_answers(&machine, 3, 0)?;
    for _ in 0..3 {
        machine.check("systemctl restart homed")?;
        await_answers(&machine, 3, 0).context("beside a restart")?;
    }
    // Settings are read again, and the home root is looked at, by the same process.
    let pid = main_pid(&machine)?;
    machine.check(
        "mkdir -p /etc/systemd/homed.conf.d; printf '[Home]\\nDefaultFileSystemType=nonsense\\nMostHomes=1\\nUIDRange=9-70000\\n' \
            >/etc/systemd/homed.conf.d/t.conf
         systemctl reload homed; systemctl kill --kill-whom=main -s USR1 homed
         for text in 'settings are read again' 'home root is looked at again' nonsense 'UIDRange=9-70000 is not known'; do
            until journalctl -u homed -o cat | grep -q \"$text\"; do sleep 0.1; done
         done; rm /etc/systemd/homed.conf.d/t.conf
         busctl call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Manager CreateHome s \
            '{\"userName\":\"bob\",\"secret\":{\"password\":[\"batterystaple9\"]}}' 2>&1 | grep 'no more homes than 1;.*MostHomes='",
    )?;
    ensure!(main_pid(&machine)? == pid, "a signal has ended it");
    machine.check(
        "systemctl service-log-level homed debug && [ $(systemctl service-log-level homed) = debug ]
         ! systemctl service-log-level homed loud 2>/dev/null",
    )?;

    // Stopped, it says nothing, and is replaced; an open home stays open, and a login afterwards works.
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(
        "mkdir -p /run/systemd/system/homed.service.d; printf '[Service]\\nWatchdogSec=4\\n' >/run/systemd/system/homed.service.d/t.conf
         systemctl daemon-reload; systemctl restart homed",
    )?;
    await_answers(&machine, 3, 0).context("beside a restart with an open home")?;
    let pid = main_pid(&machine)?;
    machine.check(&format!("kill -STOP {pid}"))?;
    await_another(&machine, &pid)?;
    // The one question that it had already taken in nobody can answer.
    await_answers(&machine, 3, 1)?;
    machine.check("touch /run/enough")?;
    ensure!(machine.state("alice")? == "active");
    machine.done("authenticate alice", "correcthorse", "")?;
    machine.console().login("alice", "correcthorse")?;
    // Killed as often as it may be, it comes again.
    for _ in 0..7 {
        let pid = main_pid(&machine)?;
        machine.check(&format!("kill -KILL {pid}"))?;
        await_another(&machine, &pid)?;
    }
    machine.done("authenticate alice", "correcthorse", "")?;
    Ok(())
}

#[test]
fn a_burst_of_the_login_managers_signals_stops_nothing() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.console().login("alice", "correcthorse")?;
    homed_tests::crowd::install(&machine)?;
    // Each call makes a signal; none waits for its answer.
    for _ in 0..3 {
        let (output, status) = machine.console().shell(
            "perl /run/crowd/calls.pl 5000 org.freedesktop.login1 /org/freedesktop/login1/session/auto \
             org.freedesktop.login1.Session Lock",
        )?;
        ensure!(output.contains("sent 5000"), "{status}: {output}");
    }
    machine.done("authenticate alice", "correcthorse", "")?;
    machine.done("lock alice", "", "")?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check("systemctl is-active homed")?;
    Ok(())
}
