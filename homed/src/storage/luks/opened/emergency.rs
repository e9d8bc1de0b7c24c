//! Tokens that plain `cryptsetup open` and an initrd understand, for emergencies: those of systemd-cryptenroll for security keys,
//! beside ours, where the record wants them (`luksCryptsetupTokens`).
//!
//! `{"type":"systemd-fido2","keyslots":["31"],"fido2-credential":"…","fido2-salt":"…","fido2-rp":"io.systemd.home",
//! "fido2-clientPin-required":true,"fido2-up-required":true,"fido2-uv-required":false}`: systemd's
//! `src/cryptenroll/cryptenroll-fido2.c`. Ours are told from its own by the relying party. They say nothing that the token with
//! the record does not say in the clear already, and nobody here reads them: one that is missing costs nothing but the
//! emergency. So the old ones go before the record is written, and new ones come after it; and all of them go where a header (of
//! systemd-homed, which makes small ones) is full otherwise.

use super::LuksOpened;
use crate::job::{Context, Failure};
use crate::sys::crypt3;
use crate::sys::cryptsetup::{Error, Luks};
use records::keys::SECURITY_KEY;
use records::{Record, Secret};
use serde_json::{Value, json};

/// The type of systemd-cryptenroll's tokens for security keys.
const KIND: &str = "systemd-fido2";
/// Whose credentials ours are (`homed/fido2/src/key.rs`).
const PARTY: &str = "io.systemd.home";

/// What is told where they made way.
const GAVE_WAY: &str = "The encryption header is full: what plain cryptsetup asks security keys with (luksCryptsetupTokens) has made \
    way. It is written again when the key is shown in a change of the home, and there is room.";

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

/// All of them in a header.
fn own(luks: &mut Luks) -> Vec<(u32, Value)> {
    luks.tokens(KIND).into_iter().filter(|(_, token)| is_own(token)).collect()
}

/// What became of these tokens when something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// They are as they were.
    Stay,
    /// They have made way.
    Went,
    /// The header could not be read again: what the library has in memory is not what the disk has.
    Unknown,
}

/// Writes something to a header. Where that is full, these tokens go, and it is tried once more.
fn make_way(
    luks: &mut Luks,
    load: impl Fn() -> Result<Luks, Error>,
    mut write: impl FnMut(&mut Luks) -> Result<(), Error>,
) -> (Result<(), Error>, Tokens) {
    let done = write(luks);
    if !done.as_ref().is_err_and(Error::is_full) {
        return (done, Tokens::Stay);
    }
    // What was to be replaced is gone from the library's memory (`LUKS2_token_create`), and would be from the disk with whatever
    // is written next.
    let Ok(fresh) = load() else { return (done, Tokens::Unknown) };
    *luks = fresh;
    let all = own(luks);
    if all.is_empty() {
        return (done, Tokens::Stay);
    }
    if let Err(error) = all.iter().try_for_each(|(number, _)| luks.remove_token(*number)) {
        return (Err(error), Tokens::Went);
    }
    let again = write(luks);
    if again.is_ok() {
        return (again, Tokens::Went);
    }
    match load() {
        Ok(fresh) => *luks = fresh,
        Err(_) => return (again, Tokens::Unknown),
    }
    (again, Tokens::Went)
}

impl LuksOpened {
    /// Writes something to the header, for which tokens for emergencies make way.
    pub fn write_header(
        &mut self,
        write: impl FnMut(&mut Luks) -> Result<(), Error>,
    ) -> Result<Result<(), Error>, Failure> {
        self.disk()?;
        let (device, name) = (self.device.as_ref().map(|device| device.path()), self.spec.mapper_name());
        let load = || device.map_or_else(|| Luks::of_active(&name), Luks::load);
        let Some(luks) = &mut self.disk else { return Err(Failure::fault("the header was not opened")) };
        let (done, tokens) = make_way(luks, load, write);
        match tokens {
            Tokens::Stay => {}
            Tokens::Went => {
                self.gave_way = true;
                self.untold.push(GAVE_WAY.into());
            }
            // Whoever writes next opens it anew, or fails.
            Tokens::Unknown => self.disk = None,
        }
        Ok(done)
    }

    fn wants_tokens(&self, record: &Record) -> bool {
        record.on(&self.spec.machine).luks_cryptsetup_tokens == Some(true)
    }

    fn own_tokens(&mut self) -> Result<Vec<(u32, Value)>, Failure> {
        Ok(own(self.disk()?))
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
            // Nobody wants them any more.
            self.untold.retain(|told| told != GAVE_WAY);
            return Ok(());
        }
        if self.gave_way {
            // In this change there was no room for them: they would go again with the next.
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
    use crate::sys::cryptsetup::Layout;

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

    /// A header that one token of 3 MiB has room in, and not one of them beside another of 2 MiB.
    #[test]
    fn in_a_full_header_they_make_way_and_nothing_else_does() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(32 << 20).expect("a length");
        let mut luks = Luks::blank(file.path()).expect("opened");
        let layout = Layout {
            cipher: "aes",
            mode: "xts-plain64",
            uuid: uuid::Uuid::from_u128(5),
            label: "alice",
            subsystem: "systemd-home",
            sector: 4096,
        };
        luks.format(&layout, &Secret::new(vec![7; 64])).expect("formatted");
        let record = |length: usize| json!({"type": "record", "keyslots": [], "x": "x".repeat(length)});
        let mut own = token(&entry("AAAA"), 1).expect("a token");
        own["keyslots"] = json!([]);
        own["x"] = "x".repeat(2 << 20).into();
        let mut theirs = token(&entry("CCCC"), 1).expect("a token");
        (theirs["keyslots"], theirs["fido2-rp"]) = (json!([]), json!("io.systemd.cryptsetup"));
        for token in [&record(10), &own, &theirs] {
            luks.set_token(None, token).expect("room");
        }
        let load = || Luks::load(file.path());
        let number = luks.tokens("record")[0].0;
        let mut seen = Vec::new();
        let (done, tokens) = make_way(&mut luks, load, |luks| {
            let on_disk = load()?.tokens("record");
            seen.push(on_disk[0].1["x"].as_str().map_or(0, str::len));
            luks.set_token(Some(number), &record(3 << 20))
        });
        done.expect("there is room now");
        assert!(
            tokens == Tokens::Went && seen == [10, 10],
            "the record was gone from the disk meanwhile: {seen:?}"
        );
        let mut there = load().expect("loaded");
        assert_eq!((there.tokens("record").len(), super::own(&mut there).len()), (1, 0));
        assert_eq!(there.tokens(KIND).len(), 1, "another's stays");
        // With none to make way it stays as it is, in memory as on the disk.
        let too_large = |luks: &mut Luks| luks.set_token(Some(number), &record(5 << 20));
        let (done, tokens) = make_way(&mut luks, load, too_large);
        assert!(done.is_err() && tokens == Tokens::Stay && luks.tokens("record").len() == 1);
        // Not read again, it is not what is on the disk: why it was not written is told all the same.
        let unread = || Luks::load(std::path::Path::new("/no/such/header"));
        let (done, tokens) = make_way(&mut luks, unread, too_large);
        assert!(done.is_err_and(|error| error.is_full()) && tokens == Tokens::Unknown);
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
