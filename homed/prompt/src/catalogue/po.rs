//! The translators' files: PO, as gettext has it ("The Format of PO Files" in its manual), as far as it is used here: no plurals and no
//! contexts. What a translator has not finished (empty, `fuzzy`) is not there.

use std::collections::BTreeMap;

/// What a line adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    English,
    Translated,
}

/// One text, as far as it was read.
#[derive(Debug, Default)]
struct Entry {
    english: String,
    translated: String,
    fuzzy: bool,
}

/// From each English text to its translation.
pub fn read(file: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let (mut entry, mut part) = (Entry::default(), Part::Translated);
    for line in file.lines().map(str::trim) {
        let (next, quoted) = match line.split_once(' ') {
            Some(("msgid", quoted)) => (Part::English, quoted),
            Some(("msgstr", quoted)) => (Part::Translated, quoted),
            _ => (part, line),
        };
        let begins = part == Part::Translated && (next == Part::English || line.starts_with("#,"));
        if begins {
            put(&mut texts, std::mem::take(&mut entry));
        }
        if let Some(flags) = line.strip_prefix("#,") {
            entry.fuzzy = flags.split(',').any(|flag| flag.trim() == "fuzzy");
            part = Part::English;
            continue;
        }
        part = next;
        match part {
            Part::English => entry.english.push_str(&unquoted(quoted)),
            Part::Translated => entry.translated.push_str(&unquoted(quoted)),
        }
    }
    put(&mut texts, entry);
    texts
}

/// The head of the file is the translation of nothing.
fn put(texts: &mut BTreeMap<String, String>, entry: Entry) {
    if !entry.fuzzy && !entry.english.is_empty() && !entry.translated.is_empty() {
        texts.insert(entry.english, entry.translated);
    }
}

/// The text between quotes; anything else is none.
fn unquoted(quoted: &str) -> String {
    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    let mut text = String::new();
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.extend(letters.next().map(|letter| if letter == 'n' { '\n' } else { letter })),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_over_several_lines_and_what_is_not_finished() {
        let file = "# somebody\nmsgid \"\"\nmsgstr \"Language: de\\n\"\n\"X: y\\n\"\n\n#. why\nmsgid \"One\"\nmsgstr \"Eins\"\n\n\
                    msgid \"\"\n\"Two \"\n\"\\\"2\\\"\"\nmsgstr \"\"\n\"Zwei\"\n\" \\\\ \"\n\n#, fuzzy\nmsgid \"Three\"\nmsgstr \"Vier\"\n\n\
                    #, c-format\nmsgid \"Four\"\nmsgstr \"Vier\"\n\nmsgid \"Five\"\nmsgstr \"\"\n#~ msgid \"Old\"\n#~ msgstr \"Alt\"\n";
        let read: Vec<_> = read(file).into_iter().collect();
        let all = [("Four", "Vier"), ("One", "Eins"), ("Two \"2\"", "Zwei \\ ")];
        assert_eq!(read, all.map(|(english, translated)| (english.to_owned(), translated.to_owned())));
    }
}
