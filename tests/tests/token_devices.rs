//! A security key and a TPM as the kernel shows them, in the machine with a screen: found by libfido2 and by homed themselves. The
//! machine sleeps in earnest, and a key comes late, goes, and is waited for.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::security_key::{SecurityKey, done};
use homed_tests::tpm::{Tpm, enrol};
use machine::{Hardware, Image, Init, Machine, Screen, past_processor_faults};

const SOFTKEY: &str = env!("CARGO_BIN_EXE_softkey");
const PASSWORD: &str = "correcthorse";
const PIN: &str = "48151623";
const COMPUTER_PIN: &str = "7391";
const TOKEN: &str = "ecurity token PIN";

/// The image's encrypted part, for the length of a script.
const PART: &str =
    "loop=$(losetup --find --show --offset 1048576 /home/alice.home); trap 'losetup -d $loop' EXIT";

fn booted() -> Result<Ours> {
    let settings =
        Machine::builder().image(Image::Ours).init(Init::Full).hardware(Hardware::Screen).memory(768);
    let machine = Ours(settings.start()?);
    machine.create("alice", PASSWORD)?;
    // login(1) ends itself after a minute, in which it may not have come to its question.
    machine.check("sed -i 's/^LOGIN_TIMEOUT.*/LOGIN_TIMEOUT 0/' /etc/login.defs")?;
    Ok(machine)
}

#[test]
fn a_key_and_a_tpm_of_the_kernel_open_a_home_after_a_true_sleep() -> Result<()> {
    let machine = past_processor_faults(booted)?;
    let key = SecurityKey::on_usb(&machine, SOFTKEY, "a", Some(PIN))?;
    ensure!(machine.check("homectl --fido2-device=list")?.contains("/dev/hidraw"));
    done(&machine, "update alice --fido2-device=auto --luks-cryptsetup-tokens=yes", PIN, PASSWORD)?;
    Tpm::new(&machine).put_in_as_device()?;
    let enrolled = enrol(&machine, "update alice --tpm2-device=auto", COMPUTER_PIN, PASSWORD)?;
    ensure!(enrolled.status == 0, "{enrolled:?}");
    opens_without_homed(&machine, &key)?;

    let screen = machine.screen()?;
    screen.write("alice\n")?;
    screen.await_text("tty1", TOKEN)?;
    screen.write(&format!("{PIN}\n"))?;
    screen.await_text("tty1", "$ ")?;
    // A sleep, and the same key.
    let ours = sleeps(&machine, &screen)?;
    screen.await_text(&ours, TOKEN)?;
    screen.write(&format!("{PIN}\n"))?;
    screen.await_front(|front| front == "tty1")?;
    waited_for_over_a_sleep(&machine, &screen, &key)?;
    // Without the key, the PIN of this computer.
    key.pull_out()?;
    let ours = sleeps(&machine, &screen)?;
    screen.await_text(&ours, "PIN of this computer")?;
    screen.write(&format!("{COMPUTER_PIN}\n"))?;
    screen.await_front(|front| front == "tty1")?;
    comes_late_and_goes(&machine, &screen, &key)
}

/// The machine sleeps and wakes; the prompt's terminal.
fn sleeps(machine: &Ours, screen: &Screen<'_>) -> Result<String> {
    machine.suspend()?;
    machine.wake()?;
    screen.await_front(|front| front != "tty1")
}

/// Plain cryptsetup asks the key, by the plugin that systemd has for it: what an initrd does.
fn opens_without_homed(machine: &Ours, key: &SecurityKey<'_>) -> Result<()> {
    machine.install("trixie", &["systemd-cryptsetup"])?;
    key.touches()?;
    let open = "cryptsetup open --test-passphrase --token-only";
    machine.check(&format!(
        "{PART}; cryptsetup luksDump $loop >&2; echo {PIN} | {open} --token-type systemd-fido2 $loop >&2"
    ))?;
    ensure!(key.touches()? > 0, "the key was asked");
    // The key's, and the record's.
    let kinds =
        format!("{PART}; cryptsetup luksDump --dump-json-metadata $loop | jq -c '[.tokens[].type] | sort'");
    ensure!(
        machine.check(&kinds)?.trim() == r#"["systemd-fido2","systemd-homed"]"#,
        "{}",
        machine.check(&kinds)?
    );
    // Another key goes and comes, and it stays.
    machine.done("passwd alice", PASSWORD, "batterystaple")?;
    machine.done("passwd alice", "batterystaple", PASSWORD)?;
    machine.check(&format!("{PART}; echo {PIN} | {open} --token-type systemd-fido2 $loop >&2"))?;
    key.touches().map(drop)
}

/// Somebody has typed the PIN, and nobody touches the key; the machine sleeps over it, and asks anew when it has woken.
fn waited_for_over_a_sleep(machine: &Ours, screen: &Screen<'_>, key: &SecurityKey<'_>) -> Result<()> {
    machine.check("homectl lock-all")?;
    let ours = screen.await_front(|front| front != "tty1")?;
    screen.await_text(&ours, TOKEN)?;
    key.set("held", "")?;
    machine.check("rm -f /run/keys/a/asked")?;
    screen.write(&format!("{PIN}\n"))?;
    machine.check("until [ -e /run/keys/a/asked ]; do sleep 0.1; done")?;
    machine.suspend()?;
    machine.wake()?;
    key.unset("held")?;
    ensure!(machine.state("alice")? == "locked");
    screen.await_text(&ours, "assword")?;
    screen.write(&format!("{PASSWORD}\n"))?;
    screen.await_front(|front| front == "tty1").map(drop)
}

/// The key is plugged in after the machine has woken; it opens the home, and locks it when it goes.
fn comes_late_and_goes(machine: &Ours, screen: &Screen<'_>, key: &SecurityKey<'_>) -> Result<()> {
    done(
        machine,
        "update alice --tpm2-device= --lock-on-token-removal=yes --luks-cryptsetup-tokens=no",
        "",
        PASSWORD,
    )?;
    let left = machine.check(&format!(
        "{PART}; cryptsetup luksDump --dump-json-metadata $loop | jq -c '[.tokens[].type]'"
    ))?;
    ensure!(left.trim() == r#"["systemd-homed"]"#, "{left}");
    let ours = sleeps(machine, screen)?;
    screen.await_text(&ours, "insert the token, and press Enter")?;
    key.plug_in()?;
    screen.write("\n")?;
    screen.await_text(&ours, TOKEN)?;
    screen.write(&format!("{PIN}\n"))?;
    screen.await_front(|front| front == "tty1")?;
    key.pull_out()?;
    machine.becomes("alice", "locked")
}
