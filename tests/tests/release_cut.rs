//! The power fails while a home is released: the same again goes on, and so does the way back.

use anyhow::{Context, Result, ensure};
use homed_tests::{CHEAP, Ours};

/// What stands, in the order in which it comes, when `homectl release` is stopped and the power fails.
const SEEN: &[&str] = &[
    "test -e /var/lib/homed/released/alice.json",
    "test -e /home/.alice.released",
    "grep -q ^alice: /etc/passwd",
    "test ! -e /var/lib/systemd/home/alice.identity",
    "test -e /home/.alice.before-release.home",
];

/// Stops it as soon as that stands, or lets it end.
fn stopped_when(machine: &Ours, words: &str, seen: &str) -> Result<()> {
    machine
        .check(&format!(
            "export PASSWORD=correcthorse; setsid homectl {words} >/tmp/said 2>&1 & homectl=$!
             until {seen}; do kill -0 $homectl 2>/dev/null || break; done; kill -STOP $homectl 2>/dev/null; true"
        ))
        .map(drop)
}

#[test]
fn a_release_whose_power_fails_is_gone_on_with() -> Result<()> {
    let mut machine = Ours::small()?;
    machine.done(&format!("create alice {CHEAP}"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("echo mine > ~/file; head -c 20000000 /dev/urandom > ~/large").user("alice").check()?;
    let sums = machine.check("cd /home/alice && sha256sum file large")?;
    machine.done("deactivate alice", "", "")?;
    machine.check("sync")?;
    for seen in SEEN {
        stopped_when(&machine, "release alice --yes", seen)?;
        machine = Ours::on(machine.0.power_cut()?.start()?)?;
        let again = machine.homectl("release alice --yes", "correcthorse", "")?;
        let is_there = again.stderr.contains("classic account already");
        ensure!(again.status == 0 || is_there, "{seen}: {}{}", again.stdout, again.stderr);
        machine.check("grep -q ^alice: /etc/passwd && ! homectl inspect alice")?;
        ensure!(machine.check("cd /home/alice && sha256sum file large")? == sums, "{seen}");
        // And the way back.
        stopped_when(&machine, "release alice --undo --yes", "! grep -q ^alice: /etc/passwd")?;
        machine = Ours::on(machine.0.power_cut()?.start()?)?;
        let again = machine.homectl("release alice --undo --yes", "correcthorse", "")?;
        let is_there = again.stderr.contains("Nothing is kept");
        ensure!(again.status == 0 || is_there, "undo after {seen}: {}{}", again.stdout, again.stderr);
        machine.done("activate alice", "correcthorse", "").with_context(|| format!("after {seen}"))?;
        ensure!(machine.check("cd /home/alice && sha256sum file large")? == sums, "{seen}");
        machine.done("deactivate alice", "", "")?;
        machine.check("rm -rf /home/.alice.put-away* /home/.alice.released*; sync")?;
    }
    Ok(())
}
