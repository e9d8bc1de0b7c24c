//! Which keys of an American keyboard make a letter, by qemu's names.

/// The keys, joined by `-`; `None`: there are none.
pub fn of(letter: char) -> Option<&'static str> {
    const LETTERS: [&str; 26] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t",
        "u", "v", "w", "x", "y", "z",
    ];
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let others = [
        (' ', "spc"),
        ('\n', "ret"),
        ('\t', "tab"),
        ('-', "minus"),
        ('.', "dot"),
        (',', "comma"),
        ('/', "slash"),
        ('=', "equal"),
        (';', "semicolon"),
        ('\'', "apostrophe"),
        ('&', "shift-7"),
        ('(', "shift-9"),
        (')', "shift-0"),
        ('+', "shift-equal"),
        ('>', "shift-dot"),
        (':', "shift-semicolon"),
        ('$', "shift-4"),
        ('_', "shift-minus"),
    ];
    let plain = |first: u8, keys: &[&'static str]| {
        u8::try_from(letter).ok().and_then(|byte| keys.get(usize::from(byte.checked_sub(first)?)).copied())
    };
    plain(b'a', &LETTERS)
        .or_else(|| plain(b'0', &DIGITS))
        .or_else(|| others.iter().find(|(other, _)| *other == letter).map(|(_, keys)| *keys))
}
