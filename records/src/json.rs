//! Reading JSON strictly: the text of a record, a secret, anything that is signed.
//!
//! A reader of our own, because `serde_json` takes the last of two members of the same name without
//! a word (then what was signed is not what is read) and leaves copies of strings behind (then a
//! password outlives its use). This one refuses duplicates, decodes each string once into a buffer
//! that never grows, and wipes what it has read when it refuses.
//!
//! Not here: writing (see `canonical`).

use crate::secret::wipe_json;
use serde_json::{Map, Number, Value};
use zeroize::Zeroize;

/// Largest text that is read, in bytes. Records are a few KiB; a photo belongs into the blob directory.
pub const MAX_TEXT: usize = 1 << 20;
/// Deepest nesting that is read. The specification needs six levels.
pub const MAX_DEPTH: usize = 32;

/// A text that is not JSON as records need it. Says where and which rule, never what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid JSON at byte {at}: {why}")]
pub struct InvalidJson {
    /// Offset in bytes.
    pub at: usize,
    /// The rule it breaks.
    pub why: &'static str,
}

/// Reads one JSON value. The caller's buffer is the caller's to wipe, and so is the value.
pub fn parse(text: &str) -> Result<Value, InvalidJson> {
    parse_within(text, MAX_DEPTH)
}

/// The same, nested less deeply: for what is to be part of something else.
pub fn parse_within(text: &str, most: usize) -> Result<Value, InvalidJson> {
    if text.len() > MAX_TEXT {
        return Err(InvalidJson { at: MAX_TEXT, why: "the text is longer than 1 MiB" });
    }
    parse_any(text, most)
}

/// The same of a text that was made here: of something that was within the limits, before it was written.
pub(crate) fn parse_own(text: &str) -> Result<Value, InvalidJson> {
    parse_any(text, usize::MAX)
}

fn parse_any(text: &str, most: usize) -> Result<Value, InvalidJson> {
    let mut reader = Reader { text, at: 0, depth: 0, most };
    let mut value = Value::Null;
    let read = reader.value(&mut value).and_then(|()| reader.end());
    match read {
        Ok(()) => Ok(value),
        Err(error) => {
            wipe_json(&mut value);
            Err(error)
        }
    }
}

type Read<T> = Result<T, InvalidJson>;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    most: usize,
}

impl Reader<'_> {
    /// Reads into `slot`, which holds what was read so far even when this fails, so that it can be wiped.
    fn value(&mut self, slot: &mut Value) -> Read<()> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.nested(slot, Self::object),
            Some(b'[') => self.nested(slot, Self::array),
            Some(b'"') => self.string().map(|text| *slot = Value::String(text)),
            Some(b'-' | b'0'..=b'9') => self.number().map(|number| *slot = Value::Number(number)),
            Some(b't') => self.word("true").map(|()| *slot = Value::Bool(true)),
            Some(b'f') => self.word("false").map(|()| *slot = Value::Bool(false)),
            Some(b'n') => self.word("null"),
            Some(_) => Err(self.refuse("a value is expected")),
            None => Err(self.refuse("the text ends too early")),
        }
    }

    fn nested(&mut self, slot: &mut Value, read: fn(&mut Self, &mut Value) -> Read<()>) -> Read<()> {
        if self.depth == self.most {
            return Err(self.refuse("it is nested too deeply"));
        }
        self.depth += 1;
        self.at += 1;
        let done = read(self, slot);
        self.depth -= 1;
        done
    }

    fn array(&mut self, slot: &mut Value) -> Read<()> {
        *slot = Value::Array(Vec::new());
        let Value::Array(items) = slot else { return Ok(()) };
        self.skip_space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            let mut item = Value::Null;
            let read = self.value(&mut item);
            items.push(item);
            read?;
            if self.last_of(b']')? {
                return Ok(());
            }
        }
    }

    fn object(&mut self, slot: &mut Value) -> Read<()> {
        *slot = Value::Object(Map::new());
        let Value::Object(members) = slot else { return Ok(()) };
        self.skip_space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            if members.contains_key(&name) {
                return Err(self.refuse("a member appears twice in one object"));
            }
            self.skip_space();
            self.expect(b':', "a ':' is expected")?;
            let mut value = Value::Null;
            let read = self.value(&mut value);
            members.insert(name, value);
            read?;
            if self.last_of(b'}')? {
                return Ok(());
            }
        }
    }

    fn last_of(&mut self, close: u8) -> Read<bool> {
        self.skip_space();
        if self.take(close) {
            return Ok(true);
        }
        self.expect(b',', "a ',' or the end of the list is expected").map(|()| false)
    }

    fn string(&mut self) -> Read<String> {
        self.expect(b'"', "a string is expected")?;
        // What is decoded is never longer than what was written, so this buffer does not grow.
        let mut out = String::with_capacity(self.raw_length());
        match self.string_into(&mut out) {
            Ok(()) => Ok(out),
            Err(error) => {
                out.zeroize();
                Err(error)
            }
        }
    }

    fn raw_length(&self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let mut escaped = false;
        rest.iter()
            .position(|&b| {
                let ends = b == b'"' && !escaped;
                escaped = b == b'\\' && !escaped;
                ends
            })
            .unwrap_or(rest.len())
    }

    fn string_into(&mut self, out: &mut String) -> Read<()> {
        loop {
            let rest = &self.text[self.at..];
            let Some(plain) = rest.bytes().position(|b| b == b'"' || b == b'\\' || b < 0x20) else {
                return Err(self.refuse("a string does not end"));
            };
            out.push_str(&rest[..plain]);
            self.at += plain;
            if self.take(b'"') {
                return Ok(());
            }
            self.expect(b'\\', "a control character is not escaped")?;
            let letter = self.escape()?;
            out.push(letter);
        }
    }

    fn escape(&mut self) -> Read<char> {
        let letter = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.refuse("an escape is not known")),
        };
        self.at += 1;
        Ok(letter)
    }

    fn unicode(&mut self) -> Read<char> {
        let first = self.hex4()?;
        let code = match first {
            0 => return Err(self.refuse("a string has a NUL in it")),
            0xd800..=0xdbff => {
                let why = "half of a surrogate pair";
                self.expect(b'\\', why)?;
                self.expect(b'u', why)?;
                let second = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.refuse(why));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.refuse("half of a surrogate pair"))
    }

    fn hex4(&mut self) -> Read<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let mut code = 0;
        for digit in digits.unwrap_or(b"!") {
            let digit = char::from(*digit).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| self.refuse("four hexadecimal digits are expected"))?;
        }
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Read<Number> {
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        let length = length.count();
        let invalid = || self.refuse("a number is not valid");
        let mut number: Number = serde_json::from_str(&rest[..length]).map_err(|_| invalid())?;
        if number.is_f64() {
            // A real is read by the standard library: serde_json may be one step off.
            number = rest[..length].parse().ok().and_then(Number::from_f64).ok_or_else(invalid)?;
        }
        self.at += length;
        Ok(number)
    }

    fn word(&mut self, word: &str) -> Read<()> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.refuse("a value is expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn end(&mut self) -> Read<()> {
        self.skip_space();
        if self.at < self.text.len() { Err(self.refuse("something follows the value")) } else { Ok(()) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, why: &'static str) -> Read<()> {
        if self.take(byte) { Ok(()) } else { Err(self.refuse(why)) }
    }

    fn refuse(&self, why: &'static str) -> InvalidJson {
        InvalidJson { at: self.at, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        let long = format!("\"{}\"", "a".repeat(MAX_TEXT));
        for (what, text) in [
            ("empty", ""),
            ("duplicate", r#"{"a":1,"a":2}"#),
            ("duplicate written differently", r#"{"a":1,"\u0061":2}"#),
            ("duplicate below", r#"[{"b":{"a":1,"a":2}}]"#),
            ("trailing comma", "[1,]"),
            ("trailing text", "{} x"),
            ("leading zero", "01"),
            ("plus", "+1"),
            ("bare minus", "-"),
            ("huge real", "1e999"),
            ("NUL", r#""\u0000""#),
            ("lone high surrogate", r#""\ud800""#),
            ("lone low surrogate", r#""\udc00""#),
            ("pair of high ones", r#""\ud800\ud800""#),
            ("short escape", r#""\u00"#),
            ("escape over a letter of two bytes", "\"\\u000ä\""),
            ("raw newline", "\"\n\""),
            ("unknown escape", r#""\x""#),
            ("unterminated string", r#"{"a":"b"#),
            ("unterminated escape", r#""\"#),
            ("half a word", "tru"),
            ("too deep", &deep),
            ("too long", &long),
        ] {
            assert!(parse(text).is_err(), "{what}");
        }
    }

    /// `serde_json` may be one step off when it reads a real, so that printing it again changes it.
    #[test]
    fn a_real_survives_printing() {
        let long = format!("-8{}", "8".repeat(14) + &"0".repeat(111));
        for text in [long.as_str(), "31.245270191439438", "-1.7976931348623157e308", "5e-324"] {
            let value = parse(text).expect("a number");
            assert_eq!(parse(&value.to_string()), Ok(value), "{text}");
        }
    }

    #[test]
    fn accepted_as_serde_json_reads_it() {
        for text in [
            r#"{"a":[1,-1,1.5,18446744073709551615,-9223372036854775808,true,false,null,{},[]],"b":{"c":""}}"#,
            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00ä😀\u{7f}\"",
            " [ 1 , 2 ] \n",
        ] {
            assert_eq!(parse(text).ok(), serde_json::from_str(text).ok(), "{text}");
        }
    }
}
