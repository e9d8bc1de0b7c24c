//! How fast free memory is written over, on this host and not in a machine: a kernel in a process has one processor and no
//! huge pages. Beside it memset(3) by as many processors, of memory that is taken fresh (which is what any program can do
//! to free memory) and of memory that is there already.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::figures::Figures;

/// What is asked for: hundredths of memset's rate.
const ENOUGH: f64 = 70.0;
/// Rates are in KiB a second.
const GIB: f64 = (1 << 20) as f64;

/// Measures and prints; fails where it is too slow.
pub fn run(words: &[String]) -> Result<()> {
    let amount = words.first().map(String::as_str);
    let fixed = ["run", "--quiet", "--package", "homed", "--example", "scrub", "--"];
    let output = Command::new(env!("CARGO"))
        .args(fixed.into_iter().chain(amount))
        // Huge pages for memset as well.
        .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the measurement failed: {}", output.status);
    let figures = Figures::parse(&String::from_utf8(output.stdout)?)?;
    let amount = amount.map_or("Half of what is free".to_owned(), |most| format!("{most} MiB at most"));
    println!("{amount}, all processors; shares are medians of what was measured in turns\n");
    let print = |name: &str, words: &str| {
        let rate = |name: &str| figures.median(name).with_context(|| format!("{name} was not measured"));
        let share = |suffix: &str| figures.share(&format!("scrub{suffix}"), &format!("{name}{suffix}"));
        let (clock, work) = (rate(name)? / GIB, rate(&format!("{name}-work"))? / GIB);
        let (of_clock, of_work) =
            share("").zip(share("-work")).with_context(|| format!("{name} was not measured"))?;
        let (of_clock, of_work) = (100.0 * of_clock, 100.0 * of_work);
        println!(
            "{words:<44}{clock:>7.2} GiB/s {of_clock:>4.0} %{work:>9.2} GiB per s of work {of_work:>4.0} %"
        );
        anyhow::Ok(of_clock)
    };
    print("scrub", "free memory written over")?;
    let share = print("memset-fresh", "memset(3) of memory that is taken fresh")?;
    print("memset-resident", "memset(3) of memory that is there already")?;
    ensure!(share >= ENOUGH, "less than {ENOUGH} % of what memset(3) does to fresh memory");
    Ok(())
}
