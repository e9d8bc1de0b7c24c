//! What the kernel's keymap says that a key makes, in numbers (linux/keyboard.h).

// What a key is mapped to has a type in its upper byte; what is not one of these is a character's number.
const KT_LATIN: u16 = 0;
const KT_DEAD: u16 = 4;
const KT_LETTER: u16 = 11;
const NR_TYPES: u16 = 15;
/// `K_NOSUCHMAP`.
pub const NO_TABLE: u16 = 0x027f;
/// By which such numbers differ from types.
const CHARACTER: u16 = 0xf000;

/// What a key is mapped to that makes this character, and Caps Lock the great one of it, as far as the kernel can; `None`: the kernel
/// knows no such character.
pub fn making(letter: char) -> Option<u16> {
    let number = u16::try_from(u32::from(letter)).ok()?;
    // The kernel makes no great letter of those above Latin-1.
    let kind = match u8::try_from(number) {
        Ok(_) if letter.is_alphabetic() => KT_LETTER << 8,
        Ok(_) => KT_LATIN << 8,
        // Numbers that would be read as a type are no characters to the kernel (Arabic forms, ligatures).
        Err(_) => return Some(number ^ CHARACTER).filter(|value| value >> 8 >= NR_TYPES),
    };
    Some(kind | number)
}

/// What a key is mapped to that is a dead accent, by the kernel's number of it.
pub fn dead(accent: u8) -> u16 {
    KT_DEAD << 8 | u16::from(accent)
}

/// The character that a key makes which is mapped to this.
pub fn character(value: u16) -> Option<char> {
    match value >> 8 {
        KT_LATIN | KT_LETTER => Some(char::from(value.to_le_bytes()[0])),
        kind if kind >= NR_TYPES => char::from_u32(u32::from(value ^ CHARACTER)),
        _ => None,
    }
    .filter(|character| !character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_letters_of_all_alphabets_or_none() {
        assert_eq!((character(0x0b71), character(0x0027)), (Some('q'), Some('\'')));
        // ф, with its number under the kernel's mask.
        assert_eq!(character(0x0444 ^ 0xf000), Some('ф'));
        // Enter, a dead accent, nothing.
        assert_eq!((character(0x0201), character(0x0400), character(0x0000)), (None, None, None));
    }

    #[test]
    fn letters_are_made_by_what_makes_them() {
        for letter in "aZ1§äß€фč".chars() {
            assert_eq!(making(letter).and_then(character), Some(letter));
        }
        assert_eq!((making('ä'), making('1'), making('🔑')), (Some(0x0be4), Some(0x0031), None));
        // An Arabic ligature, which would be a key of Braille, and the Latin one of f and i, which would be a letter.
        assert_eq!(['\u{fefb}', '\u{fb01}', '\u{fdfc}'].map(making), [None, None, None]);
        assert_eq!((dead(2), character(dead(2))), (0x0402, None));
    }
}
