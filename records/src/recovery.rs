//! Recovery keys: 32 random bytes as 64 "modhex" letters in eight groups of eight.
//!
//! Modhex uses letters that sit in the same place on every keyboard layout (`cbdefghijklnrtuv`).

use crate::secret::Secret;
use zeroize::Zeroizing;

const ALPHABET: &[u8; 16] = b"cbdefghijklnrtuv";
/// Letters of a key, without dashes.
const LETTERS: usize = 64;
/// Letters between two dashes.
const GROUP: usize = 8;

/// Length of a key's text, dashes included.
pub const LENGTH: usize = LETTERS + LETTERS / GROUP - 1;

/// How often the group of a key may be mistyped by whoever is to have written it down.
pub const MISTYPED: u8 = 3;

/// A key that was just made. Nobody has it who has not written it down, so one of its groups is to be typed before it counts.
pub struct Fresh {
    /// Its text.
    pub text: Secret,
    /// Which group is to be typed, from 1.
    pub number: u32,
}

impl Fresh {
    /// Makes one of what `fill` puts into the bytes; `None`: it says that it has not.
    pub fn new(fill: impl FnOnce(&mut [u8]) -> bool) -> Option<Self> {
        let mut random = Zeroizing::new([0; 33]);
        if !fill(&mut random[..]) {
            return None;
        }
        let (key, which) = (random.first_chunk()?, usize::from(random[32]));
        Some(Self { text: encode(key), number: u32::try_from(which % (LETTERS / GROUP) + 1).ok()? })
    }

    /// The group that is to be typed; empty: there is none of that number.
    pub fn group(&self) -> &str {
        let number = usize::try_from(self.number).unwrap_or_default().wrapping_sub(1);
        self.text.open_text().unwrap_or_default().split('-').nth(number).unwrap_or_default()
    }

    /// Whether that is its group, in any case and with spaces around it.
    pub fn is_shown_by(&self, typed: &Secret) -> bool {
        let typed = Secret::new(typed.open().trim_ascii().to_ascii_lowercase());
        !self.group().is_empty() && typed.matches(self.group().as_bytes())
    }
}

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
