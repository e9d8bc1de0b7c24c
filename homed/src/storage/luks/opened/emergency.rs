//! Tokens that plain `cryptsetup open` and an initrd understand, for emergencies: those of systemd-cryptenroll for security keys,
//! beside ours, where the record wants them (`luksCryptsetupTokens`).
//!
//! `{"type":"systemd-fido2","keyslots":["31"],"fido2-credential":"…","fido2-salt":"…","fido2-rp":"io.systemd.home",
//! "fido2-clientPin-required":true,"fido2-up-required":true,"fido2-uv-required":false}`: systemd's
//! `src/cryptenroll/cryptenroll-fido2.c`. Ours are told from its own by the relying party. They say nothing that the token with
//! the record does not say in the clear already, and nobody here reads them: one that is missing costs nothing but the
//! emergency. So the old ones go before the record is written, and new ones come after it.

use super::LuksOpened;
use crate::job::{Context, Failure};
use crate::sys::crypt3;
use records::keys::SECURITY_KEY;
use records::{Record, Secret};
use serde_json::{Value, json};

/// The type of systemd-cryptenroll's tokens for security keys.
const KIND: &str = "systemd-fido2";
/// Whose credentials ours are (`homed/fido2/src/key.rs`).
const PARTY: &str = "io.systemd.home";

/// Whether a token is one of these, and not of systemd-cryptenroll.
pub fn is_own(token: &Value) -> bool {
    token["type"] == KIND && token["fido2-rp"] == PARTY
}

/// The token of a record's entry; `None`: it does not say all that has to be asked (systemd before 248).
fn token(entry: &Value, slot: u32) -> Option<Value> {
    let text = |name: &str| entry.get(name).filter(|value| value.is_string());
    let flag = |name: &str| entry.get(name).filter(|value| value.is_boolean());
    Some(json!({
        "type": KIND,
        "keyslots": [slot.to_string()],
        "fido2-credential": text("credential")?,
        "fido2-salt": text("salt")?,
        "fido2-rp": PARTY,
        "fido2-clientPin-required": flag("clientPin")?,
        "fido2-up-required": flag("up")?,
        "fido2-uv-required": flag("uv")?,
    }))
}

/// Whether it is the token of this entry, and has its slot.
fn is_of(token: &Value, entry: &Value) -> bool {
    token["fido2-credential"] == entry["credential"]
        && token["fido2-salt"] == entry["salt"]
        && token["keyslots"].as_array().is_some_and(|slots| !slots.is_empty())
}

/// The entries of a record that wants tokens.
fn wanted(record: &Record, wants: bool) -> &[Value] {
    if wants { record.keys_of(SECURITY_KEY.list) } else { &[] }
}

/// The numbers of those that go.
fn stale(own: &[(u32, Value)], entries: &[Value]) -> Vec<u32> {
    let stays = |token: &Value| entries.iter().any(|entry| is_of(token, entry));
    own.iter().filter(|(_, token)| !stays(token)).map(|(number, _)| *number).collect()
}

/// Those that come: of entries whose slot is known.
fn missing(own: &[(u32, Value)], entries: &[Value], slot_of: impl Fn(&Value) -> Option<u32>) -> Vec<Value> {
    let lacks = |entry: &&Value| !own.iter().any(|(_, token)| is_of(token, entry));
    entries.iter().filter(lacks).filter_map(|entry| token(entry, slot_of(entry)?)).collect()
}

fn opens(entry: &Value, key: &Secret) -> bool {
    entry["hashedPassword"].as_str().is_some_and(|hash| crypt3::matches(key, hash))
}

impl LuksOpened {
    fn wants_tokens(&self, record: &Record) -> bool {
        record.on(&self.spec.machine).luks_cryptsetup_tokens == Some(true)
    }

    fn own_tokens(&mut self) -> Result<Vec<(u32, Value)>, Failure> {
        let all = self.disk()?.tokens(KIND);
        Ok(all.into_iter().filter(|(_, token)| is_own(token)).collect())
    }

    /// Removes those of keys that are not in the record that is to come.
    pub fn drop_tokens(&mut self, record: &Record) -> Result<(), Failure> {
        let own = self.own_tokens()?;
        for number in stale(&own, wanted(record, self.wants_tokens(record))) {
            self.disk()?.remove_token(number).during("removing a token from the header")?;
        }
        Ok(())
    }

    /// Writes those of keys that have been shown. The home is as good without them: what fails is a warning.
    pub fn add_tokens(&mut self, record: &Record) -> Result<(), Failure> {
        let entries = wanted(record, self.wants_tokens(record));
        if entries.is_empty() {
            return Ok(());
        }
        let own = self.own_tokens()?;
        let slot_of =
            |entry: &Value| self.known.iter().find(|known| opens(entry, &known.key)).map(|known| known.slot);
        for token in missing(&own, entries, slot_of) {
            if let Err(error) = self.disk()?.set_token(None, &token) {
                self.untold.push(format!(
                    "A security key of the home has no token for plain cryptsetup (luksCryptsetupTokens): {error}."
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(credential: &str) -> Value {
        json!({"credential": credential, "salt": "BBBB", "hashedPassword": "$y$x", "up": true, "uv": false, "clientPin": true})
    }

    #[test]
    fn a_token_comes_with_its_key_and_goes_with_it() {
        let (one, two) = (entry("AAAA"), entry("CCCC"));
        let both = [one.clone(), two.clone()];
        let slot_of = |entry: &Value| (entry["credential"] == "AAAA").then_some(31);
        let come = missing(&[], &both, slot_of);
        assert_eq!(come.len(), 1, "the other key has not been shown");
        assert_eq!(come[0]["keyslots"], json!(["31"]));
        assert_eq!(come[0]["fido2-clientPin-required"], json!(true));
        assert!(is_own(&come[0]));
        let own = [(4, come[0].clone())];
        assert!(missing(&own, &both, slot_of).is_empty() && stale(&own, &both).is_empty());
        assert_eq!(stale(&own, &both[1..]), [4]);
        // Its slot is gone: libcryptsetup takes the number out of the token.
        let mut without = come[0].clone();
        without["keyslots"] = json!([]);
        assert_eq!(stale(&[(4, without)], &both), [4]);
    }

    #[test]
    fn those_of_others_are_not_ours() {
        let theirs = json!({"type": "systemd-fido2", "fido2-rp": "io.systemd.cryptsetup"});
        assert!(!is_own(&theirs) && !is_own(&json!({"type": "systemd-fido2"})) && !is_own(&json!({})));
    }

    #[test]
    fn an_entry_that_does_not_say_what_is_asked_has_none() {
        let mut old = entry("AAAA");
        old.as_object_mut().expect("an object").remove("uv");
        assert!(missing(&[], &[old], |_| Some(1)).is_empty());
    }
}
