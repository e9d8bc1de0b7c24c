//! Smart cards of this machine are asked by a copy of the worker: their modules are other people's code, which may hang or
//! fall over. Late, it is killed; what it had of PIN and key goes with it, and so it does when the worker ends.

use super::Cards;
use crate::sys::bounded::{self, Deadline, Late, Unfinished};
use crate::sys::memory;
use pkcs11::{Asked, Entry, Failure, Given, Library};
use records::Secret;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::Zeroize;

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
        let there = || {
            // It is bound to the worker before it has anything that could outlive a lock.
            memory::die_with_parent(worker).map_err(|error| error.to_string())?;
            memory::lock_all().map_err(|error| error.to_string())?;
            serde_json::to_string(&ask(entries, given, fits)).map_err(|error| error.to_string())
        };
        match bounded::ask(Deadline::after(PATIENCE), Late::Kill, there) {
            Ok(said) => read(said),
            Err(Unfinished::Late) => Err(Failure::Timeout),
            Err(error) => Err(Failure::Broken(error.to_string())),
        }
    }
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

fn read(mut said: String) -> Result<Option<Asked>, Failure> {
    let read = serde_json::from_str(&said);
    said.zeroize();
    match read.map_err(|_| Failure::Broken("its answer was cut off".into()))? {
        Said::Nothing => Ok(None),
        Said::Unable(failure) => Err(failure),
        Said::No { token, why } => Ok(Some(Asked { token, done: Err(why) })),
        Said::Key { token, entry, text } => {
            Ok(Some(Asked { token, done: Ok((entry, Secret::from_text(text))) }))
        }
    }
}
