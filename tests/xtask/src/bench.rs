//! `cargo xtask bench`: our figures beside the original's, from one run in one machine, with a key derivation of next
//! to no cost. Medians of [`RUNS`] runs; how long a whole `homectl` takes, as a person would see it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use machine::{Image, Init, Machine};

use crate::{bench_prompt, find, prepare};

/// How often each is measured.
const RUNS: usize = 7;

/// Prints "NAME MICROSECONDS" for each run of each verb, and "rss KIBIBYTES". The daemon that runs is measured.
const MEASURE: &str = r#"
set -e
export PASSWORD=correcthorse NEWPASSWORD=correcthorse
options="--disk-size=256M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 --enforce-password-policy=no
    --rate-limit-burst=1000"
clock() {
    local name=$1 from=${EPOCHREALTIME/./}; shift
    "$@" >/dev/null
    echo "$name $(( ${EPOCHREALTIME/./} - from ))"
}
lookups() { for i in $(seq 100); do getent passwd alice; done; }
for run in $(seq RUNS); do
    clock create homectl create alice $options
    clock activate homectl activate alice
    clock authenticate homectl authenticate alice
    clock passwd homectl passwd alice
    clock lock homectl lock alice
    clock unlock homectl unlock alice
    clock getent lookups
    clock deactivate homectl deactivate alice
    homectl remove alice
done
echo "rss $(awk '/^VmRSS/ { print $2 }' /proc/$(systemctl show --value -p MainPID DAEMON)/status)"
"#;

/// A line of the table: the name in the script's output, what people read.
const LINES: &[(&str, &str)] = &[
    ("create", "create"),
    ("activate", "activate"),
    ("authenticate", "authenticate"),
    ("passwd", "passwd"),
    ("deactivate", "deactivate"),
    ("lock", "lock"),
    ("unlock", "unlock"),
    ("getent", "100 x getent"),
];

type Figures = BTreeMap<String, Vec<u64>>;

pub fn run(words: &[String]) -> Result<()> {
    ensure!(words.is_empty(), "usage: cargo xtask bench");
    prepare::everything()?;
    (find("deb").context("the command that makes the package")?.run)(&[])?;
    let machine = Machine::builder().image(Image::Peer).init(Init::Full).memory(2048).start()?;
    let original = measure(&machine, "systemd-homed.service")?;
    machine.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    machine.check("dpkg --install /root/homed.deb >/dev/null 2>&1; systemctl is-active homed.service")?;
    let ours = measure(&machine, "homed.service")?;
    let version = machine.check("dpkg-deb -f /opt/peer/systemd-homed_*.deb Version")?;
    println!("medians of {RUNS} runs; systemd-homed {}", version.trim());
    println!("{:<20}{:>12}{:>16}{:>9}", "", "homed", "systemd-homed", "ratio");
    for (name, words) in LINES {
        line(words, median(&ours, name)?, median(&original, name)?, 1000.0, "ms");
    }
    line("idle daemon's memory", median(&ours, "rss")?, median(&original, "rss")?, 1024.0, "MiB");
    bench_prompt::print()
}

fn measure(machine: &Machine, daemon: &str) -> Result<Figures> {
    let script = MEASURE.replace("RUNS", &RUNS.to_string()).replace("DAEMON", daemon);
    let text = machine.command(script).timeout(Duration::from_secs(1200)).check()?;
    let mut figures = Figures::new();
    for line in text.lines() {
        let (name, value) = line.split_once(' ').with_context(|| format!("what is {line:?}?"))?;
        figures.entry(name.to_owned()).or_default().push(value.parse()?);
    }
    Ok(figures)
}

fn median(figures: &Figures, name: &str) -> Result<f64> {
    let mut values = figures.get(name).with_context(|| format!("{name} was not measured"))?.clone();
    values.sort_unstable();
    Ok(values[values.len() / 2] as f64)
}

fn line(words: &str, ours: f64, original: f64, unit: f64, name: &str) {
    println!(
        "{words:<20}{:>8.1} {name:<3}{:>12.1} {name:<3}{:>9.2}",
        ours / unit,
        original / unit,
        ours / original
    );
}
