//! The kernel's keymap while another layout is tried: what it was is noted in `/run` before anything is changed, and put back by us,
//! or by the next of us where we were killed.
//!
//! There is one keymap for all virtual terminals, so it is ours as long as we are in front, and no longer.

use crate::sys::xkb::{self, LEVELS, Made};
use console::{NO_TABLE, Terminal};
use std::io;
use std::path::Path;

/// What the keymap was, as long as it is not so.
const NOTE: &str = "/run/homed/keymap";
/// Keys with numbers below this are changed (linux/input-event-codes.h): others make no letters.
const KEYS: u8 = 128;
/// Those that make letters: the rows of a keyboard, and the key beside the left Shift of European ones.
const LETTERS: [std::ops::RangeInclusive<u8>; 5] = [2..=13, 16..=27, 30..=41, 43..=53, 86..=86];
/// Keysyms of dead accents (xkbcommon-keysyms.h) in the order of the kernel's (`K_DGRAVE` … of linux/keyboard.h).
const DEAD: [u32; 13] =
    [0xfe50, 0xfe51, 0xfe52, 0xfe53, 0xfe57, 0xfe5b, 0xfe54, 0xfe55, 0xfe56, 0xfe58, 0xfe59, 0xfe5a, 0xfe5c];
/// The right Alt key, and what makes AltGr of it (`KT_SHIFT`, `KG_ALTGR`): to some layouts it is another Alt.
const RIGHT_ALT: (usize, u16) = (100, 0x0701);
/// Tables from this on are those of AltGr.
const ALTGR: u8 = 2;
/// The table of Shift, which a new one with AltGr is begun with.
const SHIFT: u8 = 1;

/// Tables by their numbers (Shift is 1, AltGr 2), as far as there are any; what each key is mapped to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keymap(Vec<Option<Vec<u16>>>);

/// A layout by XKB's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// `de`.
    pub name: String,
    /// `nodeadkeys`; empty: none.
    pub variant: String,
}

impl Layout {
    /// As it is shown.
    pub fn in_words(&self) -> String {
        if self.variant.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.variant) }
    }
}

impl Keymap {
    /// The one in force.
    fn read(terminal: &Terminal) -> io::Result<Self> {
        let table = |number| match terminal.mapped(number, 0)? {
            NO_TABLE => Ok(None),
            _ => {
                (0..KEYS).map(|key| terminal.mapped(number, key)).collect::<io::Result<Vec<u16>>>().map(Some)
            }
        };
        (0..LEVELS).map(table).collect::<io::Result<_>>().map(Self)
    }

    /// This one with the letters of a layout.
    fn with(&self, letters: &[Made]) -> Self {
        let mut tables = self.0.clone();
        let plain = tables.get(usize::from(SHIFT)).cloned().flatten().unwrap_or_default();
        for (made, value) in letters.iter().filter_map(|made| Some((made, value(made)?))) {
            let Some(table) = tables.get_mut(usize::from(made.level)) else { continue };
            // Keys that are no letters, Shift itself among them, have to go on there.
            let table = table.get_or_insert_with(|| plain.clone());
            if let Some(place) = table.get_mut(usize::from(made.key)) {
                *place = value;
            }
        }
        if letters.iter().any(|made| made.level >= ALTGR && value(made).is_some()) {
            let keys = tables.iter_mut().flatten().filter_map(|table| table.get_mut(RIGHT_ALT.0));
            keys.for_each(|key| *key = RIGHT_ALT.1);
        }
        Self(tables)
    }

    /// Puts it in force, where this is.
    fn put(&self, terminal: &Terminal, now: &Self) -> io::Result<()> {
        for ((number, wanted), now) in (0..LEVELS).zip(&self.0).zip(&now.0) {
            let Some(wanted) = wanted else {
                if now.is_some() {
                    terminal.map(number, 0, NO_TABLE)?;
                }
                continue;
            };
            for (key, value) in (1..KEYS).zip(wanted.iter().skip(1)) {
                if now.as_ref().and_then(|now| now.get(usize::from(key))) != Some(value) {
                    terminal.map(number, key, *value)?;
                }
            }
        }
        Ok(())
    }

    fn to_note(&self) -> String {
        let line = |table: &Option<Vec<u16>>| match table {
            None => "none".to_owned(),
            Some(keys) => keys.iter().map(u16::to_string).collect::<Vec<_>>().join(" "),
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn of_note(text: &str) -> Option<Self> {
        let table = |line: &str| match line {
            "none" => Some(None),
            keys => keys.split(' ').map(|key| key.parse().ok()).collect::<Option<Vec<u16>>>().map(Some),
        };
        let tables = text.lines().map(table).collect::<Option<Vec<_>>>()?;
        let whole = tables.len() == usize::from(LEVELS)
            && tables.iter().flatten().all(|keys| keys.len() == usize::from(KEYS));
        whole.then_some(Self(tables))
    }
}

/// Has the keys make the letters of this layout; else why not, and nothing was changed.
pub fn load(terminal: &Terminal, layout: &Layout) -> Result<(), String> {
    let keys: Vec<u8> = LETTERS.into_iter().flatten().collect();
    let letters = xkb::letters(&layout.name, &layout.variant, &keys)?;
    let change = || -> io::Result<()> {
        // From what it was before us, so that no layout leaves anything to the next.
        put_back(terminal)?;
        let before = Keymap::read(terminal)?;
        std::fs::write(NOTE, before.to_note())?;
        before.with(&letters).put(terminal, &before)
    };
    change().map_err(|why| match put_back(terminal) {
        Ok(()) => why.to_string(),
        Err(again) => format!("{why}; and what it was is not put back: {again}"),
    })
}

/// Whether the keymap is another than before us.
pub fn is_changed() -> bool {
    Path::new(NOTE).exists()
}

/// The keymap is what it was before us, if we have changed it.
pub fn put_back(terminal: &Terminal) -> io::Result<()> {
    if !is_changed() {
        return Ok(());
    }
    // A note that was not written to its end was written before anything was changed.
    if let Some(before) = Keymap::of_note(&std::fs::read_to_string(NOTE)?) {
        before.put(terminal, &Keymap::read(terminal)?)?;
    }
    std::fs::remove_file(NOTE)
}

/// What the kernel is told of it; `None`: it makes nothing that the kernel knows, and the key stays as it was.
fn value(made: &Made) -> Option<u16> {
    let accent = DEAD.iter().position(|keysym| *keysym == made.keysym);
    match accent.and_then(|accent| u8::try_from(accent).ok()) {
        Some(accent) => Some(console::dead(accent)),
        None => made.letter.and_then(console::making),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shift, Enter and q, in two tables.
    fn before() -> Keymap {
        let table = |q| {
            let mut keys = vec![0x0200; usize::from(KEYS)];
            (keys[42], keys[28], keys[16]) = (0x0700, 0x0201, q);
            keys
        };
        Keymap(vec![Some(table(0x0b71)), Some(table(0x0b51)), None, None])
    }

    fn made(key: u8, level: u8, keysym: u32, letter: Option<char>) -> Made {
        Made { key, level, keysym, letter }
    }

    #[test]
    fn a_layout_changes_its_letters_and_no_other_key() {
        let letters = [
            made(16, 0, 0x61, Some('a')),
            made(16, 1, 0x41, Some('A')),
            made(26, 0, 0xfe52, None),
            made(18, 3, 0x20ac, Some('€')),
            made(42, 0, 0xffe1, None),
        ];
        let Keymap(tables) = before().with(&letters);
        let (plain, shift) = (tables[0].clone().expect("kept"), tables[1].clone().expect("kept"));
        assert_eq!((plain[16], plain[26], plain[42], plain[28]), (0x0b61, 0x0402, 0x0700, 0x0201));
        assert_eq!((shift[16], shift[26]), (0x0b41, 0x0200));
        // A table of AltGr alone is not needed; that of both has Shift and Enter, too.
        let both = tables[3].clone().expect("made");
        assert_eq!(
            (tables[2].is_none(), both[18], both[42], both[28]),
            (true, 0x20ac ^ 0xf000, 0x0700, 0x0201)
        );
        // Which is reached by AltGr.
        assert_eq!((plain[100], shift[100], both[100]), (0x0701, 0x0701, 0x0701));
        let Keymap(tables) = before().with(&letters[..2]);
        assert_eq!(tables[0].clone().expect("kept")[100], 0x0200);
    }

    #[test]
    fn a_note_is_read_as_it_was_written_or_not_at_all() {
        let note = before().to_note();
        assert_eq!(Keymap::of_note(&note), Some(before()));
        for cut in [0, 1, 20, note.len() - 1, note.len() - 5] {
            assert_eq!(Keymap::of_note(&note[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn accents_are_dead_in_the_kernels_order() {
        let dead = |keysym| value(&made(2, 0, keysym, None));
        // Grave, acute, diaeresis, caron; one that the kernel has not (dead_belowdot).
        let all = [0xfe50, 0xfe51, 0xfe57, 0xfe5a, 0xfe60].map(dead);
        assert_eq!(all, [Some(0x0400), Some(0x0401), Some(0x0404), Some(0x040b), None]);
    }
}
