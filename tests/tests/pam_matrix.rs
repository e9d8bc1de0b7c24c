//! All PAM services there are × the state of the home × whose it is: how it ends, and what is said. The picture is
//! in `pam_matrix/`, a file for each part; `HOMED_GOLDEN=write` takes new ones, and the difference is read.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;
use std::path::Path;
use std::time::Duration;

/// Greeters and screen lockers: of them only the stacks are there.
const GREETERS: &[&str] = &["gdm3", "greetd", "i3lock", "lightdm", "sddm", "swaylock", "xscreensaver"];

/// What goes through all of them.
const WALK: &str = include_str!("pam_matrix/walk.sh");

/// The lines that are in one of the two alone.
fn difference(one: &str, other: &str) -> String {
    let only = |a: &str, b: &str, mark: &str| {
        let there: Vec<&str> = b.lines().collect();
        a.lines()
            .filter(|line| !there.contains(line))
            .map(|line| format!("{mark} {line}\n"))
            .collect::<String>()
    };
    only(one, other, "-") + &only(other, one, "+")
}

/// What a refusal may take: PAM's own pauses after wrong passwords, and programs that start on a computed processor.
const LONGEST: u64 = 20_000;

/// How long each took, in milliseconds; the slowest are shown.
fn nobody_waits(times: &str) -> Result<()> {
    let took = |line: &str| line.split_once(" ms: ").and_then(|(time, _)| time.parse::<u64>().ok());
    let mut times: Vec<_> = times.lines().filter_map(|line| Some((took(line)?, line))).collect();
    times.sort_unstable_by(|one, other| other.cmp(one));
    for (_, line) in times.iter().take(10) {
        println!("{line}");
    }
    let (longest, line) = times.first().context("nothing was timed")?;
    ensure!(*longest <= LONGEST, "{line}");
    Ok(())
}

#[test]
fn who_has_no_home_of_ours_passes_every_service_as_in_the_picture() -> Result<()> {
    ends_as_in_the_picture("strangers")
}

#[test]
fn who_has_a_closed_home_passes_every_service_as_in_the_picture() -> Result<()> {
    ends_as_in_the_picture("closed")
}

#[test]
fn who_has_an_open_or_locked_home_passes_every_service_as_in_the_picture() -> Result<()> {
    ends_as_in_the_picture("open")
}

fn ends_as_in_the_picture(part: &str) -> Result<()> {
    let machine = Ours::full()?;
    machine.check(
        "cd /opt/neighbours && dpkg --install cron-daemon-common_*.deb >&2 && dpkg --install cron_*.deb >&2",
    )?;
    machine.stacks("trixie", GREETERS)?;
    machine.create("alice", "correcthorse")?;
    machine.check("useradd -m bob; echo bob:correcthorse | chpasswd")?;
    let output = machine.command(format!("PART={part}\n{WALK}")).timeout(Duration::from_secs(500)).run()?;
    ensure!(output.status == 0, "{output:?}");
    nobody_waits(&output.stderr)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/pam_matrix/{part}.txt"));
    if std::env::var_os("HOMED_GOLDEN").is_some_and(|how| how == "write") {
        std::fs::write(&path, &output.stdout)?;
    }
    let golden = std::fs::read_to_string(&path)?;
    let difference = difference(&golden, &output.stdout);
    ensure!(difference.is_empty(), "the picture is another:\n{difference}");
    // Whatever the picture says: nobody gets in without a home, and classic users always do. The prompt's own stack opens
    // homes and begins no sessions.
    let says = |line: &str, states: &[&str], end: &str| {
        states.iter().any(|state| line.contains(state)) && line.contains(end)
    };
    for line in golden.lines().filter(|line| !line.starts_with("homed-unlock")) {
        let closed = ["absent", "inactive", "locked", "unfixated"].map(|state| format!("alice, {state}, "));
        let closed: Vec<&str> = closed.iter().map(String::as_str).collect();
        ensure!(!says(line, &closed, "nothing: in") && !says(line, &closed, "session: in"), "{line}");
        ensure!(!says(line, &[", bob, "], ": refused"), "{line}");
    }
    Ok(())
}
