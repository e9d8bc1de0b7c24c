//! A PIN of the computer (TPM2): enrolled, used, wrong, lost in every way, removed; swtpm plays the TPM.

use anyhow::{Result, ensure};
use homed_tests::secrets::traces_of_password;
use homed_tests::security_key::{done, refused};
use homed_tests::tpm::{Tpm, enrol};
use homed_tests::{CHEAP, Ours, slot_costs};
use machine::Console;

const PASSWORD: &str = "correcthorse";
const PIN: &str = "7391";

/// How many key slots alice has.
fn slots(machine: &Ours) -> Result<usize> {
    Ok(slot_costs(machine, "alice")?.len())
}

fn opens(machine: &Ours, pin: &str, password: &str) -> Result<()> {
    done(machine, "authenticate alice", pin, password).map(drop)
}

/// A PIN opens nothing, in these words; the password does.
fn only_the_password(machine: &Ours, said: &str) -> Result<()> {
    refused(machine, "authenticate alice", (PIN, ""), said)?;
    opens(machine, "", PASSWORD)
}

/// Enrols a PIN; what homectl says.
fn enrolled(machine: &Ours, words: &str, pin: &str) -> Result<String> {
    let output = enrol(machine, &format!("update alice {words}"), pin, PASSWORD)?;
    ensure!(output.status == 0, "homectl {words}: {}\n{}", output.stderr, machine.log());
    Ok(output.stderr)
}

#[test]
fn a_pin_opens_its_home_here_and_costs_nobody_the_tpm() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", PASSWORD)?;
    let refuse = |pin: &str, password: &str, words: &str, said: &str| -> Result<()> {
        let output = enrol(&machine, &format!("update alice {words}"), pin, password)?;
        ensure!(output.status != 0 && output.stderr.contains(said), "{words}: {output:?}");
        ensure!(slots(&machine)? == 1, "nothing was changed");
        Ok(())
    };
    refuse(PIN, PASSWORD, "--tpm2-device=auto", "no TPM")?;
    let tpm = Tpm::new(&machine);
    tpm.put_in("a")?;
    tpm.takes(32)?;
    // What is tried in vain changes nothing.
    refuse("739", PASSWORD, "--tpm2-device=auto", "too short")?;
    refuse(PIN, "wrong", "--tpm2-device=auto", "assword")?;
    refuse(PIN, PASSWORD, "--tpm2-device=/etc/shadow", "is none")?;
    refuse(PIN, PASSWORD, "--tpm2-pcrs=7", "--tpm2-device")?;
    enrolled(&machine, "--tpm2-device=auto", PIN)?;
    ensure!(slots(&machine)? == 2 && tpm.counted()? == 0);
    let known = machine.check(
        "homectl inspect -j alice | jq -c '[.tpm2PinMachineId, [.privileged.tpm2Pin[].machineId], [.privileged.tpm2Pin[].wanted]]'",
    )?;
    let id = machine.check("cat /etc/machine-id")?;
    ensure!(known.trim() == format!("[[\"{0}\"],[\"{0}\"],[null]]", id.trim()), "{known}");
    done(&machine, "activate alice", PIN, "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    // Who types the password asks the TPM for nothing.
    opens(&machine, "1111", PASSWORD)?;
    ensure!(tpm.counted()? == 0);
    made_with_the_home(&machine)?;
    stopped_before_the_tpm(&machine, &tpm)?;
    locked_from_outside(&machine, &tpm)?;
    gone_and_changed(&machine, &tpm)?;
    elsewhere_and_removed(&machine, &tpm)
}

/// A home that has a PIN from its beginning, and does not go without a password.
fn made_with_the_home(machine: &Ours) -> Result<()> {
    let create = |user: &str| {
        format!(
            "export NEWPIN={PIN} NEWPASSWORD={PASSWORD}; setsid --wait homectl create {user} {CHEAP} --tpm2-device=auto \
             --luks-pbkdf-type=argon2id --luks-pbkdf-memory-cost=32M --luks-pbkdf-force-iterations=4"
        )
    };
    machine.check(&create("bob"))?;
    let mut costs = slot_costs(machine, "bob")?;
    costs.sort();
    ensure!(
        costs == ["argon2id null", "pbkdf2 1000"],
        "a PIN's slot costs nothing, a password's does: {costs:?}"
    );
    done(machine, "authenticate bob", PIN, "")?;
    done(machine, "authenticate bob", "", PASSWORD)?;
    machine.done("remove bob", "", "").map(drop)
}

/// Five wrong ones in a row, over the lives of two daemons; after that the TPM does not hear of any.
fn stopped_before_the_tpm(machine: &Ours, tpm: &Tpm<'_>) -> Result<()> {
    // (A right one begins anew: the unit tests count them all.)
    refused(machine, "authenticate alice", ("1111", ""), "Neither is it the PIN")?;
    opens(machine, PIN, "")?;
    for wrong in 0..5 {
        if wrong == 3 {
            machine.kill_daemon()?;
            machine.start_daemon()?;
        }
        refused(machine, "authenticate alice", ("1111", ""), "Neither is it the PIN")?;
    }
    refused(machine, "authenticate alice", (PIN, ""), "wrong too often")?;
    ensure!(tpm.counted()? == 6);
    // In the PIN's place the password is tried, and has the PIN tried again.
    opens(machine, "", PASSWORD)?;
    opens(machine, PIN, "")?;
    ensure!(tpm.counted()? == 6);
    Ok(())
}

/// Somebody else has the TPM count.
fn locked_from_outside(machine: &Ours, tpm: &Tpm<'_>) -> Result<()> {
    tpm.takes(8)?;
    only_the_password(machine, "does not lock itself")?;
    tpm.takes(6)?;
    only_the_password(machine, "takes no PIN for a while")?;
    ensure!(tpm.counted()? == 6);
    tpm.forgets()?;
    tpm.takes(32)?;
    opens(machine, PIN, "")
}

/// No TPM, another one, other PCRs, a cleared one.
fn gone_and_changed(machine: &Ours, tpm: &Tpm<'_>) -> Result<()> {
    tpm.take_out()?;
    only_the_password(machine, "missing or switched off")?;
    tpm.put_in("b")?;
    only_the_password(machine, "was cleared, or is another one")?;
    tpm.take_out()?;
    tpm.put_in("a")?;
    opens(machine, PIN, "")?;
    let said = enrolled(machine, "--tpm2-device=auto --tpm2-pcrs=16", PIN)?;
    ensure!(said.contains("replaces it"), "{said}");
    opens(machine, PIN, "")?;
    ensure!(slots(machine)? == 2, "the PIN that was replaced opens no slot");
    tpm.extend(16)?;
    // (One that was taken out without a word has counted that.)
    let before = tpm.counted()?;
    only_the_password(machine, "has started with has changed")?;
    ensure!(tpm.counted()? == before, "what has changed costs no try");
    enrolled(machine, "--tpm2-device=auto", PIN)?;
    opens(machine, PIN, "")?;
    tpm.is_cleared()?;
    only_the_password(machine, "was cleared, or is another one")?;
    enrolled(machine, "--tpm2-device=auto", PIN)?;
    opens(machine, PIN, "")
}

/// The home is used on another machine, which has a PIN of its own; then all of them go.
fn elsewhere_and_removed(machine: &Ours, tpm: &Tpm<'_>) -> Result<()> {
    let becomes = |id: &str| -> Result<()> {
        machine.kill_daemon()?;
        machine.check(&format!("echo {id} >/etc/machine-id"))?;
        machine.start_daemon()
    };
    let here = machine.check("cat /etc/machine-id")?.trim().to_owned();
    let there = "0123456789abcdef0123456789abcdef";
    becomes(there)?;
    let before = tpm.counted()?;
    refused(machine, "authenticate alice", (PIN, "wrong"), "assword")?;
    ensure!(tpm.counted()? == before, "the PIN of another machine is not tried here");
    opens(machine, "", PASSWORD)?;
    enrolled(machine, "--tpm2-device=auto", "9999")?;
    opens(machine, "9999", "")?;
    becomes(&here)?;
    refused(machine, "authenticate alice", ("9999", ""), "Neither is it the PIN")?;
    opens(machine, PIN, "")?;
    cut_short(machine)?;
    refused(machine, "authenticate alice", (PIN, ""), "assword")?;
    let left =
        machine.check("homectl inspect -j alice | jq -c '[.tpm2PinMachineId, .privileged.tpm2Pin]'")?;
    ensure!(left.trim() == "[null,null]", "{left}");
    opens(machine, "", PASSWORD)?;
    ensure!(machine.run("ls /var/lib/systemd/home/alice.pin-tries")?.status != 0);
    machine.nothing_open("alice")
}

/// Both PINs go, and the worker is killed before their slots do; then one comes, and nobody is told of its slot. The next
/// login leaves no slot that no key of the record has.
fn cut_short(machine: &Ours) -> Result<()> {
    let short = |step: &str, words: &str| -> Result<()> {
        machine.check(&format!("echo '{step} kill' > /run/homed/fault"))?;
        let output = enrol(machine, &format!("update alice {words}"), PIN, PASSWORD)?;
        machine.check("rm /run/homed/fault")?;
        ensure!(output.status != 0, "{words} was not cut short: {output:?}");
        Ok(())
    };
    for (step, words, left) in [("drop-keys", "--tpm2-device=", 3), ("write-header", "--tpm2-device=auto", 2)]
    {
        short(step, words)?;
        ensure!(slots(machine)? == left, "{words} is cut short with {} slots", slots(machine)?);
        done(machine, "activate alice", "", PASSWORD)?;
        machine.done("deactivate alice", "", "")?;
        ensure!(slots(machine)? == 1, "{words} left {} slots\n{}", slots(machine)?, machine.log());
    }
    Ok(())
}

/// Looked for in memory.
const LONG_PIN: &str = "turtle48151623";
const ASKED: &str = "PIN of this computer or password: ";

/// Types the name at `login:`, and this at the question.
fn logs_in(console: &Console, typed: &str) -> Result<()> {
    console.expect("login: ")?;
    console.send("alice")?;
    console.expect(ASKED)?;
    console.send(typed)
}

fn logs_out(machine: &Ours, console: &Console) -> Result<()> {
    console.expect("$ ")?;
    console.send("exit")?;
    machine.becomes("alice", "inactive")
}

#[test]
fn at_a_login_and_an_unlock_it_is_typed_in_the_password_s_place_and_not_left_in_memory() -> Result<()> {
    let machine = Ours::full()?;
    // The TPM of this test is a socket. True ones are devices, and the service may open few.
    let allowed = machine.check("systemctl show --property=DeviceAllow --value homed.service")?;
    ensure!(allowed.lines().any(|line| line == "char-tpm rw"), "{allowed}");
    machine.create("alice", PASSWORD)?;
    let tpm = Tpm::new(&machine);
    tpm.put_in("a")?;
    tpm.takes(32)?;
    enrolled(&machine, "--tpm2-device=auto", LONG_PIN)?;
    let console = machine.console();
    // The password in the PIN's place, at once and after Enter.
    logs_in(console, PASSWORD)?;
    logs_out(&machine, console)?;
    logs_in(console, "")?;
    console.expect("Password: ")?;
    console.send(PASSWORD)?;
    logs_out(&machine, console)?;
    ensure!(tpm.counted()? == 0);
    // Over ssh, by keyboard-interactive.
    machine.check(&format!("printf '#!/bin/sh\\necho {LONG_PIN}\\n' >/run/ask; chmod +x /run/ask"))?;
    let said = machine.check(
        "SSH_ASKPASS=/run/ask SSH_ASKPASS_REQUIRE=force timeout 60 setsid -w ssh -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 -o PreferredAuthentications=keyboard-interactive \
         alice@localhost pwd; rm /run/ask",
    )?;
    ensure!(said == "/home/alice\n", "{said}");
    machine.becomes("alice", "inactive")?;
    // Neither, and then the PIN.
    logs_in(console, "wrong")?;
    console.expect("Neither is it the PIN of this computer")?;
    console.expect("Sorry, try again (PIN or password): ")?;
    console.send(LONG_PIN)?;
    console.expect("$ ")?;
    ensure!(tpm.counted()? == 1);
    // Locked: nothing of the PIN or of what it opens is left, and it is asked for at the same console.
    machine.write_file("/run/planted", LONG_PIN)?;
    ensure!(!traces_of_password(&machine, LONG_PIN)?.is_empty(), "what is planted is found");
    machine.check("rm /run/planted")?;
    machine.done("lock alice", "", "")?;
    let left = traces_of_password(&machine, LONG_PIN)?;
    ensure!(left.is_empty(), "{left:?}");
    console.expect(ASKED)?;
    console.send(LONG_PIN)?;
    machine.becomes("alice", "active")?;
    ensure!(tpm.counted()? == 1);
    // The TPM goes: the password works, and the PIN says why it does not.
    tpm.take_out()?;
    machine.done("lock alice", "", "")?;
    console.expect(ASKED)?;
    console.send(LONG_PIN)?;
    console.expect("missing or switched off")?;
    console.expect("Sorry, try again (PIN or password): ")?;
    console.send(PASSWORD)?;
    machine.becomes("alice", "active")
}
