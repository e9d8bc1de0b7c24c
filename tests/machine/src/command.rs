//! Commands in the guest.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::builder::Machine;
use crate::runner;

/// How long a command may take, if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(120);

/// A shell script to be run in the guest, as root in a shell without a terminal unless told otherwise.
#[must_use]
pub struct Command<'a> {
    machine: &'a Machine,
    script: String,
    user: Option<String>,
    stdin: Vec<u8>,
    patience: Duration,
}

/// What a command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status; 128 + signal if it was killed.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A command that runs in the guest.
pub struct Running<'a> {
    machine: &'a Machine,
    script: String,
    folder: PathBuf,
    answer: Receiver<i32>,
    patience: Duration,
}

impl Machine {
    /// Prepares a script for `bash`.
    pub fn command(&self, script: impl Into<String>) -> Command<'_> {
        Command { machine: self, script: script.into(), user: None, stdin: Vec::new(), patience: PATIENCE }
    }

    /// Runs a script as root. An exit status other than 0 is no error.
    pub fn run(&self, script: &str) -> Result<Output> {
        self.command(script).run()
    }

    /// Runs a script as root and returns its standard output. An exit status other than 0 is an error.
    pub fn check(&self, script: &str) -> Result<String> {
        self.command(script).check()
    }
}

impl<'a> Command<'a> {
    /// Runs it as `user`, with that user's groups and an environment of that user, but not in a login session.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Gives it standard input; else there is none.
    pub fn stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Bounds its run: 120 s if nothing else is said.
    pub fn timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts it and returns at once.
    pub fn spawn(self) -> Result<Running<'a>> {
        let (number, folder, _) = self.machine.runner.folder()?;
        fs::write(folder.join("command"), &self.script)?;
        fs::write(folder.join("stdin"), &self.stdin)?;
        fs::write(folder.join("user"), self.user.as_deref().unwrap_or_default())?;
        let answer = self.machine.runner.run(number)?;
        Ok(Running { machine: self.machine, script: self.script, folder, answer, patience: self.patience })
    }

    /// Runs it to its end.
    pub fn run(self) -> Result<Output> {
        self.spawn()?.wait()
    }

    /// Runs it to its end; an exit status other than 0 is an error that tells all it printed.
    pub fn check(self) -> Result<String> {
        let script = self.script.clone();
        let output = self.run()?;
        if output.status != 0 {
            bail!("`{script}` exited with {}\n{}{}", output.status, output.stdout, output.stderr);
        }
        Ok(output.stdout)
    }
}

impl Running<'_> {
    /// Waits for its end.
    pub fn wait(self) -> Result<Output> {
        let status = runner::await_answer(&self.answer, self.patience)
            .with_context(|| format!("`{}` in the machine\n{}", self.script, self.machine.last_words()))?;
        let text = |name| -> Result<String> {
            Ok(String::from_utf8_lossy(&fs::read(self.folder.join(name))?).into_owned())
        };
        let output = Output { status, stdout: text("stdout")?, stderr: text("stderr")? };
        crate::cache::remove(&self.folder)?;
        Ok(output)
    }
}
