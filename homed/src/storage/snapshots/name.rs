//! What snapshots are called, in the folder that they lie in: `20261127T043350Z.made.before-upgrade`.
//!
//! The moment is that of the clock in UTC when it was made. A subvolume on its way has a name with a dot in front
//! ([`Working`]); what has any other name is nobody's here, and is left alone.

use std::fmt;
use uuid::Uuid;

/// Most bytes of a label.
pub const LONGEST_LABEL: usize = 32;
/// Where seconds since 1970 end that have a name of four digits for the year: 9999-12-31T23:59:59Z.
const LAST: u64 = 253_402_300_799;
const DAY: u64 = 86_400;

/// Why a snapshot was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Somebody wanted it: it stays until somebody deletes it.
    Made,
    /// The schedule of the home: it goes when its time has come, or space is short.
    Scheduled,
    /// It is what the home was before all of it was restored.
    Former,
}

impl Origin {
    const ALL: [Self; 3] = [Self::Made, Self::Scheduled, Self::Former];

    /// Its word in names and reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Scheduled => "scheduled",
            Self::Former => "former",
        }
    }
}

/// The name of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// When it was made, in seconds since 1970.
    pub at: u64,
    /// Why.
    pub origin: Origin,
    /// What its maker calls it; empty: nothing.
    pub label: String,
}

impl Name {
    /// Reads one. `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (at, word) = (read_moment(parts.next()?)?, parts.next()?);
        let origin = Origin::ALL.into_iter().find(|origin| origin.word() == word)?;
        let label = match parts.next() {
            None => String::new(),
            Some(label) if is_label(label) => label.to_owned(),
            Some(_) => return None,
        };
        Some(Self { at, origin, label })
    }

    /// Whether somebody who says this means it: all of its name, its moment, or its label.
    pub fn is_called(&self, text: &str) -> bool {
        text == self.to_string() || text == moment(self.at) || (!text.is_empty() && text == self.label)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", moment(self.at), self.origin.word())?;
        if self.label.is_empty() { Ok(()) } else { write!(f, ".{}", self.label) }
    }
}

/// Whether a text may be a label.
pub fn is_label(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    (1..=LONGEST_LABEL).contains(&text.len()) && text.bytes().all(fits)
}

/// The name of the copy that is to take the home's place, and under which the home lies when it has. Which of both it is, its
/// own UUID tells: that of the home is in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Working {
    /// When the home was to be restored, in seconds since 1970.
    pub at: u64,
    /// The home that is to make way.
    pub former: Uuid,
}

const WORKING: &str = ".restoring.";

impl Working {
    /// Reads one. `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, former) = text.strip_prefix(WORKING)?.split_once('.')?;
        Some(Self { at: read_moment(at)?, former: Uuid::parse_str(former).ok()? })
    }
}

impl fmt::Display for Working {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORKING}{}.{}", moment(self.at), self.former.hyphenated())
    }
}

/// A moment in the basic form of ISO 8601, in UTC.
pub fn moment(at: u64) -> String {
    let at = at.min(LAST);
    let (year, month, day) = date(at / DAY);
    let clock = at % DAY;
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", clock / 3600, clock / 60 % 60, clock % 60)
}

fn read_moment(text: &str) -> Option<u64> {
    let digits: Vec<u64> = text.bytes().filter(u8::is_ascii_digit).map(|c| u64::from(c - b'0')).collect();
    if digits.len() != 14 {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits[range].iter().fold(0, |sum, digit| sum * 10 + digit);
    let days = days_to(number(0..4), number(4..6), number(6..8))?;
    let at = days * DAY + number(8..10) * 3600 + number(10..12) * 60 + number(12..14);
    // What is not written as it would be written here is no moment: one month too many, a letter elsewhere.
    (moment(at) == text).then_some(at)
}

/// Days of the years before this one, from 1970 on.
fn days_before(year: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn months(year: u64) -> [u64; 12] {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Year, month and day after so many days since 1970.
fn date(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let (mut left, mut month) = (days - days_before(year), 1);
    for length in months(year) {
        if left < length {
            break;
        }
        (left, month) = (left - length, month + 1);
    }
    (year, month, left + 1)
}

fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    if year < 1970 || before >= 12 || day == 0 {
        return None;
    }
    Some(days_before(year) + months(year)[..before].iter().sum::<u64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for (at, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_795_754_030, "20261127T043350Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
            (LAST, "99991231T235959Z"),
        ] {
            assert_eq!(moment(at), text);
            assert_eq!(read_moment(text), Some(at), "{text}");
        }
        for days in 0..200_000 {
            let (year, month, day) = date(days);
            assert_eq!(days_to(year, month, day), Some(days));
        }
        for wrong in
            ["20261327T043350Z", "20260230T000000Z", "20261127T243350Z", "20261127t043350Z", "2026", ""]
        {
            assert_eq!(read_moment(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written_and_others_are_none() {
        let name = Name { at: 1_795_754_030, origin: Origin::Made, label: "before-upgrade".into() };
        assert_eq!(name.to_string(), "20261127T043350Z.made.before-upgrade");
        assert_eq!(Name::parse(&name.to_string()), Some(name.clone()));
        for text in ["20261127T043350Z.made.before-upgrade", "20261127T043350Z", "before-upgrade"] {
            assert!(name.is_called(text), "{text}");
        }
        assert!(!Name { label: String::new(), ..name.clone() }.is_called(""));
        for wrong in [
            "alice",
            "20261127T043350Z",
            "20261127T043350Z.other",
            "20261127T043350Z.made.a/b",
            "x.made",
            "..",
        ] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
        let working = Working { at: 1_795_754_030, former: Uuid::from_u128(7) };
        assert_eq!(Working::parse(&working.to_string()), Some(working));
        assert_eq!(Name::parse(&working.to_string()), None);
        assert!(!is_label("") && !is_label("..") && !is_label("a b") && !is_label(&"x".repeat(33)));
    }
}
