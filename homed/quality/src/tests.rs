use super::*;
use checker::Checker;

fn user() -> UserName {
    UserName::parse("alice").expect("valid")
}

fn secret(text: &str) -> Secret {
    Secret::from_text(text.to_owned())
}

/// A program that answers in its place.
fn played(checker: &str, script: &str) -> Checker {
    let folder = tempfile::tempdir().expect("folder").keep();
    let path = folder.join("checker");
    std::fs::write(&path, format!("#!/bin/sh\n{script}")).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("executable");
    let path: &'static str = path.to_str().expect("text").to_owned().leak();
    let found: Vec<_> = match checker {
        "pwscore" => Checker::of("pwscore").collect(),
        _ => Checker::of("pwqcheck").collect(),
    };
    found[0].instead(path)
}

#[test]
fn without_a_checker_length_counts() {
    assert!(too_short(&secret("short")).is_some());
    assert!(too_short(&secret("long enough")).is_none());
    assert!(too_short(&secret("öäüöäüöä")).is_none());
}

#[test]
fn the_word_of_pwscore_is_taken() {
    let checker = played(
        "pwscore",
        "[ \"$1\" = alice ] || exit 2\n[ \"$(cat)\" = good ] && exit 0\necho no >&2\necho ' it is in the dictionary' >&2\nexit 1\n",
    );
    assert_eq!(checker.ask(&user(), &secret("good")), Some(None));
    let why = checker.ask(&user(), &secret("password")).flatten();
    assert_eq!(why.as_deref(), Some("The password is too weak: it is in the dictionary"));
}

#[test]
fn the_word_of_pwqcheck_is_taken() {
    let checker = played(
        "pwqcheck",
        "read new; read old; read line\n[ -z \"$old\" ] && [ \"${line%%:*}\" = alice ] || exit 2\n\
         [ \"$new\" = good ] && { echo OK; exit 0; }\necho 'Bad passphrase (too short)'; exit 1\n",
    );
    assert_eq!(checker.ask(&user(), &secret("good")), Some(None));
    let why = checker.ask(&user(), &secret("password")).flatten();
    assert_eq!(why.as_deref(), Some("The password is too weak: too short"));
}

#[test]
fn the_password_goes_through_no_pipe_and_stays_in_no_file() {
    let checker = played("pwscore", "readlink /proc/self/fd/0 >&2\nexit 1\n");
    let why = checker.ask(&user(), &secret("good")).flatten();
    assert!(why.as_deref().is_some_and(|why| why.contains("/memfd:")), "{why:?}");
}

#[test]
fn who_is_not_installed_or_says_nothing_does_not_judge() {
    assert_eq!(played("pwscore", "exit 1\n").ask(&user(), &secret("x")), None);
    let gone: Vec<_> = Checker::of("pwscore").map(|checker| checker.instead("/nonexistent")).collect();
    assert_eq!(gone[0].ask(&user(), &secret("x")), None);
}

#[test]
fn the_old_password_is_not_judged_again() {
    let credentials = |text: &str| Credentials { passwords: vec![secret(text)], ..Credentials::default() };
    assert!(weakness(&user(), &credentials("x"), Some(&credentials("x"))).is_none());
}
