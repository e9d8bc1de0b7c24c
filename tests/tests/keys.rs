//! Changes of key slots on a real header: cut short at every step and followed by other verbs, beside slots, tokens and
//! priorities of other programs.

use anyhow::{Result, ensure};
use homed_tests::Ours;

/// Where a change of password can be cut.
const STEPS: &[&str] =
    &["mark-keys", "add-keys", "write-header", "write-identity", "write-host", "drop-keys", "detach"];

/// Has cryptsetup work on the encrypted part of alice's image as `$loop`.
fn cryptsetup(machine: &Ours, script: &str) -> Result<String> {
    machine.check(&format!(
        "set -e\nloop=$(losetup --find --show --offset $((1 << 20)) /home/alice.home)\n\
         trap 'losetup -d $loop' EXIT\n{script}"
    ))
}

/// The numbers of the key slots, and of the marks.
fn slots(machine: &Ours) -> Result<(Vec<String>, usize)> {
    let filter =
        "jq -r '(.keyslots | keys | join(\" \")), ([.tokens[] | select(.type == \"homed-keys\")] | length)'";
    let said = cryptsetup(machine, &format!("cryptsetup luksDump --dump-json-metadata $loop | {filter}"))?;
    let mut lines = said.lines();
    let slots = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    Ok((slots, lines.next().unwrap_or_default().parse()?))
}

/// Which of these passphrases open a key slot.
fn open(machine: &Ours, passphrases: &[&str]) -> Result<Vec<bool>> {
    let tries = passphrases.iter().map(|text| {
        format!(
            "printf {text} | cryptsetup open --test-passphrase --key-file - $loop 2>&- && echo yes || echo no"
        )
    });
    let said = cryptsetup(machine, &tries.collect::<Vec<_>>().join("\n"))?;
    Ok(said.lines().map(|line| line == "yes").collect())
}

/// How often the header was written (LUKS2 on-disk format: the sequence number, big endian, at byte 16).
fn writes(machine: &Ours) -> Result<u64> {
    let said = machine.check("od --endian=big -An -td8 -j $(( (1 << 20) + 16 )) -N 8 /home/alice.home")?;
    Ok(said.trim().parse()?)
}

/// Another program gives the image a passphrase, and a token that refers to its slot.
const STRANGER: &str = "\
printf correcthorse > /run/ours; printf stranger > /run/theirs
cryptsetup luksAddKey --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /run/ours $loop /run/theirs
echo '{\"type\":\"systemd-recovery\",\"keyslots\":[\"0\"]}' | cryptsetup token import $loop";

fn killed(machine: &Ours, step: &str, words: &str, password: &str, new: &str) -> Result<bool> {
    machine.check(&format!("echo {step} kill > /run/homed/fault"))?;
    let done = machine.homectl(words, password, new)?.status == 0;
    machine.check("rm -f /run/homed/fault")?;
    Ok(!done)
}

#[test]
fn a_password_change_killed_at_any_step_and_followed_by_a_resize_loses_nothing() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    cryptsetup(&machine, STRANGER)?;
    let mut known = "correcthorse".to_owned();
    let (mut hit, mut size) = (0, 280);
    for (number, step) in STEPS.iter().enumerate() {
        let new = format!("password{number}");
        hit += usize::from(killed(&machine, step, "passwd alice", &known, &new)?);
        // A verb that writes a newer record comes between the cut and the login.
        size += 20;
        for password in [&known, &new] {
            machine.homectl(&format!("resize alice {size}M"), password, "")?;
        }
        let failed = if machine.homectl("activate alice", &new, "")?.status == 0 {
            std::mem::replace(&mut known, new)
        } else {
            machine.done("activate alice", &known, "").map_err(|e| e.context(format!("lost at {step}")))?;
            new
        };
        machine.done("deactivate alice", "", "")?;
        machine.done("authenticate alice", &known, "")?;
        let opens = open(&machine, &[&known, "stranger", &failed])?;
        ensure!(opens == [true, true, false], "{step}: {opens:?}, {:?}\n{}", slots(&machine)?, machine.log());
        let check = machine.homectl("check alice", &known, "")?.stdout;
        ensure!(!check.contains("cut short"), "{step}: {check}");
        machine.nothing_open("alice")?;
    }
    ensure!(hit == STEPS.len(), "only {hit} steps were hit");
    // A key that comes and goes leaves what is another program's, too.
    machine.done("update alice --recovery-key=yes --recovery-key-file=/run/recovery", &known, "")?;
    let recovery = machine.check("cat /run/recovery")?.trim().to_owned();
    ensure!(open(&machine, &[&known, "stranger", &recovery])? == [true; 3], "{:?}", slots(&machine)?);
    machine.done("activate alice", &recovery, "")?;
    machine.done("deactivate alice", "", "")?;
    machine.done("update alice --recovery-key=no", &known, "")?;
    let opens = open(&machine, &[&known, "stranger", &recovery])?;
    ensure!(opens == [true, true, false], "{opens:?}, {:?}", slots(&machine)?);
    let tokens = cryptsetup(&machine, "cryptsetup luksDump --dump-json-metadata $loop | jq -c '.tokens[]'")?;
    ensure!(tokens.contains(r#"{"type":"systemd-recovery","keyslots":["0"]}"#), "{tokens}");
    Ok(())
}

#[test]
fn a_password_change_writes_the_header_four_times() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "password0")?;
    let mut before = writes(&machine)?;
    for (known, new) in [("password0", "password1"), ("password1", "password2")] {
        machine.done("passwd alice", known, new)?;
        let now = writes(&machine)?;
        ensure!(now - before == 4, "{} writes, {:?}", now - before, slots(&machine)?);
        before = now;
        let (all, _) = slots(&machine)?;
        ensure!(all.len() == 1, "{all:?}");
    }
    // What the change has left says nothing, and goes at the next opening.
    let check = machine.homectl("check alice", "password2", "")?.stdout;
    ensure!(!check.contains("cut short"), "{check}");
    machine.done("activate alice", "password2", "")?;
    machine.done("deactivate alice", "", "")?;
    ensure!(slots(&machine)?.1 == 0, "the mark stays");
    Ok(())
}

#[test]
fn priorities_are_the_administrators_and_marks_of_earlier_versions_destroy_nothing() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    cryptsetup(&machine, STRANGER)?;
    let former = "echo '{\"type\":\"homed-keys\",\"keyslots\":[],\"lastChangeUSec\":1}' | cryptsetup token import $loop";
    for script in [
        "cryptsetup config --key-slot 31 --priority prefer $loop; cryptsetup config --key-slot 0 --priority ignore $loop",
        former,
    ] {
        cryptsetup(&machine, script)?;
        machine.done("activate alice", "correcthorse", "")?;
        machine.done("deactivate alice", "", "")?;
        let left = slots(&machine)?;
        ensure!(left == (vec!["0".into(), "31".into()], 0), "{left:?}");
        ensure!(open(&machine, &["correcthorse"])? == [true]);
    }
    machine.done("passwd alice", "correcthorse", "password1")?;
    ensure!(open(&machine, &["correcthorse", "stranger", "password1"])? == [false, true, true]);
    let check = machine.homectl("check alice", "password1", "")?.stdout;
    ensure!(!check.contains("cut short"), "{check}");
    Ok(())
}
