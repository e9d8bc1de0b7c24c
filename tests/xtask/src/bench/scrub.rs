//! How fast free memory is written over, on this host and not in a machine: a kernel in a process has one processor and no
//! huge pages. Beside it memset(3) by as many processors, of memory that is taken fresh (which is what any program can do
//! to free memory) and of memory that is there already.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::figures::Figures;

/// MiB that are written over, where nothing is said. Others have use for the rest.
const AMOUNT: &str = "4096";
/// What is asked for: hundredths of memset's rate.
const ENOUGH: f64 = 70.0;

/// Measures and prints; fails where it is too slow.
pub fn run(words: &[String]) -> Result<()> {
    let amount = words.first().map_or(AMOUNT, String::as_str);
    let words = ["run", "--quiet", "--package", "homed", "--example", "scrub", "--", amount];
    let output = Command::new(env!("CARGO"))
        .args(words)
        // Huge pages for memset as well.
        .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the measurement failed: {}", output.status);
    let figures = Figures::parse(&String::from_utf8(output.stdout)?)?;
    let median = |name: &str| figures.median(name).with_context(|| format!("{name} was not measured"));
    let (scrub, fresh, resident) = (median("scrub")?, median("memset-fresh")?, median("memset-resident")?);
    println!("medians, {amount} MiB at most, all processors\n");
    let line = |name: &str, rate: f64| {
        let gib = rate / f64::from(1 << 20);
        println!("{name:<44}{gib:>8.2} GiB/s {:>6.0} % of it", 100.0 * scrub / rate);
    };
    line("free memory written over", scrub);
    line("memset(3) of memory that is taken fresh", fresh);
    line("memset(3) of memory that is there already", resident);
    ensure!(100.0 * scrub >= ENOUGH * fresh, "less than {ENOUGH} % of what memset(3) does to fresh memory");
    Ok(())
}
