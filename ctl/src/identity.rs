//! Records from files: `--identity=`, `register FILE`. A `secret` section is taken out of them, and is what its home is
//! opened with; the record never holds one.

use crate::bus::Failure;
use crate::context::read_text;
use records::secret::wipe_json;
use records::{Credentials, Record, Secret, Sections};
use serde_json::Value;

/// A record, and what lay in it to open its home.
pub struct Identity {
    /// The record, without its `secret` section.
    pub record: Record,
    /// The contents of that section.
    pub credentials: Credentials,
}

/// Reads a record's file; `-` is standard input.
pub fn read(path: &str) -> Result<Identity, Failure> {
    parse(Secret::from_text(read_text(path)?)).map_err(|why| Failure::say(format!("{path}: {why}")))
}

/// Reads a record's text.
pub fn parse(text: Secret) -> Result<Identity, String> {
    read_value(json(&text)?)
}

/// The same of a record that need not say whose it is.
pub fn parse_of(text: Secret, user: &str) -> Result<Identity, String> {
    let mut value = json(&text)?;
    if let Some(members) = value.as_object_mut() {
        members.entry("userName").or_insert_with(|| user.into());
    }
    read_value(value)
}

fn json(text: &Secret) -> Result<Value, String> {
    serde_json::from_slice(text.open()).map_err(|error| format!("not JSON: {error}"))
}

fn read_value(mut value: Value) -> Result<Identity, String> {
    let mut secret = value.as_object_mut().and_then(|members| members.remove("secret"));
    let credentials = secret.as_ref().map_or_else(|| Ok(Credentials::default()), Credentials::from_value);
    secret.iter_mut().for_each(wipe_json);
    let record = Record::from_value(value, Sections::HOST).map_err(|error| error.to_string())?;
    Ok(Identity { record, credentials: credentials.map_err(|error| error.to_string())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_section_is_taken_out_and_kept_apart() {
        let text = r#"{"userName":"anna","secret":{"password":["p"]}}"#;
        let read = parse(Secret::from_text(text.to_owned())).expect("read");
        assert_eq!(read.record.to_compact(), r#"{"userName":"anna"}"#);
        assert_eq!(read.credentials.passwords[0].open(), b"p");
        assert!(parse(Secret::from_text("{".to_owned())).is_err());
        let wrong = r#"{"userName":"anna","secret":7}"#;
        assert!(parse(Secret::from_text(wrong.to_owned())).is_err());
    }
}
