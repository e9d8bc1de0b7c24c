//! The program as it is run: exit codes, and what goes to which stream.

use std::process::{Command, Output};

fn homectl(words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
    command.args(words).envs(variables.iter().copied());
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus").stdin(std::process::Stdio::null());
    command.output().expect("homectl runs")
}

#[test]
fn wrong_words_end_with_one_and_say_why() {
    for words in [
        &["frob"][..],
        &["--frob"],
        &["create"],
        &["resize", "a", "5%"],
        &["--json=x"],
        &["update"],
        &["list", "--prompt-new-user"],
        &["update", "--storage=luks"],
    ] {
        let output = homectl(words, &[]);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(output.stdout.is_empty() && output.stderr.starts_with(b"homectl: "), "{words:?}");
    }
}

/// `homectl … 2>&1 | head -1`, or a disk that is full: it says what it can, and goes on to its end.
#[test]
fn complaints_that_nobody_reads_break_nothing_off() {
    for words in [&["frob"][..], &["list"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        command.args(words).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus").stderr(writer);
        assert_eq!(command.status().expect("homectl runs").code(), Some(1), "{words:?}");
    }
}

#[test]
fn words_that_are_no_text_are_refused_in_words() {
    let word = std::os::unix::ffi::OsStrExt::from_bytes(b"b\xf6b");
    let output =
        Command::new(env!("CARGO_BIN_EXE_homectl")).args([std::ffi::OsStr::new("create"), word]).output();
    let output = output.expect("homectl runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no text"), "{output:?}");
}

#[test]
fn without_a_bus_it_fails_and_says_so() {
    for words in [&["list"][..], &["inspect", "anna"], &["deactivate", "anna"], &["deactivate-all"]] {
        assert_eq!(homectl(words, &[]).status.code(), Some(1), "{words:?}");
    }
}

#[test]
fn help_version_and_what_packaging_asks_for() {
    for word in
        ["--help", "--version", "--generate=man", "--generate=bash", "--generate=zsh", "--generate=fish"]
    {
        let output = homectl(&[word], &[]);
        assert_eq!(output.status.code(), Some(0), "{word}");
        assert!(!output.stdout.is_empty(), "{word}");
    }
}

#[test]
fn a_home_that_is_made_has_no_keys_to_remove_or_rename() {
    for option in ["--remove-token=1", "--token-name=1=blue"] {
        let output = homectl(&["create", "anna", option], &DRY);
        assert_eq!(output.status.code(), Some(1), "{option}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Nothing was made"), "{option}");
    }
}

const DRY: [(&str, &str); 2] = [("SYSTEMD_HOME_DRY_RUN", "1"), ("NEWPASSWORD", "quite a secret")];

#[test]
fn a_dry_run_prints_the_recovery_key_alone_and_writes_nothing() {
    let folder = tempfile::tempdir().expect("scratch folder");
    let file = format!("--recovery-key-file={}", folder.path().join("key").display());
    let output = homectl(&["create", "anna", "--recovery-key=yes", &file], &DRY);
    assert_eq!(output.status.code(), Some(0));
    let key = String::from_utf8(output.stdout).expect("text");
    assert_eq!((key.lines().count(), key.trim().len(), key.split('-').count()), (1, 71, 8));
    let record = String::from_utf8(output.stderr).expect("text");
    assert!(
        record.contains("\"userName\": \"anna\"")
            && record.contains("$y$j9T$")
            && !record.contains("quite a secret")
    );
    assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
    assert_eq!(homectl(&["create", "anna", &file], &DRY).status.code(), Some(1));
}

/// A bus that takes a connection and says nothing: homectl waits for it, and can be looked at.
#[test]
fn what_is_private_is_not_in_what_others_may_read() {
    let folder = tempfile::tempdir().expect("scratch folder");
    let bus = std::os::unix::net::UnixListener::bind(folder.path().join("bus")).expect("socket");
    for hint in [&["--password-hint=my favourite horse"][..], &["--password-h", "my favourite horse"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        command.args(["update", "anna", "--real-name=Anna"]).args(hint);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", folder.path().join("bus").display()));
        for name in ["PASSWORD", "NEWPASSWORD", "PIN", "NEWPIN"] {
            command.env(name, "correct horse");
        }
        let mut homectl = command.stdin(std::process::Stdio::null()).spawn().expect("homectl runs");
        let _connection = bus.accept().expect("it comes");
        let read = |name: &str| std::fs::read(format!("/proc/{}/{name}", homectl.id())).expect("it runs");
        let (words, variables) = (read("cmdline"), read("environ"));
        homectl.kill().expect("it runs");
        homectl.wait().expect("it is ours");
        let has = |text: &[u8], part: &str| text.windows(part.len()).any(|window| window == part.as_bytes());
        assert!(has(&words, "--password-h") && has(&words, "Anna") && has(&variables, "NEWPIN="));
        assert!(!has(&words, "horse") && !has(&variables, "horse"), "{}", String::from_utf8_lossy(&words));
    }
}
