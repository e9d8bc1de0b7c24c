//! A list of steps that are all tried, with a summary at the end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What became of the steps so far.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Duration, Result<()>)>,
}

impl Steps {
    /// Does a step. Those after it are done even if it fails.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let result = work();
        if let Err(error) = &result {
            eprintln!("{name}: {error:#}");
        }
        self.done.push((name.to_owned(), start.elapsed(), result));
    }

    /// Prints a line for each step; an error if one has failed.
    pub fn summary(self) -> Result<()> {
        eprintln!("\n=== summary");
        let mut failed = Vec::new();
        for (name, time, result) in self.done {
            let word = if result.is_ok() { "ok" } else { "FAILED" };
            eprintln!("{word:>6}  {:>6.1} s  {name}", time.as_secs_f64());
            if result.is_err() {
                failed.push(name);
            }
        }
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

/// Runs a program in the project's folder, its output going where ours goes.
pub fn program<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Result<()> {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(project());
    let status = command.status().with_context(|| format!("cannot start `{name}`"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

/// The same, with the command line as one text.
pub fn line(words: &str) -> Result<()> {
    let mut words = words.split_whitespace();
    program(words.next().context("an empty command line")?, words)
}

/// The project's top folder.
pub fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
