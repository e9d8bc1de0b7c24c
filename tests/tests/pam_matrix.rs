//! All PAM services there are × the state of the home × whose it is: how it ends, and what is said. The picture is
//! `pam_matrix/golden.txt`; `HOMED_GOLDEN=write` takes a new one, and the difference is read.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use std::path::Path;
use std::time::Duration;

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

#[test]
fn every_service_ends_as_in_the_picture() -> Result<()> {
    let machine = Ours::full()?;
    machine.check(
        "cd /opt/neighbours && dpkg --install cron-daemon-common_*.deb >&2 && dpkg --install cron_*.deb >&2",
    )?;
    machine.create("alice", "correcthorse")?;
    machine.check("useradd -m bob; echo bob:correcthorse | chpasswd")?;
    let output = machine.command(WALK).timeout(Duration::from_secs(500)).run()?;
    ensure!(output.status == 0, "{output:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pam_matrix/golden.txt");
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
        let closed = ["absent", "inactive", "locked"].map(|state| format!("alice, {state}, "));
        let closed: Vec<&str> = closed.iter().map(String::as_str).collect();
        ensure!(!says(line, &closed, "nothing: in") && !says(line, &closed, "session: in"), "{line}");
        ensure!(!says(line, &[", bob, "], ": refused"), "{line}");
    }
    Ok(())
}
