//! What many homes cost: the daemon with 10 to 10,000 registered homes, on this host. The original has 500 at most.

use std::process::Command;

use anyhow::{Context, Error, Result, ensure};

use super::figures::Figures;

const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];
/// What is asked for with the most homes: ns until it is ready, ns for 99 of 100 look-ups, KiB of memory.
const READY: f64 = 2e9;
const LOOK_UP: f64 = 1e6;
const MEMORY: f64 = 100.0 * 1024.0;

/// Measures and prints; fails where it costs too much.
pub fn run() -> Result<()> {
    let mut wrong = Vec::new();
    println!(
        "Times in ms until all is ready (on the clock, and of a processor), in µs for half and for 99 of 100"
    );
    println!("questions in the daemon, over the user database's socket, and calls that pass the loop.");
    println!(
        "{:>7}{:>9}{:>9}{:>16}{:>16}{:>18}{:>14}{:>7}{:>9}",
        "homes", "ready", "worked", "by name", "by UID", "over the socket", "calls", "MiB", "idle ms"
    );
    for count in COUNTS {
        let figures = measure(count)?;
        print(count, &figures)?;
        wrong.extend(broken(&figures)?.into_iter().map(|what| format!("{count} homes: {what}")));
    }
    ensure!(wrong.is_empty(), "more than it may be: {}", wrong.join("; "));
    Ok(())
}

fn print(count: usize, figures: &Figures) -> Result<()> {
    let one = |name: &str, unit: f64| Ok::<_, Error>(value(figures, name, 50)? / unit);
    let two =
        |name: &str| Ok::<_, Error>(format!("{:.1}/{:.1}", one(name, 1e3)?, value(figures, name, 99)? / 1e3));
    println!(
        "{count:>7}{:>9.0}{:>9.0}{:>16}{:>16}{:>18}{:>14.0}{:>7.1}{:>9.0}",
        one("start", 1e6)?,
        one("start-worked", 0.1)?,
        two("by-name")?,
        two("by-uid")?,
        two("database-name")?,
        one("call", 1e3)?,
        one("memory", 1024.0)?,
        one("idle", 0.1)?
    );
    Ok(())
}

/// Which limits these figures break.
fn broken(figures: &Figures) -> Result<Vec<&'static str>> {
    let limits = [
        ("start", value(figures, "start", 50)? < READY),
        ("look-ups by name", value(figures, "by-name", 99)? < LOOK_UP),
        ("look-ups by UID", value(figures, "by-uid", 99)? < LOOK_UP),
        ("memory", value(figures, "memory", 50)? < MEMORY),
        ("processor while idle", value(figures, "idle", 50)? < 1.0),
        ("announcements for one change", value(figures, "announced", 50)? == 1.0),
    ];
    Ok(limits.into_iter().filter(|limit| !limit.1).map(|limit| limit.0).collect())
}

fn value(figures: &Figures, name: &str, percent: usize) -> Result<f64> {
    figures.rank(name, percent).with_context(|| format!("{name} was not measured"))
}

fn measure(count: usize) -> Result<Figures> {
    let count = count.to_string();
    let words = ["run", "--quiet", "--release", "--package", "homed", "--example", "scale", "--", &count];
    let output = Command::new(env!("CARGO"))
        .args(words)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the measurement failed: {}", output.status);
    Figures::parse(&String::from_utf8(output.stdout)?)
}
