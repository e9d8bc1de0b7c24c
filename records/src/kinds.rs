//! The types of fields, and how each is read: valid, or the rule that is broken.

mod limits;
mod words;

pub(crate) use limits::resource_limits;
pub use limits::{RESOURCE_LIMITS, ResourceLimit};
pub use words::{AutoResize, DiskFraction, Disposition, LockLevel, RebalanceWeight, Storage};
pub(crate) use words::{auto_resize, disposition, fraction, lock_level, rebalance_weight, storage};

use crate::names::{Realm, UserName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeMap;

/// Text is checked up to this many bytes per value.
const LONGEST_TEXT: usize = 64 * 1024;

/// What reading gives.
pub(crate) type Read<T> = Result<T, &'static str>;

pub(crate) fn boolean(value: &Value) -> Read<bool> {
    value.as_bool().ok_or("it is not true or false")
}

pub(crate) fn unsigned(value: &Value) -> Read<u64> {
    value.as_u64().ok_or("it is not a whole number from 0 to 2⁶⁴−1")
}

pub(crate) fn id(value: &Value) -> Read<u32> {
    match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
        Some(65_535 | u32::MAX) | None => Err("it is not a UID or GID"),
        Some(id) => Ok(id),
    }
}

pub(crate) fn mode(value: &Value) -> Read<u32> {
    match value.as_u64() {
        Some(mode @ 0..=0o7777) => Ok(mode as u32),
        _ => Err("it is not an access mode from 0 to 07777"),
    }
}

pub(crate) fn umask(value: &Value) -> Read<u32> {
    match value.as_u64() {
        Some(mask @ 0..=0o777) => Ok(mask as u32),
        _ => Err("it is not a mask from 0 to 0777"),
    }
}

/// A share of 2³²−1.
pub(crate) fn scale(value: &Value) -> Read<u64> {
    fraction(value).map(|fraction| u64::from(fraction.0))
}

pub(crate) fn nice(value: &Value) -> Read<i64> {
    value.as_i64().filter(|n| (-20..=19).contains(n)).ok_or("it is not a number from -20 to 19")
}

pub(crate) fn weight(value: &Value) -> Read<u64> {
    value.as_u64().filter(|n| (1..=10_000).contains(n)).ok_or("it is not a number from 1 to 10000")
}

/// How many scheduled snapshots of a kind are kept.
pub(crate) fn snapshots(value: &Value) -> Read<u64> {
    value.as_u64().filter(|n| *n <= 64).ok_or("it is not a number from 0 to 64")
}

pub(crate) fn sector_size(value: &Value) -> Read<u64> {
    let fits = |n: &u64| n.is_power_of_two() && (512..=4096).contains(n);
    value.as_u64().filter(fits).ok_or("it is not 512, 1024, 2048 or 4096")
}

pub(crate) fn pbkdf(value: &Value) -> Read<String> {
    match value.as_str() {
        Some(word @ ("pbkdf2" | "argon2i" | "argon2id")) => Ok(word.to_owned()),
        _ => Err("it is not pbkdf2, argon2i or argon2id"),
    }
}

fn text(value: &Value) -> Read<&str> {
    value.as_str().filter(|t| t.len() <= LONGEST_TEXT && !t.contains('\0')).ok_or("it is not a text")
}

pub(crate) fn line(value: &Value) -> Read<String> {
    let text = text(value)?;
    if text.chars().any(char::is_control) { Err("it has control characters") } else { Ok(text.to_owned()) }
}

/// A text that fits into a field of `/etc/passwd`.
pub(crate) fn gecos(value: &Value) -> Read<String> {
    let line = line(value)?;
    if line.contains(':') { Err("it has a ':'") } else { Ok(line) }
}

pub(crate) fn path(value: &Value) -> Read<String> {
    let path = line(value)?;
    let normal = path.starts_with('/') && !path.split('/').any(|part| part == "." || part == "..");
    if normal { Ok(path) } else { Err("it is not an absolute, normalized path") }
}

pub(crate) fn home_directory(value: &Value) -> Read<String> {
    let path = path(value)?;
    if path.contains(':') || path.trim_matches('/').is_empty() {
        return Err("it is not a path for a home directory");
    }
    Ok(path)
}

/// Whether a text may name a file: one path element of at most 255 bytes.
pub fn is_file_name(text: &str) -> bool {
    let plain = !text.contains(['/', '\0']) && !text.chars().any(char::is_control);
    plain && !matches!(text, "" | "." | "..") && text.len() <= 255
}

pub(crate) fn file_name(value: &Value) -> Read<String> {
    let name = line(value)?;
    if is_file_name(&name) { Ok(name) } else { Err("it is not a file name") }
}

pub(crate) fn user_name(value: &Value) -> Read<String> {
    let name = line(value)?;
    UserName::parse(&name).map(|_| name).map_err(|e| e.why)
}

pub(crate) fn realm(value: &Value) -> Read<String> {
    let realm = line(value)?;
    Realm::parse(&realm).map(|_| realm).map_err(|e| e.why)
}

pub(crate) fn uuid(value: &Value) -> Read<String> {
    let text = text(value)?;
    uuid::Uuid::try_parse(text).map(|_| text.to_owned()).map_err(|_| "it is not a UUID")
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Read<T>) -> Read<Vec<T>> {
    value.as_array().ok_or("it is not a list")?.iter().map(read).collect()
}

pub(crate) fn lines(value: &Value) -> Read<Vec<String>> {
    list(value, line)
}

pub(crate) fn user_names(value: &Value) -> Read<Vec<String>> {
    list(value, user_name)
}

pub(crate) fn group_names(value: &Value) -> Read<Vec<String>> {
    list(value, |one| {
        let name = line(one)?;
        let mut letters = name.bytes();
        let first = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let rest = letters.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if first && rest && name.len() <= 31 { Ok(name) } else { Err("an entry is not a group name") }
    })
}

pub(crate) fn environment(value: &Value) -> Read<Vec<String>> {
    list(value, |one| {
        let assignment = text(one)?;
        let name = assignment.split_once('=').map(|(name, _)| name).unwrap_or_default();
        let ok = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if ok { Ok(assignment.to_owned()) } else { Err("an entry is not NAME=VALUE") }
    })
}

pub(crate) fn base64s(value: &Value) -> Read<Vec<String>> {
    list(value, |one| {
        let text = text(one)?;
        STANDARD.decode(text).map(|_| text.to_owned()).map_err(|_| "an entry is not base64")
    })
}

pub(crate) fn recovery_key_types(value: &Value) -> Read<Vec<String>> {
    list(value, |one| match one.as_str() {
        Some("modhex64") => Ok("modhex64".to_owned()),
        _ => Err("an entry is not modhex64"),
    })
}

/// `YYYY-MM-DD`, from 1900 on.
pub(crate) fn date(value: &Value) -> Read<String> {
    const WHY: &str = "it is not a date such as 1999-12-31";
    let text = text(value)?;
    let mut parts = text.split('-').map(|part| (part.len(), part.parse::<u32>()));
    let date = (parts.next(), parts.next(), parts.next(), parts.next());
    let (Some((4, Ok(year @ 1900..))), Some((2, Ok(month))), Some((2, Ok(day))), None) = date else {
        return Err(WHY);
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return Err(WHY),
    };
    if (1..=days).contains(&day) && !text.contains('+') { Ok(text.to_owned()) } else { Err(WHY) }
}

/// The value of one mount option: a comma would begin the next option.
pub(crate) fn mount_value(value: &Value) -> Read<String> {
    let line = line(value)?;
    if line.contains(',') { Err("it has a ','") } else { Ok(line) }
}

/// `//host/share`, and directories in it.
pub(crate) fn cifs_service(value: &Value) -> Read<String> {
    let line = line(value)?;
    let parts: Vec<&str> = line.strip_prefix("//").unwrap_or_default().split('/').collect();
    let valid = parts.len() >= 2 && parts.iter().all(|part| !matches!(*part, "" | "." | ".."));
    if valid { Ok(line) } else { Err("it is not //host/share") }
}

/// Names of blobs and their SHA-256.
pub(crate) fn manifest(value: &Value) -> Read<BTreeMap<String, String>> {
    let entry = |(name, hash): (&String, &Value)| {
        let hash = hash.as_str().filter(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()));
        match hash {
            Some(hash) if crate::blobs::is_name(name) => Ok((name.clone(), hash.to_ascii_lowercase())),
            Some(_) => Err("a name is not that of a blob"),
            None => Err("a value is not a SHA-256 in hexadecimal"),
        }
    };
    value.as_object().ok_or("it is not an object")?.iter().map(entry).collect()
}
