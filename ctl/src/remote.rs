//! `--host=` and `--machine=`: homectl is run there, with the same words. Passwords are asked for by the one over there, so
//! that none leaves this machine otherwise than typed; files that options name are files of that machine.

use crate::bus::Failure;
use std::io::IsTerminal;
use std::process::Command;

/// Where it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere<'a> {
    /// Over ssh.
    Host(&'a str),
    /// In a container of this machine.
    Container(&'a str),
}

/// Runs it there; its exit code.
pub fn run(at: Elsewhere<'_>, words: &[&str]) -> Result<u8, Failure> {
    let words = without_place(words);
    let mut command = command(at, &words, std::io::stdin().is_terminal() && std::io::stdout().is_terminal());
    let program = command.get_program().to_string_lossy().into_owned();
    let status =
        command.status().map_err(|e| Failure::say(format!("{program}: {e}. Nothing was changed.")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn command(at: Elsewhere<'_>, words: &[&str], on_terminal: bool) -> Command {
    match at {
        Elsewhere::Host(host) => {
            let mut command = Command::new("ssh");
            command.args(on_terminal.then_some("-t")).args(["--", host, "homectl"]);
            // ssh gives them to a shell.
            command.args(words.iter().map(|word| quoted(word)));
            command
        }
        Elsewhere::Container(name) => {
            let mut command = Command::new("systemd-run");
            command.arg(format!("--machine={name}")).args(["--quiet", "--collect", "--wait"]);
            // ${HOME} in a word is a part of it, and none of the manager's variables.
            command.arg("--expand-environment=no");
            command.arg(if on_terminal { "--pty" } else { "--pipe" }).args(["--", "homectl"]).args(words);
            command
        }
    }
}

/// One word of a shell.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The words without those that say where.
fn without_place<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut rest = words.iter().copied();
    while let Some(word) = rest.next() {
        let long = word
            .strip_prefix("--")
            .map(|long| long.split_once('=').map_or((long, false), |(name, _)| (name, true)));
        match (word, long) {
            ("--", _) => {
                kept.push(word);
                kept.extend(rest.by_ref());
            }
            ("-H" | "-M", _) | (_, Some(("host" | "machine", false))) => drop(rest.next()),
            (_, Some(("host" | "machine", true))) => {}
            (short, None) if short.starts_with("-H") || short.starts_with("-M") => {}
            (word, _) => kept.push(word),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_are_run_there() {
        for words in [
            ["-H", "there", "inspect", "it's"].as_slice(),
            &["--host=there", "inspect", "it's"],
            &["inspect", "--host", "there", "it's"],
            &["-Hthere", "inspect", "it's"],
        ] {
            assert_eq!(without_place(words), ["inspect", "it's"], "{words:?}");
        }
        let there = command(Elsewhere::Host("there"), &["inspect", "it's"], true);
        let words: Vec<_> = there.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words, ["-t", "--", "there", "homectl", "'inspect'", r"'it'\''s'"]);
        let there = command(Elsewhere::Container("web"), &["list"], false);
        assert!(there.get_args().any(|word| word == "--machine=web"));
    }
}
