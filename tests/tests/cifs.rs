//! Homes in a share of a server: samba, on the machine itself.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use machine::{Image, Init, Machine};

/// A server with one share for everybody's homes.
const SERVER: &str = r"
set -e
mkdir -p /srv/share /run/samba; useradd -M -s /usr/sbin/nologin store; chown store: /srv/share
printf '%s\n' '[global]' 'server role = standalone server' 'map to guest = never' 'disable netbios = yes' 'smb ports = 445' \
  'log file = /tmp/smb.log' '[homes2]' 'path = /srv/share' 'read only = no' > /etc/samba/smb.conf
printf 'correcthorse\ncorrecthorse\n' | smbpasswd -s -a store >&2
ip link set lo up
setsid smbd -D </dev/null >/dev/null 2>&1
until bash -c ': </dev/tcp/127.0.0.1/445' 2>/dev/null; do sleep 0.1; done";

const CREATE: &str = "create alice --storage=cifs --cifs-service=//127.0.0.1/homes2/people/alice --cifs-user-name=store \
    --enforce-password-policy=no --rate-limit-burst=1000";

/// Where a password must not be seen.
const SEEN: &str =
    "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/self/mountinfo 2>/dev/null | tr '\\0' '\\n'";

fn start(machine: Ours) -> Result<Ours> {
    // Its services would be started, which takes a while.
    machine
        .check("printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")?;
    machine.install("trixie", &["samba"])?;
    machine.check(SERVER)?;
    Ok(machine)
}

#[test]
fn a_home_lies_in_a_share_of_a_server() -> Result<()> {
    let machine = start(Ours::small()?)?;
    refused_before(&machine)?;
    machine.done(CREATE, "", "correcthorse")?;
    machine.check("test -f /srv/share/people/alice/.identity && ! ls -d /home/alice*")?;
    let told = machine.done("inspect alice", "", "")?;
    ensure!(told.contains("//127.0.0.1/homes2/people/alice") && told.contains("cifs"), "{told}");
    let record = machine.check("cat /var/lib/systemd/home/alice.identity")?;
    ensure!(!record.contains("imagePath"), "{record}");
    machine.done("authenticate alice", "correcthorse", "")?;
    ensure!(!machine.refused("activate alice", "wronghorse", "")?.is_empty());
    machine.done("activate alice", "correcthorse", "")?;
    machine
        .command("echo mine > ~/file && mkdir ~/folder && echo more > ~/folder/x")
        .user("alice")
        .check()?;
    assert_eq!(
        machine.check("stat -c %U:%G:%a /home/alice /home/alice/file")?,
        "alice:alice:700\nalice:alice:600\n"
    );
    let mounted = machine.check("findmnt -n -o FSTYPE,SOURCE,OPTIONS /home/alice")?;
    ensure!(mounted.contains("//127.0.0.1/homes2/people/alice") && mounted.contains("nosuid"), "{mounted}");
    let seen = machine.check(SEEN)?;
    ensure!(!seen.contains("correcthorse") && seen.contains("username=store"), "{seen}");
    open(&machine)?;
    machine.done("deactivate alice", "", "")?;
    machine.check("! grep /home/alice /proc/self/mountinfo; cat /srv/share/people/alice/folder/x")?;
    machine.done("update alice --real-name=Alice", "correcthorse", "")?;
    let said = machine.done("with alice -- cat file", "correcthorse", "")?;
    ensure!(said.contains("mine"), "{said}");
    server_gone(&machine)?;
    elsewhere(&machine)
}

/// With all that the unit forbids its service: a name is looked up, and its user logs in on a console.
#[test]
fn its_user_logs_in() -> Result<()> {
    let machine = start(Ours(Machine::builder().image(Image::Ours).init(Init::Full).start()?))?;
    machine.check("echo '127.0.0.1 files.example' >> /etc/hosts")?;
    let create = CREATE
        .replace("//127.0.0.1/", "//files.example/")
        .replace("alice --storage", "alice --real-name=Alice --storage");
    machine.done(&create, "", "correcthorse")?;
    machine.console().login("alice", "correcthorse")?;
    let shown =
        machine.console().shell("echo mine > file; findmnt -n -o SOURCE ~; cat file")?.0.replace('\r', "");
    ensure!(shown == "//files.example/homes2/people/alice\nmine\n", "{shown}");
    machine.console().send("exit")?;
    machine.becomes("alice", "inactive")?;
    machine.check("cat /srv/share/people/alice/file && ! grep /home/alice /proc/self/mountinfo").map(drop)
}

/// What is refused before anything is made.
fn refused_before(machine: &Ours) -> Result<()> {
    let said = machine.refused(CREATE, "", "wronghorse")?;
    ensure!(said.contains("does not take this user and password"), "{said}");
    let said = machine.refused(&format!("{CREATE} --disk-size=64M"), "", "correcthorse")?;
    ensure!(said.contains("--disk-size="), "{said}");
    let without = CREATE.replace("--cifs-service=//127.0.0.1/homes2/people/alice", "");
    let said = machine.refused(&without, "", "correcthorse")?;
    ensure!(said.contains("--cifs-service="), "{said}");
    for (service, word) in
        [("//127.0.0.1/none", "could not be mounted"), ("//no-such-host.invalid/x", "address is not found")]
    {
        let other = CREATE.replace("//127.0.0.1/homes2/people/alice", service);
        let said = machine.refused(&other, "", "correcthorse")?;
        ensure!(said.contains(word) && said.contains("Nothing was changed"), "{service}: {said}");
    }
    machine.check("test -z \"$(ls -A /srv/share)\" && ! ls /var/lib/systemd/home/alice*").map(drop)
}

/// What cannot be is told.
fn open(machine: &Ours) -> Result<()> {
    for (words, password, new, word) in [
        ("lock alice", "", "", "key"),
        ("resize alice 64M", "correcthorse", "", "size"),
        ("passwd alice", "correcthorse", "batterystaple", "changed there"),
        ("update alice --recovery-key=yes", "correcthorse", "", "changed there"),
    ] {
        let said = machine.refused(words, password, new)?;
        ensure!(said.contains(word), "{words}: {said}");
    }
    machine.done("update alice --real-name=Al", "correcthorse", "")?;
    let said = machine.done("check alice", "correcthorse", "")?;
    ensure!(said.contains("on a server"), "{said}");
    Ok(())
}

/// The server is away, and comes again.
fn server_gone(machine: &Ours) -> Result<()> {
    machine.check("pkill smbd; while pgrep smbd >/dev/null; do sleep 0.1; done")?;
    let said = machine.refused("activate alice", "correcthorse", "")?;
    ensure!(said.contains("is the server there?") && said.contains("Nothing was changed"), "{said}");
    machine.becomes("alice", "inactive")?;
    machine.check("setsid smbd -D </dev/null >/dev/null 2>&1; until bash -c ': </dev/tcp/127.0.0.1/445' 2>/dev/null; do sleep 0.1; done")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "").map(drop)
}

/// Removed here, it stays there; another machine knows it by its record.
fn elsewhere(machine: &Ours) -> Result<()> {
    machine.done("remove alice", "", "")?;
    machine.check("cat /srv/share/people/alice/file")?;
    let said = machine.refused(CREATE, "", "correcthorse")?;
    ensure!(said.contains("has files in it"), "{said}");
    machine.done("register /srv/share/people/alice/.identity", "", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.command("cat ~/folder/x").user("alice").check()?, "more\n");
    machine.done("deactivate alice", "", "").map(drop)
}
