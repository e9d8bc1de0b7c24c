//! The hooks against a scripted PAM and daemon: what is expected comes in this order, and nothing is
//! left over.

use crate::arguments::Arguments;
use crate::daemon::{AtSuspend, Daemon, Failure};
use crate::hook::Ended;
use crate::memory::Memory;
use crate::pam::{Pam, Say, Seat, Token};
use ::pam::constants::PamResultCode as Code;
use records::{Credentials, HostName, Machine, MachineId, Record, Refusal, Secret, Sections};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;

mod hooks;
mod ours;

/// One expected step.
enum Step {
    /// The daemon is asked for the record.
    Record(&'static str),
    /// The same, and there is none to be had.
    NoRecord(Failure),
    /// AcquireHome with these passwords (and PIN) is answered so.
    Acquire(&'static [&'static str], Option<Refusal>),
    /// RefHome is answered so.
    Reference(Option<Refusal>),
    /// ReleaseHome.
    Release(Option<Refusal>),
    /// ChangePasswordHome with this new and these old passwords.
    Change(&'static str, &'static [&'static str], Option<Refusal>),
    /// The user is asked, and types this; `None`: nobody is there.
    Ask(&'static str, Option<&'static str>),
    /// The user is told something with this in it.
    Say(&'static str),
}

use Step::{Acquire, Ask, Change, Reference, Release, Say as Told};

/// PAM and daemon in one: both follow the same script.
struct Script(VecDeque<Step>);

#[derive(Default)]
struct FakePam {
    user: String,
    tokens: BTreeMap<u8, Vec<u8>>,
    new_token: &'static str,
    variables: BTreeMap<String, String>,
    memory: Rc<RefCell<Memory>>,
    seat: Option<Seat>,
    local: Option<u32>,
    registered: bool,
    /// Whether the home is being made of a backup.
    half_restored: bool,
    asked_new: bool,
}

struct Stage {
    pam: FakePam,
    script: Script,
}

/// A `Pam` and a `Daemon` that share the stage.
struct Shared<'a>(&'a std::cell::RefCell<Stage>);

impl Shared<'_> {
    fn next(&self) -> Step {
        self.0.borrow_mut().script.0.pop_front().expect("the script has come to its end")
    }

    fn passwords(secret: &Credentials) -> Vec<String> {
        let all = secret.passwords.iter().chain(&secret.token_pins).chain(&secret.computer_pin);
        all.map(|one| one.open_text().expect("text").to_owned()).collect()
    }

    fn fd() -> OwnedFd {
        rustix::pipe::pipe().expect("a pipe").1
    }
}

fn answer<T>(refusal: Option<Refusal>, good: T) -> Result<T, Failure> {
    refusal.map_or(Ok(good), |refusal| Err(Failure::Refused(refusal, refusal.sentence().to_owned())))
}

impl Pam for Shared<'_> {
    fn user(&mut self) -> Result<String, Code> {
        Ok(self.0.borrow().pam.user.clone())
    }
    fn set_user(&mut self, name: &str) -> Result<(), Code> {
        self.0.borrow_mut().pam.user = name.to_owned();
        Ok(())
    }
    fn ask(&mut self, question: &str) -> Result<Secret, Code> {
        match self.next() {
            Ask(expected, reply) => {
                assert_eq!(question, expected);
                reply.map(|text| Secret::from_text(text.to_owned())).ok_or(Code::PAM_CONV_ERR)
            }
            _ => panic!("asked unexpectedly: {question}"),
        }
    }
    fn say(&mut self, _how: Say, text: &str) {
        match self.next() {
            Told(part) => assert!(text.contains(part), "said {text:?} instead of {part:?}"),
            _ => panic!("said unexpectedly: {text}"),
        }
    }
    fn token(&mut self, which: Token) -> Option<Secret> {
        self.0.borrow().pam.tokens.get(&(which as u8)).map(|bytes| Secret::new(bytes.clone()))
    }
    fn set_token(&mut self, which: Token, token: &Secret) -> Result<(), Code> {
        self.0.borrow_mut().pam.tokens.insert(which as u8, token.open().to_vec());
        Ok(())
    }
    fn new_token(&mut self) -> Result<Secret, Code> {
        self.0.borrow_mut().pam.asked_new = true;
        Ok(Secret::from_text(self.0.borrow().pam.new_token.to_owned()))
    }
    fn variable(&mut self, name: &str) -> Option<String> {
        self.0.borrow().pam.variables.get(name).cloned()
    }
    fn set_variable(&mut self, name: &str, value: &str) -> Result<(), Code> {
        self.0.borrow_mut().pam.variables.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
    fn seat(&mut self) -> Seat {
        self.0.borrow().pam.seat.unwrap_or(Seat::Here)
    }
    fn memory(&mut self) -> Rc<RefCell<Memory>> {
        self.0.borrow().pam.memory.clone()
    }
    fn is_root(&mut self) -> bool {
        false
    }
    fn log(&mut self, text: &str) {
        assert!(!text.contains("geheim"), "a secret is logged: {text}");
    }
}

impl Daemon for Shared<'_> {
    fn local_uid(&mut self, _name: &str) -> Option<u32> {
        self.0.borrow().pam.local
    }
    fn is_registered(&mut self, _name: &str) -> bool {
        self.0.borrow().pam.registered
    }
    fn is_half_restored(&mut self, _user: &str) -> bool {
        self.0.borrow().pam.half_restored
    }
    fn record(&mut self, _user: &str, expected: bool) -> Result<Record, Failure> {
        match self.next() {
            Step::NoRecord(failure) => {
                assert!(expected || !self.0.borrow().pam.registered);
                Err(failure)
            }
            Step::Record("") => Err(Failure::Refused(Refusal::NoSuchHome, String::new())),
            Step::Record(json) => Ok(Record::parse(json, Sections::HOST).expect("valid")),
            _ => panic!("asked for the record unexpectedly"),
        }
    }
    fn machine(&mut self) -> Result<Machine, Failure> {
        Ok(Machine { id: MachineId::parse(&"a".repeat(32)).expect("valid"), host: HostName("h".into()) })
    }
    fn acquire(
        &mut self,
        _user: &str,
        secret: &Credentials,
        _suspend: AtSuspend,
    ) -> Result<OwnedFd, Failure> {
        match self.next() {
            Acquire(passwords, refusal) => {
                assert_eq!(Self::passwords(secret), passwords);
                answer(refusal, Self::fd())
            }
            _ => panic!("acquired unexpectedly"),
        }
    }
    fn reference(&mut self, _user: &str, _suspend: AtSuspend) -> Result<OwnedFd, Failure> {
        match self.next() {
            Reference(refusal) => answer(refusal, Self::fd()),
            _ => panic!("referenced unexpectedly"),
        }
    }
    fn release(&mut self, _user: &str) -> Result<(), Failure> {
        match self.next() {
            Release(refusal) => answer(refusal, ()),
            _ => panic!("released unexpectedly"),
        }
    }
    fn change_password(&mut self, _user: &str, new: &Credentials, old: &Credentials) -> Result<(), Failure> {
        match self.next() {
            Change(expected, passwords, refusal) => {
                assert_eq!(
                    (Self::passwords(new), Self::passwords(old)),
                    (vec![expected.to_owned()], passwords.iter().map(|p| (*p).to_owned()).collect())
                );
                answer(refusal, ())
            }
            _ => panic!("changed the password unexpectedly"),
        }
    }
    fn now_usec(&mut self) -> u64 {
        1_000_000_000
    }
}

const ALICE: &str = r#"{"userName":"alice","aliases":["al"]}"#;
const RECORD: Step = Step::Record(ALICE);
const ARGUMENTS: Arguments = Arguments { suspend: AtSuspend::Lock, first: false };

type Hook = fn(&mut dyn Pam, &mut dyn Daemon, &Arguments) -> Ended;

/// Plays a script; gives the code and PAM as it is afterwards.
fn play(hook: Hook, pam: FakePam, script: Vec<Step>) -> (Code, FakePam) {
    let stage = std::cell::RefCell::new(Stage { pam, script: Script(script.into()) });
    let ended = hook(&mut Shared(&stage), &mut Shared(&stage), &ARGUMENTS);
    let stage = stage.into_inner();
    assert!(stage.script.0.is_empty(), "{} steps are left", stage.script.0.len());
    (ended.unwrap_or_else(|code| code), stage.pam)
}

fn alice() -> FakePam {
    FakePam { user: "alice".into(), ..FakePam::default() }
}
