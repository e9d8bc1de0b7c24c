//! The hooks against a scripted PAM and daemon: what is expected comes in this order, and nothing is
//! left over.

use crate::arguments::Arguments;
use crate::daemon::{AtSuspend, Daemon, Failure};
use crate::hook::{self, Ended, account, auth, password, session};
use crate::pam::{Pam, Say, Token};
use ::pam::constants::PamResultCode as Code;
use records::{Credentials, HostName, Machine, MachineId, Record, Refusal, Secret, Sections};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;

/// One expected step.
enum Step {
    /// The daemon is asked for the record.
    Record(&'static str),
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
    reference: Option<OwnedFd>,
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
        let all = secret.passwords.iter().chain(&secret.token_pins);
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
        Ok(Secret::from_text(self.0.borrow().pam.new_token.to_owned()))
    }
    fn variable(&mut self, name: &str) -> Option<String> {
        self.0.borrow().pam.variables.get(name).cloned()
    }
    fn set_variable(&mut self, name: &str, value: &str) -> Result<(), Code> {
        self.0.borrow_mut().pam.variables.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
    fn has_reference(&mut self, _user: &str) -> bool {
        self.0.borrow().pam.reference.is_some()
    }
    fn keep_reference(&mut self, _user: &str, reference: OwnedFd) -> Result<(), Code> {
        self.0.borrow_mut().pam.reference = Some(reference);
        Ok(())
    }
    fn drop_reference(&mut self, _user: &str) {
        self.0.borrow_mut().pam.reference = None;
    }
    fn is_root(&mut self) -> bool {
        false
    }
    fn log(&mut self, text: &str) {
        assert!(!text.contains("geheim"), "a secret is logged: {text}");
    }
}

impl Daemon for Shared<'_> {
    fn record(&mut self, _user: &str) -> Result<Record, Failure> {
        match self.next() {
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
const ARGUMENTS: Arguments = Arguments { suspend: AtSuspend::Lock };

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

#[test]
fn a_password_is_asked_for_and_left_for_others() {
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::BadPassword)),
        Ask("Password: ", Some("geheim")),
        Acquire(&["geheim"], None),
    ];
    let (code, pam) = play(auth::authenticate, alice(), script);
    assert_eq!(code, Code::PAM_SUCCESS);
    assert!(pam.reference.is_some());
    assert_eq!(pam.tokens[&(Token::Current as u8)], b"geheim");
}

#[test]
fn a_password_of_an_earlier_module_is_tried_first_and_all_are_kept() {
    let mut pam = alice();
    pam.tokens.insert(Token::Current as u8, b"first".to_vec());
    let script = vec![
        RECORD,
        Acquire(&["first"], Some(Refusal::BadPassword)),
        Told("incorrect or not sufficient"),
        Ask("Sorry, try again: ", Some("second")),
        Acquire(&["second", "first"], None),
    ];
    assert_eq!(play(auth::authenticate, pam, script).0, Code::PAM_SUCCESS);
}

#[test]
fn five_tries_are_enough() {
    let mut script = vec![RECORD, Acquire(&[], Some(Refusal::BadPassword)), Ask("Password: ", Some("1"))];
    for passwords in [&["1"][..], &["2", "1"], &["3", "2", "1"], &["4", "3", "2", "1"]] {
        script.push(Acquire(passwords, Some(Refusal::BadPassword)));
        script.push(Told("incorrect"));
        script.push(Ask("Sorry, try again: ", Some(["2", "3", "4", "5"][passwords.len() - 1])));
    }
    script.push(Told("Too many unsuccessful"));
    assert_eq!(play(auth::authenticate, alice(), script).0, Code::PAM_MAXTRIES);
}

#[test]
fn users_of_others_are_left_to_others() {
    for name in ["root", "nobody", "", "systemd-x", "a b", "-x"] {
        let pam = FakePam { user: name.into(), ..FakePam::default() };
        assert_eq!(play(auth::authenticate, pam, vec![]).0, Code::PAM_USER_UNKNOWN, "{name}");
    }
    assert_eq!(play(auth::authenticate, alice(), vec![Step::Record("")]).0, Code::PAM_USER_UNKNOWN);
    assert_eq!(play(session::open, alice(), vec![Step::Record("")]).0, Code::PAM_SUCCESS);
}

#[test]
fn an_alias_becomes_the_primary_name() {
    let pam = FakePam { user: "al%work".into(), ..FakePam::default() };
    let (code, pam) = play(session::open, pam, vec![RECORD, Reference(None)]);
    assert_eq!((code, pam.user.as_str()), (Code::PAM_SUCCESS, "alice"));
    assert_eq!(pam.variables["XDG_AREA"], "work");
    assert_eq!(pam.variables["SYSTEMD_HOME"], "1");
    assert_eq!(pam.variables["SYSTEMD_HOME_SUSPEND"], "1");
}

#[test]
fn every_end_says_what_to_do() {
    for (refusal, code) in [
        (Refusal::HomeAbsent, Code::PAM_PERM_DENIED),
        (Refusal::HomeInUse, Code::PAM_PERM_DENIED),
        (Refusal::HomeBusy, Code::PAM_PERM_DENIED),
        (Refusal::HomeDamaged, Code::PAM_PERM_DENIED),
        (Refusal::BadSignature, Code::PAM_PERM_DENIED),
        (Refusal::AuthenticationLimitHit, Code::PAM_MAXTRIES),
        (Refusal::TokenPinLocked, Code::PAM_SERVICE_ERR),
        (Refusal::NotSupported, Code::PAM_SERVICE_ERR),
        (Refusal::InvalidArgs, Code::PAM_SERVICE_ERR),
    ] {
        let script = vec![RECORD, Acquire(&[], Some(refusal)), Told(refusal.sentence())];
        assert_eq!(play(auth::authenticate, alice(), script).0, code, "{refusal:?}");
    }
}

#[test]
fn tokens_are_asked_for_what_they_want() {
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::TokenPinNeeded)),
        Ask("Security token PIN: ", Some("1234")),
        Acquire(&["1234"], Some(Refusal::BadPinOneTryLeft)),
        Told("one try left"),
        Ask("Sorry, retry security token PIN: ", Some("4321")),
        Acquire(&["4321"], Some(Refusal::TokenUserPresenceNeeded)),
        Told("touch"),
        Acquire(&["4321"], None),
    ];
    assert_eq!(play(auth::authenticate, alice(), script).0, Code::PAM_SUCCESS);
}

#[test]
fn where_nobody_answers_a_closed_home_is_refused_with_words() {
    for (closed, words) in [(Refusal::HomeNotActive, "not open"), (Refusal::HomeLocked, "locked")] {
        let script = vec![
            RECORD,
            Reference(Some(closed)),
            Acquire(&[], Some(Refusal::BadPassword)),
            Ask("Password: ", None),
            Told(words),
        ];
        assert_eq!(play(account::check, alice(), script).0, Code::PAM_PERM_DENIED);
    }
}

#[test]
fn one_reference_serves_all_hooks() {
    let (code, pam) = play(account::check, alice(), vec![RECORD, Reference(None), RECORD]);
    assert_eq!(code, Code::PAM_SUCCESS);
    let (code, pam) = play(session::open, pam, vec![RECORD]);
    assert_eq!(code, Code::PAM_SUCCESS);
    let (code, pam) = play(session::close, pam, vec![Release(Some(Refusal::HomeBusy))]);
    assert_eq!(code, Code::PAM_SUCCESS);
    assert!(pam.reference.is_none());
    assert_eq!(play(session::close, pam, vec![]).0, Code::PAM_SUCCESS);
}

#[test]
fn accounts_that_may_not_log_in_are_told_why() {
    for (record, words, code) in [
        (r#"{"userName":"alice","locked":true}"#, "blocked", Code::PAM_ACCT_EXPIRED),
        (r#"{"userName":"alice","notBeforeUSec":2000000000}"#, "not valid yet", Code::PAM_ACCT_EXPIRED),
        (r#"{"userName":"alice","notAfterUSec":1}"#, "anymore", Code::PAM_ACCT_EXPIRED),
        (r#"{"userName":"alice","passwordChangeNow":true}"#, "change required", Code::PAM_NEW_AUTHTOK_REQD),
    ] {
        let script = vec![RECORD, Reference(None), Step::Record(record), Told(words)];
        assert_eq!(play(account::check, alice(), script).0, code);
    }
}

#[test]
fn a_password_is_changed_and_a_weak_one_asked_for_again() {
    let check: Hook =
        |pam, daemon, arguments| password::change(pam, daemon, arguments, password::Phase::Check);
    let update: Hook =
        |pam, daemon, arguments| password::change(pam, daemon, arguments, password::Phase::Update);
    let (code, mut pam) = play(check, alice(), vec![RECORD, Ask("Current password: ", Some("old"))]);
    assert_eq!(code, Code::PAM_SUCCESS);
    pam.new_token = "weak";
    let script = vec![
        RECORD,
        Change("weak", &["old"], Some(Refusal::LowPasswordQuality)),
        Told("too weak"),
        Ask("New password: ", Some("strong")),
        Ask("Retype new password: ", Some("strong")),
        Change("strong", &["old"], Some(Refusal::BadPassword)),
        Told("incorrect"),
        Ask("Sorry, try again: ", Some("older")),
        Change("strong", &["older", "old"], None),
    ];
    let (code, pam) = play(update, pam, script);
    assert_eq!(code, Code::PAM_SUCCESS);
    assert_eq!(pam.tokens[&(Token::Current as u8)], b"strong");
}

#[test]
fn arguments_are_read_and_the_session_may_ask_to_stay_awake() {
    let stage = std::cell::RefCell::new(Stage { pam: alice(), script: Script(VecDeque::new()) });
    let read = |words: &[&std::ffi::CStr]| Arguments::read(words, &mut Shared(&stage)).suspend;
    assert_eq!(read(&[]), AtSuspend::Lock);
    assert_eq!(read(&[c"suspend=no", c"debug", c"nonsense"]), AtSuspend::Stay);
    stage.borrow_mut().pam.variables.insert("SYSTEMD_HOME_SUSPEND".into(), "0".into());
    assert_eq!(read(&[]), AtSuspend::Stay);
    assert_eq!(read(&[c"suspend=yes"]), AtSuspend::Lock);
    let _: fn(Code) -> hook::Ended = Err;
}
