//! Which letters the font of a terminal has. The kernel's has a few hundred, and shows a mark for all others.

use crate::catalogue::Catalogue;
use std::collections::BTreeSet;

/// The letters of a font.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Glyphs {
    /// All there are.
    #[default]
    All,
    /// These.
    These(BTreeSet<char>),
}

/// Letters for which there is a simpler form.
const SIMPLER: [(char, &str); 20] = [
    ('…', "..."),
    ('’', "'"),
    ('‘', "'"),
    ('“', "\""),
    ('”', "\""),
    ('„', "\""),
    ('–', "-"),
    ('—', "-"),
    ('\u{a0}', " "),
    ('\u{202f}', " "),
    ('œ', "oe"),
    ('À', "A"),
    ('É', "E"),
    ('È', "E"),
    ('Ê', "E"),
    ('Ç', "C"),
    ('Á', "A"),
    ('Í', "I"),
    ('Ó', "O"),
    ('Ú', "U"),
];

impl Glyphs {
    /// Whether the text can be read, with simpler letters where those are missing.
    pub fn can_show(&self, text: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(letters) => self.simple(text).chars().all(|letter| letters.contains(&letter)),
        }
    }

    /// The text, in simpler letters where those are missing.
    pub fn simple(&self, text: &str) -> String {
        let Self::These(letters) = self else { return text.to_owned() };
        let mut simple = String::with_capacity(text.len());
        for letter in text.chars() {
            match SIMPLER.iter().find(|(other, _)| *other == letter && !letters.contains(other)) {
                Some((_, simpler)) => simple.push_str(simpler),
                None => simple.push(letter),
            }
        }
        simple
    }

    /// The catalogue, or the English one where the font has not the letters of all of its texts.
    pub fn readable(&self, catalogue: Catalogue) -> Catalogue {
        if catalogue.all().all(|text| self.can_show(text)) { catalogue } else { Catalogue::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Language;

    /// Code page 437, the font that the kernel has built in (drivers/tty/vt/cp437.uni).
    fn built_in() -> Glyphs {
        let others = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»ßµ±÷°·²─│┌┐└┘";
        Glyphs::These((' '..='~').chain(others.chars()).collect())
    }

    #[test]
    fn what_the_font_cannot_show_falls_back_to_english() {
        let read = |language| built_in().readable(Catalogue::of(language)) == Catalogue::of(language);
        let read = Language::ALL.map(|language| (language.name(), read(language)));
        let expected =
            [("en", true), ("de", true), ("fr", true), ("es", true), ("ja", false), ("zh_CN", false)];
        assert_eq!(read, expected);
        assert_eq!(built_in().readable(Catalogue::of(Language::Japanese)), Catalogue::of(Language::English));
        let without = Glyphs::These((' '..='~').collect());
        assert_eq!(without.readable(Catalogue::of(Language::German)), Catalogue::default());
        assert_eq!(Glyphs::All.readable(Catalogue::of(Language::Chinese)), Catalogue::of(Language::Chinese));
    }

    #[test]
    fn letters_are_made_simpler_where_they_are_missing_only() {
        assert_eq!(built_in().simple("Vérification … À l’œil"), "Vérification ... A l'oeil");
        assert_eq!(Glyphs::All.simple("…"), "…");
        assert!(built_in().can_show("Grüße …") && !built_in().can_show("山田"));
    }
}
