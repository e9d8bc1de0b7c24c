//! The types of fields, and how each is read: valid, or the rule that is broken.

use crate::names::{Realm, UserName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeMap;

/// Text is checked up to this many bytes per value.
const LONGEST_TEXT: usize = 64 * 1024;

/// What reading gives.
pub(crate) type Read<T> = Result<T, &'static str>;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $read:ident, $why:literal, { $( $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( #[doc = concat!("`", $word, "`.")] $variant, )* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The word that stands for it in a record.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            /// The value that a word stands for.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }

        pub(crate) fn $read(value: &Value) -> Read<$name> {
            match value.as_str() {
                $( Some($word) => Ok($name::$variant), )*
                _ => Err($why),
            }
        }
    };
}

words! {
    /// What kind of user it is.
    Disposition, disposition, "it is not a disposition such as \"regular\"", {
        Intrinsic = "intrinsic", System = "system", Dynamic = "dynamic", Regular = "regular",
        Container = "container", Foreign = "foreign", Greeter = "greeter", Reserved = "reserved",
    }
}

words! {
    /// How the home is stored.
    Storage, storage, "it is not luks, fscrypt, directory, subvolume, cifs or classic", {
        Classic = "classic", Luks = "luks", Directory = "directory", Subvolume = "subvolume",
        Fscrypt = "fscrypt", Cifs = "cifs",
    }
}

impl Storage {
    /// What is made where nobody chooses.
    pub const MADE: Self = Self::Luks;

    /// Kinds that a home can have which a home manager keeps.
    pub const OF_HOMES: [Self; 5] = [Self::Luks, Self::Directory, Self::Subvolume, Self::Fscrypt, Self::Cifs];

    /// The kind of home that is called so.
    pub fn of_homes(name: &str) -> Option<Self> {
        Self::OF_HOMES.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The ending of what lies in the home root: an image, or a directory.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Luks => "home",
            Self::Directory | Self::Subvolume | Self::Fscrypt | Self::Cifs | Self::Classic => "homedir",
        }
    }
}

words! {
    /// What goes out of memory when a home is locked; a member of our own, which others keep.
    LockLevel, lock_level, "it is not key, cache, strict or terminate", {
        Key = "key", Cache = "cache", Strict = "strict", Terminate = "terminate",
    }
}

/// When the image follows the file system's needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoResize {
    /// Never.
    Off,
    /// Grown at activation.
    Grow,
    /// Also shrunk after use.
    ShrinkAndGrow,
}

impl AutoResize {
    /// The word that stands for it in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Grow => "grow",
            Self::ShrinkAndGrow => "shrink-and-grow",
        }
    }
}

pub(crate) fn auto_resize(value: &Value) -> Read<AutoResize> {
    match value {
        Value::Bool(false) => Ok(AutoResize::Off),
        Value::Bool(true) => Ok(AutoResize::ShrinkAndGrow),
        Value::String(word) if word == "off" => Ok(AutoResize::Off),
        Value::String(word) if word == "grow" => Ok(AutoResize::Grow),
        Value::String(word) if word == "shrink-and-grow" => Ok(AutoResize::ShrinkAndGrow),
        _ => Err("it is not off, grow or shrink-and-grow"),
    }
}

/// A share of the backing file system's free space: `n` of 2³²−1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFraction(pub u32);

pub(crate) fn fraction(value: &Value) -> Read<DiskFraction> {
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
    number.map(DiskFraction).ok_or("it is not a whole number below 2³²")
}

/// A home's weight when free space is shared; `Off`: it takes no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebalanceWeight {
    /// No part.
    Off,
    /// 1 to 10000.
    Weight(u32),
}

impl RebalanceWeight {
    /// The weight where the record does not say.
    pub const DEFAULT: Self = Self::Weight(100);
}

pub(crate) fn rebalance_weight(value: &Value) -> Read<RebalanceWeight> {
    match value {
        Value::Bool(false) => Ok(RebalanceWeight::Off),
        Value::Bool(true) => Ok(RebalanceWeight::DEFAULT),
        _ => match value.as_u64() {
            Some(0) => Ok(RebalanceWeight::Off),
            Some(weight @ 1..=10_000) => Ok(RebalanceWeight::Weight(weight as u32)),
            _ => Err("it is not a number from 0 to 10000, true or false"),
        },
    }
}

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

/// A resource limit; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The soft limit.
    pub soft: Option<u64>,
    /// The hard limit.
    pub hard: Option<u64>,
}

/// Names of the kernel's limits (`RLIMIT_…`).
pub const RESOURCE_LIMITS: [&str; 16] = [
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

pub(crate) fn resource_limits(value: &Value) -> Read<BTreeMap<String, ResourceLimit>> {
    value.as_object().ok_or("it is not an object")?.iter().map(resource_limit).collect()
}

fn resource_limit((name, limit): (&String, &Value)) -> Read<(String, ResourceLimit)> {
    if !RESOURCE_LIMITS.contains(&name.as_str()) {
        return Err("a member is not the name of a resource limit");
    }
    let bound = |which: &str| match limit.get(which) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number.as_u64().map(Some).ok_or("a limit is not a whole number or null"),
    };
    let limit = ResourceLimit { soft: bound("cur")?, hard: bound("max")? };
    if limit.hard.is_some_and(|hard| limit.soft.is_none_or(|soft| soft > hard)) {
        return Err("a soft limit is above the hard one");
    }
    Ok((name.clone(), limit))
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
