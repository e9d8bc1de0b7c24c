//! Whose a user is, and that one of ours is never handed on.

use super::Step::NoRecord;
use super::*;
use crate::hook::{account, auth, password, session};

/// All hooks that can end a login.
const HOOKS: [Hook; 4] = [auth::authenticate, account::check, session::open, |pam, daemon, arguments| {
    password::change(pam, daemon, arguments, password::Phase::Check)
}];

fn silent() -> Failure {
    Failure::Silent("no answer".into())
}

/// How a hook ends for a user that is none of ours.
fn handed_on(code: &Code) -> bool {
    // The session's hook has nothing to add, which is no failure.
    matches!(code, Code::PAM_USER_UNKNOWN | Code::PAM_SUCCESS)
}

#[test]
fn who_has_a_line_in_passwd_costs_no_question() {
    for hook in HOOKS.into_iter().chain([auth::credentials as Hook]) {
        let bob = FakePam { user: "bob".into(), local: Some(1000), ..FakePam::default() };
        assert!(handed_on(&play(hook, bob, vec![]).0));
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_asked_once_for_all_hooks() {
    let mut pam = FakePam { user: "bob".into(), ..FakePam::default() };
    let mut script = vec![NoRecord(silent())];
    for hook in HOOKS {
        let (code, after) = play(hook, pam, std::mem::take(&mut script));
        assert!(handed_on(&code), "{code:?}");
        pam = after;
    }
}

#[test]
fn one_of_ours_is_never_handed_on_while_the_daemon_is_away() {
    for failure in [Failure::Absent, silent()] {
        for hook in HOOKS {
            let pam = FakePam { registered: true, ..alice() };
            let script = vec![NoRecord(failure.clone()), Told("does not answer")];
            assert_eq!(play(hook, pam, script).0, Code::PAM_PERM_DENIED);
            // The daemon has gone between two hooks, and the record cannot be seen.
            let known = alice();
            known.memory.borrow_mut().is_ours("alice", "alice");
            let script = vec![NoRecord(failure.clone()), Told("does not answer")];
            assert_eq!(play(hook, known, script).0, Code::PAM_PERM_DENIED);
        }
    }
}

#[test]
fn nor_is_one_of_ours_kept_waiting_twice() {
    let pam = FakePam { registered: true, ..alice() };
    let script = vec![NoRecord(silent()), Told("does not answer")];
    let (_, pam) = play(auth::authenticate, pam, script);
    let (code, _) = play(account::check, pam, vec![Told("does not answer")]);
    assert_eq!(code, Code::PAM_PERM_DENIED);
}

#[test]
fn a_line_in_passwd_beside_a_home_is_refused_where_it_is_somebody_else() {
    const BOUND: &str = r#"{"userName":"alice","uid":60001}"#;
    for hook in HOOKS {
        let pam = FakePam { registered: true, local: Some(1005), ..alice() };
        let script = vec![Step::Record(BOUND), Told("/etc/passwd has another user alice")];
        assert_eq!(play(hook, pam, script).0, Code::PAM_PERM_DENIED);
    }
    let pam = FakePam { registered: true, local: Some(60001), ..alice() };
    let script = vec![Step::Record(BOUND), Reference(None)];
    assert_eq!(play(session::open, pam, script).0, Code::PAM_SUCCESS);
}

#[test]
fn the_same_answer_is_not_tried_twice() {
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::BadPassword)),
        Ask("Password: ", Some("typo")),
        Acquire(&["typo"], Some(Refusal::BadPassword)),
        Told("incorrect"),
        Ask("Sorry, try again: ", Some("typo")),
    ];
    assert_eq!(play(auth::authenticate, alice(), script).0, Code::PAM_PERM_DENIED);
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::TokenPinNeeded)),
        Ask("Security token PIN (or Enter, for the password): ", Some("1111")),
        Acquire(&["1111"], Some(Refusal::BadPin)),
        Told("PIN incorrect"),
        Ask("Sorry, retry security token PIN (or Enter, for the password): ", Some("1111")),
    ];
    assert_eq!(play(auth::authenticate, alice(), script).0, Code::PAM_PERM_DENIED);
}

#[test]
fn services_are_not_asked_and_earlier_passwords_are_used() {
    let closed = |rest: Vec<Step>| {
        let mut script = vec![RECORD, Reference(Some(Refusal::HomeNotActive))];
        script.extend(rest);
        script
    };
    let service = FakePam { seat: Some(Seat::None), ..alice() };
    let script = closed(vec![Acquire(&[], Some(Refusal::BadPassword)), Told("not open")]);
    assert_eq!(play(account::check, service, script).0, Code::PAM_PERM_DENIED);
    // One for which the password was left is asked, once.
    let answered = || FakePam { seat: Some(Seat::Answered), ..alice() };
    let ask = [Acquire(&[], Some(Refusal::BadPassword)), Ask("Password: ", Some("geheim"))];
    let right = ask.into_iter().chain([Acquire(&["geheim"], None)]).collect();
    assert_eq!(play(session::open, answered(), closed(right)).0, Code::PAM_SUCCESS);
    let wrong = [
        Acquire(&[], Some(Refusal::BadPassword)),
        Ask("Password: ", Some("falsch")),
        Acquire(&["falsch"], Some(Refusal::BadPassword)),
        Told("incorrect"),
        Ask("Sorry, try again: ", Some("falsch")),
    ];
    assert_eq!(play(session::open, answered(), closed(wrong.into())).0, Code::PAM_PERM_DENIED);
    let mut pam = alice();
    pam.tokens.insert(Token::Current as u8, b"geheim".to_vec());
    let script = closed(vec![Acquire(&["geheim"], None)]);
    assert_eq!(play(session::open, pam, script).0, Code::PAM_SUCCESS);
}

#[test]
fn proof_is_asked_for_even_where_the_home_is_held() {
    let pam = alice();
    pam.memory.borrow_mut().keep("alice", Shared::fd());
    let script = vec![RECORD, Acquire(&[], Some(Refusal::BadPassword)), Ask("Password: ", None)];
    assert_eq!(play(auth::authenticate, pam, script).0, Code::PAM_PERM_DENIED);
}

#[test]
fn a_locker_of_the_user_s_own_needs_no_reference() {
    const OPEN: &str =
        r#"{"userName":"alice","status":{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":{"state":"active"}}}"#;
    let script = vec![Step::Record(OPEN), Reference(Some(Refusal::AccessDenied)), Step::Record(OPEN)];
    assert_eq!(play(account::check, alice(), script).0, Code::PAM_SUCCESS);
}

#[test]
fn sshd_finds_the_name_that_was_typed_until_the_session_begins() {
    let pam = FakePam { user: "al".into(), seat: Some(Seat::Ssh), ..FakePam::default() };
    let script = vec![RECORD, Acquire(&[], None)];
    let (code, pam) = play(auth::authenticate, pam, script);
    assert_eq!((code, pam.user.as_str()), (Code::PAM_SUCCESS, "al"));
    let (code, pam) = play(session::open, pam, vec![RECORD]);
    assert_eq!((code, pam.user.as_str()), (Code::PAM_SUCCESS, "alice"));
    let (code, _) = play(session::close, pam, vec![Release(None)]);
    assert_eq!(code, Code::PAM_SUCCESS);
}

#[test]
fn the_area_outlives_the_hook_that_sees_it() {
    let pam = FakePam { user: "alice%work".into(), ..FakePam::default() };
    let (_, pam) = play(auth::authenticate, pam, vec![RECORD, Acquire(&[], None)]);
    let (_, pam) = play(session::open, pam, vec![RECORD]);
    assert_eq!(pam.variables["XDG_AREA"], "work");
}

#[test]
fn the_first_module_asks_for_the_password_that_others_expect() {
    let ask_first = Arguments { first: true, ..ARGUMENTS };
    let stage = RefCell::new(Stage {
        pam: FakePam { user: "bob".into(), local: Some(1000), ..FakePam::default() },
        script: Script(VecDeque::new()),
    });
    let change = |phase| password::change(&mut Shared(&stage), &mut Shared(&stage), &ask_first, phase);
    assert_eq!(change(password::Phase::Check), Err(Code::PAM_USER_UNKNOWN));
    assert!(!stage.borrow().pam.asked_new);
    assert_eq!(change(password::Phase::Update), Err(Code::PAM_USER_UNKNOWN));
    assert!(stage.borrow().pam.asked_new);
}

#[test]
fn credentials_are_others_business_but_for_ours() {
    assert_eq!(play(auth::credentials, alice(), vec![RECORD]).0, Code::PAM_SUCCESS);
    let unknown = vec![Step::Record("")];
    assert_eq!(play(auth::credentials, alice(), unknown).0, Code::PAM_USER_UNKNOWN);
}
