//! Strangers at every door, from 64 UIDs at once where they can be, one kind after another: meanwhile the owner comes home,
//! locks, unlocks and leaves, a sleep locks everything, and afterwards nothing is left of them.
//!
//! A daemon that is killed, stopped or started again among them keeps no classic user waiting. What the same costs where
//! systemd-homed runs is printed, for who asks: `the_original_beside_it`.
//!
//! The strangers' own processes have next to no share of the one processor, so that what is compared is what the daemon,
//! the bus and PAM do for them.

use anyhow::{Context, Result, ensure};
use homed_tests::{CHEAP, Ours, crowd};
use machine::{Image, Init, Machine};
use std::time::{Duration, Instant};

/// What they do.
struct Row {
    name: &'static str,
    /// Goes on until it is killed, or ends by itself.
    script: &'static str,
    /// Says that enough of them are at it.
    until: &'static str,
    /// Whether the original has that door, too.
    doors: Doors,
}

/// Whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doors {
    Ours,
    Both,
}

const EACH: &str = "/run/crowd/each.pl 65400 64";

const ROWS: &[Row] = &[
    Row {
        name: "idle connections to the user database",
        script: "EACH perl /run/crowd/connections.pl /run/systemd/userdb/io.systemd.Home 100 ''",
        until: "[ $(grep -c ^open $OUT) = 64 ]",
        doors: Doors::Both,
    },
    Row {
        name: "half a word to the hand-off",
        script: "EACH perl /run/crowd/connections.pl /run/homed/handoff 24 '{'",
        until: "[ $(grep -c ^open $OUT) = 64 ]",
        doors: Doors::Ours,
    },
    Row {
        name: "questions by name, UID and for all",
        script: "EACH perl /run/crowd/questions.pl 1000000 alice UID",
        until: "sleep 2",
        doors: Doors::Both,
    },
    Row {
        name: "questions to the kernel about locks",
        script: "EACH perl /run/crowd/calls.pl 100 org.freedesktop.home1 /org/freedesktop/home1 \
                 org.freedesktop.home1.LockPolicy DescribeSecurity",
        until: "grep -q ^sent $OUT",
        doors: Doors::Ours,
    },
    Row {
        name: "calls that wait for a polkit without an answer",
        script: "systemctl kill -s STOP polkit; EACH perl /run/crowd/calls.pl 20 org.freedesktop.home1 \
                 /org/freedesktop/home1 org.freedesktop.home1.Manager CreateHome @/run/crowd/small hold",
        until: "grep -q ^sent $OUT",
        doors: Doors::Both,
    },
    Row {
        name: "records of eight megabytes",
        script: "perl /run/crowd/each.pl 65400 8 perl /run/crowd/calls.pl 1 org.freedesktop.home1 /org/freedesktop/home1 \
                 org.freedesktop.home1.Manager CreateHome @/run/crowd/huge hold",
        until: "grep -q ^sent $OUT",
        doors: Doors::Both,
    },
    Row {
        name: "records a hundred thousand levels deep",
        script: "EACH perl /run/crowd/calls.pl 10 org.freedesktop.home1 /org/freedesktop/home1 \
                 org.freedesktop.home1.Manager RegisterHome @/run/crowd/deep hold",
        until: "grep -q ^sent $OUT",
        doors: Doors::Both,
    },
    Row {
        name: "guesses by su of three users",
        script: "for u in s65400 s65401 s65402; do (for i in $(seq 70); do echo guess | setpriv --reuid=$u --regid=65534 --clear-groups \
                 su alice -c true; echo guessed; done) & done; wait",
        until: "[ $(grep -c guessed $OUT) -gt 2 ]",
        doors: Doors::Both,
    },
    Row {
        name: "guesses by sudo of a home user",
        script: "for i in $(seq 70); do echo guess | setpriv --reuid=bob --regid=65534 --clear-groups sudo -S -k true; \
                 echo guessed; done",
        until: "[ $(grep -c guessed $OUT) -gt 2 ]",
        doors: Doors::Both,
    },
    Row {
        name: "guesses by ssh",
        script: "for n in 1 2 3 4; do (while :; do SSH_ASKPASS=/run/crowd/guess SSH_ASKPASS_REQUIRE=force \
                 setsid -w ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PubkeyAuthentication=no \
                 alice@localhost true; echo guessed; done) & done; wait",
        until: "[ $(grep -c Permanently $OUT) -ge 4 ]",
        doors: Doors::Both,
    },
    Row {
        name: "signals of the login manager",
        script: "setpriv --reuid=65400 --regid=65534 --clear-groups perl /run/crowd/calls.pl 5000 org.freedesktop.login1 \
                 /org/freedesktop/login1 org.freedesktop.login1.Manager LockSessions",
        until: "grep -q ^sent $OUT",
        doors: Doors::Both,
    },
];

/// Files and memory (KiB) of the daemon.
fn held(machine: &Ours) -> Result<[u64; 2]> {
    let said = machine.check(
        "pid=$(systemctl show -P MainPID homed); ls /proc/$pid/fd | wc -l; awk '/^VmRSS/ {print $2}' /proc/$pid/status",
    )?;
    let mut numbers = said.lines().map(str::parse::<u64>);
    let mut next = || Ok::<u64, anyhow::Error>(numbers.next().context(said.clone())??);
    Ok([next()?, next()?])
}

/// What an owner does all day, through PAM and by commands; milliseconds of each part.
fn a_day(machine: &Machine) -> Result<Vec<u64>> {
    let said = machine
        .command(
            "set -e; exec 3>&1 >&2; export PASSWORD=correcthorse
             part() { a=$(date +%s%N); \"$@\"; b=$(date +%s%N); echo $(((b - a) / 1000000)) >&3; }
             state() { homectl list -j | jq -re '.[] | select(.name == \"alice\").state'; }
             # A guess that is just being tried shows, too.
             is() { for try in $(seq 100); do [ $(state) != $1 ] || return 0; sleep 0.1; done; homectl list; journalctl -u homed -o cat -n 30; exit 1; }
             part homectl activate alice
             part homectl lock-all; is locked
             part homectl unlock alice; is active
             part pamtester sshd alice authenticate open_session </run/crowd/right
             part getent passwd alice
             part homectl deactivate alice || is inactive",
        )
        .timeout(std::time::Duration::from_secs(240))
        .check()?;
    said.lines().map(|line| line.parse().context(said.clone())).collect()
}

fn begin(machine: &Machine, row: &Row, uid: &str) -> Result<()> {
    let script = row.script.replace("EACH", &format!("perl {EACH}")).replace("UID", uid);
    machine.write_file("/run/crowd/script", format!("exec >/run/crowd/out 2>&1\n{script}\n"))?;
    machine
        .check(&format!(
            "OUT=/run/crowd/out; : >$OUT; systemd-run --quiet --collect --unit strangers -p CPUWeight=1 -p LimitNOFILE=8192 \
                -p TasksMax=4096 bash /run/crowd/script
             for try in $(seq 300); do {} && exit 0; systemctl is-active --quiet strangers || break; sleep 0.2; done
             {} || {{ tail -20 $OUT; exit 1; }} >&2",
            row.until, row.until
        ))
        .map(drop)
}

/// Ends them; the daemon lets go of everything in its own time, and is the same process.
fn end(machine: &Ours, before: [u64; 2]) -> Result<()> {
    machine.check("systemctl stop strangers 2>/dev/null; systemctl kill -s CONT polkit")?;
    for _ in 0..600 {
        if held(machine)?[0] <= before[0] {
            return Ok(());
        }
        machine.check("sleep 0.1")?;
    }
    anyhow::bail!("{:?} files and KiB, and {before:?} were before", held(machine)?)
}

/// Two homes, a classic user, and whoever will be at the doors; alice's UID.
fn prepare(machine: &Machine) -> Result<String> {
    for (user, password) in [("alice", "correcthorse"), ("bob", "batterystaple")] {
        machine.check(&format!("NEWPASSWORD={password} homectl create {user} {CHEAP}"))?;
    }
    machine.check("useradd -m carol; echo carol:Quartz7-lamp | chpasswd; echo Quartz7-lamp >/run/carol")?;
    crowd::install(machine)?;
    machine.write_file("/etc/ssh/sshd_config.d/door.conf", "PerSourcePenalties no\nMaxStartups 100\n")?;
    machine.check(
        "set -e; cd /run/crowd; systemctl restart ssh; # The bus talks to nobody whose groups it cannot look up.
         for i in $(seq 65400 65463); do echo \"s$i:x:$i:65534::/:/bin/sh\"; done >>/etc/passwd
         printf '#!/bin/sh\\necho guess\\n' >guess; chmod 755 guess; echo correcthorse >right
         echo '{\"userName\":\"mallory\"}' >small
         perl -e 'print \"{\\\"userName\\\":\\\"mallory\\\",\\\"x\\\":\\\"\" . \"y\" x (8 << 20) . \"\\\"}\"' >huge
         perl -e 'print \"{\\\"userName\\\":\\\"mallory\\\",\\\"x\\\":\" . \"[\" x 100000 . \"]\" x 100000 . \"}\"' >deep
         chmod a+r small huge deep; systemctl start polkit",
    )?;
    Ok(machine.check("id -u alice")?.trim().to_owned())
}

#[test]
fn strangers_of_every_kind_keep_nobody_out() -> Result<()> {
    let machine = Ours::full()?;
    let uid = prepare(&machine)?;
    let days = [a_day(&machine)?, a_day(&machine)?];
    println!("quiet {days:?}");
    let quiet = days.iter().max_by_key(|day| day.iter().sum::<u64>()).context("no day")?;
    let pid = machine.check("systemctl show -P MainPID homed")?;
    let before = held(&machine)?;
    for row in ROWS {
        begin(&machine, row, &uid).context(row.name)?;
        let day = a_day(&machine).context(row.name)?;
        let now = held(&machine)?;
        println!("{}: {day:?}, {now:?} of {before:?} files and KiB", row.name);
        ensure!(now[0] < before[0] + 1500, "{}: {now:?} of {before:?}", row.name);
        end(&machine, before).context(row.name)?;
        let after = held(&machine)?;
        ensure!(after[1] < before[1] + (48 << 10), "{}: {after:?} KiB of {before:?}", row.name);
        let (spent, usual) = (day.iter().sum::<u64>(), quiet.iter().sum::<u64>());
        ensure!(spent < 4 * usual + 2000, "{}: {day:?} ms of {quiet:?}", row.name);
        ensure!(machine.check("systemctl show -P MainPID homed")? == pid, "{}: another daemon", row.name);
    }
    a_day(&machine).map(drop)
}

/// What happens to the daemon.
const BLOWS: [(&str, &str); 3] = [
    ("killed", "systemctl kill --kill-whom=main -s KILL homed"),
    ("stopped", "systemctl kill --kill-whom=main -s STOP homed"),
    ("upgraded", "dpkg --unpack /root/homed.deb && dpkg --configure homed"),
];
/// A classic user waits no longer than this, and what starting programs costs here.
const PATIENCE: Duration = Duration::from_secs(6);

#[test]
fn a_daemon_that_dies_among_strangers_keeps_no_classic_user_waiting() -> Result<()> {
    let machine = Ours::full()?;
    let uid = prepare(&machine)?;
    machine.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    machine.check(
        "mkdir -p /run/systemd/system/homed.service.d; printf '[Service]\\nWatchdogSec=4\\n' >/run/systemd/system/homed.service.d/t.conf
         systemctl daemon-reload; systemctl restart homed",
    )?;
    let comes_in = || -> Result<Duration> {
        let start = Instant::now();
        let said = machine
            .command(
                "pamtester login carol authenticate acct_mgmt open_session close_session </run/carol 2>&1",
            )
            .timeout(Duration::from_secs(120))
            .run()?;
        ensure!(said.status == 0, "carol: {}", said.stdout);
        Ok(start.elapsed())
    };
    let quiet = comes_in()?;
    for row in ROWS {
        begin(&machine, row, &uid).context(row.name)?;
        for (blow, script) in BLOWS {
            let pid = machine.check("systemctl show -P MainPID homed")?;
            let blown = machine.command(script).timeout(Duration::from_secs(240)).spawn()?;
            let took = [comes_in().context(row.name)?, comes_in().context(row.name)?];
            blown.wait()?;
            println!("{}, {blow}: {took:?}, in quiet {quiet:?}", row.name);
            ensure!(took.iter().all(|took| *took < PATIENCE + 2 * quiet), "{}, {blow}: {took:?}", row.name);
            comes_back(&machine, pid.trim()).with_context(|| format!("{}, {blow}", row.name))?;
        }
        machine.check("systemctl stop strangers 2>/dev/null; systemctl kill -s CONT polkit")?;
        machine.check("PASSWORD=correcthorse homectl authenticate alice").context(row.name)?;
    }
    Ok(())
}

/// Waits until another process than that one answers.
fn comes_back(machine: &Machine, pid: &str) -> Result<()> {
    machine
        .command(format!(
            "for try in $(seq 600); do
                now=$(systemctl show -P MainPID homed)
                [ $now != 0 ] && [ $now != {pid} ] && systemctl is-active --quiet homed && exit 0; sleep 0.1
             done; systemctl status homed >&2; exit 1"
        ))
        .timeout(Duration::from_secs(240))
        .check()
        .map(drop)
}

#[test]
fn the_original_beside_it() -> Result<()> {
    let machine = Machine::builder().image(Image::Peer).init(Init::Full).start()?;
    let uid = prepare(&machine)?;
    println!("systemd-homed, quiet: {:?}", [a_day(&machine)?, a_day(&machine)?]);
    for row in ROWS.iter().filter(|row| row.doors == Doors::Both) {
        // Whatever becomes of it is told, and the next row begins with a fresh one.
        let day = begin(&machine, row, &uid).and_then(|()| a_day(&machine));
        println!("systemd-homed, {}: {:?}", row.name, day.map_err(|error| format!("{error:#}")));
        machine.check("systemctl stop strangers 2>/dev/null; systemctl kill -s CONT polkit")?;
        machine.check("systemctl restart systemd-homed; PASSWORD=correcthorse homectl unlock alice; homectl deactivate alice || :")?;
    }
    Ok(())
}
