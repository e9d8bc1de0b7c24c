//! Texts of the command line become values of the record, and the reverse for times and sizes.
//!
//! Times are read and shown in UTC: the record holds µs since 1970, and the answer must not depend on who asks.

use super::Kind;
use records::span::scaled;
use records::{Realm, UserName};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub use records::span::{SECOND, show_span, span};

const DAY: u64 = 86_400 * SECOND;

const SUFFIXES: &[(u64, char)] = &[
    (1 << 60, 'E'),
    (1 << 50, 'P'),
    (1 << 40, 'T'),
    (1 << 30, 'G'),
    (1 << 20, 'M'),
    (1 << 10, 'K'),
    (1, 'B'),
];

/// What values may depend on besides their text.
pub struct Surroundings<'a> {
    /// Now, in µs since 1970.
    pub now_usec: u64,
    /// The caller's environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether there is a time zone of that name.
    pub zone: &'a dyn Fn(&str) -> bool,
}

/// Reads a value that is not empty; the error says the rule.
pub fn read(kind: Kind, text: &str, around: &Surroundings<'_>) -> Result<Value, String> {
    match kind {
        Kind::Gecos => plain(
            text,
            text.chars().all(|c| !c.is_control() && c != ':'),
            "control characters and ':' are not allowed",
        ),
        Kind::Text => {
            plain(text, text.chars().all(|c| !c.is_control()), "control characters are not allowed")
        }
        Kind::Realm => Realm::parse(text).map(|r| json!(r.as_str())).map_err(|e| e.why.to_owned()),
        Kind::Path => plain(text, is_path(text), "it must be an absolute path without '..'"),
        Kind::FileName => plain(text, is_file_name(text), "it must be a file name"),
        Kind::Bool => boolean(text).map(Value::Bool),
        Kind::ImpliedNo => Ok(Value::Bool(false)),
        Kind::Number(least, most) => number(text, least, most),
        Kind::Octal => octal(text),
        Kind::Size => size(text).map(Value::from),
        Kind::Span => span(text).map(Value::from),
        Kind::Moment => moment(text, around.now_usec).map(Value::from),
        Kind::OneOf(words) => {
            plain(text, words.contains(&text), &format!("it must be one of {}", words.join(", ")))
        }
        Kind::Groups => names(text, is_group),
        Kind::Names => names(text, |n| UserName::parse(n).is_ok()),
        Kind::Capabilities => capabilities(text),
        Kind::Environment => environment(text, around),
        Kind::Uid => uid(text),
        Kind::Date => date(text),
        Kind::SectorSize => number(text, 512, 4096).and_then(|v| match v.as_u64() {
            Some(n) if n.is_power_of_two() => Ok(v),
            _ => Err("it must be 512, 1024, 2048 or 4096".to_owned()),
        }),
        Kind::CifsService => plain(text, is_cifs_service(text), "it must look like //host/share"),
        Kind::Weight => weight(text),
        Kind::TimeZone => plain(text, (around.zone)(text), "it must be a time zone such as Europe/Berlin"),
    }
}

fn plain(text: &str, valid: bool, rule: &str) -> Result<Value, String> {
    if valid { Ok(json!(text)) } else { Err(rule.to_owned()) }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.split('/').all(|part| part != "..") && !text.contains('\0')
}

/// Whether the text can name a file in a folder.
pub fn is_file_name(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && text.len() <= 255 && !text.contains(['/', '\0'])
}

fn is_cifs_service(text: &str) -> bool {
    text.strip_prefix("//")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(host, share)| !host.is_empty() && !share.is_empty())
}

/// Whether the text can be a group's name.
pub fn is_group(name: &str) -> bool {
    name == "root" || UserName::parse(name).is_ok() || is_system_group(name)
}

/// Whether the text can be an environment variable's name.
pub fn is_variable(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Groups of the system may begin with `_` or `systemd-`, which users may not.
fn is_system_group(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && name.len() <= UserName::MAX
}

/// capabilities(7), without the `cap_` in front.
const CAPABILITIES: &str = "audit_control audit_read audit_write block_suspend bpf checkpoint_restore chown \
    dac_override dac_read_search fowner fsetid ipc_lock ipc_owner kill lease linux_immutable mac_admin \
    mac_override mknod net_admin net_bind_service net_broadcast net_raw perfmon setfcap setgid setpcap setuid \
    sys_admin sys_boot sys_chroot sys_module sys_nice sys_pacct sys_ptrace sys_rawio sys_resource sys_time \
    sys_tty_config syslog wake_alarm";

fn capabilities(text: &str) -> Result<Value, String> {
    let known = || CAPABILITIES.split_whitespace().map(|name| format!("cap_{name}"));
    let Some(without) = text.strip_prefix('~') else {
        return names(&text.to_ascii_lowercase(), |name| known().any(|k| k == name));
    };
    let without = without.to_ascii_lowercase();
    let named: Vec<&str> = without.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    if let Some(wrong) = named.iter().find(|name| !known().any(|k| k == **name)) {
        return Err(format!("{wrong:?} is not a capability"));
    }
    Ok(known().filter(|name| !named.contains(&name.as_str())).map(Value::String).collect())
}

/// `yes`, `no` and their synonyms.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err("it must be yes or no".to_owned()),
    }
}

fn number(text: &str, least: i64, most: i64) -> Result<Value, String> {
    match text.parse::<i64>() {
        Ok(n) if (least..=most).contains(&n) => Ok(json!(n)),
        _ if most == i64::MAX => Err(format!("it must be a whole number from {least} on")),
        _ => Err(format!("it must be a whole number from {least} to {most}")),
    }
}

fn octal(text: &str) -> Result<Value, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 && !text.starts_with('+') => Ok(json!(mode)),
        _ => Err("it must be an octal mode such as 0700".to_owned()),
    }
}

/// Bytes: `512`, `20M`, `1.5G`; the suffixes count by 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "it must be bytes with a suffix B, K, M, G or T".to_owned();
    let text = text.trim();
    let suffix = text.chars().last().map(|c| c.to_ascii_uppercase());
    let unit = SUFFIXES.iter().find(|(_, letter)| Some(*letter) == suffix);
    let (digits, factor) = match unit {
        Some((factor, _)) => (&text[..text.len() - 1], *factor),
        None => (text, 1),
    };
    scaled(digits.trim(), factor).ok_or_else(wrong)
}

/// A size in words: `1.5G`.
pub fn show_size(bytes: u64) -> String {
    for (unit, letter) in SUFFIXES {
        if bytes >= *unit {
            let tenths = u128::from(bytes % unit) * 10 / u128::from(*unit);
            let whole = bytes / unit;
            return if tenths == 0 {
                format!("{whole}{letter}")
            } else {
                format!("{whole}.{tenths}{letter}")
            };
        }
    }
    "0B".to_owned()
}

/// A point in time in µs since 1970, UTC: `2026-03-01`, `2026-03-01 12:00`, `@1700000000`, `+2d`, `tomorrow`.
pub fn moment(text: &str, now_usec: u64) -> Result<u64, String> {
    let wrong = || {
        "it must be a time such as 2026-12-31, \"2026-12-31 18:00\", @1700000000, +2weeks or tomorrow"
            .to_owned()
    };
    let text = text.trim();
    let today = now_usec / DAY * DAY;
    match text {
        "now" => return Ok(now_usec),
        "today" => return Ok(today),
        "yesterday" => return today.checked_sub(DAY).ok_or_else(wrong),
        "tomorrow" => return Ok(today + DAY),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return scaled(seconds, SECOND).ok_or_else(wrong);
    }
    if let Some(ahead) = text.strip_prefix('+') {
        return now_usec.checked_add(span(ahead)?).ok_or_else(wrong);
    }
    if let Some(ago) = text.strip_suffix(" ago").or_else(|| text.strip_prefix('-')) {
        return now_usec.checked_sub(span(ago)?).ok_or_else(wrong);
    }
    calendar(text, today).ok_or_else(wrong)
}

fn calendar(text: &str, today: u64) -> Option<u64> {
    let text = text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')).unwrap_or(text);
    let mut words: Vec<&str> = text.split([' ', 'T']).filter(|word| !word.is_empty()).collect();
    if words.first().is_some_and(|word| word.bytes().all(|b| b.is_ascii_alphabetic())) {
        words.remove(0);
    }
    match words[..] {
        [one] if one.contains(':') => Some(today + time_of_day(one)?),
        [one] => day_usec(one),
        [day, time] => Some(day_usec(day)? + time_of_day(time)?),
        _ => None,
    }
}

fn day_usec(text: &str) -> Option<u64> {
    let (year, month, day) = split_date(text)?;
    u64::try_from(days_of(year, month, day)).ok()?.checked_mul(DAY)
}

fn split_date(text: &str) -> Option<(i64, u32, u32)> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return None };
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    let (year, month, day) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    // A day that does not exist (31 February) comes back as another one.
    (date_of(days_of(year, month, day)) == (year, month, day)).then_some((year, month, day))
}

fn time_of_day(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hour, minute, second) = match parts[..] {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
    let second = scaled(second, SECOND)?;
    (hour < 24 && minute < 60 && second < 60 * SECOND)
        .then_some((hour * 3600 + minute * 60) * SECOND + second)
}

/// Days since 1970-01-01 in the Gregorian calendar (years counted from March, eras of 400 years).
fn days_of(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (i64::from(month) + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The reverse.
fn date_of(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

/// A point in time in words: `Mon 2026-11-23 09:07:41 UTC`.
pub fn show_moment(usec: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let seconds = usec / SECOND;
    let days = seconds / 86_400;
    let (year, month, day) = date_of(i64::try_from(days).unwrap_or(0));
    let weekday = WEEKDAYS[usize::try_from(days % 7).unwrap_or(0)];
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{weekday} {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn date(text: &str) -> Result<Value, String> {
    match split_date(text) {
        Some((year, ..)) if year >= 1900 => Ok(json!(text)),
        _ => Err("it must be a date such as 1990-12-31, from 1900 on".to_owned()),
    }
}

fn uid(text: &str) -> Result<Value, String> {
    let uid: u32 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    let reserved = uid < 1000
        || (60_578..=60_705).contains(&uid)
        || (61_184..=65_519).contains(&uid)
        || uid == 65_534
        || uid == 65_535
        || uid == u32::MAX;
    if reserved { Err("it is reserved for the system".to_owned()) } else { Ok(json!(uid)) }
}

fn weight(text: &str) -> Result<Value, String> {
    if boolean(text) == Ok(false) {
        return Ok(json!(0));
    }
    number(text, 1, 10_000)
}

/// Names between commas: sorted, each once; empty ones between commas are skipped, but one must remain.
fn names(text: &str, valid: impl Fn(&str) -> bool) -> Result<Value, String> {
    let names: BTreeSet<&str> = text.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err("there is no name in it".to_owned());
    }
    match names.iter().find(|name| !valid(name)) {
        Some(wrong) => Err(format!("{wrong:?} is not a valid name")),
        None => Ok(json!(names)),
    }
}

fn environment(text: &str, around: &Surroundings<'_>) -> Result<Value, String> {
    let name = text.split('=').next().unwrap_or_default();
    if !is_variable(name) {
        return Err("it must be VAR=VALUE or VAR".to_owned());
    }
    if text.contains('=') {
        return Ok(json!([text]));
    }
    let value = (around.variable)(name).ok_or_else(|| format!("{name} is not set here"))?;
    Ok(json!([format!("{name}={value}")]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_moment_that_is_shown_reads_the_same(seconds in 0u64..253_402_300_799) {
            prop_assert_eq!(moment(&show_moment(seconds * SECOND), 0), Ok(seconds * SECOND));
        }

        #[test]
        fn sizes_multiply_by_1024(n in 0u64..1 << 20) {
            prop_assert_eq!(size(&format!("{n}K")), Ok(n << 10));
            prop_assert_eq!(size(&format!("{n}T")), Ok(n << 40));
            prop_assert_eq!(size(&n.to_string()), Ok(n));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC*") {
            let _ = (span(&text), size(&text), moment(&text, 0), boolean(&text));
        }
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        assert!(moment("2026-02-29", 0).is_err());
        assert!(moment("2024-02-29", 0).is_ok());
        assert_eq!(moment("1970-01-02", 0), Ok(DAY));
    }
}
