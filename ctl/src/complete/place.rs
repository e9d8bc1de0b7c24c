//! Where the cursor is. Reads words as `options::parse` does, and forgives what is not finished yet.

use crate::options::{Row, Takes, rows};
use crate::verb::{VERBS, Verb};

/// What is to be completed.
pub enum Place<'a> {
    /// The name of an option.
    Option {
        /// The verb, if one was typed.
        verb: Option<&'a str>,
    },
    /// An option's value.
    Value {
        /// The option.
        row: &'static Row,
        /// The value, as far as it is typed.
        typed: &'a str,
        /// What stands in front of it in the same word.
        fixed: &'a str,
    },
    /// The verb.
    Verb,
    /// An argument of a verb.
    Argument {
        /// The verb.
        verb: &'static Verb,
        /// The arguments in front of it.
        before: Vec<&'a str>,
    },
    /// Behind a word that is no verb.
    Unknown,
    /// A command that is run, with its arguments.
    Command {
        /// The number of its first word, homectl being word 0.
        first: usize,
    },
}

/// The words in front of the cursor.
#[derive(Default)]
struct Before<'a> {
    arguments: Vec<&'a str>,
    /// An option that takes the next word.
    pending: Option<&'static Row>,
    /// `--` was there.
    only_arguments: bool,
    /// The first word of a command.
    command: Option<usize>,
}

/// The place, and the word that is there, as far as it is typed.
pub fn find<'a>(words: &[&'a str]) -> (Place<'a>, &'a str) {
    let (current, earlier) = words.split_last().map_or(("", &[][..]), |(last, rest)| (*last, rest));
    let mut before = Before::default();
    for (at, word) in earlier.iter().enumerate() {
        before.take(at, word);
    }
    (before.place(current, earlier.len() + 1), current)
}

impl<'a> Before<'a> {
    fn take(&mut self, at: usize, word: &'a str) {
        if self.command == Some(at + 1) && word == "--" && self.arguments.len() == 2 {
            self.command = Some(at + 2);
        }
        if self.pending.take().is_some() || self.command.is_some() {
            return;
        }
        if word == "--" && !self.only_arguments {
            self.only_arguments = true;
        } else if let Some(long) = word.strip_prefix("--").filter(|_| !self.only_arguments) {
            self.pending = by_name(long).filter(|row| matches!(row.value, Takes::One(_)));
        } else if word.len() > 1 && word.starts_with('-') && !self.only_arguments {
            self.pending = last_letter(&word[1..]);
        } else {
            self.arguments.push(word);
        }
        self.command = match self.arguments[..] {
            // Behind `with USER` nothing is homectl's own any more.
            ["with", _] => Some(at + 2),
            ["inhibit-lock", _, _] => Some(at + 1),
            _ => None,
        };
    }

    fn place(self, current: &'a str, at: usize) -> Place<'a> {
        if let Some(row) = self.pending {
            return Place::Value { row, typed: current, fixed: "" };
        }
        if let Some(first) = self.command {
            return Place::Command { first };
        }
        if current.starts_with('-') && !self.only_arguments {
            return option(current, self.arguments.first().copied());
        }
        match self.arguments.split_first() {
            None => Place::Verb,
            Some((&"inhibit-lock", [_])) => Place::Command { first: at },
            Some((name, before)) => match VERBS.iter().find(|verb| verb.name == *name) {
                Some(verb) => Place::Argument { verb, before: before.to_vec() },
                None => Place::Unknown,
            },
        }
    }
}

fn option<'a>(current: &'a str, verb: Option<&'a str>) -> Place<'a> {
    let value = current.strip_prefix("--").and_then(|long| long.split_once('='));
    match value.and_then(|(name, value)| Some((exactly(name)?, value))) {
        Some((row, typed)) => Place::Value { row, typed, fixed: &current[..current.len() - typed.len()] },
        None => Place::Option { verb },
    }
}

/// The option of a word without a value in it.
fn by_name(long: &str) -> Option<&'static Row> {
    if long.contains('=') { None } else { exactly(long) }
}

fn exactly(name: &str) -> Option<&'static Row> {
    rows().find(|row| !name.is_empty() && (row.long == name || row.aliases.contains(&name)))
}

/// The option that takes the next word, in a cluster of letters.
fn last_letter(cluster: &str) -> Option<&'static Row> {
    for (at, letter) in cluster.char_indices() {
        let row = rows().find(|row| row.short == Some(letter))?;
        if matches!(row.value, Takes::One(_)) {
            return Some(row).filter(|_| cluster.len() == at + letter.len_utf8());
        }
    }
    None
}
