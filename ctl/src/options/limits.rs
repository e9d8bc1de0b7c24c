//! Resource limits (setrlimit(2)), as systemd reads them.

use super::values::size;
use records::span::{SECOND, span};
use serde_json::{Value, json};

const LIMITS: &[&str] = &[
    "AS",
    "CORE",
    "CPU",
    "DATA",
    "FSIZE",
    "LOCKS",
    "MEMLOCK",
    "MSGQUEUE",
    "NICE",
    "NOFILE",
    "NPROC",
    "RSS",
    "RTPRIO",
    "RTTIME",
    "SIGPENDING",
    "STACK",
];

/// The names of all limits.
pub fn names() -> impl Iterator<Item = &'static str> {
    LIMITS.iter().copied()
}

/// Refuses a name that is no limit's.
pub fn known(name: &str) -> Result<(), String> {
    if LIMITS.contains(&name) { Ok(()) } else { Err(format!("{name} is not a resource limit")) }
}

/// `SOFT:HARD`, or one for both: `CPU` in seconds or a time, `RTTIME` in µs or a time, `NICE` as a nice level with its sign or as
/// the kernel counts (1 to 40), all others a number or a size.
pub fn pair(name: &str, text: &str) -> Result<Value, String> {
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let (soft, hard) = (one(name, soft)?, one(name, hard)?);
    if let (Some(soft), Some(hard)) = (soft, hard)
        && soft > hard
    {
        return Err("the soft limit is above the hard one".to_owned());
    }
    Ok(json!({"cur": soft, "max": hard}))
}

/// `None`: without a limit.
fn one(name: &str, text: &str) -> Result<Option<u64>, String> {
    if text == "infinity" {
        return Ok(None);
    }
    let value = match (name, text.parse::<u64>()) {
        ("NICE", _) => nice(text),
        (_, Ok(number)) => Ok(number),
        ("CPU", Err(_)) => span(text).map(|usec| usec.div_ceil(SECOND)),
        ("RTTIME", Err(_)) => span(text),
        (_, Err(_)) => size(text).map_err(|_| "a limit is a number, a size or infinity".to_owned()),
    };
    value.map(Some)
}

/// A nice level of 19 to -20 is 1 to 40 to the kernel.
fn nice(text: &str) -> Result<u64, String> {
    let wrong = || "it must be a nice level such as +5 or -10, or a number from 1 to 40".to_owned();
    let number: i64 = text.parse().map_err(|_| wrong())?;
    let limit = if text.starts_with(['+', '-']) { 20 - number } else { number };
    u64::try_from(limit).ok().filter(|limit| (1..=40).contains(limit)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_unit() {
        for (name, text, soft, hard) in [
            ("NOFILE", "1024:4096", json!(1024), json!(4096)),
            ("MEMLOCK", "1M", json!(1 << 20), json!(1 << 20)),
            ("CPU", "10min:infinity", json!(600), Value::Null),
            ("CPU", "30", json!(30), json!(30)),
            ("RTTIME", "1500:2s", json!(1500), json!(2_000_000)),
            ("NICE", "+5", json!(15), json!(15)),
            ("NICE", "-10", json!(30), json!(30)),
            ("NICE", "40", json!(40), json!(40)),
        ] {
            assert_eq!(pair(name, text), Ok(json!({"cur": soft, "max": hard})), "{name}={text}");
        }
        for (name, text) in [("NICE", "41"), ("NICE", "+20"), ("NOFILE", "2:1"), ("CPU", "soon")] {
            assert!(pair(name, text).is_err(), "{name}={text}");
        }
    }
}
