//! Everything that is said, in the languages that people have (docs/decisions/0024-catalogue.md).
//!
//! ```text
//! texts   every text there is: ours, and those of PAM that are known     text      one that is said, in no language yet
//! po      the translators' files, ../../po/*.po, which are built in      language  which of them somebody reads
//! ```
//!
//! What a catalogue does not know is said as it came: no text is lost.

mod language;
mod pattern;
mod po;
mod text;
pub mod texts;

pub use language::{Language, of_machine};
pub use text::{Id, Text};

use pattern::Pattern;
use std::collections::BTreeMap;

/// The texts in one language.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    texts: BTreeMap<String, String>,
}

impl Catalogue {
    /// In this language.
    pub fn of(language: Language) -> Self {
        Self { texts: language.file().map(po::read).unwrap_or_default() }
    }

    /// The text, with everything filled in.
    pub fn say(&self, text: &Text) -> String {
        match text {
            Text::Ours { id, with } => {
                let with: Vec<_> = with.iter().map(|(name, text)| (*name, self.say(text))).collect();
                pattern::fill(self.look_up(*id), |name| {
                    with.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
                })
            }
            Text::Foreign(text) => self.foreign(text.trim()),
            Text::Name(name) => name.clone(),
        }
    }

    /// A text without anything to be filled in.
    pub fn word(&self, id: Id) -> &str {
        self.look_up(id)
    }

    /// Every text of this language: what a terminal has to have letters for.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.texts.values().map(String::as_str)
    }

    fn look_up(&self, id: Id) -> &str {
        self.texts.get(id.english()).map_or(id.english(), String::as_str)
    }

    /// A text of a PAM module: as a whole if it is known, else sentence by sentence, and what is not known as it is.
    fn foreign(&self, text: &str) -> String {
        if let Some(known) = self.whole(text) {
            return known;
        }
        for (end, _) in text.match_indices(". ") {
            let (first, rest) = text.split_at(end + 1);
            if let Some(known) = self.whole(first) {
                return format!("{known} {}", self.foreign(rest.trim_start()));
            }
        }
        match text.split_once(". ") {
            Some((first, rest)) => format!("{first}. {}", self.foreign(rest.trim_start())),
            None => text.to_owned(),
        }
    }

    fn whole(&self, text: &str) -> Option<String> {
        let fitting = texts::OF_PAM.iter().filter_map(|(id, _)| {
            let pattern = Pattern::of(id.english());
            let values = pattern.values(text)?;
            Some((pattern.letters(), *id, values))
        });
        // Of several that fit, the one that leaves the least open.
        let (_, id, values) = fitting.max_by_key(|(letters, ..)| *letters)?;
        Some(pattern::fill(self.look_up(id), |name| values.get(name).cloned()))
    }
}

#[cfg(test)]
mod tests;
