//! Passwords that nobody has thought of.

use records::Secret;
use std::process::{Command, Stdio};

/// How many are offered.
const MANY: usize = 6;
/// pwmake(1) with the bits of entropy that it has to have; pwqgen(1), which makes words of 47 bits.
const GENERATORS: &[(&str, &[&str])] = &[("/usr/bin/pwmake", &["64"]), ("/usr/bin/pwqgen", &[])];

/// Some good passwords; none where no program that makes them is installed. Runs programs: it blocks.
pub fn suggestions() -> Vec<Secret> {
    let made = GENERATORS.iter().map(|(program, words)| many(program, words));
    made.into_iter().find(|made| !made.is_empty()).unwrap_or_default()
}

fn many(program: &str, words: &[&str]) -> Vec<Secret> {
    (0..MANY).map_while(|_| one(program, words)).collect()
}

fn one(program: &str, words: &[&str]) -> Option<Secret> {
    let ended = Command::new(program)
        .args(words)
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let said = Secret::new(ended.stdout);
    let word = said.open_text()?.trim();
    let usable = ended.status.success() && !word.is_empty() && !word.contains(char::is_whitespace);
    usable.then(|| Secret::from_text(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_generator_says_is_taken_if_it_is_a_word() {
        let made = many("/bin/echo", &["Cyr50L=Uz"]);
        assert_eq!(made.len(), MANY);
        assert!(made[0].matches(b"Cyr50L=Uz"));
        for (program, words) in [
            ("/nonexistent", &[][..]),
            ("/bin/echo", &["two words"]),
            ("/bin/echo", &[]),
            ("/bin/false", &[]),
        ] {
            assert!(many(program, words).is_empty(), "{program} {words:?}");
        }
    }
}
