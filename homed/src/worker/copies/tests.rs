//! Whose copies count, and when.

use super::*;
use crate::job::Step;
use crate::storage::{Opened, Resized, Vault};
use records::signature::PrivateKey;
use records::stranger::Strangers;
use records::{Credentials, HostName, MachineId};

struct Mute;

impl Steps for Mute {
    fn enter(&mut self, _step: Step) -> Result<(), Failure> {
        Ok(())
    }

    fn warn(&mut self, _text: String) {}
}

fn machine() -> Machine {
    Machine { id: MachineId::parse(&"1".repeat(32)).expect("valid"), host: HostName("box".into()) }
}

fn home() -> FullName {
    FullName::parse("alice").expect("valid")
}

fn plain() -> Record {
    Record::parse(r#"{"userName":"alice"}"#, Sections::EMBEDDED).expect("valid")
}

fn by(seed: u8) -> Record {
    signature::sign(&plain(), &PrivateKey::from_seed([seed; 32])).expect("signable")
}

/// Key 1 is this machine's, key 2 that of one that is trusted.
fn trust(strangers: Strangers) -> Trust {
    let key = |seed| PrivateKey::from_seed([seed; 32]).public();
    Trust { local: vec![key(1)], others: vec![key(2)], strangers }
}

#[test]
fn nobody_is_let_in_before_the_record_beside_the_keys_was_looked_at() {
    let mut copies = Copies::begin(&home(), trust(Strangers::No), Some(by(1)), &machine(), Rule::Any);
    let credentials = Credentials::default();
    let offer = Offer::new(&credentials);
    assert!(matches!(copies.prove(&offer), Err(Failure::Fault(_))));
    copies.see_header(Err("there is none"), &mut Mute).expect("looked at");
    assert!(
        matches!(copies.prove(&offer), Err(Failure::Refused(_))),
        "it is judged, and nothing was offered"
    );
}

#[test]
fn who_vouches_for_which_home_and_when() {
    use Strangers::{No, Restricted, Yes};
    // What this machine knows, what is in the header; whether it is taken, and vouched for before and after the
    // user has proven who it is.
    for (strangers, host, header, taken) in [
        (No, None, 3, None),
        (Restricted, None, 3, Some([false, true])),
        (Yes, None, 3, Some([false, true])),
        (No, Some(3), 3, None),
        (Restricted, Some(3), 3, Some([false, true])),
        // It came from somebody else, or is this machine's, or a trusted one's.
        (Restricted, Some(4), 3, None),
        (Yes, Some(4), 3, None),
        (Restricted, Some(1), 3, None),
        (Yes, Some(2), 3, None),
        (No, None, 2, Some([true, true])),
        (Restricted, Some(1), 1, Some([true, true])),
        // Its maker has become trusted.
        (Restricted, Some(3), 1, Some([true, true])),
    ] {
        let told = format!("{strangers:?} {host:?} {header}");
        let mut copies = Copies::begin(&home(), trust(strangers), host.map(by), &machine(), Rule::Any);
        let seen = copies.see_header(Ok(&by(header)), &mut Mute);
        assert_eq!(seen.is_ok(), taken.is_some(), "{told}");
        let Some([before, after]) = taken else { continue };
        assert_eq!(copies.vouched().is_some(), before, "{told}, before");
        copies.proven.set(true);
        assert_eq!(copies.vouched().is_some(), after, "{told}, after");
        assert_eq!(copies.vouched().is_some_and(Vouched::is_local), header == 1, "{told}: mount options");
    }
    // An unsigned record here, whoever put it there, opens the home to no stranger.
    let mut copies = Copies::begin(&home(), trust(Restricted), Some(plain()), &machine(), Rule::Any);
    assert!(copies.see_header(Ok(&by(3)), &mut Mute).is_err());
}

#[test]
fn the_record_of_another_user_is_in_force_for_nobody() {
    let of = |name: &str, seed| {
        let text = match name.split_once('@') {
            Some((user, realm)) => format!(r#"{{"userName":"{user}","realm":"{realm}"}}"#),
            None => format!(r#"{{"userName":"{name}"}}"#),
        };
        let record = Record::parse(&text, Sections::EMBEDDED);
        signature::sign(&record.expect("valid"), &PrivateKey::from_seed([seed; 32])).expect("signable")
    };
    // Signed by this machine, by one that is trusted, by a stranger.
    for seed in [1, 2, 3] {
        for (known, seen, taken) in [
            ("alice", "alice", true),
            ("alice", "bob", false),
            ("alice", "alice@example.com", true),
            ("alice@example.com", "alice", false),
            ("alice@example.com", "alice@example.com", true),
            ("alice@example.com", "alice@example.org", false),
        ] {
            let whose = FullName::parse(known).expect("valid");
            let mut copies = Copies::begin(&whose, trust(Strangers::Restricted), None, &machine(), Rule::Any);
            let looked = copies.see_header(Ok(&of(seen, seed)), &mut Mute);
            assert_eq!(looked.is_ok(), taken, "{known}: {seen} by {seed}");
            assert_eq!(copies.winner().is_ok(), taken, "{known}: {seen} by {seed}");
        }
    }
}

/// Storage whose disk is full.
struct Full;

impl Opened for Full {
    fn home(&mut self, _: &mut dyn Steps) -> Result<&HomeDirectory, Failure> {
        Err(Refusal::NoDiskSpace.into())
    }
    fn binding(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }
    fn resize(&mut self, _: crate::job::Size, _: &mut dyn Steps) -> Result<Resized, Failure> {
        Err(Failure::fault("it has no size"))
    }
    fn expose(self: Box<Self>, _: u32, _: &mut dyn Steps) -> Result<(), Failure> {
        Ok(())
    }
    fn finish(self: Box<Self>, _: &mut dyn Steps) -> Result<(), Failure> {
        Ok(())
    }
    fn vouch(&mut self, _: Vouched) {}
    fn vault(&mut self) -> Option<&mut dyn Vault> {
        None
    }
}

/// On a full disk the key slots of the old password went, and the record in the home had the old one alone.
#[test]
fn where_no_record_lies_beside_the_keys_that_in_the_home_is_written_before_any_other() {
    for has_header in [true, false] {
        let mut copies = Copies::begin(&home(), trust(Strangers::No), Some(by(1)), &machine(), Rule::Any);
        match has_header {
            true => copies.see_header(Ok(&by(1)), &mut Mute).expect("looked at"),
            false => copies.there_is_no_header(),
        }
        copies.replace(by(1));
        assert_eq!(copies.keys_are_added(&mut Full, &mut Mute).is_ok(), has_header);
    }
}
