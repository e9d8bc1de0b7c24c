//! How long a home takes to open with each factor, and how much of that is the device's: libfido2 before a key that is a
//! program, p11-kit before SoftHSM, swtpm. The password's slot costs what it costs by default; beside it one that costs
//! nothing: whoever comes with a token must not take longer than that, but for the device.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use homed_tests::security_key::SecurityKey;
use homed_tests::smart_card::Cards;
use homed_tests::tpm::Tpm;
use homed_tests::{CHEAP, Ours};
use machine::{Image, Init, Machine};

use super::figures::Figures;
use crate::{find, prepare, steps};

const ROUNDS: usize = 7;
/// How often each home is locked and unlocked.
const LOCKS: usize = 5;
/// How the questions at a login and at the prompt end.
const QUESTIONS: [&str; 2] = ["assword: ", "): "];
const PASSWORD: &str = "correcthorse";
const PIN: &str = "7391";
/// What a home of the size costs that is made by default.
const DEFAULT: &str = "--disk-size=256M --enforce-password-policy=no --rate-limit-burst=1000";
/// The step in which devices are asked.
const DEVICE: &str = "ask-tokens";
/// What our part may take more than a password whose slot costs nothing: figures of one machine differ as much.
const NOISE: f64 = 1.15;

/// A home, and what opens it.
struct Factor {
    user: &'static str,
    words: &'static str,
    options: &'static str,
    /// Enrols it after that.
    enrol: &'static str,
    /// What is given to open it.
    given: &'static str,
}

const PLAIN: &str = "plain";
const FACTORS: &[Factor] = &[
    Factor {
        user: PLAIN,
        words: "password, its slot costs nothing",
        options: CHEAP,
        enrol: "",
        given: "PASSWORD",
    },
    Factor { user: "dear", words: "password", options: DEFAULT, enrol: "", given: "PASSWORD" },
    Factor {
        user: "fido",
        words: "security key (FIDO2)",
        options: DEFAULT,
        enrol: "--fido2-device=auto",
        given: "PIN",
    },
    Factor {
        user: "card",
        words: "smart card (PKCS#11, RSA)",
        options: DEFAULT,
        enrol: "--pkcs11-token-uri=auto",
        given: "PIN",
    },
    Factor {
        user: "tpm",
        words: "PIN of the TPM, with its key derivation",
        options: DEFAULT,
        enrol: "--tpm2-device=auto",
        given: "PIN",
    },
];

/// Measures and prints; fails where a token takes longer than it may.
pub fn run(words: &[String]) -> Result<()> {
    ensure!(words.is_empty(), "usage: cargo xtask bench keys");
    prepare::everything()?;
    // The package for tests alone takes programs for devices.
    if std::env::var_os("HOMED_DEB").is_none() {
        (find("deb").context("the command that makes the package")?.run)(&["--quick".into()])?;
    }
    let [whole, device] = at_homectl()?;
    at_the_prompt()?;
    told(&whole, &device)
}

/// From homectl's start to its end: the whole, and the devices' part.
fn at_homectl() -> Result<[Figures; 2]> {
    let machine = Ours::small_with(Machine::builder().memory(1024))?;
    let _cards = plugged_in(&machine)?;
    for factor in FACTORS {
        made(&machine, factor)?;
    }
    let mut whole = Figures::default();
    let mut device = Figures::default();
    for round in 1..=ROUNDS {
        eprintln!("=== keys {round}/{ROUNDS}");
        for factor in FACTORS {
            let opened = open(&machine, factor)?;
            whole.put(factor.user, opened.whole);
            device.put(factor.user, opened.device);
        }
    }
    Ok([whole, device])
}

/// From the key press that ends what is typed at the prompt until the home is unlocked: at a serial console, in a machine with all of systemd.
fn at_the_prompt() -> Result<()> {
    let machine = Ours(Machine::builder().image(Image::Ours).init(Init::Full).memory(1024).start()?);
    let _cards = plugged_in(&machine)?;
    println!("\nleast of {LOCKS}, in ms: from the last key press at the prompt until the home is unlocked");
    for factor in FACTORS {
        made(&machine, factor)?;
        let mut figures = Figures::default();
        unlocked(&machine, factor, &mut figures)?;
        let least = figures.least(factor.user).context("it was not measured")?;
        println!("{:<44}{:>10.1}", factor.words, least / 1e3);
    }
    Ok(())
}

/// Logs in, is locked and unlocks, so often, and logs out.
fn unlocked(machine: &Ours, Factor { user, given, .. }: &Factor, figures: &mut Figures) -> Result<()> {
    let console = machine.console();
    let typed = if *given == "PIN" { PIN } else { PASSWORD };
    console.expect("login: ")?;
    console.send(user)?;
    console.expect_any(&QUESTIONS)?;
    console.send(typed)?;
    console.expect("$ ")?;
    for _ in 0..LOCKS {
        machine.done(&format!("lock {user}"), "", "")?;
        console.expect_any(&QUESTIONS)?;
        let begin = Instant::now();
        console.send(typed)?;
        console.expect("is unlocked")?;
        figures.put(user, u64::try_from(begin.elapsed().as_micros())?);
        machine.becomes(user, "active")?;
    }
    console.send("")?;
    console.expect("$ ")?;
    console.send("exit")?;
    machine.becomes(user, "inactive")
}

/// The devices.
fn plugged_in(machine: &Ours) -> Result<Cards<'_>> {
    let built = Command::new(env!("CARGO"))
        .current_dir(steps::project())
        .args(["build", "--quiet", "--package", "homed-tests", "--bins"])
        .status()
        .context("cannot start cargo")?;
    ensure!(built.success(), "the devices were not built: {built}");
    let program =
        |name: &str| steps::project().join("target/debug").join(name).to_string_lossy().into_owned();
    SecurityKey::new(machine, &program("softkey"), "a", Some(PIN))?;
    Tpm::new(machine).put_in("a")?;
    let cards = Cards::new(machine, &program("softcard"))?;
    cards.make("card", PIN, "rsa")?;
    Ok(cards)
}

fn made(machine: &Ours, factor: &Factor) -> Result<()> {
    let Factor { user, options, enrol, .. } = factor;
    let update =
        if enrol.is_empty() { String::new() } else { format!("setsid -w homectl update {user} {enrol}") };
    let script = format!(
        "export PASSWORD={PASSWORD} NEWPASSWORD={PASSWORD} PIN={PIN} NEWPIN={PIN}
         setsid -w homectl create {user} {options} && {update}"
    );
    machine.check(script.trim_end_matches(" && ")).map(drop)
}

/// Microseconds.
struct Opened {
    whole: u64,
    device: u64,
}

/// Opens a home, and closes it: how long that takes for whoever waits, and in the log how long devices took, in a job that was
/// refused because a touch was to be announced first, too.
fn open(machine: &Ours, Factor { user, given, .. }: &Factor) -> Result<Opened> {
    let value = if *given == "PIN" { PIN } else { PASSWORD };
    let said = machine.check(&format!(
        "export {given}={value}; lines=$(wc -l < /run/homed.log); from=${{EPOCHREALTIME/./}}
         setsid -w homectl activate {user} >&2; echo whole=$(( ${{EPOCHREALTIME/./}} - from ))
         tail -n +$((lines + 1)) /run/homed.log | grep -F '{user}: activate is'
         homectl deactivate {user} >&2"
    ))?;
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for word in said.split_whitespace() {
        let number = word.trim_start_matches("steps=").split_once('=');
        if let Some((name, Ok(value))) = number.map(|(name, value)| (name, value.parse::<u64>())) {
            *numbers.entry(name).or_default() += value;
        }
    }
    let whole = *numbers.get("whole").context("it was not measured")?;
    ensure!(numbers.contains_key("unlock"), "no steps are in the log: {said}");
    let device = numbers.get(DEVICE).copied().unwrap_or(0);
    ensure!((*given == "PIN") == (device > 0), "who was asked? {said}");
    Ok(Opened { whole, device })
}

fn told(whole: &Figures, device: &Figures) -> Result<()> {
    println!("least of {ROUNDS}, in ms: from homectl's start to its end, the home mounted");
    println!("{:<44}{:>10}{:>10}{:>10}", "", "whole", "device", "ours");
    let least = |figures: &Figures, user: &str| figures.least(user).context("it was not measured");
    let ours = |user: &str| Ok::<f64, anyhow::Error>(least(whole, user)? - least(device, user)?);
    let plain = ours(PLAIN)?;
    let mut slow = Vec::new();
    for Factor { user, words, given, .. } in FACTORS {
        let (whole, device, ours) = (least(whole, user)?, least(device, user)?, ours(user)?);
        println!("{words:<44}{:>10.1}{:>10.1}{:>10.1}", whole / 1e3, device / 1e3, ours / 1e3);
        if *given == "PIN" && ours > NOISE * plain {
            slow.push(*words);
        }
    }
    ensure!(slow.is_empty(), "slower than a password whose slot costs nothing: {}", slow.join(", "));
    Ok(())
}
