//! The test runner, and which tests took the longest.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// So many are named.
const NAMED: usize = 10;

/// Runs `cargo` with these words, passes on what it says, and names the longest tests at the end.
pub fn run<'w>(words: impl Iterator<Item = &'w String>) -> Result<()> {
    let mut runner =
        Command::new("cargo").args(words).stderr(Stdio::piped()).spawn().context("starting cargo")?;
    let mut tests = Vec::new();
    for line in BufReader::new(runner.stderr.take().context("no output")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        tests.extend(ended(&line));
    }
    let status = runner.wait()?;
    eprint!("{}", named(tests));
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The seconds and the name of a test that has ended, as nextest says it: `PASS [  12.345s] (7/80) package::binary test`.
fn ended(line: &str) -> Option<(f64, String)> {
    let line = line.trim_start();
    let (word, rest) = line.split_once('[')?;
    let is_end = ["PASS", "FAIL", "TIMEOUT", "SIGKILL", "LEAK"].contains(&word.trim());
    let (seconds, name) = rest.split_once("s]").filter(|_| is_end)?;
    let name = name.split_once(')').map_or(name, |(_, name)| name);
    Some((seconds.trim().parse().ok()?, name.trim().to_owned()))
}

fn named(mut tests: Vec<(f64, String)>) -> String {
    // A failure is told twice.
    tests.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    tests.dedup();
    let all: f64 = tests.iter().map(|test| test.0).sum();
    let lines = tests.iter().take(NAMED).map(|(seconds, name)| format!("  {seconds:7.1} s  {name}\n"));
    format!(
        "The longest of {} tests, which took {all:.0} s one after the other:\n{}",
        tests.len(),
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_and_the_longest_named_first() {
        let said = "        PASS [   0.009s] (12/30) homed-tests::layering size::a_long_file\n\
                     SLOW [> 60.000s] (─────────) homed-tests::lid a_lid\n\
                     FAIL [  75.250s] (13/30) homed-tests::lid a_lid\n   FAIL [  75.250s] (13/30) homed-tests::lid a_lid\n\
                     Summary [ 104.339s] 315 tests run";
        let tests: Vec<_> = said.lines().filter_map(ended).collect();
        assert_eq!(tests.len(), 3);
        let text = named(tests);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "The longest of 2 tests, which took 75 s one after the other:");
        assert_eq!(lines[1], "     75.2 s  homed-tests::lid a_lid");
        assert!(lines[2].ends_with("size::a_long_file"));
    }
}
