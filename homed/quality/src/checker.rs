//! Programs that judge passwords.

use crate::weak;
use handoff::offer_plain;
use records::{Secret, UserName};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// One program.
pub struct Checker {
    program: &'static str,
    /// Its words, for this user.
    words: fn(&UserName) -> Vec<String>,
    /// What it reads.
    input: fn(&UserName, &Secret) -> Secret,
    /// Why it said no, in its output.
    why: fn(&Output) -> Option<String>,
}

/// In this order: the first that is installed judges.
pub const CHECKERS: &[Checker] = &[
    // pwscore(1): the password; messages on standard error, the last says what is wrong.
    Checker {
        program: "/usr/bin/pwscore",
        words: |user| vec![user.as_str().to_owned()],
        input: |_, password| password.duplicate(),
        why: |output| last_line(&output.stderr),
    },
    // pwqcheck(1): three lines: the password, the old one, the user's line of passwd(5); says "Bad passphrase (why)".
    Checker {
        program: "/usr/bin/pwqcheck",
        words: |_| {
            let settings = "/etc/passwdqc.conf";
            Path::new(settings).exists().then(|| format!("config={settings}")).into_iter().collect()
        },
        input: |user, password| {
            let about = format!("\n\n{user}:x:60000:60000::/home/{user}:/bin/sh\n");
            Secret::new([password.open(), about.as_bytes()].concat())
        },
        why: |output| {
            let line = last_line(&output.stdout).or_else(|| last_line(&output.stderr))?;
            let why = line.strip_prefix("Bad passphrase (").and_then(|line| line.strip_suffix(')'));
            Some(why.map(str::to_owned).unwrap_or(line))
        },
    },
];

impl Checker {
    /// Its verdict: `Some(None)` is good; `None` where it is not installed or does not work.
    pub fn ask(&self, user: &UserName, password: &Secret) -> Option<Option<String>> {
        if password.open().contains(&b'\n') {
            // It would judge the first line. Nobody can type one.
            return None;
        }
        // Wiped when it is dropped.
        let given = offer_plain(&(self.input)(user, password)).ok()?;
        let ended = Command::new(self.program)
            .args((self.words)(user))
            .env_clear()
            .stdin(given.as_fd().try_clone_to_owned().ok()?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .ok()?;
        if ended.status.success() {
            return Some(None);
        }
        (self.why)(&ended).map(|why| Some(weak(&why)))
    }

    #[cfg(test)]
    pub fn of(program: &'static str) -> impl Iterator<Item = &'static Checker> {
        CHECKERS.iter().filter(move |checker| checker.program.ends_with(program))
    }

    /// The same, with another program in its place.
    #[cfg(test)]
    pub fn instead(&self, program: &'static str) -> Self {
        Self { program, words: self.words, input: self.input, why: self.why }
    }
}

fn last_line(output: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(output);
    said.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}
