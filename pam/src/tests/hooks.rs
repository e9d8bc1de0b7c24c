//! What each hook asks, says and gives.

use super::*;
use crate::hook::{account, auth, password, session};

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
    assert!(pam.memory.borrow().holds("alice"));
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
fn who_logs_into_half_a_backup_is_told() {
    let half = || FakePam { half_restored: true, ..alice() };
    let told = vec![RECORD, Reference(None), Told("homectl backup alice restore")];
    assert_eq!(play(session::open, half(), told).0, Code::PAM_SUCCESS);
    let nowhere = FakePam { seat: Some(Seat::None), ..half() };
    assert_eq!(play(session::open, nowhere, vec![RECORD, Reference(None)]).0, Code::PAM_SUCCESS);
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
        (Refusal::NotSupported, Code::PAM_PERM_DENIED),
        (Refusal::InvalidArgs, Code::PAM_PERM_DENIED),
        (Refusal::NoSuchHome, Code::PAM_PERM_DENIED),
    ] {
        let script = vec![RECORD, Acquire(&[], Some(refusal)), Told(refusal.sentence())];
        assert_eq!(play(auth::authenticate, alice(), script).0, code, "{refusal:?}");
    }
}

const PIN: &str = "Security token PIN (or Enter, for the password): ";
const PIN_AGAIN: &str = "Sorry, retry security token PIN (or Enter, for the password): ";
const TOUCH: &str = "Password (or Enter, to use the security token): ";

/// A record of a home that a PIN opens on this machine ([`Daemon::machine`] of the script).
const WITH_PIN: Step = Step::Record(
    r#"{"userName":"alice","aliases":["al"],"tpm2PinMachineId":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}"#,
);
const PIN_OR_PASSWORD: &str = "PIN of this computer or password: ";

#[test]
fn a_pin_of_this_computer_is_typed_in_the_password_s_place() {
    // Sent as both, kept as neither: other modules would take it for a password.
    let script = vec![
        WITH_PIN,
        Acquire(&[], Some(Refusal::BadPassword)),
        Ask(PIN_OR_PASSWORD, Some("typo")),
        Acquire(&["typo", "typo"], Some(Refusal::BadPassword)),
        Told(Refusal::BadPassword.sentence()),
        Ask("Sorry, try again (PIN or password): ", Some("1234")),
        Acquire(&["1234", "typo", "1234"], None),
    ];
    let (code, pam) = play(auth::authenticate, alice(), script);
    assert_eq!(code, Code::PAM_SUCCESS);
    assert!(pam.tokens.is_empty());
    // Enter: the password alone, which is left for others.
    let script = vec![
        WITH_PIN,
        Acquire(&[], Some(Refusal::BadPassword)),
        Ask(PIN_OR_PASSWORD, Some("")),
        Ask("Password: ", Some("geheim")),
        Acquire(&["geheim"], None),
    ];
    let (code, pam) = play(auth::authenticate, alice(), script);
    assert_eq!((code, &*pam.tokens[&(Token::Current as u8)]), (Code::PAM_SUCCESS, &b"geheim"[..]));
    // A security key that is plugged in is asked first, and keeps nobody from the PIN.
    let touch = "PIN of this computer or password (or Enter, to use the security token): ";
    for (refusal, question) in [(Refusal::TokenPinNeeded, PIN), (Refusal::TokenUserPresenceNeeded, touch)] {
        let mut script = vec![WITH_PIN, Acquire(&[], Some(refusal))];
        match refusal {
            Refusal::TokenPinNeeded => {
                script.extend([Ask(question, Some("")), Ask(PIN_OR_PASSWORD, Some("7391"))])
            }
            _ => script.push(Ask(question, Some("7391"))),
        }
        script.push(Acquire(&["7391", "7391"], None));
        let (code, pam) = play(auth::authenticate, alice(), script);
        assert_eq!(code, Code::PAM_SUCCESS);
        assert!(pam.tokens.is_empty(), "it may have been the PIN");
    }
    // A security key that is not plugged in may be, and one that is says what it wants.
    let script = vec![
        WITH_PIN,
        Acquire(&[], Some(Refusal::BadPasswordAndNoToken)),
        Ask("PIN of this computer or password (or insert the token, and press Enter): ", Some("")),
        Acquire(&[], Some(Refusal::TokenPinNeeded)),
        Ask(PIN, Some("4321")),
        Acquire(&["4321"], None),
    ];
    assert_eq!(play(auth::authenticate, alice(), script).0, Code::PAM_SUCCESS);
}

#[test]
fn tokens_are_asked_for_what_they_want() {
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::TokenPinNeeded)),
        Ask(PIN, Some("1234")),
        Acquire(&["1234"], Some(Refusal::TokenUserPresenceNeeded)),
        Told("touch"),
        Acquire(&["1234"], Some(Refusal::BadPinOneTryLeft)),
        Told("one try left"),
        Ask(PIN_AGAIN, Some("4321")),
        Acquire(&["4321"], Some(Refusal::TokenUserPresenceNeeded)),
        Told("touch"),
        Acquire(&["4321"], None),
    ];
    let (code, pam) = play(auth::authenticate, alice(), script);
    assert_eq!(code, Code::PAM_SUCCESS);
    assert!(pam.tokens.is_empty(), "a PIN is no password for other modules");
    // Nor is a password that was wrong.
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::BadPasswordAndNoToken)),
        Told("not inserted"),
        Ask("Password (or insert the token, and press Enter): ", Some("typo")),
        Acquire(&["typo"], Some(Refusal::TokenPinNeeded)),
        Told("incorrect"),
        Ask(PIN, Some("1234")),
        Acquire(&["typo", "1234"], None),
    ];
    let (code, pam) = play(auth::authenticate, alice(), script);
    assert_eq!(code, Code::PAM_SUCCESS);
    assert!(pam.tokens.is_empty(), "the password that did not open the home is handed on");
}

#[test]
fn a_wrong_pin_of_a_pad_asks_for_nothing_but_the_password() {
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::TokenProtectedAuthenticationPathNeeded)),
        Ask(TOUCH, Some("")),
        Told("authenticate on the security token"),
        Acquire(&[], Some(Refusal::BadPinFewTriesLeft)),
        Told("few tries"),
        Ask("Password (or Enter, to try the token again): ", Some("geheim")),
        Acquire(&["geheim"], None),
    ];
    assert_eq!(play(auth::authenticate, alice(), script).0, Code::PAM_SUCCESS);
}

#[test]
fn the_password_is_possible_at_every_step() {
    // Instead of the PIN, after a wrong one, after a locked one.
    for (refusal, told, question) in [
        (Refusal::BadPin, "PIN incorrect", PIN_AGAIN),
        (Refusal::TokenPinNeeded, "", PIN),
        (Refusal::TokenPinLocked, "locked", "Password (or Enter, to try the token again): "),
    ] {
        let mut script = vec![RECORD, Acquire(&[], Some(Refusal::TokenPinNeeded)), Ask(PIN, Some("1111"))];
        script.push(Acquire(&["1111"], Some(refusal)));
        if !told.is_empty() {
            script.push(Told(told));
        }
        match refusal {
            Refusal::TokenPinLocked => script.push(Ask(question, Some("geheim"))),
            _ => script.extend([Ask(question, Some("")), Ask("Password: ", Some("geheim"))]),
        }
        script.push(Acquire(&["geheim"], None));
        let (code, pam) = play(auth::authenticate, alice(), script);
        assert_eq!(code, Code::PAM_SUCCESS, "{refusal:?}");
        assert_eq!(pam.tokens[&(Token::Current as u8)], b"geheim");
    }
    // Instead of a touch, and after one in vain.
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::TokenUserPresenceNeeded)),
        Ask(TOUCH, Some("")),
        Told("touch"),
        Acquire(&[], Some(Refusal::TokenActionTimeout)),
        Told("in vain"),
        Ask("Password (or Enter, to try the token again): ", Some("typo")),
        Acquire(&["typo"], Some(Refusal::TokenUserPresenceNeeded)),
        Told("incorrect"),
        Ask(TOUCH, Some("geheim")),
        Acquire(&["geheim", "typo"], None),
    ];
    assert_eq!(play(auth::authenticate, alice(), script).0, Code::PAM_SUCCESS);
    // Without it.
    let script = vec![
        RECORD,
        Acquire(&[], Some(Refusal::BadPasswordAndNoToken)),
        Told("not inserted"),
        Ask("Password (or insert the token, and press Enter): ", Some("")),
        Acquire(&[], Some(Refusal::BadPasswordAndNoToken)),
        Told("not inserted"),
        Ask("Password (or insert the token, and press Enter): ", Some("geheim")),
        Acquire(&["geheim"], None),
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
    assert!(!pam.memory.borrow().holds("alice"));
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
}
