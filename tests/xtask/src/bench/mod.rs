//! `cargo xtask bench`: our figures beside the original's, with a key derivation of next to no cost. What is printed
//! are medians, and what ratio of the two is wanted. `--json` prints every single value, for programs.
//!
//! `cargo xtask bench scrub` and `cargo xtask bench scale` measure on this host, and alone (`scrub.rs`, `scale.rs`);
//! `cargo xtask bench keys` and `cargo xtask bench move` in a machine of its own: systemd-homed takes no program for a device
//! (`keys.rs`), and moves no homes (`moving.rs`).
//!
//! Two machines run, one with each daemon, and are measured in turns, round by round, so that what else the host does
//! hits both. Each part is a script that prints "NAME VALUE" for each time it has measured something, and a table of
//! what the names mean. A part's figures are printed when it is done; a part that fails does not take the others' along.

mod data;
mod figures;
mod housekeeping;
mod keys;
mod lid;
mod moving;
mod prompt;
mod resize;
mod scale;
mod scrub;
mod verbs;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use machine::{Image, Init, Machine};

use crate::{find, prepare};
use figures::{Figures, Line, Table};

/// How long one part may take.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What is measured: its name on the command line, what it needs, and a function that does one round and is told which of
/// the two daemons runs.
struct Part {
    name: &'static str,
    lines: &'static [Line],
    rounds: usize,
    /// RAM of the machine in MiB.
    memory: u32,
    measure: fn(&Machine, Daemon) -> Result<Figures>,
}

const PARTS: &[Part] = &[
    Part { name: "verbs", lines: verbs::LINES, rounds: 7, memory: 1024, measure: verbs::measure },
    Part { name: "lid", lines: lid::LINES, rounds: 5, memory: 1024, measure: lid::measure },
    // 3 GB of a home are in the cache.
    Part { name: "full", lines: lid::FULL, rounds: 3, memory: 6144, measure: lid::measure_full },
    Part { name: "prompt", lines: prompt::LINES, rounds: 3, memory: 1024, measure: prompt::measure },
    Part { name: "resize", lines: resize::LINES, rounds: 5, memory: 2048, measure: resize::measure },
    Part {
        name: "housekeeping",
        lines: housekeeping::LINES,
        rounds: 7,
        memory: 1024,
        measure: housekeeping::measure,
    },
    Part { name: "data", lines: data::LINES, rounds: 1, memory: 6144, measure: data::measure },
    Part {
        name: "cipher",
        lines: data::SAME_CIPHER,
        rounds: 1,
        memory: 6144,
        measure: data::measure_same_cipher,
    },
];

/// Which daemon runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Daemon {
    Ours,
    Original,
}

impl Daemon {
    fn unit(self) -> &'static str {
        match self {
            Self::Ours => "homed.service",
            Self::Original => "systemd-homed.service",
        }
    }
}

pub fn run(words: &[String]) -> Result<()> {
    match words.split_first() {
        Some((first, rest)) if first == "scrub" => return scrub::run(rest),
        Some((first, [])) if first == "scale" => return scale::run(),
        Some((first, rest)) if first == "keys" => return keys::run(rest),
        Some((first, rest)) if first == "move" => return moving::run(rest),
        Some(_) | None => {}
    }
    let (json, parts) = parse(words)?;
    prepare::everything()?;
    // What is named there is measured as it is.
    if std::env::var_os("HOMED_DEB").is_none() {
        (find("deb").context("the command that makes the package")?.run)(&[])?;
    }
    let memory = parts.iter().map(|part| part.memory).max().unwrap_or(1024);
    let start = || Machine::builder().image(Image::Peer).init(Init::Full).memory(memory).start();
    let machines = [(Daemon::Original, start()?), (Daemon::Ours, start()?)];
    let [(_, original), (_, ours)] = &machines;
    ours.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    ours.check("dpkg --install /root/homed.deb >/dev/null 2>&1; systemctl is-active homed.service")?;
    let version = original.check("dpkg-deb -f /opt/peer/systemd-homed_*.deb Version")?;
    let mut failed = Vec::new();
    for part in parts {
        let [mut original, mut ours] = [Figures::default(), Figures::default()];
        if let Err(error) = in_turns(part, &machines, &mut [&mut original, &mut ours]) {
            failed.push(format!("{}: {error:#}", part.name));
        }
        let lines: Vec<&Line> = part.lines.iter().collect();
        let table = Table { version: version.trim(), lines: &lines, ours: &ours, original: &original };
        if json { table.print_json()? } else { table.print()? }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// One part's rounds, the two daemons in turns.
fn in_turns(part: &Part, machines: &[(Daemon, Machine); 2], figures: &mut [&mut Figures; 2]) -> Result<()> {
    for round in 1..=part.rounds {
        for ((daemon, machine), figures) in machines.iter().zip(figures.iter_mut()) {
            eprintln!("=== {} {round}/{}: {}", part.name, part.rounds, daemon.unit());
            figures.add((part.measure)(machine, *daemon)?);
        }
    }
    Ok(())
}

/// The parts that were asked for; all where none was.
fn parse(words: &[String]) -> Result<(bool, Vec<&'static Part>)> {
    let (mut json, mut parts) = (false, Vec::new());
    for word in words {
        match PARTS.iter().find(|part| part.name == word) {
            Some(part) => parts.push(part),
            None if word == "--json" => json = true,
            None => {
                let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
                bail!(
                    "usage: cargo xtask bench [--json] [{}]... | keys | scrub [MiB] | scale",
                    names.join("|")
                );
            }
        }
    }
    if parts.is_empty() {
        parts.extend(PARTS);
    }
    Ok((json, parts))
}

/// Runs a script and reads what it has measured.
fn script(machine: &Machine, text: &str) -> Result<Figures> {
    Figures::parse(&machine.command(text).timeout(PATIENCE).check()?)
}
