//! JSON as bytes: the normalized form that is signed, and the pretty form that is stored.
//!
//! Both sort the members of every object bytewise by name and keep the order of arrays. Strings are
//! raw UTF-8; escaped are only `"`, `\`, the five short escapes and other bytes below 0x20.

use crate::secret::Secret;
use serde_json::{Map, Value};
use std::fmt::Write;

/// One line, no white space: what signatures cover.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    write_compact(&mut out, value);
    out
}

/// One tab per level, `"key" : value`, no newline at the end.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write_pretty(&mut out, value, 0);
    out
}

/// The same as [`compact`] of something secret: one buffer that never moves, so no copy stays behind.
pub(crate) fn secret(value: &Value) -> Secret {
    let mut out = String::with_capacity(room_for(value));
    write_compact(&mut out, value);
    Secret::from_text(out)
}

/// No less than the compact form takes: a byte becomes six at most.
fn room_for(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 32,
        Value::String(text) => 6 * text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| room_for(item) + 1).sum::<usize>(),
        Value::Object(members) => {
            2 + members.iter().map(|(name, value)| 6 * name.len() + 4 + room_for(value)).sum::<usize>()
        }
    }
}

/// Whether every number in it is a signed or unsigned integer of 64 bits: others have no one
/// spelling, so they cannot be signed.
pub fn is_signable(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_signable),
        Value::Object(members) => members.values().all(is_signable),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// What a character becomes inside a JSON string, if it cannot stand for itself.
fn escaped(letter: char) -> Option<[u8; 6]> {
    let short = |c| Some([b'\\', c, 0, 0, 0, 0]);
    match letter {
        '"' => short(b'"'),
        '\\' => short(b'\\'),
        '\u{8}' => short(b'b'),
        '\u{c}' => short(b'f'),
        '\n' => short(b'n'),
        '\r' => short(b'r'),
        '\t' => short(b't'),
        '\0'..='\u{1f}' => {
            let digit = |nibble: u32| b"0123456789abcdef"[(nibble & 15) as usize];
            let code = u32::from(letter);
            Some([b'\\', b'u', b'0', b'0', digit(code >> 4), digit(code)])
        }
        _ => None,
    }
}

fn write_compact(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                write_compact(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (i, (name, value)) in sorted(members).into_iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                write_string(out, name);
                out.push(':');
                write_compact(out, value);
            }
            out.push('}');
        }
        scalar => write_scalar(out, scalar),
    }
}

fn write_pretty(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                new_line(out, i, level + 1);
                write_pretty(out, item, level + 1);
            }
            new_line(out, 0, level);
            out.push(']');
        }
        Value::Object(members) if !members.is_empty() => {
            out.push('{');
            for (i, (name, value)) in sorted(members).into_iter().enumerate() {
                new_line(out, i, level + 1);
                write_string(out, name);
                out.push_str(" : ");
                write_pretty(out, value, level + 1);
            }
            new_line(out, 0, level);
            out.push('}');
        }
        short => write_compact(out, short),
    }
}

fn new_line(out: &mut String, index: usize, level: usize) {
    out.push_str(if index == 0 { "\n" } else { ",\n" });
    out.extend(std::iter::repeat_n('\t', level));
}

/// Sorted here, so that no feature of `serde_json` can change what is signed.
fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<_> = members.iter().collect();
    all.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    all
}

fn write_scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_string(out, text),
        Value::Number(number) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{number}");
        }
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Null | Value::Array(_) | Value::Object(_) => out.push_str("null"),
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match escaped(letter) {
            None => out.push(letter),
            Some(escape) => out.extend(escape.iter().filter(|b| **b != 0).map(|b| char::from(*b))),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn compact_form() {
        let value =
            json!({"b": [3, 1, {}], "a": {"z": null, "é": -1}, "A": [], "t": "\u{1}\u{1f}\n/\"\\\u{7f}ü"});
        let text = "{\"A\":[],\"a\":{\"z\":null,\"é\":-1},\"b\":[3,1,{}],\"t\":\"\\u0001\\u001f\\n/\\\"\\\\\u{7f}ü\"}";
        assert_eq!(compact(&value), text);
    }

    #[test]
    fn pretty_form() {
        let value = json!({"b": [1, {"c": true}], "a": {}, "e": []});
        let text =
            "{\n\t\"a\" : {},\n\t\"b\" : [\n\t\t1,\n\t\t{\n\t\t\t\"c\" : true\n\t\t}\n\t],\n\t\"e\" : []\n}";
        assert_eq!(pretty(&value), text);
    }

    #[test]
    fn a_secret_is_written_without_growing() {
        let value =
            json!({"\u{1}": ["\u{1}\u{2}", -1.5e-300, i64::MIN, [], {}, null, false], "b": {"c": "ü\""}});
        let (text, secret) = (compact(&value), secret(&value));
        assert_eq!(secret.open(), text.as_bytes());
        assert!(text.len() <= room_for(&value));
    }

    #[test]
    fn reals_cannot_be_signed() {
        assert!(is_signable(&json!({"a": [u64::MAX, i64::MIN]})));
        assert!(!is_signable(&json!({"a": [{"b": 1.0}]})));
    }
}
