//! Texts of the command line become values of the record, and the reverse for times and sizes.
//!
//! Times are read and shown as local time, as systemd's tools do; the record holds µs since 1970.

use super::Kind;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use records::span::scaled;
use records::{Realm, UserName};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub use records::span::{SECOND, show_span, span};

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

/// The names of all capabilities, `cap_audit_control` and so on.
pub fn capability_names() -> Vec<String> {
    CAPABILITIES.split_whitespace().map(|name| format!("cap_{name}")).collect()
}

fn capabilities(text: &str) -> Result<Value, String> {
    let known = || capability_names().into_iter();
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

/// A point in time in µs since 1970: `2026-03-01`, `2026-03-01 12:00`, `@1700000000`, `+2d`, `tomorrow`; local time, unless
/// `UTC` or `Z` stands behind it.
pub fn moment(text: &str, now_usec: u64) -> Result<u64, String> {
    moment_in(text, now_usec, &TimeZone::system())
}

fn moment_in(text: &str, now_usec: u64, zone: &TimeZone) -> Result<u64, String> {
    let wrong = || {
        "it must be a time such as 2026-12-31, \"2026-12-31 18:00\", @1700000000, +2weeks or tomorrow"
            .to_owned()
    };
    let text = text.trim();
    let today = timestamp(now_usec).ok_or_else(wrong)?.to_zoned(zone.clone()).date();
    let midnight =
        |day: Result<Date, jiff::Error>| day.ok().and_then(|day| usec_of(day, 0, zone)).ok_or_else(wrong);
    match text {
        "now" => return Ok(now_usec),
        "today" => return midnight(Ok(today)),
        "yesterday" => return midnight(today.yesterday()),
        "tomorrow" => return midnight(today.tomorrow()),
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
    calendar(text, today, zone).ok_or_else(wrong)
}

fn calendar(text: &str, today: Date, zone: &TimeZone) -> Option<u64> {
    let universal = text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z'));
    let zone = if universal.is_some() { &TimeZone::UTC } else { zone };
    let text = universal.unwrap_or(text);
    let mut words: Vec<&str> = text.split([' ', 'T']).filter(|word| !word.is_empty()).collect();
    let is_word = |word: &&str| word.bytes().all(|b| b.is_ascii_alphabetic());
    // The day of the week, as it is shown.
    if words.first().is_some_and(is_word) {
        words.remove(0);
    }
    match words[..] {
        [one] if one.contains(':') => usec_of(today, time_of_day(one)?, zone),
        [one] => usec_of(split_date(one)?, 0, zone),
        [day, time] => usec_of(split_date(day)?, time_of_day(time)?, zone),
        // The name of the local zone then; another one is not what is meant.
        [day, time, name] => usec_of(split_date(day)?, time_of_day(time)?, zone)
            .filter(|usec| show_moment_in(*usec, zone).ends_with(&format!(" {name}"))),
        _ => None,
    }
}

/// A day and the µs since it began, by the clock on the wall.
fn usec_of(day: Date, clock_usec: u64, zone: &TimeZone) -> Option<u64> {
    let clock = jiff::SignedDuration::from_micros(i64::try_from(clock_usec).ok()?);
    let at = day.to_datetime(jiff::civil::Time::midnight()).checked_add(clock).ok()?;
    u64::try_from(at.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond()).ok()
}

fn timestamp(usec: u64) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::try_from(usec).ok()?).ok()
}

/// A day that exists.
fn split_date(text: &str) -> Option<Date> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return None };
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
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

/// A point in time in words, local time: `Mon 2026-11-23 09:07:41 CET`.
pub fn show_moment(usec: u64) -> String {
    show_moment_in(usec, &TimeZone::system())
}

fn show_moment_in(usec: u64, zone: &TimeZone) -> String {
    let local =
        timestamp(usec).map(|at| at.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string());
    local.unwrap_or_else(|| format!("@{}", usec / SECOND))
}

fn date(text: &str) -> Result<Value, String> {
    match split_date(text) {
        Some(day) if day.year() >= 1900 => Ok(json!(text)),
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
        fn a_moment_that_is_shown_reads_the_same(seconds in 0u64..253_402_000_000) {
            let shown = show_moment_in(seconds * SECOND, &TimeZone::UTC);
            prop_assert_eq!(moment_in(&shown, 0, &TimeZone::UTC), Ok(seconds * SECOND));
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
        assert_eq!(moment_in("1970-01-02", 0, &TimeZone::UTC), Ok(86_400 * SECOND));
    }

    #[test]
    fn times_are_local_unless_they_say_otherwise() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let noon = 43_200 * SECOND;
        assert_eq!(moment_in("1970-01-01 14:00", 0, &zone), Ok(noon));
        assert_eq!(moment_in("1970-01-01 12:00 UTC", 0, &zone), Ok(noon));
        assert_eq!(moment_in("14:00", 1, &zone), Ok(noon));
        assert_eq!(moment_in(&show_moment_in(noon, &zone), 0, &zone), Ok(noon));
        assert_eq!(moment_in("tomorrow", noon, &zone), Ok(22 * 3600 * SECOND));
    }
}
