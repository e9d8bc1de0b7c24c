//! The test runner, which tests took the longest, and which passed at a second try only.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// So many of the longest are named.
const NAMED: usize = 10;

/// So many tests may need a second try (`docs/decisions/0023-unsteady-tests.md`).
const UNSTEADY: usize = 2;

/// Runs `cargo` with these words, passes on what it says, and names the longest and the unsteady tests at the end.
///
/// # Errors
/// A test has failed at each of its tries, or more than two have failed at the first.
pub fn run<'w>(words: impl Iterator<Item = &'w String>) -> Result<()> {
    let mut runner =
        Command::new("cargo").args(words).stderr(Stdio::piped()).spawn().context("starting cargo")?;
    let (mut tests, mut unsteady) = (Vec::new(), Vec::new());
    for line in BufReader::new(runner.stderr.take().context("no output")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        tests.extend(ended(&line));
        unsteady.extend(second_try(&line));
    }
    let status = runner.wait()?;
    eprint!("{}", named(tests));
    for name in &unsteady {
        eprintln!("UNSTEADY, a fault of the test or of what it tests: {name} has failed once, see above");
    }
    ensure!(status.success(), "{status}");
    ensure!(unsteady.len() <= UNSTEADY, "{} tests have passed at a second try only", unsteady.len());
    Ok(())
}

/// The seconds and the name of a test that has ended, as nextest says it: `PASS [  12.345s] (7/80) package::binary test`.
fn ended(line: &str) -> Option<(f64, String)> {
    let line = line.trim_start();
    let (word, rest) = line.split_once('[')?;
    let (tried, word) = word.trim().rsplit_once(' ').unwrap_or(("", word.trim()));
    let is_end = ["PASS", "FAIL", "TIMEOUT", "SIGKILL", "LEAK"].contains(&word) && tried != "TRY 1";
    let (seconds, name) = rest.split_once("s]").filter(|_| is_end)?;
    Some((seconds.trim().parse().ok()?, test_of(name)))
}

/// The name of a test that has passed at a second try, as nextest says it at the end: `FLAKY 2/2 [   9.5s] (1/3) package::binary test`.
fn second_try(line: &str) -> Option<String> {
    let (word, rest) = line.trim_start().split_once('[')?;
    let (_, name) = rest.split_once("s]").filter(|_| word.starts_with("FLAKY "))?;
    Some(test_of(name))
}

/// What stands behind the count of tests.
fn test_of(name: &str) -> String {
    name.split_once(')').map_or(name, |(_, name)| name).trim().to_owned()
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
        assert_eq!(said.lines().filter_map(second_try).count(), 0);
        let text = named(tests);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "The longest of 2 tests, which took 75 s one after the other:");
        assert_eq!(lines[1], "     75.2 s  homed-tests::lid a_lid");
        assert!(lines[2].ends_with("size::a_long_file"));
    }

    #[test]
    fn a_second_try_counts_once_and_is_told() {
        let said = "  TRY 1 FAIL [   0.135s] (───) homed-tests::lid a_lid\n  TRY 2 PASS [   0.007s] (1/3) homed-tests::lid a_lid\n\
                     Summary [   0.204s] 3 tests run: 2 passed (1 flaky)\n   FLAKY 2/2 [   0.007s] (1/3) homed-tests::lid a_lid";
        assert_eq!(
            said.lines().filter_map(ended).collect::<Vec<_>>(),
            [(0.007, "homed-tests::lid a_lid".to_owned())]
        );
        assert_eq!(said.lines().filter_map(second_try).collect::<Vec<_>>(), ["homed-tests::lid a_lid"]);
    }
}
