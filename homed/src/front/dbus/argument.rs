//! Records and secrets as they come in: bounded, read once, wiped.

use super::error::Error;
use crate::daemon::link::{Offer, ProgressSink};
use records::json::{self, InvalidJson};
use records::secret::wipe_json;
use records::{Credentials, Record, Secret, Sections};
use serde_json::Value;

/// Longest record or secret argument in bytes.
pub const LONGEST: usize = 1 << 20;
/// Longest record that is kept, in bytes, without white space: a worker's job has three of them at most, and it, and each
/// copy of a record, is read up to `records::json::MAX_TEXT`.
pub const LONGEST_KEPT: usize = 256 << 10;
/// Deepest nesting of what is taken: a job and a request have a record three levels down, and all readers count
/// (`records::json::MAX_DEPTH`).
const DEEPEST: usize = 24;

/// Redeems tickets of the hand-off socket.
pub type Redeem<'a> = &'a (dyn Fn(&str) -> Option<(Secret, Option<ProgressSink>)> + Sync);

/// Reads a secret argument: the contents of a `secret` section, or a ticket for one.
pub fn secret(text: String, redeem: Redeem<'_>) -> Result<Offer, Error> {
    let text = Secret::from_text(text);
    check_length(text.open())?;
    let mut value = read(&text)
        .map_err(|why| Error::invalid(format!("The secret argument is {why}; {{}} stands for none.")))?;
    let offer = offer(&value, redeem);
    wipe_json(&mut value);
    offer
}

/// What becomes of the sections `binding` and `status`, which only the daemon makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// They are left out: the record is another machine's.
    Dropped,
    /// The record is not taken: whoever writes one for this machine has no business with them.
    Refused,
}

/// Reads a record to be kept, and the secret that lies in it.
pub fn record(text: String, foreign: Foreign, redeem: Redeem<'_>) -> Result<(Record, Offer), Error> {
    let text = Secret::from_text(text);
    check_length(text.open())?;
    let mut value = read(&text).map_err(|why| Error::invalid(format!("The record is {why}.")))?;
    let read = split(&mut value, foreign, redeem);
    wipe_json(&mut value);
    read
}

/// By the reader that reads it again from disk: what it would not take there is not taken here.
fn read(text: &Secret) -> Result<Value, InvalidJson> {
    let text = text.open_text().ok_or(InvalidJson { at: 0, why: "it is not UTF-8" })?;
    json::parse_within(text, DEEPEST)
}

fn split(value: &mut Value, foreign: Foreign, redeem: Redeem<'_>) -> Result<(Record, Offer), Error> {
    let Value::Object(members) = value else {
        return Err(Error::invalid("The record is not a JSON object."));
    };
    for section in ["binding", "status"] {
        if members.remove(section).is_some() && foreign == Foreign::Refused {
            return Err(Error::invalid(format!(
                "The record has a section {section:?}, which only homed makes."
            )));
        }
    }
    let mut secret = members.remove("secret").unwrap_or_else(|| serde_json::json!({}));
    let offer = offer(&secret, redeem);
    wipe_json(&mut secret);
    let record = Record::from_value(value.clone(), Sections::EMBEDDED)
        .map_err(|error| Error::invalid(error.to_string()))?;
    if record.to_compact().len() > LONGEST_KEPT {
        return Err(Error::invalid(
            "The record is longer than 256 KiB. Pictures go into the blob directory.",
        ));
    }
    Ok((record, offer?))
}

fn offer(value: &Value, redeem: Redeem<'_>) -> Result<Offer, Error> {
    let Some(ticket) = value.get(records::handoff::TICKET).and_then(Value::as_str) else {
        let credentials =
            Credentials::from_value(value).map_err(|error| Error::invalid(error.to_string()))?;
        return Ok(Offer { credentials, progress: None });
    };
    let (secret, progress) = redeem(ticket).ok_or_else(|| {
        Error::invalid(
            "That ticket is not known: it is good once, for who got it, while its connection is open.",
        )
    })?;
    let credentials = Credentials::parse(secret.open()).map_err(|error| Error::invalid(error.to_string()))?;
    Ok(Offer { credentials, progress })
}

/// Refuses flags: none are known.
pub fn check_flags(flags: u64) -> Result<(), Error> {
    if flags != 0 {
        return Err(Error::invalid("No flags are known; pass 0."));
    }
    Ok(())
}

fn check_length(text: &[u8]) -> Result<(), Error> {
    if text.len() > LONGEST {
        return Err(Error::invalid("The argument is longer than 1 MiB."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::DBusError;

    fn no_tickets(_: &str) -> Option<(Secret, Option<ProgressSink>)> {
        None
    }

    fn is_invalid<T>(read: Result<T, Error>) -> bool {
        read.is_err_and(|error| error.name().as_str() == "org.freedesktop.DBus.Error.InvalidArgs")
    }

    #[test]
    fn a_secret_comes_as_it_is_or_as_a_ticket() {
        let plain = secret(r#"{"password":["a","b"]}"#.into(), &no_tickets).expect("read");
        assert_eq!(plain.credentials.passwords[0].open(), b"a");
        let redeem = |ticket: &str| {
            (ticket == "t1").then(|| (Secret::from_text(r#"{"password":["c"]}"#.into()), None))
        };
        let offer = secret(r#"{"ticket":"t1"}"#.into(), &redeem).expect("redeemed");
        assert_eq!(offer.credentials.passwords[0].open(), b"c");
        assert!(is_invalid(secret(r#"{"ticket":"t2"}"#.into(), &redeem)));
    }

    #[test]
    fn what_is_malformed_or_too_long_is_refused() {
        for text in ["", "[]", "{", r#"{"password":"x"}"#, r#"{"password":[1]}"#] {
            assert!(is_invalid(secret(text.into(), &no_tickets)), "{text}");
        }
        assert!(is_invalid(secret(" ".repeat(LONGEST + 1), &no_tickets)));
        for text in ["", "[]", "{}", r#"{"userName":7}"#, r#"{"userName":"root"}"#] {
            assert!(is_invalid(record(text.into(), Foreign::Dropped, &no_tickets)), "{text}");
        }
        for (levels, is_taken) in [(DEEPEST - 1, true), (DEEPEST, false), (31, false)] {
            let x = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let text = format!(r#"{{"userName":"alice","x":{x}}}"#);
            assert_eq!(record(text, Foreign::Dropped, &no_tickets).is_ok(), is_taken, "{levels}");
        }
        for (length, is_taken) in [(LONGEST_KEPT - 100, true), (LONGEST_KEPT, false)] {
            let text = format!(r#"{{"userName":"alice","x":"{}"}}"#, "y".repeat(length));
            assert_eq!(record(text, Foreign::Dropped, &no_tickets).is_ok(), is_taken, "{length}");
        }
        assert!(is_invalid(record(
            r#"{"userName":"alice","userName":"bob"}"#.into(),
            Foreign::Dropped,
            &no_tickets
        )));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(is_invalid(record(deep, Foreign::Dropped, &no_tickets)));
    }

    #[test]
    fn a_record_comes_without_secret_and_without_what_only_the_daemon_makes() {
        let text =
            r#"{"userName":"alice","x":1,"secret":{"password":["p"]},"binding":{"a":{}},"status":{"a":{}}}"#;
        assert!(is_invalid(record(text.into(), Foreign::Refused, &no_tickets)));
        let (record, offer) = record(text.into(), Foreign::Dropped, &no_tickets).expect("read");
        assert_eq!(record.to_compact(), r#"{"userName":"alice","x":1}"#);
        assert_eq!(offer.credentials.passwords[0].open(), b"p");
    }
}
