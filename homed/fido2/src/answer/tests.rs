use super::*;
use crate::key::{Abilities, Algorithm, Owner};
use std::cell::{Cell, RefCell};

/// A key that has one credential, whose secret depends on whether its user was verified.
struct Fake {
    id: &'static [u8],
    pin: Option<&'static str>,
    tries: Cell<u8>,
    silent: Option<Failure>,
    asked: RefCell<Vec<&'static str>>,
}

fn fake(id: &'static [u8], pin: Option<&'static str>) -> Fake {
    Fake { id, pin, tries: Cell::new(8), silent: None, asked: RefCell::default() }
}

fn secret(id: &[u8], verified: bool) -> Vec<u8> {
    [id, if verified { b"+" } else { b"-" }].concat()
}

impl Key for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn path(&self) -> &str {
        "/dev/hidraw0"
    }
    fn abilities(&self) -> Abilities {
        Abilities { hmac_secret: true, pin: self.pin.is_some(), verification: false, presence: true }
    }
    fn ask(&self, question: &Question<'_>) -> Result<Option<Secret>, Failure> {
        if question.salt.is_none() {
            return match &self.silent {
                Some(failure) => Err(failure.clone()),
                None if question.credential == self.id => Ok(None),
                None => Err(Failure::NotPluggedIn),
            };
        }
        self.asked.borrow_mut().push(if question.pin.is_some() { "pin" } else { "touch" });
        if question.credential != self.id {
            return Err(Failure::NotPluggedIn);
        }
        if let (Some(given), Some(right)) = (question.pin, self.pin)
            && !given.matches(right.as_bytes())
        {
            self.tries.set(self.tries.get() - 1);
            return Err(Failure::BadPin(Some(self.tries.get())));
        }
        Ok(Some(Secret::new(secret(self.id, question.pin.is_some()))))
    }
    fn make(&self, _: &Owner<'_>, _: Algorithm, _: Option<&Secret>) -> Result<Vec<u8>, Failure> {
        Ok(self.id.to_vec())
    }
    fn tries(&self) -> Option<u8> {
        Some(self.tries.get())
    }
}

fn credential(id: &[u8], pin: Option<bool>) -> Credential {
    Credential { id: id.to_vec(), salt: vec![7; 32], pin, presence: Some(true), verification: Some(false) }
}

fn pins(all: &[&str]) -> Vec<Secret> {
    all.iter().map(|pin| Secret::from_text((*pin).to_owned())).collect()
}

/// What comes of asking with these PINs, the touch permitted.
fn asked(keys: &[&dyn Key], credentials: &[Credential], typed: &[&str]) -> Option<Result<Vec<u8>, Failure>> {
    let pins = pins(typed);
    let given = Given { pins: &pins, presence: Permitted::Yes, verification: Permitted::No };
    let fits = |at: usize, secret: &Secret| {
        let id = &credentials[at].id;
        secret.open().starts_with(id) && (credentials[at].pin.is_some() || secret.open().ends_with(b"+"))
    };
    answer(keys, credentials, &given, &fits).map(|asked| asked.done.map(|secret| secret.open().to_vec()))
}

#[test]
fn a_key_of_somebody_else_is_left_alone() {
    let (mine, other) = (fake(b"a", Some("1")), fake(b"b", Some("2")));
    let credentials = [credential(b"a", Some(true))];
    assert_eq!(asked(&[&other], &credentials, &["1"]), None);
    assert_eq!(asked(&[&other, &mine], &credentials, &["1"]), Some(Ok(b"a+".to_vec())));
    assert!(other.asked.borrow().is_empty());
    assert_eq!(*mine.asked.borrow(), ["pin"]);
}

#[test]
fn what_needs_its_user_least_goes_first_and_one_touch_is_enough() {
    let (strict, easy) = (fake(b"a", Some("1")), fake(b"b", None));
    let credentials = [credential(b"a", Some(true)), credential(b"b", Some(false))];
    assert_eq!(asked(&[&strict, &easy], &credentials, &[]), Some(Ok(b"b-".to_vec())));
    assert!(strict.asked.borrow().is_empty() && easy.asked.borrow().len() == 1);
}

#[test]
fn a_wrong_pin_costs_one_try_and_another_keys_pin_few() {
    let key = fake(b"a", Some("1"));
    let credentials = [credential(b"a", Some(true))];
    assert_eq!(asked(&[&key], &credentials, &["9"]), Some(Err(Failure::BadPin(Some(7)))));
    // The PIN of another key is given, too: as long as many tries are left it does not matter which comes first.
    assert_eq!(asked(&[&key], &credentials, &["9", "1"]), Some(Ok(b"a+".to_vec())));
    key.tries.set(4);
    assert_eq!(asked(&[&key], &credentials, &["9", "8", "7"]), Some(Err(Failure::BadPin(Some(3)))));
    assert_eq!(key.tries.get(), 3);
}

#[test]
fn what_an_old_record_does_not_say_is_found_out_without_a_wrong_pin() {
    let key = fake(b"a", Some("1"));
    let credentials = [credential(b"a", None)];
    assert_eq!(asked(&[&key], &credentials, &[]), Some(Err(Failure::PinNeeded)));
    assert_eq!(asked(&[&key], &credentials, &["1"]), Some(Ok(b"a+".to_vec())));
    assert_eq!((key.tries.get(), key.asked.borrow().as_slice()), (8, &["touch", "touch", "pin"][..]));
}

#[test]
fn what_is_needed_is_said_before_anybody_is_asked_to_touch() {
    let key = fake(b"a", Some("1"));
    let credentials = [credential(b"a", Some(true))];
    let ask = |pins: &[Secret], presence| {
        let given = Given { pins, presence, verification: Permitted::No };
        answer(&[&key], &credentials, &given, &|_, _| true).map(|asked| asked.done.map(drop))
    };
    assert_eq!(ask(&[], Permitted::No), Some(Err(Failure::PinNeeded)));
    assert_eq!(ask(&pins(&["1"]), Permitted::No), Some(Err(Failure::PresenceNeeded)));
    assert!(key.asked.borrow().is_empty());
    assert_eq!(ask(&pins(&["1"]), Permitted::Yes), Some(Ok(())));
}

#[test]
fn one_that_will_not_say_what_it_has_comes_last() {
    let mut coy = fake(b"b", None);
    coy.silent = Some(Failure::Unsuitable("no silent questions".into()));
    let open = fake(b"a", None);
    let credentials = [credential(b"a", Some(false))];
    assert_eq!(asked(&[&coy, &open], &credentials, &[]), Some(Ok(b"a-".to_vec())));
    assert!(coy.asked.borrow().is_empty());
    let credentials = [credential(b"b", Some(false))];
    assert_eq!(asked(&[&coy], &credentials, &[]), Some(Ok(b"b-".to_vec())));
}
