use super::*;
use crate::token::{Algorithm, Facts, PinState, PrivateKey, PublicKey};
use std::cell::RefCell;

/// A token that opens what begins with its serial number.
struct Fake {
    facts: Facts,
    state: RefCell<PinState>,
    pin: &'static str,
    /// Wrong PINs until it is locked.
    tries: RefCell<u8>,
    /// What it was given, in order.
    given: RefCell<Vec<String>>,
    /// It shows its keys without a PIN.
    open: bool,
    each_time: bool,
}

fn token(serial: &str) -> Fake {
    Fake {
        facts: Facts { label: format!("card {serial}"), serial: serial.into(), ..Facts::default() },
        state: RefCell::new(PinState { needed: true, ..PinState::default() }),
        pin: "1234",
        tries: RefCell::new(3),
        given: RefCell::default(),
        open: false,
        each_time: false,
    }
}

impl Token for Fake {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn pin_state(&self) -> Result<PinState, Failure> {
        Ok(*self.state.borrow())
    }

    fn login(&self, pin: Option<&Secret>) -> Result<(), Failure> {
        let typed = pin.map_or("pad", |pin| pin.open_text().expect("text")).to_owned();
        let right = typed == self.pin || pin.is_none();
        self.given.borrow_mut().push(typed);
        if right {
            return Ok(());
        }
        let mut tries = self.tries.borrow_mut();
        *tries -= 1;
        let mut state = self.state.borrow_mut();
        (state.few, state.one, state.locked) = (true, *tries == 1, *tries == 0);
        Err(Failure::BadPin(Tries::Unsaid))
    }

    fn shows(&self, uri: &Uri) -> Result<bool, Failure> {
        Ok(self.open && uri.id == Some(vec![1]))
    }

    fn private_keys(&self) -> Result<Vec<PrivateKey>, Failure> {
        let key = |id: u8| PrivateKey {
            handle: id.into(),
            id: vec![id],
            label: Vec::new(),
            algorithm: Algorithm::Rsa,
            each_time: self.each_time,
        };
        Ok(vec![key(1), key(2)])
    }

    fn public_key(&self, _: &PrivateKey) -> Result<Option<PublicKey>, Failure> {
        Ok(None)
    }

    fn open(&self, key: &PrivateKey, sealed: &Sealed<'_>, pin: Option<&Secret>) -> Result<Secret, Failure> {
        assert_eq!(pin.is_some(), !self.state.borrow().pad, "the PIN comes along where there is one");
        let mine = [self.facts.serial.as_bytes(), &[key.id[0]]].concat();
        match sealed.data.strip_prefix(mine.as_slice()) {
            Some(rest) => Ok(Secret::new(rest.to_vec())),
            None => Err(Failure::Broken("C_Decrypt".into())),
        }
    }
}

/// An entry for a key of a token, whose passphrase is base64("key").
fn entry(uri: &str, serial: &str, id: u8) -> Entry {
    let data = [serial.as_bytes(), &[id], b"key"].concat();
    Entry { uri: Uri::parse(uri).expect("a URI"), data, padding: Padding::Pkcs1 }
}

/// The token's name, and the entry that it opened or why not.
fn asked(
    tokens: &[&Fake],
    entries: &[Entry],
    pins: &[&str],
    pad: Permitted,
) -> Option<(String, Result<usize, Failure>)> {
    let tokens: Vec<&dyn Token> = tokens.iter().map(|token| *token as &dyn Token).collect();
    let pins: Vec<Secret> = pins.iter().map(|pin| Secret::from_text((*pin).to_owned())).collect();
    let asked = answer(&tokens, entries, &Given { pins: &pins, pad }, &|_, secret| secret.matches(b"a2V5"));
    asked.map(|asked| (asked.token, asked.done.map(|(at, _)| at)))
}

fn given(token: &Fake) -> Vec<String> {
    token.given.borrow().clone()
}

const NO: Permitted = Permitted::No;

#[test]
fn the_token_that_is_named_opens_and_no_other_is_touched() {
    let (a, b) = (token("a"), token("b"));
    let entries = [entry("pkcs11:serial=b", "b", 2)];
    assert_eq!(asked(&[&a, &b], &entries, &["1234"], NO), Some(("card b".into(), Ok(0))));
    assert_eq!((given(&a).len(), given(&b).len()), (0, 1));
    assert_eq!(asked(&[&a], &entries, &["1234"], NO), None, "it is not plugged in");
    assert!(given(&a).is_empty());
}

#[test]
fn what_may_be_several_is_none_unless_one_shows_it() {
    let (a, mut b) = (token("a"), token("b"));
    let entries = [entry("pkcs11:", "b", 1)];
    assert_eq!(asked(&[&a, &b], &entries, &["1234"], NO), Some(("card a".into(), Err(Failure::Several))));
    assert!(given(&a).is_empty() && given(&b).is_empty(), "no PIN is tried");
    assert_eq!(asked(&[&b], &entries, &["1234"], NO), Some(("card b".into(), Ok(0))));
    b.open = true;
    let entries = [entry("pkcs11:id=%01", "b", 1)];
    assert_eq!(asked(&[&a, &b], &entries, &["1234"], NO), Some(("card b".into(), Ok(0))));
    assert!(given(&a).is_empty());
}

#[test]
fn a_pin_is_asked_for_and_tried_once() {
    let a = token("a");
    let entries = [entry("pkcs11:serial=a", "a", 1), entry("pkcs11:serial=a", "a", 2)];
    assert_eq!(asked(&[&a], &entries, &[], NO), Some(("card a".into(), Err(Failure::PinNeeded))));
    for left in [Failure::BadPin(Tries::Few), Failure::BadPin(Tries::One), Failure::PinLocked] {
        assert_eq!(asked(&[&a], &entries, &["9"], NO), Some(("card a".into(), Err(left))));
    }
    assert_eq!(given(&a).len(), 3, "two entries of one token cost one try");
    // One that says that it is locked is asked no more.
    assert_eq!(asked(&[&a], &entries, &["1234"], NO), Some(("card a".into(), Err(Failure::PinLocked))));
    assert_eq!(given(&a).len(), 3);
}

#[test]
fn a_wrong_pin_is_not_tried_on_the_next_token() {
    let (a, b) = (token("a"), token("b"));
    let entries = [entry("pkcs11:serial=a", "a", 1), entry("pkcs11:serial=b", "b", 1)];
    let told = asked(&[&a, &b], &entries, &["9"], NO);
    assert_eq!(told, Some(("card a".into(), Err(Failure::BadPin(Tries::Few)))));
    assert!(given(&b).is_empty());
}

#[test]
fn of_several_pins_none_is_tried_on_the_last_try() {
    let a = token("a");
    let entries = [entry("pkcs11:serial=a", "a", 1)];
    assert_eq!(asked(&[&a], &entries, &["9", "1234"], NO), Some(("card a".into(), Ok(0))));
    let b = token("b");
    let entries = [entry("pkcs11:serial=b", "b", 1)];
    let told = asked(&[&b], &entries, &["9", "8", "1234"], NO);
    assert_eq!(told, Some(("card b".into(), Err(Failure::BadPin(Tries::One)))));
    assert_eq!(given(&b), ["9", "8"]);
}

#[test]
fn a_pad_is_waited_for_only_where_its_user_was_told() {
    let a = token("a");
    a.state.borrow_mut().pad = true;
    let entries = [entry("pkcs11:serial=a", "a", 1)];
    assert_eq!(asked(&[&a], &entries, &["1234"], NO), Some(("card a".into(), Err(Failure::PadNeeded))));
    assert!(given(&a).is_empty());
    assert_eq!(asked(&[&a], &entries, &["1234"], Permitted::Yes), Some(("card a".into(), Ok(0))));
    assert_eq!(given(&a), ["pad"]);
}

#[test]
fn who_needs_least_comes_first() {
    let (a, b) = (token("a"), token("b"));
    b.state.borrow_mut().needed = false;
    let entries = [entry("pkcs11:serial=a", "a", 1), entry("pkcs11:serial=b", "b", 1)];
    assert_eq!(asked(&[&a, &b], &entries, &["1234"], NO), Some(("card b".into(), Ok(1))));
    assert!(given(&a).is_empty());
}

#[test]
fn another_key_than_the_enrolled_one_is_told() {
    let a = token("a");
    let other = Entry { data: [b"a", &[1][..], b"other"].concat(), ..entry("pkcs11:serial=a", "a", 1) };
    assert_eq!(
        asked(&[&a], &[other], &["1234"], NO),
        Some(("card a".into(), Err(Failure::Broken("C_Decrypt".into()))))
    );
    let named =
        Entry { data: [b"a", &[1][..], b"other"].concat(), ..entry("pkcs11:serial=a;id=%01", "a", 1) };
    assert_eq!(asked(&[&a], &[named], &["1234"], NO), Some(("card a".into(), Err(Failure::OtherSecret))));
    let missing = entry("pkcs11:serial=a;id=%07", "a", 7);
    assert_eq!(asked(&[&a], &[missing], &["1234"], NO), Some(("card a".into(), Err(Failure::NoKey))));
}

#[test]
fn the_passphrase_is_the_base64_text() {
    let text = |bytes: &[u8]| passphrase(&Secret::new(bytes.to_vec())).open_text().expect("text").to_owned();
    assert_eq!((text(b"key"), text(b"a"), text(b"")), ("a2V5".into(), "YQ==".into(), String::new()));
}
