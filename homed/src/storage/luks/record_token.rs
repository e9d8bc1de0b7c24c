//! The record inside the LUKS2 header: a token encrypted with the volume key.
//!
//! `{"type":"systemd-homed","keyslots":[],"record":"<base64>","iv":"<base64>","keys":{…}}`: the record's compact
//! JSON text as one data unit of the volume's own cipher (XTS with ciphertext stealing, so it keeps
//! its length). There is no authentication tag in this format: what comes out is believed only as
//! far as its signature goes.
//!
//! `keys` is ours, in the clear, and there only where the record has security keys or smart cards: what they are asked with
//! ([`records::questions`]), so that they open the home where nobody knows its record. systemd-homed passes it over.

use crate::job::{Context, Failure, refuse};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openssl::symm::Cipher;
use records::questions::{self, Question};
use records::{Record, Refusal, Secret, Sections};
use serde_json::{Value, json};

/// The token's type.
pub const KIND: &str = "systemd-homed";
/// The member with what devices are asked with.
const KEYS: &str = "keys";
/// Longest record that is read, in bytes: the header's area has no room for more.
const LIMIT: usize = 4 * 1024 * 1024;

/// Cipher and mode of a volume, such as `aes` and `xts-plain64`.
#[derive(Debug, Clone, Copy)]
pub struct Algorithm<'a> {
    /// Cipher.
    pub cipher: &'a str,
    /// Mode.
    pub mode: &'a str,
}

/// Refuses a cipher, a mode or a length of the key (in bytes) that a record cannot be kept with.
pub fn refuse_unknown(algorithm: Algorithm<'_>, key_size: usize) -> Result<(), Failure> {
    match named(algorithm, key_size) {
        Some(_) => Ok(()),
        None => refuse(
            Refusal::InvalidArgs,
            format!(
                "Homes are not encrypted with {}-{} and a key of {key_size} bytes: it can be aes-xts-plain64 with 32 or \
                 64 bytes, or aes-cbc-essiv:sha256 with 16, 24 or 32.",
                algorithm.cipher, algorithm.mode
            ),
        ),
    }
}

/// Puts a record into a token; `iv` fresh random bytes.
pub fn seal(record: &Record, algorithm: Algorithm<'_>, key: &Secret) -> Result<Value, Failure> {
    let cipher = find(algorithm, key)?;
    let mut iv = vec![0; cipher.iv_len().unwrap_or(0)];
    openssl::rand::rand_bytes(&mut iv).during("drawing random bytes")?;
    let text = Secret::from_text(record.only(Sections::EMBEDDED).to_compact());
    let sealed = openssl::symm::encrypt(cipher, key.open(), Some(&iv), text.open())
        .during("encrypting the record for the header")?;
    let mut token = json!({
        "type": KIND,
        "keyslots": [],
        "record": BASE64_STANDARD.encode(sealed),
        "iv": BASE64_STANDARD.encode(iv),
    });
    let asked = questions::of(record);
    if !asked.is_empty() {
        token[KEYS] = questions::to_value(&asked);
    }
    Ok(token)
}

/// The same token, in a header that has no room for what devices are asked with.
pub fn without_questions(token: &Value) -> Value {
    let mut token = token.clone();
    token[KEYS] = json!({});
    token
}

/// What a token says that devices are asked with; nobody vouches for it.
pub fn asked(token: &Value) -> Vec<Question> {
    questions::read(&token[KEYS])
}

/// Whether a token says that for this record, or that there was no room for it. Other programs write tokens without.
pub fn asks_for(token: &Value, record: &Record) -> bool {
    let had_no_room = token[KEYS].as_object().is_some_and(serde_json::Map::is_empty);
    had_no_room || asked(token) == questions::of(record)
}

/// Whether the token is in a form that came after the one that is known here: those say so by a `version` beyond 1. It
/// is neither read nor written over.
pub fn is_newer(token: &Value) -> bool {
    token.get("version").is_some_and(|version| version.as_u64() != Some(1))
}

/// Takes the record out of a token.
pub fn open(token: &Value, algorithm: Algorithm<'_>, key: &Secret) -> Result<Record, Failure> {
    let bytes = |name: &str| {
        let text = token[name].as_str().filter(|text| text.len() <= LIMIT);
        let text = text.ok_or_else(|| Failure::fault(format!("the token's \"{name}\" is missing")))?;
        BASE64_STANDARD.decode(text).during(format!("reading the token's \"{name}\""))
    };
    let cipher = find(algorithm, key)?;
    let iv = bytes("iv")?;
    if iv.len() != cipher.iv_len().unwrap_or(0) {
        return Err(Failure::fault("the token's \"iv\" has the wrong length"));
    }
    let sealed = bytes("record")?;
    if sealed.len() < 16 {
        return Err(Failure::fault("the token's \"record\" is too short"));
    }
    let text =
        openssl::symm::decrypt(cipher, key.open(), Some(&iv), &sealed).during("decrypting the record")?;
    let text = Secret::new(text);
    let text = text.open_text().filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| Failure::fault("the decrypted record is not text"))?;
    Record::parse(text, Sections::EMBEDDED).during("reading the decrypted record")
}

fn find(algorithm: Algorithm<'_>, key: &Secret) -> Result<Cipher, Failure> {
    named(algorithm, key.open().len()).ok_or_else(|| {
        Failure::fault(format!(
            "no cipher {}-{} for the record in the header",
            algorithm.cipher, algorithm.mode
        ))
    })
}

/// libcrypto's name of an algorithm is `<cipher>-<bits>-<first part of the mode>`; XTS has two keys.
fn named(algorithm: Algorithm<'_>, key_size: usize) -> Option<Cipher> {
    let mode = algorithm.mode.split('-').next().unwrap_or_default();
    let bits = key_size * 8 / if mode == "xts" { 2 } else { 1 };
    match format!("{}-{bits}-{mode}", algorithm.cipher).as_str() {
        "aes-128-xts" => Some(Cipher::aes_128_xts()),
        "aes-256-xts" => Some(Cipher::aes_256_xts()),
        "aes-128-cbc" => Some(Cipher::aes_128_cbc()),
        "aes-192-cbc" => Some(Cipher::aes_192_cbc()),
        "aes-256-cbc" => Some(Cipher::aes_256_cbc()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XTS: Algorithm<'_> = Algorithm { cipher: "aes", mode: "xts-plain64" };

    fn record(text: &str) -> Record {
        Record::parse(text, Sections::EMBEDDED).expect("valid")
    }

    fn key(length: u8) -> Secret {
        Secret::new((0..length).collect())
    }

    #[test]
    fn a_record_of_any_length_comes_back() {
        for filling in ["", "x", "äöü and some more text that is no multiple of sixteen"] {
            let record = record(&json!({"userName":"alice","x":filling}).to_string());
            for length in [32, 64] {
                let token = seal(&record, XTS, &key(length)).expect("sealed");
                assert_eq!(open(&token, XTS, &key(length)).expect("opened"), record);
            }
        }
    }

    #[test]
    fn the_token_has_four_members_and_the_text_its_length() {
        let token = seal(&record(r#"{"userName":"alice"}"#), XTS, &key(64)).expect("sealed");
        assert_eq!(token.as_object().map(|o| o.len()), Some(4));
        assert_eq!(token["keyslots"], json!([]));
        let sealed = BASE64_STANDARD.decode(token["record"].as_str().expect("text")).expect("base64");
        assert_eq!(sealed.len(), r#"{"userName":"alice"}"#.len());
    }

    #[test]
    fn what_devices_are_asked_with_is_beside_the_record_of_whoever_has_some() {
        let entry = json!({"credential": "AAAA", "salt": "AAAA", "hashedPassword": "$y$x"});
        let with = json!({"userName": "alice", "privileged": {"fido2HmacSalt": [entry]}}).to_string();
        let (with, without) = (record(&with), record(r#"{"userName":"alice"}"#));
        let sealed = |record: &Record| seal(record, XTS, &key(64)).expect("sealed");
        let (token, bare) = (sealed(&with), sealed(&without));
        assert_eq!(asked(&token), questions::of(&with));
        assert_eq!(open(&token, XTS, &key(64)).expect("opened"), with);
        assert!(!token["keys"].to_string().contains("$y$"));
        assert!(asks_for(&token, &with) && asks_for(&bare, &without));
        // Another program has written it, or another record is in force.
        let mut theirs = token.clone();
        theirs.as_object_mut().expect("an object").remove("keys");
        assert!(!asks_for(&theirs, &with) && !asks_for(&token, &without) && !asks_for(&bare, &with));
        assert!(asked(&theirs).is_empty());
        let full = without_questions(&token);
        assert!(asks_for(&full, &with) && asked(&full).is_empty());
        assert_eq!(open(&full, XTS, &key(64)).expect("opened"), with);
    }

    #[test]
    fn a_token_of_a_newer_program_is_known_as_that() {
        let token = seal(&record(r#"{"userName":"alice"}"#), XTS, &key(64)).expect("sealed");
        for (version, newer) in [(json!(1), false), (json!(2), true), (json!("2"), true), (json!(-1), true)] {
            let mut token = token.clone();
            token["version"] = version;
            assert_eq!(is_newer(&token), newer);
        }
        assert!(!is_newer(&token));
    }

    #[test]
    fn a_token_made_elsewhere_is_read() {
        // Made with another program (Python's cryptography, AES-128-XTS over one data unit).
        let token = json!({
            "type": KIND,
            "keyslots": [],
            "record": "bldgw1cY82zD/KyzsZzvXxBXWXk=",
            "iv": "AAAAAAAAAAAAAAAAAAAAAA==",
        });
        assert_eq!(open(&token, XTS, &key(32)).expect("opened"), record(r#"{"userName":"alice"}"#));
    }

    #[test]
    fn broken_tokens_are_errors() {
        let good = seal(&record(r#"{"userName":"alice"}"#), XTS, &key(64)).expect("sealed");
        for (name, value) in [
            ("record", json!("!")),
            ("record", json!("AAAA")),
            ("iv", json!("AAAA")),
            ("iv", json!(null)),
            ("record", json!(7)),
        ] {
            let mut token = good.clone();
            token[name] = value;
            assert!(open(&token, XTS, &key(64)).is_err());
        }
        assert!(
            open(
                &good,
                XTS,
                &Secret::new(vec![7; 64].into_iter().enumerate().map(|(i, _)| i as u8 ^ 9).collect())
            )
            .is_err()
        );
        assert!(open(&json!({}), XTS, &key(64)).is_err());
    }
}
