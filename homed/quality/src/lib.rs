//! Whether a password is good enough, and some that are: by the programs of libpwquality or passwdqc, whichever is
//! installed; else by a shortest length, and without suggestions.
//!
//! The programs read the password from a file in memory (never from a command line, and no pipe keeps it), and are given
//! an empty environment. Their rules are the system's: pwquality.conf(5), passwdqc.conf(5).

#![forbid(unsafe_code)]

mod checker;
mod suggestions;

pub use suggestions::suggestions;

use checker::CHECKERS;
use records::{Credentials, Secret, UserName};

/// Shortest password in characters, where nobody else judges.
const SHORTEST: usize = 8;

/// Why one of the passwords is too weak, in one sentence; recovery keys and PINs are not passwords, and what was a password
/// before is judged no more. Runs a program: it blocks.
pub fn weakness(user: &UserName, new: &Credentials, old: Option<&Credentials>) -> Option<String> {
    let before = old.map_or(&[][..], |old| &old.passwords);
    let fresh = |new: &&Secret| !before.iter().any(|old| old.matches(new.open()));
    new.passwords.iter().filter(fresh).find_map(|password| judge(user, password))
}

/// Why this password is too weak. Runs a program: it blocks.
pub fn judge(user: &UserName, password: &Secret) -> Option<String> {
    let verdict = CHECKERS.iter().find_map(|checker| checker.ask(user, password));
    verdict.unwrap_or_else(|| too_short(password))
}

fn too_short(password: &Secret) -> Option<String> {
    let length = password.open_text().map_or(password.open().len(), |text| text.chars().count());
    (length < SHORTEST).then(|| weak(&format!("it has fewer than {SHORTEST} characters.")))
}

fn weak(why: &str) -> String {
    format!("The password is too weak: {}", why.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests;
