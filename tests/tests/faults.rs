//! Workers and daemons that are killed, and the machine's power cut: the home opens afterwards, with the old or the
//! new password, and nothing half-made stays.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::Output;

/// Has the next worker killed at a step, or none.
fn fault_at(machine: &Ours, step: &str) -> Result<()> {
    match step {
        "" => machine.check("rm -f /run/homed/fault"),
        step => machine.check(&format!("echo {step} kill > /run/homed/fault")),
    }
    .map(drop)
}

/// What is typed.
#[derive(Clone, Copy)]
struct Typed<'a> {
    words: &'a str,
    password: &'a str,
    new: &'a str,
}

/// Where the next worker with a task is killed: at its Nth step, counted from 1. Every second time what settles after it is killed
/// at its first step as well.
struct Kill {
    verb: &'static str,
    number: usize,
}

impl Kill {
    fn at(&self) -> String {
        format!("killed at step {} of {}", self.number, self.verb)
    }

    /// Runs `homectl`, and says whether the worker came to that step.
    fn during(&self, machine: &Ours, typed: Typed<'_>) -> Result<(Output, bool)> {
        let Self { verb, number } = self;
        // What a killed making leaves is the home's that is made next.
        let settling = if number % 2 == 0 && *verb != "create" { "settle#1 kill" } else { "" };
        machine.check(&format!("printf '%s\\n' '{verb}#{number} kill' '{settling}' > /run/homed/fault"))?;
        let output = machine.homectl(typed.words, typed.password, typed.new)?;
        let is_left = machine.run(&format!("grep -q '^{verb}#' /run/homed/fault"))?.status == 0;
        fault_at(machine, "")?;
        ensure!(output.status < 128, "homectl itself died, {}: {}", self.at(), output.stderr);
        Ok((output, !is_left))
    }
}

/// Runs `homectl` with a worker killed at each step in turn, and once without; `after` says what must hold then. How many steps
/// there were.
fn at_every_step(
    machine: &Ours,
    verb: &'static str,
    typed: Typed<'_>,
    mut after: impl FnMut(&Kill, bool) -> Result<()>,
) -> Result<usize> {
    for number in 1.. {
        let kill = Kill { verb, number };
        let (output, hit) = kill.during(machine, typed)?;
        after(&kill, output.status == 0).map_err(|e| e.context(kill.at()))?;
        if !hit {
            ensure!(output.status == 0, "nobody was killed: {}{}", output.stderr, machine.log());
            return Ok(number - 1);
        }
    }
    unreachable!("a verb has an end")
}

#[test]
fn a_worker_killed_while_it_creates_leaves_all_or_nothing() -> Result<()> {
    let machine = Ours::small()?;
    let words = format!("create alice {CHEAP}");
    let hit = at_every_step(
        &machine,
        "create",
        Typed { words: &words, password: "", new: "correcthorse" },
        |step, done| {
            machine.nothing_open("alice")?;
            let there = machine.state("alice")? != "none";
            ensure!(there || !done, "done, and there is no home");
            if there {
                machine.done("activate alice", "correcthorse", "")?;
                machine.done("deactivate alice", "", "")?;
                machine.done("remove alice", "", "")?;
            }
            let left = machine.check("ls -A /home; ls /var/lib/systemd/home | grep -v local || :")?;
            // What a killed worker could not delete is collected when the next home is made.
            ensure!(left.lines().all(|name| name.starts_with(".#")), "{}: {left}", step.at());
            Ok(())
        },
    )?;
    assert!(hit >= 8, "only {hit} steps were hit");
    machine.create("alice", "correcthorse")?;
    assert_eq!(machine.check("ls -A /home")?, "alice.home\n");
    Ok(())
}

#[test]
fn a_worker_killed_while_it_opens_or_closes_loses_nothing() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("echo kept > ~/file; sync ~/file").user("alice").check()?;
    machine.done("deactivate alice", "", "")?;
    let hit = at_every_step(
        &machine,
        "activate",
        Typed { words: "activate alice", password: "correcthorse", new: "" },
        |_, done| {
            if !done && machine.state("alice")? != "active" {
                machine.nothing_open("alice")?;
                machine.check(UNMARKED)?;
                machine.done("activate alice", "correcthorse", "")?;
            }
            ensure!(machine.command("cat ~/file").user("alice").check()? == "kept\n", "the file has changed");
            machine.done("deactivate alice", "", "")?;
            machine.nothing_open("alice")
        },
    )?;
    assert!(hit >= 5, "only {hit} steps of activate were hit");
    machine.done("activate alice", "correcthorse", "")?;
    let hit = at_every_step(
        &machine,
        "deactivate",
        Typed { words: "deactivate alice", password: "", new: "" },
        |_, done| {
            if !done {
                // What was interrupted is open, or not marked as closed; the daemon itself tries again meanwhile.
                machine.homectl("deactivate alice", "", "")?;
            }
            machine.nothing_open("alice")?;
            machine.check(UNMARKED)?;
            machine.done("activate alice", "correcthorse", "")?;
            ensure!(machine.command("cat ~/file").user("alice").check()? == "kept\n", "the file has changed");
            Ok(())
        },
    )?;
    assert!(hit >= 2, "only {hit} steps of deactivate were hit");
    Ok(())
}

#[test]
fn a_worker_killed_while_it_changes_the_password_leaves_the_old_or_the_new() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "password0")?;
    let mut known = "password0".to_owned();
    let mut hit = 0;
    loop {
        let kill = Kill { verb: "passwd", number: hit + 1 };
        let new = format!("password{}", kill.number);
        let (output, is_hit) =
            kill.during(&machine, Typed { words: "passwd alice", password: &known, new: &new })?;
        let done = output.status == 0;
        if !done {
            let opened = machine.homectl("activate alice", &new, "")?;
            let is_wrong = opened.stderr.contains("not right");
            ensure!(
                opened.status == 0 || is_wrong,
                "{new}, {}: {}{}",
                kill.at(),
                opened.stderr,
                machine.log()
            );
        }
        if done || machine.state("alice")? == "active" {
            known = new;
        }
        if machine.state("alice")? != "active" {
            machine.done("activate alice", &known, "").map_err(|e| e.context(kill.at()))?;
        }
        machine.done("deactivate alice", "", "")?;
        machine.done("authenticate alice", &known, "")?;
        machine.nothing_open("alice")?;
        if !is_hit {
            ensure!(done, "nobody was killed: {}", output.stderr);
            break;
        }
        hit += 1;
    }
    assert!(hit >= 5, "only {hit} steps were hit");
    Ok(())
}

#[test]
fn a_worker_killed_while_it_changes_the_record_leaves_the_old_or_the_new() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("for number in $(seq 0 99); do echo $number > /root/picture$number; done")?;
    machine.done("update alice --real-name=name0 --avatar=/root/picture0", "correcthorse", "")?;
    let mut known = 0;
    for state in ["inactive", "active"] {
        let mut steps = 0;
        while {
            if state == "active" {
                machine.done("activate alice", "correcthorse", "")?;
            }
            let kill = Kill { verb: "update", number: steps + 1 };
            let new = kill.number + if state == "active" { 50 } else { 0 };
            let words = format!("update alice --real-name=name{new} --avatar=/root/picture{new}");
            let (output, is_hit) =
                kill.during(&machine, Typed { words: &words, password: "correcthorse", new: "" })?;
            let done = output.status == 0;
            ensure!(is_hit || done, "nobody was killed: {}", output.stderr);
            let allowed = if done { &[new][..] } else { &[new, known] };
            known = shown(&machine, allowed).map_err(|e| e.context(format!("{state}, {}", kill.at())))?;
            is_hit
        } {
            steps += 1;
        }
        assert!(steps >= 5, "only {steps} steps were hit of a home that is {state}");
    }
    machine.kill_daemon()?;
    machine.start_daemon()?;
    assert_eq!(machine.check("ls -A /var/cache/systemd/home")?, "alice\n");
    Ok(())
}

/// Which of the changes is shown by all that shows them: the daemon, the record inside, and both pictures. The home is closed
/// afterwards.
fn shown(machine: &Ours, allowed: &[usize]) -> Result<usize> {
    if machine.state("alice")? != "active" {
        machine.nothing_open("alice")?;
        machine.done("activate alice", "correcthorse", "")?;
    } else {
        machine.done("authenticate alice", "correcthorse", "")?;
    }
    let record: serde_json::Value = serde_json::from_str(&machine.check("homectl inspect -j alice")?)?;
    let name = record["realName"].as_str().unwrap_or_default().to_owned();
    let number = name.trim_start_matches("name").parse()?;
    ensure!(allowed.contains(&number), "{name}, and not one of {allowed:?}");
    machine.done("deactivate alice", "", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    let inside = machine.check("cat ~alice/.identity")?;
    ensure!(inside.contains(&format!("\"{name}\"")), "{name}, and in the home {inside}");
    let pictures = machine.check("cat /var/cache/systemd/home/alice/avatar ~alice/.identity-blob/avatar")?;
    ensure!(pictures == format!("{number}\n{number}\n"), "{name} with the pictures {pictures}");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    Ok(number)
}

#[test]
fn a_killed_daemon_knows_its_homes_again() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.create("bob", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.kill_daemon()?;
    machine.start_daemon()?;
    assert_eq!((machine.state("alice")?, machine.state("bob")?), ("active".into(), "inactive".into()));
    machine.done("authenticate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;

    // While somebody holds a reference: it is still held afterwards, and let go of when the holder goes.
    let holder = machine.command("PASSWORD=correcthorse homectl with alice -- tail -f /dev/null").spawn()?;
    machine.check("until homectl list -j | grep -q '\"active\"' && pgrep -x tail; do sleep 0.1; done")?;
    machine.kill_daemon()?;
    machine.start_daemon()?;
    assert_eq!(machine.state("alice")?, "active");
    machine.check("pkill -x tail; pkill -x homectl || :")?;
    holder.wait()?;
    machine
        .check("until [ $(homectl list -j | jq -r .[].state | grep -c inactive) = 2 ]; do sleep 0.1; done")?;
    machine.nothing_open("alice")
}

/// Waits until the image has no mark that this machine has it open, 4096 bytes before the partition: others would refuse
/// it. A settling that was killed as well is tried again after a second.
const UNMARKED: &str = "for try in $(seq 600); do
    dd if=/home/alice.home bs=4096 skip=255 count=1 status=none | grep -aq homed-open || exit 0; sleep 0.1
done; echo 'it stays marked as open' >&2; exit 1";

/// Returns when a worker has stopped, and when there is none.
const WORKER_STOPPED: &str = "until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done";
const NO_WORKER: &str = "while pgrep -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done";

#[test]
fn a_daemon_killed_while_it_works_leaves_a_home_that_opens() -> Result<()> {
    let machine = Ours::small()?;
    let create = format!("create alice {CHEAP}");
    for (words, step) in [
        (create.as_str(), "format"),
        (&create, "write-host"),
        ("activate alice", "mount"),
        ("activate alice", "expose"),
        // The password stays the same, and so does its slot.
        ("passwd alice", "write-header"),
        ("passwd alice", "write-host"),
        ("update alice --real-name=A", "write-header"),
        ("update alice --real-name=B", "write-host"),
        ("authenticate alice", "read-copies"),
        ("deactivate alice", "unmount"),
        ("remove alice", "delete"),
    ] {
        match words {
            "deactivate alice" => machine.done("activate alice", "correcthorse", "").map(drop)?,
            _ if words == create && machine.state("alice")? != "none" => {
                machine.done("remove alice", "", "").map(drop)?
            }
            _ if words != create && machine.state("alice")? == "none" => {
                machine.create("alice", "correcthorse")?
            }
            _ => {}
        }
        machine.check(&format!("echo {step} stop > /run/homed/fault"))?;
        let script = format!(
            "export PASSWORD=correcthorse NEWPASSWORD=correcthorse; exec setsid --wait homectl {words}"
        );
        let running = machine.command(script).spawn()?;
        machine.check(WORKER_STOPPED)?;
        machine.kill_daemon()?;
        ensure!(running.wait()?.status != 0, "{words}: done, without a daemon");
        machine.check(NO_WORKER)?;
        fault_at(&machine, "")?;
        machine.start_daemon()?;
        let state = machine.state("alice")?;
        if state == "none" {
            ensure!([create.as_str(), "remove alice"].contains(&words), "{words}: the home is gone");
            continue;
        }
        if state != "active" {
            machine.done("activate alice", "correcthorse", "")?;
        }
        // A close that was broken off may be finished by the daemon itself before we ask.
        machine.done("deactivate-all", "", "")?;
        machine.becomes("alice", "inactive")?;
        machine.nothing_open("alice")?;
    }
    Ok(())
}

#[test]
fn a_daemon_killed_at_rest_sees_every_state_again() -> Result<()> {
    let machine = Ours::small()?;
    for user in ["alice", "bob", "carol", "dave"] {
        machine.create(user, "correcthorse")?;
    }
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("mv /home/bob.home /root/")?;
    machine.check("rm /var/lib/systemd/home/carol.identity")?;
    // Cut off while it was open.
    machine.check("setfattr -n user.home-dirty -v 1 /home/dave.home")?;
    machine.kill_daemon()?;
    machine.start_daemon()?;
    for (user, state) in [("alice", "active"), ("bob", "absent"), ("carol", "unfixated"), ("dave", "dirty")] {
        ensure!(machine.state(user)? == state, "{user} is {}, not {state}", machine.state(user)?);
    }
    machine.check("mv /root/bob.home /home/")?;
    for user in ["bob", "carol", "dave"] {
        machine.done(&format!("activate {user}"), "correcthorse", "")?;
    }
    machine.done("deactivate-all", "", "")?;
    for user in ["alice", "bob", "carol", "dave"] {
        machine.nothing_open(user)?;
    }
    Ok(())
}

#[test]
fn the_power_fails_during_create_passwd_and_update() -> Result<()> {
    let mut machine = Ours::small()?;
    for step in ["make-file-system", "write-host", "publish"] {
        fault_at(&machine, step)?;
        machine.homectl(&format!("create alice {CHEAP}"), "", "correcthorse")?;
        machine = Ours::on(machine.0.power_cut()?.start()?)?;
        if machine.state("alice")? != "none" {
            machine.done("activate alice", "correcthorse", "")?;
            machine.done("deactivate alice", "", "")?;
            machine.done("remove alice", "", "")?;
        }
    }
    machine.create("alice", "password0")?;
    let mut known = "password0".to_owned();
    for (number, step) in
        ["add-keys", "mark-keys", "write-header", "write-host", "drop-keys"].iter().enumerate()
    {
        let new = format!("password{}", number + 1);
        fault_at(&machine, step)?;
        machine.homectl("passwd alice", &known, &new)?;
        machine = Ours::on(machine.0.power_cut()?.start()?)?;
        if machine.homectl("activate alice", &new, "")?.status == 0 {
            known = new;
        } else {
            machine.done("activate alice", &known, "")?;
        }
        machine.done("deactivate alice", "", "")?;
    }
    for step in ["write-header", "write-identity", "write-host"] {
        fault_at(&machine, step)?;
        machine.homectl(&format!("update alice --real-name=at-{step}"), &known, "")?;
        machine = Ours::on(machine.0.power_cut()?.start()?)?;
        machine.done("activate alice", &known, "")?;
        machine.done("update alice --location=here", &known, "")?;
        machine.done("deactivate alice", "", "")?;
    }
    Ok(())
}
