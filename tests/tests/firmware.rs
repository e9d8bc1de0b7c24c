//! Security keys with the firmware of keys one can buy (`tests/firmkey`), behind libfido2.

use anyhow::{Context, Result, ensure};
use homed_tests::security_key::{SecurityKey, done, refused};
use homed_tests::{Ours, slot_costs};
use std::path::Path;
use std::process::Command;

const PASSWORD: &str = "correcthorse";
const PIN: &str = "1234";

/// The key, built.
fn built() -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmkey");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--target-dir", "target"])
        .current_dir(&folder)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the key was not built: {status}");
    Ok(folder.join("target/debug/firmkey").to_string_lossy().into_owned())
}

/// Opens alice's home with a PIN, which touches the key once, and closes it.
fn opens(machine: &Ours, key: &SecurityKey<'_>, pin: &str) -> Result<()> {
    key.touches()?;
    done(machine, "activate alice", pin, "")?;
    let touches = key.touches()?;
    ensure!(touches == 1, "one touch opens a home, and not {touches}");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

fn plugged_in_again(key: &SecurityKey<'_>) -> Result<()> {
    key.pull_out()?;
    key.plug_in()
}

#[test]
fn the_firmware_of_keys_one_can_buy_opens_homes_and_refuses_by_the_same_names() -> Result<()> {
    let program = built()?;
    let machine = Ours::small()?;
    machine.create("alice", PASSWORD)?;
    let first = SecurityKey::new(&machine, &program, "a", Some(PIN))?;
    let enrol = "update alice --fido2-device=auto";
    // What is tried in vain changes nothing.
    refused(&machine, enrol, ("9999", PASSWORD), "PIN")?;
    refused(&machine, &format!("{enrol} --fido2-with-user-verification=yes"), (PIN, PASSWORD), "verify")?;
    ensure!(slot_costs(&machine, "alice")?.len() == 1 && first.touches()? == 0);
    // No key of CTAP 2.1 does without a touch, so that is what it is enrolled with.
    done(&machine, &format!("{enrol} --fido2-with-user-presence=no"), PIN, PASSWORD)?;
    ensure!(first.touches()? == 3, "a credential, its secret, and homed's own question");
    refused(&machine, enrol, (PIN, PASSWORD), "enrolled already")?;
    opens(&machine, &first, PIN)?;
    untouched(&machine, &first)?;
    without_a_pin(&machine, &first, &program)?;
    foreign(&machine, &first, &program)?;
    wrong_pins(&machine, &first)
}

/// Nobody touches it, and then somebody does.
fn untouched(machine: &Ours, key: &SecurityKey<'_>) -> Result<()> {
    key.set("untouched", "")?;
    refused(machine, "activate alice", (PIN, ""), "Nobody has touched")?;
    key.unset("untouched")?;
    opens(machine, key, PIN)
}

/// One more key, without a PIN; one that is set later changes nothing for it.
fn without_a_pin(machine: &Ours, first: &SecurityKey<'_>, program: &str) -> Result<()> {
    let second = SecurityKey::new(machine, program, "b", None)?;
    let words = "update alice --fido2-device=unix:/run/homed/test-fido2/b --token-name=second";
    done(machine, words, PIN, "")?;
    let flags = "homectl inspect -j alice | jq -c '[.privileged.fido2HmacSalt[] | [.up, .uv, .clientPin]]'";
    ensure!(machine.check(flags)?.trim() == "[[true,false,true],[true,false,false]]");
    first.touches()?;
    // Of both that are plugged in the one that needs less is asked.
    opens(machine, &second, "")?;
    second.set("pin", "4321")?;
    plugged_in_again(&second)?;
    opens(machine, &second, "")?;
    ensure!(first.touches()? == 0);
    // The one that stays is asked: its slot is told from that of the other.
    done(machine, "update alice --remove-token=second", PIN, PASSWORD)?;
    second.pull_out()?;
    ensure!(slot_costs(machine, "alice")?.len() == 2);
    opens(machine, first, PIN)
}

/// A key that opens nothing here is left alone.
fn foreign(machine: &Ours, first: &SecurityKey<'_>, program: &str) -> Result<()> {
    let foreign = SecurityKey::new(machine, program, "c", Some("5678"))?;
    opens(machine, first, PIN)?;
    first.pull_out()?;
    refused(machine, "activate alice", (PIN, ""), "No security key of this home is plugged in")?;
    ensure!(foreign.touches()? == 0);
    foreign.pull_out()?;
    first.plug_in()
}

/// Three in a row, and it wants to be plugged in again; eight, and it is locked. The password opens the home.
fn wrong_pins(machine: &Ours, key: &SecurityKey<'_>) -> Result<()> {
    refused(machine, "activate alice", ("1111", ""), "is not right")?;
    opens(machine, key, PIN)?;
    for said in ["is not right", "is not right", "plugged in again", "plugged in again"] {
        refused(machine, "activate alice", ("1111", ""), said)?;
    }
    refused(machine, "activate alice", (PIN, ""), "plugged in again")?;
    plugged_in_again(key)?;
    opens(machine, key, PIN)?;
    for left in ["is not right", "is not right", "plugged in again", "", "is not right", "is not right"] {
        match left {
            "" => plugged_in_again(key)?,
            said => refused(machine, "activate alice", ("1111", ""), said)?,
        }
    }
    refused(machine, "activate alice", ("1111", ""), "plugged in again")?;
    plugged_in_again(key)?;
    refused(machine, "activate alice", ("1111", ""), "one try is left")?;
    refused(machine, "activate alice", ("1111", ""), "is locked")?;
    refused(machine, "activate alice", (PIN, ""), "is locked")?;
    ensure!(key.touches()? == 0);
    done(machine, "activate alice", "", PASSWORD)?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}
