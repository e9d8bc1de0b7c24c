//! The talk with homed: what each refusal makes the client gather, against scripted sides.

use homectl::bus::{
    Daemon, Failure, HomeRow, Inhibitor, Order, Question, RecordReply, Session, Suspend, Who,
};
use homectl::insist::{Place, Talk};
use homectl::prompt::{Asker, Ready};
use homectl::vault::{Handed, Vault};
use records::credentials::Permitted;
use records::{Credentials, MachineId, Refusal, Secret};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Answers in order; what was asked and handed over is kept.
#[derive(Default)]
struct Script {
    answers: RefCell<VecDeque<&'static str>>,
    ready: Cell<Option<&'static str>>,
    handed: RefCell<Vec<Vec<String>>>,
}

impl Asker for Script {
    fn ready(&self, what: Ready) -> Option<Secret> {
        (what == Ready::Password)
            .then(|| self.ready.take())
            .flatten()
            .map(|t| Secret::from_text(t.to_owned()))
    }
    fn ask(&self, _: &str) -> Result<Secret, Failure> {
        let answer = self.answers.borrow_mut().pop_front();
        answer.map(|t| Secret::from_text(t.to_owned())).ok_or_else(|| Failure::say("nobody answers"))
    }
    fn notice(&self, _: &str) {}
}

impl Vault for Script {
    fn hand(&self, credentials: &Credentials) -> Result<Handed, Failure> {
        let texts =
            credentials.passwords.iter().map(|p| p.open_text().unwrap_or_default().to_owned()).collect();
        self.handed.borrow_mut().push(texts);
        Ok(Handed::new("{\"ticket\":\"t\"}".to_owned(), None))
    }
}

fn talk(script: &Script, refusals: &[Refusal]) -> (Result<(), Failure>, Credentials) {
    let talk = Talk { asker: script, vault: script, user: "anna", place: None };
    let mut refusals = refusals.iter();
    let mut credentials = talk.ready();
    let done = talk.insist(&mut credentials, |handed| {
        assert_eq!(handed.argument, "{\"ticket\":\"t\"}", "only a ticket may go over the bus");
        refusals.next().map_or(Ok(()), |r| Err(Failure::Refused(*r, r.sentence().to_owned())))
    });
    (done, credentials)
}

#[test]
fn every_password_tried_is_sent_again_newest_first() {
    let script = Script {
        answers: RefCell::new(["two", "three"].into()),
        ready: Cell::new(Some("one")),
        ..Script::default()
    };
    let (done, _) = talk(&script, &[Refusal::BadPassword, Refusal::BadPassword]);
    assert_eq!(done, Ok(()));
    assert_eq!(*script.handed.borrow(), [vec!["one"], vec!["two", "one"], vec!["three", "two", "one"]]);
}

#[test]
fn only_the_newest_pin_is_sent() {
    let script = Script { answers: RefCell::new(["1", "2"].into()), ..Script::default() };
    let (done, credentials) = talk(&script, &[Refusal::TokenPinNeeded, Refusal::BadPin]);
    assert_eq!(done, Ok(()));
    assert_eq!(credentials.token_pins.len(), 1);
    assert!(credentials.token_pins[0].matches(b"2"));
}

#[test]
fn a_permission_is_given_once() {
    let script = Script::default();
    let (done, credentials) = talk(&script, &[Refusal::TokenUserPresenceNeeded]);
    assert_eq!(done, Ok(()));
    assert_eq!(credentials.user_presence, Permitted::Yes);
    let (done, _) = talk(&script, &[Refusal::TokenUserPresenceNeeded, Refusal::TokenUserPresenceNeeded]);
    assert!(done.is_err_and(|f| f.is(Refusal::TokenUserPresenceNeeded)));
}

#[test]
fn a_typed_recovery_key_is_brought_into_its_form() {
    let typed = "CBDEFGHIJKLNRTUVcbdefghijklnrtuvcbdefghijklnrtuvcbdefghijklnrtuv";
    let script = Script { answers: RefCell::new([typed].into()), ..Script::default() };
    let (_, credentials) = talk(&script, &[Refusal::BadRecoveryKey]);
    assert_eq!(credentials.passwords[0].open().len(), 71);
}

#[test]
fn who_gave_no_password_is_not_told_that_it_was_wrong() {
    let (done, _) = talk(&Script::default(), &[Refusal::BadPassword, Refusal::BadPassword]);
    assert_eq!(done, Err(Failure::say("nobody answers")));
}

/// What was tried has gone by then: the PIN of a key, or that its user was told to touch it.
#[test]
fn who_gave_something_else_is_told_what_became_of_that() {
    let touched = [Refusal::TokenUserPresenceNeeded, Refusal::TokenActionTimeout];
    let (done, _) = talk(&Script::default(), &touched);
    assert!(done.is_err_and(|failure| failure.is(Refusal::TokenActionTimeout)));
}

#[test]
fn what_nobody_can_answer_comes_back_as_it_was() {
    for refusal in Refusal::ALL {
        let script = Script { ready: Cell::new(Some("given")), ..Script::default() };
        let (done, _) = talk(&script, &[*refusal, *refusal]);
        assert!(done.is_err_and(|f| f.is(*refusal)), "{refusal:?}");
    }
}

#[test]
fn a_new_password_must_be_typed_twice_the_same() {
    let script = Script { answers: RefCell::new(["a", "b", "c", "c"].into()), ..Script::default() };
    let talk = Talk { asker: &script, vault: &script, user: "anna", place: None };
    assert!(talk.new_password().is_ok_and(|p| p.matches(b"c")));
    let script = Script {
        answers: RefCell::new(["a", "b", "a", "b", "a", "b", "a", "b", "c", "c"].into()),
        ..Script::default()
    };
    let talk = Talk { asker: &script, vault: &script, user: "anna", place: None };
    assert!(talk.new_password().is_err());
}

#[test]
fn the_password_is_possible_where_the_key_is_asked_for() {
    // Instead of a PIN, of a touch, after a touch in vain, without the key.
    for (answers, refusals) in [
        (&["", "geheim"][..], &[Refusal::TokenPinNeeded][..]),
        (&["1", "", "geheim"], &[Refusal::TokenPinNeeded, Refusal::BadPin]),
        (&["geheim"], &[Refusal::TokenUserPresenceNeeded]),
        (&["", "geheim"], &[Refusal::TokenUserPresenceNeeded, Refusal::TokenActionTimeout]),
        (&["1", "geheim"], &[Refusal::TokenPinNeeded, Refusal::TokenPinLocked]),
        (&["", "geheim"], &[Refusal::BadPasswordAndNoToken, Refusal::BadPasswordAndNoToken]),
    ] {
        let script = Script { answers: RefCell::new(answers.iter().copied().collect()), ..Script::default() };
        let (done, credentials) = talk(&script, refusals);
        assert_eq!(done, Ok(()), "{refusals:?}");
        assert!(credentials.passwords[0].matches(b"geheim"), "{refusals:?}");
        assert!(!credentials.is_for_tokens(), "{refusals:?}");
    }
}

/// A homed that knows one record, and is asked for nothing else.
struct Knows(&'static str);

impl Daemon for Knows {
    fn record(&self, _: Who<'_>) -> Result<RecordReply, Failure> {
        Ok(RecordReply { json: self.0.to_owned(), incomplete: true })
    }
    fn order(&self, _: &str, _: Order<'_>) -> Result<(), Failure> {
        unreachable!()
    }
    fn own(&self, _: &str, _: Question<'_>) -> Result<String, Failure> {
        unreachable!()
    }
    fn homes(&self) -> Result<Vec<HomeRow>, Failure> {
        unreachable!()
    }
    fn keys(&self) -> Result<Vec<(String, String)>, Failure> {
        unreachable!()
    }
    fn key(&self, _: &str) -> Result<String, Failure> {
        unreachable!()
    }
    fn inhibitors(&self) -> Result<Vec<Inhibitor>, Failure> {
        unreachable!()
    }
    fn security(&self) -> Result<String, Failure> {
        unreachable!()
    }
    fn sessions(&self) -> Vec<Session> {
        unreachable!()
    }
    fn make_recovery_key(&self, _: &str) -> Result<(Secret, u32), Failure> {
        unreachable!("it is not asked for one")
    }
    fn confirm_recovery_key(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), Failure> {
        unreachable!("it is not asked for one")
    }
    fn inhibit(&self, _: &str, _: &str, _: &str, _: u64) -> Result<OwnedFd, Failure> {
        unreachable!()
    }
    fn acquire(&self, _: &str, _: &str, _: Suspend) -> Result<OwnedFd, Failure> {
        unreachable!()
    }
}

#[test]
fn where_a_pin_opens_the_home_what_is_typed_may_be_both() {
    let machine = MachineId::parse(&"a".repeat(32)).expect("valid");
    let here = r#"{"userName":"anna","tpm2PinMachineId":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}"#;
    let there = r#"{"userName":"anna","tpm2PinMachineId":["bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]}"#;
    for (record, pins) in [(here, &["2"][..]), (there, &[]), ("{", &[])] {
        let script = Script { answers: RefCell::new(["1", "2"].into()), ..Script::default() };
        let daemon = Knows(record);
        let place = Some(Place { daemon: &daemon, machine: &machine });
        let talk = Talk { asker: &script, vault: &script, user: "anna", place };
        let mut refusals = [Refusal::BadPassword, Refusal::BadPassword].iter();
        let mut given =
            Credentials { new_pin: Some(Secret::from_text("9".into())), ..Credentials::default() };
        let done = talk.insist(&mut given, |_| {
            refusals.next().map_or(Ok(()), |r| Err(Failure::Refused(*r, r.sentence().to_owned())))
        });
        assert_eq!(done, Ok(()));
        let texts = |all: &[Secret]| -> Vec<String> {
            all.iter().map(|one| one.open_text().expect("text").to_owned()).collect()
        };
        // The newest is tried as a PIN, and only that; a PIN that is to be enrolled stays.
        assert_eq!(
            (texts(&given.passwords), texts(given.computer_pin.as_slice())),
            (owned(&["2", "1"]), owned(pins))
        );
        assert!(given.new_pin.is_some());
    }
}

fn owned(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_key_that_wants_pin_and_touch_is_told_both_at_once() {
    let script = Script { answers: RefCell::new(["1234"].into()), ..Script::default() };
    let talk = Talk { asker: &script, vault: &script, user: "anna", place: None };
    let sentence = format!("The security key blue needs its PIN{}.", records::keys::AND_A_TOUCH);
    let mut refusals = [sentence].into_iter();
    let mut credentials = talk.ready();
    let done = talk.insist(&mut credentials, |_| {
        refusals.next().map_or(Ok(()), |text| Err(Failure::Refused(Refusal::TokenPinNeeded, text)))
    });
    assert_eq!(done, Ok(()));
    assert_eq!((credentials.user_presence, credentials.token_pins.len()), (Permitted::Yes, 1));
    assert_eq!(script.handed.borrow().len(), 2, "nothing is begun twice");
}
