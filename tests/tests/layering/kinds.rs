//! The places where a kind of storage, or of token, is called by its name. A kind is one file (or folder) and one line
//! in a table; whoever else needs to know something asks for a part that a kind may have.

use super::source::Source;

/// Kinds of storage, as the enums call them.
const STORAGE: &[&str] = &["Luks", "Directory", "Subvolume", "Fscrypt", "Cifs", "Classic"];
/// What such an enum is called.
const ENUMS: &[&str] = &["Storage", "Kind"];
/// The same kinds as records have them.
const WORDS: &[&str] = &["\"luks\"", "\"subvolume\"", "\"fscrypt\"", "\"cifs\"", "\"classic\""];
/// What reads a record's entries of one kind of token.
const TOKENS: &[&str] = &["hashed_passwords", "recovery_keys", "pkcs11_keys", "fido2_salts"];

/// How often the file calls a kind by its name, outside of tests; `text` is the file as it is.
pub fn places(source: &Source, text: &str) -> usize {
    let end = text.find("#[cfg(test)]\nmod tests {").map_or(usize::MAX, |at| text[..at].lines().count());
    let named = (0..source.tokens.len()).filter(|at| {
        let is_kind = STORAGE.contains(&source.text(*at))
            && *at >= 2
            && source.text(at - 1) == "::"
            && ENUMS.contains(&source.text(at - 2));
        source.tokens[*at].line <= end && (is_kind || TOKENS.contains(&source.text(*at)))
    });
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let lines = text.lines().take(end).filter(|line| !is_comment(line));
    named.count() + lines.map(|line| WORDS.iter().filter(|word| line.contains(**word)).count()).sum::<usize>()
}

/// Files with more or fewer places than the list says; `homes` are folders and files that are a kind.
pub fn check(list: &[(&str, usize)], homes: &[&str], source: &Source, text: &str) -> Vec<String> {
    let path = source.path.as_str();
    let is_test = path.contains("/tests") || path.contains("_tests");
    if !path.starts_with("homed/src/") || is_test || homes.iter().any(|home| path.starts_with(home)) {
        return Vec::new();
    }
    let there = places(source, text);
    let listed = list.iter().find(|(listed, _)| *listed == path).map_or(0, |(_, count)| *count);
    if there == listed {
        return Vec::new();
    }
    vec![format!("{path}: a kind is called by its name in {there} places, and the list says {listed}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        let source = Source::new("homed/src/manager/x.rs", text);
        assert_eq!(check(&[], &["homed/src/manager/x.rs"], &source, text).len(), 0);
        assert_eq!(check(&[], &[], &source, text).is_empty(), places(&source, text) == 0);
        places(&source, text)
    }

    #[test]
    fn a_name_is_found_however_it_is_written() {
        assert_eq!(found("if settings.storage == Some(records::Storage::Luks) {}"), 1);
        assert_eq!(found("match kind { Kind::Directory | Kind::Subvolume => 1 }"), 2);
        assert_eq!(found("matches!(storage.as_str(), \"luks\")"), 1);
        assert_eq!(found("record.hashed_passwords().len() + record.recovery_keys().len()"), 2);
        assert_eq!(found("FileType::Directory; Storage::Missing; // Storage::Luks"), 0);
        assert_eq!(found("#[cfg(test)]\nmod tests { const A: Storage = Storage::Luks; }"), 0);
    }
}
