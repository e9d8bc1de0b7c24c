//! A record as its text: what is kept of thousands of users, of whom nobody asks at the moment.
//!
//! The JSON of a record in memory takes six to eight times the room of its text, since every object in it has a tree of its own.

use crate::json;
use crate::names::FullName;
use crate::{Record, UserName};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A valid record, read when somebody asks ([`Packed::open`]). Two are equal if their records are. Clones share the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// One line, no white space, members in order.
    text: Arc<str>,
    name: FullName,
}

impl Packed {
    /// Packs a record.
    pub fn of(record: &Record) -> Self {
        Self { text: record.to_compact().into(), name: record.full_name().clone() }
    }

    /// The record again.
    pub fn open(&self) -> Record {
        let members = match json::parse_own(&self.text) {
            Ok(Value::Object(members)) => members,
            // Text of our own is an object that was read before.
            Ok(_) | Err(_) => Map::new(),
        };
        Record::of_own(members, self.name.clone())
    }

    /// The user's name.
    pub fn user(&self) -> &UserName {
        &self.name.user
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sections;

    #[test]
    fn what_was_packed_comes_out_as_it_was_whatever_it_is() {
        let deep = format!("{}{}", "[".repeat(30), "]".repeat(30));
        // Longer than a text that is read from elsewhere may be, once it is written in full.
        let long = format!("[{}]", vec!["1e15"; 150_000].join(","));
        for members in [
            "",
            r#","realm":"example.com","aliases":["ally"],"x":null,"y":[{},[],true,-1,18446744073709551615]"#,
            r#","x":[1.5,-0.0,5e-324,31.245270191439438,1e300],"t":"\u0001\n\"\\ä😀""#,
            &format!(r#","x":{deep}"#),
            &format!(r#","x":{long}"#),
        ] {
            let record = Record::parse(&format!(r#"{{"userName":"alice"{members}}}"#), Sections::HOST);
            let record = record.expect("valid");
            let packed = Packed::of(&record);
            assert_eq!(packed.open(), record);
            assert_eq!(packed.user(), record.user());
            assert_eq!(Packed::of(&packed.open()), packed);
        }
    }
}
