//! Sizes in bytes, and how people write them.

use std::fmt;

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A text that is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a size: write a number and, if it is not in bytes, one of K, M, G, T, P, E (1024 each), such as 20G"
)]
pub struct InvalidSize;

/// Units, largest first; each is 1024 times the next.
const UNITS: [(u64, char); 7] = [
    (1 << 60, 'E'),
    (1 << 50, 'P'),
    (1 << 40, 'T'),
    (1 << 30, 'G'),
    (1 << 20, 'M'),
    (1 << 10, 'K'),
    (1, 'B'),
];

impl ByteSize {
    /// One mebibyte: what image, partition and file system sizes are rounded to.
    pub const MIB: u64 = 1 << 20;

    /// Rounded down to a whole mebibyte.
    pub fn floor_mib(self) -> Self {
        Self(self.0 / Self::MIB * Self::MIB)
    }

    /// Reads sizes as people write them: `512`, `64K`, `1.5G`, `2G 512M`. Units count in steps of 1024;
    /// parts are added, each unit smaller than the one before.
    pub fn parse(text: &str) -> Result<Self, InvalidSize> {
        let (mut rest, mut sum, mut last) = (text.trim(), 0_u64, u64::MAX);
        if rest.is_empty() {
            return Err(InvalidSize);
        }
        while !rest.is_empty() {
            let (part, after) = part(rest)?;
            if part.unit >= last {
                return Err(InvalidSize);
            }
            last = part.unit;
            sum = sum.checked_add(part.bytes()?).ok_or(InvalidSize)?;
            rest = after.trim_start();
        }
        Ok(Self(sum))
    }
}

/// One decimal of the largest unit that fits: `1.5G`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, letter) = UNITS.into_iter().find(|(unit, _)| self.0 >= *unit).unwrap_or((1, 'B'));
        let tenths = (u128::from(self.0 % unit) * 10) / u128::from(unit);
        match tenths {
            0 => write!(f, "{}{letter}", self.0 / unit),
            _ => write!(f, "{}.{tenths}{letter}", self.0 / unit),
        }
    }
}

/// What is left to others than homes on a disk of that size, in bytes: a twentieth, 64 MiB at least and 2 GiB at most.
pub fn spared(disk: u64) -> u64 {
    (disk / 20).clamp(64 * ByteSize::MIB, 2048 * ByteSize::MIB)
}

struct Part<'a> {
    whole: &'a str,
    decimals: &'a str,
    unit: u64,
}

fn part(text: &str) -> Result<(Part<'_>, &str), InvalidSize> {
    let (whole, rest) = digits(text);
    let (decimals, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() {
        return Err(InvalidSize);
    }
    let rest = rest.trim_start();
    let Some(letter) = rest.chars().next() else {
        return Ok((Part { whole, decimals, unit: 1 }, rest));
    };
    let unit = UNITS.iter().find(|(_, known)| is_unit(letter, *known)).ok_or(InvalidSize)?.0;
    // The letters are ASCII, so one byte.
    Ok((Part { whole, decimals, unit }, &rest[1..]))
}

/// Small letters are as good, but for `e`: `1e3` looks like a thousand.
fn is_unit(letter: char, known: char) -> bool {
    letter == known || (known != 'E' && letter.eq_ignore_ascii_case(&known))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

impl Part<'_> {
    fn bytes(&self) -> Result<u64, InvalidSize> {
        let whole: u64 = self.whole.parse().map_err(|_| InvalidSize)?;
        let whole = whole.checked_mul(self.unit).ok_or(InvalidSize)?;
        let (mut share, mut place) = (0_u128, u128::from(self.unit));
        for digit in self.decimals.bytes() {
            share += u128::from(digit - b'0') * place / 10;
            place /= 10;
        }
        whole.checked_add(u64::try_from(share).map_err(|_| InvalidSize)?).ok_or(InvalidSize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("1.5G", 3 << 29),
            (" 20 G ", 20 << 30),
            ("2G 512M", (2 << 30) + (512 << 20)),
            ("1G5", (1 << 30) + 5),
            ("18446744073709551615", u64::MAX),
            ("15E", 15 << 60),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size() {
        for text in [
            "",
            " ",
            "G",
            "-1",
            "+1",
            "1X",
            "1GiB",
            "16E",
            "18446744073709551616",
            "1M 1G",
            "1K 1K",
            "1ä",
            ".5G",
            "1e3",
        ] {
            assert_eq!(ByteSize::parse(text), Err(InvalidSize), "{text}");
        }
    }

    #[test]
    fn what_is_shown() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1K"),
            (3 << 29, "1.5G"),
            ((1 << 30) - 1, "1023.9M"),
            (u64::MAX, "15.9E"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
