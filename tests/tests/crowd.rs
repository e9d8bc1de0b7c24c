//! A crowd of strangers at the daemon's doors: meanwhile the owner logs in, locks and unlocks, and afterwards nothing is
//! left of it.

use anyhow::{Context, Result, ensure};
use homed_tests::{Ours, crowd};

const USERS: &str = "/run/systemd/userdb/io.systemd.Home";
const HANDOFF: &str = "/run/homed/handoff";

/// Opens connections as a stranger, and returns when they are open; killed by its name below.
fn connect(machine: &Ours, name: &str, path: &str, text: &str) -> Result<usize> {
    let said = machine.check(&format!(
        "ulimit -n 4096; setsid setpriv --reuid=65534 --regid=65534 --clear-groups \
            perl /run/crowd/connections.pl {path} 1500 '{text}' >/run/{name}.said 2>&1 </dev/null & echo $! >/run/{name}.pid
         until grep -q '^open' /run/{name}.said; do kill -0 $(cat /run/{name}.pid) || exit 1; sleep 0.1; done
         cat /run/{name}.said"
    ))?;
    said.trim().strip_prefix("open ").and_then(|count| count.parse().ok()).context(said.clone())
}

fn leave(machine: &Ours, name: &str) -> Result<()> {
    machine.check(&format!("kill -9 $(cat /run/{name}.pid)")).map(drop)
}

/// Files that the daemon has open.
fn descriptors(machine: &Ours) -> Result<usize> {
    Ok(machine.check("ls /proc/$(cat /run/homed.pid)/fd | wc -l")?.trim().parse()?)
}

/// What an owner does all day.
fn a_day(machine: &Ours) -> Result<()> {
    machine.check("getent passwd alice && userdbctl user alice && id alice")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("lock alice", "", "")?;
    ensure!(machine.state("alice")? == "locked");
    machine.done("unlock alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.done("authenticate alice", "correcthorse", "")?;
    Ok(())
}

/// As many as there were before, in the end: connections are closed by the daemon in its own time.
fn nothing_left(machine: &Ours, before: usize) -> Result<()> {
    for _ in 0..600 {
        if descriptors(machine)? <= before {
            return machine.nothing_open("alice");
        }
        machine.check("sleep 0.1")?;
    }
    anyhow::bail!("{} files are open, and {before} were before", descriptors(machine)?)
}

#[test]
fn connections_that_say_nothing_or_half_a_word_keep_nobody_out() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    crowd::install(&machine)?;
    a_day(&machine)?;
    let before = descriptors(&machine)?;
    for (name, path, text) in [
        ("idle", USERS, ""),
        ("slow", USERS, "{\"method\":"),
        ("depositors", HANDOFF, ""),
        ("slow-depositors", HANDOFF, "{"),
    ] {
        let open = connect(&machine, name, path, text)?;
        ensure!(open > 1000, "{name}: {open} {}", machine.check(&format!("cat /run/{name}.said"))?);
        let now = descriptors(&machine)?;
        ensure!(now < before + 400, "{name}: {now} are open");
    }
    a_day(&machine)?;
    // Nobody is busy with them: the processor has nothing to do.
    let ticks = "awk '{print $14+$15}' /proc/$(cat /run/homed.pid)/stat";
    let spent = machine.check(&format!("a=$({ticks}); sleep 2; b=$({ticks}); echo $((b-a))"))?;
    let spent: u64 = spent.trim().parse()?;
    ensure!(spent < 100, "{spent} of 200 ticks");
    for name in ["idle", "slow", "depositors", "slow-depositors"] {
        leave(&machine, name)?;
    }
    nothing_left(&machine, before)?;
    a_day(&machine)
}

#[test]
fn thousands_of_questions_are_answered_beside_the_owner() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.create("bob", "correcthorse")?;
    crowd::install(&machine)?;
    let before = descriptors(&machine)?;
    let uid = machine.check("id -u alice")?;
    let asking = format!(
        "for i in 1 2 3 4; do setpriv --reuid=$((65530 + i)) --regid=65534 --clear-groups \
            perl /run/crowd/questions.pl 5000 alice {} >/run/asked.$i 2>&1 & done; wait; cat /run/asked.*",
        uid.trim()
    );
    let crowd = machine.command(asking).timeout(std::time::Duration::from_secs(300)).spawn()?;
    a_day(&machine)?;
    let said = crowd.wait()?.stdout;
    ensure!(said.lines().filter(|line| *line == "asked 5000 bad 0").count() == 4, "{said}{}", machine.log());
    // A loop that hangs answers nothing; the user database does.
    machine.check("homectl list >/dev/null")?;
    nothing_left(&machine, before)
}
