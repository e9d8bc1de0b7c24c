//! Smart cards of this machine are asked by a copy of the worker: their modules are other people's code, which may hang or
//! fall over. Late, it is killed; what it had of PIN and key goes with it, and so it does when the worker ends.

use super::Cards;
use crate::sys::bounded::{self, Deadline, Late, Unfinished};
use crate::sys::{input, memory};
use pkcs11::{Asked, Entry, Failure, Given, Library};
use records::Secret;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// How long cards are waited for, whoever types a PIN on a reader's pad included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Those of this machine.
pub struct PluggedIn;

/// What the copy says.
#[derive(Serialize, Deserialize)]
enum Said {
    /// No token is named.
    Nothing,
    /// It could not ask.
    Unable(Failure),
    /// What a token did not give, and why.
    No { token: String, why: Failure },
    /// The passphrase of an entry.
    Key { token: String, entry: usize, text: String },
}

impl Cards for PluggedIn {
    fn answer(
        &self,
        entries: &[Entry],
        given: &Given<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<Asked>, Failure> {
        let worker = memory::own();
        let memory = input::memory().map_err(broken)?;
        let there = || -> io::Result<()> {
            // It is bound to the worker before it has anything that could outlive a lock.
            memory::die_with_parent(worker)?;
            memory::lock_all()?;
            memory.write_all_at(&serde_json::to_vec(&ask(entries, given, fits))?, 0)
        };
        match bounded::within(Deadline::after(PATIENCE), Late::Kill, there) {
            Ok(()) => read(&input::read_and_wipe(memory).map_err(broken)?),
            Err(Unfinished::Late) => Err(Failure::Timeout),
            Err(error) => Err(broken(error)),
        }
    }
}

fn broken(error: impl Display) -> Failure {
    Failure::Broken(error.to_string())
}

fn ask(entries: &[Entry], given: &Given<'_>, fits: &dyn Fn(usize, &Secret) -> bool) -> Said {
    let asked = || {
        let library = Library::load()?;
        let tokens = library.tokens()?;
        let tokens: Vec<_> = tokens.iter().map(AsRef::as_ref).collect();
        Ok(pkcs11::answer(&tokens, entries, given, fits))
    };
    match asked() {
        Err(failure) => Said::Unable(failure),
        Ok(None) => Said::Nothing,
        Ok(Some(Asked { token, done: Err(why) })) => Said::No { token, why },
        Ok(Some(Asked { token, done: Ok((entry, secret)) })) => {
            // (It is base64.)
            Said::Key { token, entry, text: secret.open_text().unwrap_or_default().to_owned() }
        }
    }
}

fn read(said: &Secret) -> Result<Option<Asked>, Failure> {
    match serde_json::from_slice(said.open()).map_err(|_| broken("its answer was cut off"))? {
        Said::Nothing => Ok(None),
        Said::Unable(failure) => Err(failure),
        Said::No { token, why } => Ok(Some(Asked { token, done: Err(why) })),
        Said::Key { token, entry, text } => {
            Ok(Some(Asked { token, done: Ok((entry, Secret::from_text(text))) }))
        }
    }
}
