//! Whether a new password is good enough: `pwscore` of libpwquality where it is installed, else a
//! shortest length.

use super::in_memory;
use records::{Credentials, Secret, UserName};
use std::process::{Command, Stdio};

/// The checker; reads the password from standard input, says on standard error what is wrong with it.
const CHECKER: &str = "/usr/bin/pwscore";
/// Shortest password in characters, where nobody else judges.
const SHORTEST: usize = 8;

/// Why one of the passwords is too weak; recovery keys and PINs are not passwords.
pub fn weakness(user: &UserName, new: &Credentials, old: Option<&Credentials>) -> Option<String> {
    let before = old.map_or(&[][..], |old| &old.passwords);
    let fresh = |new: &&Secret| !before.iter().any(|old| old.matches(new.open()));
    new.passwords.iter().filter(fresh).find_map(|password| judge(CHECKER, user, password))
}

fn judge(checker: &str, user: &UserName, password: &Secret) -> Option<String> {
    match ask(checker, user, password) {
        Some(verdict) => verdict,
        None => too_short(password),
    }
}

fn too_short(password: &Secret) -> Option<String> {
    let length = password.open_text().map_or(password.open().len(), |text| text.chars().count());
    (length < SHORTEST).then(|| format!("The password is too weak: it has fewer than {SHORTEST} characters."))
}

/// The checker's verdict; `None` where there is no checker that works.
fn ask(checker: &str, user: &UserName, password: &Secret) -> Option<Option<String>> {
    let given = in_memory::file(password).ok()?;
    let asked = Command::new(checker)
        .arg(user.as_str())
        .env_clear()
        .stdin(given.try_clone().ok()?)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    // What cannot be wiped goes with the last descriptor, which is this one.
    let _ = in_memory::wipe(&given, password);
    let ended = asked.ok()?;
    if ended.status.success() {
        return Some(None);
    }
    // Its message is in lines; the last says what is wrong.
    let said = String::from_utf8_lossy(&ended.stderr);
    let why = said.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(Some(format!("The password is too weak: {}", why.chars().take(200).collect::<String>())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserName {
        UserName::parse("alice").expect("valid")
    }

    fn secret(text: &str) -> Secret {
        Secret::from_text(text.to_owned())
    }

    #[test]
    fn without_a_checker_length_counts() {
        assert!(judge("/nonexistent", &user(), &secret("short")).is_some());
        assert!(judge("/nonexistent", &user(), &secret("long enough")).is_none());
        assert!(judge("/nonexistent", &user(), &secret("öäüöäüöä")).is_none());
    }

    #[test]
    fn a_checkers_word_is_taken() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("checker");
        std::fs::write(&path, "#!/bin/sh\nread p\n[ \"$p\" = good ] && exit 0\necho no >&2\necho ' it is in the dictionary' >&2\nexit 1\n").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("executable");
        let checker = path.to_str().expect("text");
        assert_eq!(judge(checker, &user(), &secret("good\n")), None);
        let why = judge(checker, &user(), &secret("password\n"));
        assert_eq!(why.as_deref(), Some("The password is too weak: it is in the dictionary"));
    }

    #[test]
    fn the_password_goes_through_no_pipe() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("checker");
        std::fs::write(&path, "#!/bin/sh\nreadlink /proc/self/fd/0 >&2\nexit 1\n").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("executable");
        let why = judge(path.to_str().expect("text"), &user(), &secret("good"));
        assert!(why.as_deref().is_some_and(|why| why.contains("/memfd:")), "{why:?}");
    }

    #[test]
    fn the_old_password_is_not_judged_again() {
        let credentials =
            |text: &str| Credentials { passwords: vec![secret(text)], ..Credentials::default() };
        assert!(weakness(&user(), &credentials("x"), Some(&credentials("x"))).is_none());
    }
}
