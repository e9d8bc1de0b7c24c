//! Time spans as people write them (systemd.time(7)): on command lines and in settings files.

/// µs in a second.
pub const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// Units of a time span, longest first, with every name they go by (systemd.time(7)).
const UNITS: &[(u64, &[&str])] = &[
    (31_557_600 * SECOND, &["y", "year", "years"]),
    (2_629_800 * SECOND, &["month", "months", "M"]),
    (7 * DAY, &["w", "week", "weeks"]),
    (DAY, &["d", "day", "days"]),
    (3_600 * SECOND, &["h", "hr", "hour", "hours"]),
    (60 * SECOND, &["min", "m", "minute", "minutes"]),
    (SECOND, &["s", "sec", "second", "seconds"]),
    (1_000, &["ms", "msec"]),
    (1, &["us", "usec", "µs", "μs"]),
];

/// A time span in µs: `90`, `1min 30s`, `2w`, `infinity`.
pub fn span(text: &str) -> Result<u64, String> {
    let wrong = || "it must be a time span such as 90s, 5min or 2weeks".to_owned();
    let mut rest = text.trim();
    if rest == "infinity" {
        return Ok(u64::MAX);
    }
    let mut sum: Option<u64> = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let factor = match &after[..letters] {
            "" => SECOND,
            name => UNITS.iter().find(|(_, names)| names.contains(&name)).ok_or_else(wrong)?.0,
        };
        let part = scaled(&rest[..digits], factor).ok_or_else(wrong)?;
        sum = Some(sum.unwrap_or(0).checked_add(part).ok_or_else(wrong)?);
        rest = after[letters..].trim_start();
    }
    sum.ok_or_else(wrong)
}

/// A time span in words: `1min 30s`.
pub fn show_span(mut usec: u64) -> String {
    if usec == u64::MAX {
        return "infinity".to_owned();
    }
    let mut parts = Vec::new();
    for (unit, names) in UNITS {
        if usec >= *unit {
            parts.push(format!("{}{}", usec / unit, names[0]));
            usec %= unit;
        }
    }
    if parts.is_empty() { "0".to_owned() } else { parts.join(" ") }
}

/// A decimal number with a fraction, times a factor; nothing where it does not fit 64 bits.
pub fn scaled(digits: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(12)];
    let base = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let ten = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part =
        if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? * u128::from(factor) / ten };
    base.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_span_that_is_shown_reads_the_same(usec in 0u64..u64::MAX / 2) {
            prop_assert_eq!(span(&show_span(usec)), Ok(usec));
        }
    }

    #[test]
    fn spans_have_the_units_of_systemd() {
        for (text, usec) in [
            ("1ms", 1_000),
            ("90", 90 * SECOND),
            ("1min 30s", 90 * SECOND),
            ("1.5h", 5400 * SECOND),
            ("1h30min", 5400 * SECOND),
        ] {
            assert_eq!(span(text), Ok(usec), "{text}");
        }
        for text in ["", "s", "5 parsecs", "-1s", "99999999999y"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
