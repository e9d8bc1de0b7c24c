//! `cargo xtask bench`: our figures beside the original's, from one run in one machine, with a key derivation of next
//! to no cost. What is printed are medians. `--json` prints every single value, for programs.
//!
//! Each part is a script that prints "NAME VALUE" for each time it has measured something, and a table of what the
//! names mean.

mod data;
mod figures;
mod housekeeping;
mod lid;
mod prompt;
mod resize;
mod verbs;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use machine::{Image, Init, Machine};

use crate::{find, prepare};
use figures::{Figures, Line, Table};

/// RAM in MiB: the largest part has 3 GB of a home in its cache.
const MEMORY: u32 = 6144;
/// How long one part may take.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What is measured: its name on the command line, and its function, which is told which of the two daemons runs.
struct Part {
    name: &'static str,
    lines: &'static [Line],
    measure: fn(&Machine, Daemon) -> Result<Figures>,
}

const PARTS: &[Part] = &[
    Part { name: "verbs", lines: verbs::LINES, measure: verbs::measure },
    Part { name: "lid", lines: lid::LINES, measure: lid::measure },
    Part { name: "prompt", lines: prompt::LINES, measure: prompt::measure },
    Part { name: "resize", lines: resize::LINES, measure: resize::measure },
    Part { name: "housekeeping", lines: housekeeping::LINES, measure: housekeeping::measure },
    Part { name: "data", lines: data::LINES, measure: data::measure },
    Part { name: "cipher", lines: data::SAME_CIPHER, measure: data::measure_same_cipher },
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
    let (json, parts) = parse(words)?;
    prepare::everything()?;
    // What is named there is measured as it is.
    if std::env::var_os("HOMED_DEB").is_none() {
        (find("deb").context("the command that makes the package")?.run)(&[])?;
    }
    let machine = Machine::builder().image(Image::Peer).init(Init::Full).memory(MEMORY).start()?;
    let original = all(&machine, &parts, Daemon::Original)?;
    machine.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    machine.check("dpkg --install /root/homed.deb >/dev/null 2>&1; systemctl is-active homed.service")?;
    let ours = all(&machine, &parts, Daemon::Ours)?;
    let version = machine.check("dpkg-deb -f /opt/peer/systemd-homed_*.deb Version")?;
    let lines: Vec<&Line> = parts.iter().flat_map(|part| part.lines).collect();
    let table = Table { version: version.trim(), lines: &lines, ours: &ours, original: &original };
    if json { table.print_json() } else { table.print() }
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
                bail!("usage: cargo xtask bench [--json] [{}]...", names.join("|"));
            }
        }
    }
    if parts.is_empty() {
        parts.extend(PARTS);
    }
    Ok((json, parts))
}

fn all(machine: &Machine, parts: &[&Part], daemon: Daemon) -> Result<Figures> {
    let mut figures = Figures::default();
    for part in parts {
        eprintln!("=== {}: {}", daemon.unit(), part.name);
        figures.add((part.measure)(machine, daemon).with_context(|| part.name)?);
    }
    Ok(figures)
}

/// Runs a script and reads what it has measured.
fn script(machine: &Machine, text: &str) -> Result<Figures> {
    Figures::parse(&machine.command(text).timeout(PATIENCE).check()?)
}
