//! `cargo xtask fuzz [SECONDS] [TARGET…]`: feeds the readers of foreign bytes with made-up ones, each for so long.
//!
//! Needs a nightly compiler and a C++ compiler, and no program beside cargo. What a run has learned stays in `tests/fuzz/corpus`; what a
//! reader has failed at is in `tests/fuzz/artifacts`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::steps::{Steps, project};

/// Seconds for each target, where nobody says how many.
const USUAL: u64 = 60;
/// Longest input, in bytes: a record is no longer as a rule, and longer ones only cost time.
const LONGEST: &str = "-max_len=65536";
/// More memory than any of it may need, in MiB.
const MEMORY: &str = "-rss_limit_mb=2048";

/// What the compiler puts into a program that libFuzzer runs, and the memory checker.
const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
                     -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
const MACHINE: &str = "x86_64-unknown-linux-gnu";

/// Runs it.
pub fn run(words: &[String]) -> Result<()> {
    let (seconds, wanted) = match words.split_first() {
        Some((first, rest)) if first.parse::<u64>().is_ok() => (first.parse()?, rest),
        _ => (USUAL, words),
    };
    let folder = project().join("tests/fuzz");
    let all = targets(&folder)?;
    let wanted: Vec<String> = if wanted.is_empty() { all.clone() } else { wanted.to_vec() };
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown:?}; there are: {}", all.join(", "));
    }
    build(&folder)?;
    let mut steps = Steps::default();
    for name in &wanted {
        steps.step(name, || feed(&folder, name, seconds));
    }
    steps.summary()
}

/// The names of the targets: each is a file.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn build(folder: &Path) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "build", "--release", "--target", MACHINE]).current_dir(folder);
    // Else it would be that of the compiler which has built this program.
    command.env_remove("RUSTUP_TOOLCHAIN").env("RUSTFLAGS", FLAGS);
    let status = command.status().context("cannot start cargo")?;
    ensure!(
        status.success(),
        "the targets could not be built ({status}): a nightly compiler and g++ are needed"
    );
    Ok(())
}

fn feed(folder: &Path, name: &str, seconds: u64) -> Result<()> {
    let made = |kind: &str| -> Result<PathBuf> {
        let path = folder.join(kind).join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    };
    let (corpus, artifacts) = (made("corpus")?, made("artifacts")?);
    let program = folder.join("target").join(MACHINE).join("release").join(name);
    let mut command = Command::new(program);
    command.arg(&corpus).arg(format!("-artifact_prefix={}/", artifacts.display()));
    command
        .args([format!("-max_total_time={seconds}"), "-print_final_stats=1".to_owned()])
        .args([LONGEST, MEMORY]);
    let seeds = folder.join("seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{status}: what it failed at is in {}", artifacts.display());
    Ok(())
}
