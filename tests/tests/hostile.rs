//! A local user without rights who means harm, on the bus and on our own sockets.

use anyhow::{Result, ensure};
use homed_tests::Ours;

const CALL: &str = "busctl --system --timeout=20 call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Manager";

#[test]
fn a_stranger_gets_nothing_and_hurts_nobody() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("useradd --create-home --home-dir /var/mallory mallory")?;
    let as_mallory = |script: &str| machine.command(script).user("mallory").run();

    for call in [
        "DeactivateHome s alice",
        "RemoveHome s alice",
        "CreateHome s '{\"userName\":\"mallory2\",\"secret\":{\"password\":[\"x\"]}}'",
        "ReleaseHome s alice",
        "DeactivateAllHomes",
        "UnregisterHome s alice",
        "ChangePasswordHome sss alice '{\"password\":[\"correcthors\"]}' '{\"password\":[\"mine\"]}'",
    ] {
        let output = as_mallory(&format!("{CALL} {call}"))?;
        ensure!(output.status != 0, "{call} was allowed: {}", output.stdout);
    }
    // Malformed, and larger than any record.
    for argument in ["'{'", "''", "'[]'", "'{\"userName\":1}'", "'{\"userName\":\"../x\"}'", "'null'"] {
        ensure!(as_mallory(&format!("{CALL} RegisterHome s {argument}"))?.status != 0, "{argument}");
    }
    let large = as_mallory(&format!(
        "head -c 120000 /dev/zero | tr '\\0' '[' > ~/large; {CALL} RegisterHome s \"$(cat ~/large)\""
    ))?;
    ensure!(large.status != 0);
    let deep = as_mallory(&format!("{CALL} AuthenticateHome ss alice \"$(head -c 60000 ~/large)\""))?;
    ensure!(deep.status != 0);

    // The record that strangers see has no hash.
    let seen = as_mallory(&format!("{CALL} GetUserRecordByName s alice"))?;
    ensure!(!seen.stdout.contains("hashedPassword") && !seen.stdout.contains("$y$"), "{}", seen.stdout);

    // A flood of wrong passwords by a stranger: refused, and the owner gets in at once.
    as_mallory(&format!(
        "for i in $(seq 40); do {CALL} AuthenticateHome ss alice '{{\"password\":[\"guess\"]}}' & done >/dev/null 2>&1; \
         for i in $(seq 40); do {CALL} ActivateHome ss alice '{{\"password\":[\"guess\"]}}' & done >/dev/null 2>&1; wait"
    ))?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;

    // Noise on the sockets; the daemon lives and serves.
    for socket in ["/run/homed/handoff", "/run/systemd/userdb/io.systemd.Home"] {
        let noise = format!(
            "perl -MIO::Socket::UNIX -e 'for (1..20) {{ $s = IO::Socket::UNIX->new(Peer => \"{socket}\") or exit 9; \
             $SIG{{PIPE}} = \"IGNORE\"; print $s pack(\"N*\", map {{ rand 2**32 }} 1..25000); close $s }}'"
        );
        ensure!(as_mallory(&noise)?.status == 0, "{socket} could not be reached");
    }
    machine.check("kill -0 $(cat /run/homed.pid) && getent passwd alice")?;
    machine.nothing_open("alice")
}

#[test]
fn a_client_that_goes_away_leaves_a_whole_home_or_none() -> Result<()> {
    let machine = Ours::small()?;
    let options = homed_tests::CHEAP;
    machine.check(&format!(
        "NEWPASSWORD=correcthorse setsid homectl create alice {options} >/dev/null 2>&1 & echo $! > /run/client\n\
         until pgrep -fx /usr/lib/homed/worker >/dev/null; do :; done; kill -KILL $(cat /run/client)\n\
         while pgrep -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done"
    ))?;
    machine.nothing_open("alice")?;
    if machine.state("alice")? != "none" {
        machine.done("remove alice", "", "")?;
    }
    assert_eq!(machine.check("ls -A /home")?, "");
    machine.create("alice", "correcthorse")?;

    // Gone while its home is opened: the home is open or closed, and whoever comes next is served.
    machine.check(
        "PASSWORD=correcthorse setsid homectl activate alice >/dev/null 2>&1 & echo $! > /run/client\n\
         until pgrep -fx /usr/lib/homed/worker >/dev/null; do :; done; kill -KILL $(cat /run/client)\n\
         while pgrep -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done",
    )?;
    machine.done("authenticate alice", "correcthorse", "")?;
    machine.run("homectl deactivate alice")?;
    machine.nothing_open("alice")
}
