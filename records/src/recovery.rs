//! Recovery keys: 32 random bytes as 64 "modhex" letters in eight groups of eight.
//!
//! Modhex uses letters that sit in the same place on every keyboard layout (`cbdefghijklnrtuv`).

use crate::secret::Secret;

const ALPHABET: &[u8; 16] = b"cbdefghijklnrtuv";
/// Letters of a key, without dashes.
const LETTERS: usize = 64;
/// Letters between two dashes.
const GROUP: usize = 8;

/// Length of a key's text, dashes included.
pub const LENGTH: usize = LETTERS + LETTERS / GROUP - 1;

/// The text of a key: lower case, with dashes; 71 characters.
pub fn encode(key: &[u8; 32]) -> Secret {
    let mut text = Vec::with_capacity(LENGTH);
    for (i, byte) in key.iter().enumerate() {
        if i > 0 && i % (GROUP / 2) == 0 {
            text.push(b'-');
        }
        text.push(ALPHABET[usize::from(byte >> 4)]);
        text.push(ALPHABET[usize::from(byte & 15)]);
    }
    Secret::new(text)
}

/// The same key as [`encode`] writes it, from what a person typed: any case, with or without all
/// dashes. `None`: not a recovery key.
pub fn normalize(typed: &[u8]) -> Option<Secret> {
    let dashed = match typed.len() {
        LETTERS => false,
        LENGTH => true,
        _ => return None,
    };
    let mut text = Vec::with_capacity(LENGTH);
    let mut letters = 0;
    for (i, byte) in typed.iter().enumerate() {
        if dashed && i % (GROUP + 1) == GROUP {
            if *byte != b'-' {
                return wipe(text);
            }
            continue;
        }
        let letter = byte.to_ascii_lowercase();
        if !ALPHABET.contains(&letter) {
            return wipe(text);
        }
        if letters > 0 && letters % GROUP == 0 {
            text.push(b'-');
        }
        text.push(letter);
        letters += 1;
    }
    Some(Secret::new(text))
}

fn wipe(text: Vec<u8>) -> Option<Secret> {
    drop(Secret::new(text));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_leads_to_the_same_key() {
        let key: [u8; 32] = std::array::from_fn(|i| (i * 37) as u8);
        let text = encode(&key);
        assert_eq!(text.open().len(), 71);
        let plain: Vec<u8> = text.open().iter().copied().filter(|b| *b != b'-').collect();
        let upper = plain.to_ascii_uppercase();
        for spelling in [text.open().to_vec(), plain, upper, text.open().to_ascii_uppercase()] {
            assert_eq!(normalize(&spelling).expect("a key").open(), text.open());
        }
    }

    #[test]
    fn passwords_are_not_recovery_keys() {
        for other in ["", "geheim", &"a".repeat(64), &"c".repeat(71), &"c".repeat(63)] {
            assert!(normalize(other.as_bytes()).is_none(), "{other}");
        }
    }
}
