//! Four ways in × five factors: what is asked and said, word for word. The picture is `asked/golden.txt`;
//! `HOMED_GOLDEN=write` takes a new one, and the difference is read.
//!
//! The ways are the console, ssh's keyboard-interactive, the prompt after a sleep, and homectl at a terminal; the factors the
//! password, a security key, a smart card, the PIN of the TPM, and the recovery key. What is typed is in brackets.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;
use homed_tests::security_key::SecurityKey;
use homed_tests::smart_card::Cards;
use homed_tests::tpm::Tpm;
use machine::Console;
use std::path::Path;

const SOFTKEY: &str = env!("CARGO_BIN_EXE_softkey");
const SOFTCARD: &str = env!("CARGO_BIN_EXE_softcard");
const PASSWORD: &str = "correcthorse";
const PIN: &str = "7391";

/// How questions end.
const QUESTIONS: [&str; 2] = ["assword: ", "): "];
/// Says what a program at a terminal says, and answers its first question with `$TYPED`.
const TALK: &str = r#"set timeout 60
log_user 0
proc heard {text} { puts -nonewline $text }
eval spawn -noecho $argv
expect {
    -re {^(.*(assword|\)): )$} { heard $expect_out(buffer); send "$env(TYPED)\r"; heard "\[typed\]" }
    eof { heard $expect_out(buffer); exit 1 }
    timeout { heard "nothing is asked: $expect_out(buffer)"; exit 1 }
}
expect eof
heard $expect_out(buffer)
exit [lindex [wait] 3]
"#;

/// A home, what opens it besides, and what is typed for that.
struct Factor {
    user: &'static str,
    words: &'static str,
    typed: String,
}

/// A home for each factor.
fn factors(machine: &Ours) -> Result<Vec<Factor>> {
    let mut all = Vec::new();
    for (user, words, enrol, typed) in [
        ("pass", "the password", "", PASSWORD),
        ("fido", "a security key", "--fido2-device=auto", PIN),
        ("card", "a smart card", "--pkcs11-token-uri=auto", PIN),
        ("chip", "the PIN of the TPM", "--tpm2-device=auto", PIN),
        ("paper", "the recovery key", "--recovery-key=yes", ""),
    ] {
        machine.create(user, PASSWORD)?;
        let mut typed = typed.to_owned();
        if !enrol.is_empty() {
            let given = [("PASSWORD", PASSWORD), ("PIN", PIN), ("NEWPIN", PIN)];
            let done = machine.homectl_given(&given, &format!("update {user} {enrol}"))?;
            ensure!(done.status == 0, "{user}: {done:?}");
            let key = done.stdout.split_whitespace().find(|word| word.matches('-').count() == 7);
            typed = key.map_or(typed, str::to_owned);
        }
        all.push(Factor { user, words, typed });
    }
    Ok(all)
}

/// What is seen of a text: no control sequences, no lines of others.
fn seen(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars().filter(|letter| *letter != '\r');
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // A control sequence ends with a letter; others have one more character.
            if letters.next() == Some('[') {
                letters.by_ref().find(char::is_ascii_alphabetic);
            }
        } else {
            plain.push(letter);
        }
    }
    let others = [
        "Last login",
        "Linux ",
        "Debian GNU",
        "The programs",
        "the exact",
        "individual",
        "permitted",
        "Warning: Perm",
    ];
    let is_ours = |line: &&str| {
        !line.trim().is_empty()
            && !line.starts_with('[')
            && !others.iter().any(|other| line.starts_with(other))
    };
    plain.lines().filter(is_ours).map(|line| format!("    {}\n", line.trim_end())).collect()
}

/// What the console says until this was done.
fn during(console: &Console, act: impl FnOnce() -> Result<()>) -> Result<String> {
    let from = console.transcript().len();
    act()?;
    Ok(seen(console.transcript().get(from..).context("it grows")?))
}

fn answered(console: &Console, factor: &Factor, then: &str) -> Result<()> {
    console.expect_any(&QUESTIONS)?;
    console.send(&factor.typed)?;
    console.expect(then).map(drop)
}

/// At the console, and at the prompt there after a sleep.
fn at_the_console(machine: &Ours, factor: &Factor) -> Result<[String; 2]> {
    let console = machine.console();
    console.expect("login: ")?;
    let login = during(console, || {
        console.send(factor.user)?;
        answered(console, factor, "$ ")
    })?;
    let prompt = during(console, || {
        machine.suspend()?;
        machine.wake()?;
        answered(console, factor, "is unlocked")
    })?;
    machine.becomes(factor.user, "active")?;
    console.send("")?;
    console.expect("$ ")?;
    console.send("exit")?;
    machine.becomes(factor.user, "inactive")?;
    Ok([login, prompt])
}

/// A program at a terminal.
fn at_a_terminal(machine: &Ours, factor: &Factor, words: &str) -> Result<String> {
    let said = machine
        .run(&format!("export TYPED='{}' LC_ALL=C; setsid -w expect /root/talk {words}", factor.typed))?;
    ensure!(said.status == 0, "{words}: {said:?}");
    Ok(seen(&said.stdout))
}

#[test]
fn every_way_in_asks_for_every_factor_in_words() -> Result<()> {
    let machine = Ours::full()?;
    machine.write_file("/root/talk", TALK)?;
    SecurityKey::new(&machine, SOFTKEY, "a", Some(PIN))?;
    Cards::new(&machine, SOFTCARD)?.make("badge", PIN, "rsa")?;
    Tpm::new(&machine).put_in("a")?;
    let mut picture = String::new();
    for factor in factors(&machine)? {
        let Factor { user, words, .. } = &factor;
        let [login, prompt] = at_the_console(&machine, &factor)?;
        let ssh = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 -o \
                   PreferredAuthentications=keyboard-interactive";
        let ssh = at_a_terminal(&machine, &factor, &format!("{ssh} {user}@localhost pwd"))?;
        machine.becomes(user, "inactive")?;
        let homectl = at_a_terminal(&machine, &factor, &format!("homectl activate {user}"))?;
        machine.done(&format!("deactivate {user}"), "", "")?;
        for (way, said) in
            [("console", login), ("prompt after a sleep", prompt), ("ssh", ssh), ("homectl", homectl)]
        {
            picture += &format!("{words}, {way}:\n{}", said.replace(&factor.typed, "[typed]"));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/asked/golden.txt");
    if std::env::var_os("HOMED_GOLDEN").is_some_and(|how| how == "write") {
        std::fs::write(&path, &picture)?;
    }
    let golden = std::fs::read_to_string(&path)?;
    ensure!(golden == picture, "the picture is another:\n{picture}");
    // Whatever it says: the factor is named where it is asked for, and the password stays possible.
    ensure!(golden.matches("assword").count() >= 16, "{golden}");
    Ok(())
}
