//! Workers and daemons killed at each step of a change of size: the home opens and is whole, and has the size it had
//! or the one it was to have.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::resizing::{NO_WORKER, WORKER_STOPPED, fault, home, settles};

/// Where a growing home can be cut.
const GROWS: &[&str] = &[
    "check",
    "note-resize",
    "extend",
    "second-table",
    "first-table",
    "resize-loop",
    "resize-mapped",
    "grow-file-system",
    "forget-resize",
    "write-host",
];
/// Where a shrinking one can.
const SHRINKS: &[&str] = &[
    "check",
    "note-resize",
    "shrink-file-system",
    "resize-mapped",
    "resize-loop",
    "second-table",
    "first-table",
    "cut-file",
    "forget-resize",
    "write-host",
];
/// A home that is not open is opened for it and closed again.
const CLOSED: &[&str] =
    &["unlock", "attach", "mount", "read-copies", "write-header", "write-identity", "detach"];
/// Of a home that is not open, and of daemons, what is tried unless `HOMED_STEPS=all` asks for all.
const SAMPLE: &[&str] = &["extend", "first-table", "shrink-file-system", "cut-file", "detach"];

/// By how much each round changes the size, in bytes: none comes to a limit.
const STRIDE: u64 = 20 << 20;

fn all() -> bool {
    std::env::var("HOMED_STEPS").is_ok_and(|text| text == "all")
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Grow,
    Shrink,
}

/// The steps of both ways in turns, so that the size stays where it is; `more` belong to both.
fn rounds(more: &'static [&str]) -> Vec<(Way, &'static str)> {
    let grows = GROWS.iter().chain(more).map(|step| (Way::Grow, *step));
    let shrinks = SHRINKS.iter().chain(more).map(|step| (Way::Shrink, *step));
    grows.zip(shrinks).flat_map(|(grow, shrink)| [grow, shrink]).collect()
}

/// The next size in bytes, from where the last round has ended.
fn next(now: u64, way: Way) -> u64 {
    match way {
        Way::Grow => now + STRIDE,
        Way::Shrink => now - STRIDE,
    }
}

/// It opens, is whole, and has one of the two sizes, which is returned.
fn settles_as(machine: &Ours, (from, to): (u64, u64)) -> Result<u64> {
    let now = settles(machine)?;
    ensure!(now == from || now == to, "it has {now} bytes, neither {from} nor {to}");
    Ok(now)
}

/// Has the worker of one change of size killed at a step, which it must come to.
fn killed(machine: &Ours, (way, step): (Way, &str), from: u64) -> Result<u64> {
    let to = next(from, way);
    let script = format!(
        "echo {step} kill > /run/homed/fault; PASSWORD=correcthorse exec setsid --wait homectl resize alice {to}"
    );
    let output = machine.run(&script)?;
    ensure!(output.status != 0, "no worker came to {step}");
    ensure!(output.stderr.contains("failed unexpectedly"), "it was refused: {}", output.stderr);
    settles_as(machine, (from, to))
}

/// A home of 500 MiB.
fn begin(machine: &Ours) -> Result<u64> {
    home(machine)?;
    machine.done("resize alice 500M", "", "")?;
    Ok(500 << 20)
}

#[test]
fn a_worker_killed_at_any_step_of_a_resize_loses_nothing() -> Result<()> {
    let machine = Ours::small()?;
    let mut size = begin(&machine)?;
    for round in rounds(&[]) {
        size = killed(&machine, round, size).map_err(|e| e.context(format!("killed at {round:?}")))?;
    }
    Ok(())
}

#[test]
fn a_worker_killed_while_it_resizes_a_closed_home_loses_nothing() -> Result<()> {
    let machine = Ours::small()?;
    let mut size = begin(&machine)?;
    for round in rounds(CLOSED).into_iter().filter(|(_, step)| all() || SAMPLE.contains(step)) {
        machine.done("deactivate alice", "", "")?;
        size = killed(&machine, round, size).map_err(|e| e.context(format!("killed at {round:?}")))?;
    }
    Ok(())
}

#[test]
fn a_daemon_killed_while_it_resizes_leaves_a_home_that_opens() -> Result<()> {
    let machine = Ours::small()?;
    let mut size = begin(&machine)?;
    for (way, step) in rounds(&[]).into_iter().filter(|(_, step)| all() || SAMPLE.contains(step)) {
        let to = next(size, way);
        fault(&machine, &format!("{step} stop"))?;
        let running = machine.command(format!("exec setsid --wait homectl resize alice {to}")).spawn()?;
        // No worker stops if none comes to the step.
        machine.check(WORKER_STOPPED)?;
        machine.kill_daemon()?;
        running.wait()?;
        machine.check(NO_WORKER)?;
        fault(&machine, "")?;
        machine.start_daemon()?;
        // The daemon may be putting the size right by itself.
        machine.becomes("alice", "active")?;
        let settled = settles_as(&machine, (size, to));
        size = settled.map_err(|e| e.context(format!("killed at {way:?} {step}")))?;
    }
    Ok(())
}
