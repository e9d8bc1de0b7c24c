//! A security key and a TPM as the kernel shows them, in the machine with a screen: found by libfido2 and by homed themselves. The
//! machine sleeps in earnest, and a key comes late, goes, and is waited for. And the original, which knows no other keys, beside us.

use anyhow::{Context, Result, ensure};
use homed_tests::security_key::{SecurityKey, done};
use homed_tests::tpm::{Tpm, enrol};
use homed_tests::{CHEAP, Ours};
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

/// An original, whose programs are not installed.
struct Original<'a> {
    machine: &'a Ours,
    /// Where its package's files are.
    files: &'static str,
}

impl<'a> Original<'a> {
    /// Of the machine's own Debian, stable: 257.
    fn of_stable(machine: &'a Ours) -> Self {
        Self { machine, files: "/opt/peer/files" }
    }

    /// Of Debian testing, 262, with the libraries that it is made for.
    fn of_testing(machine: &'a Ours) -> Result<Self> {
        let files = "/opt/testing";
        let libraries = ["libsystemd-shared", "libsystemd0", "libudev1", "libcryptsetup12", "libfido2-1"];
        machine.unpack("forky", &[&["systemd-homed"][..], &libraries].concat(), files)?;
        let new = Self { machine, files };
        let version = machine.check(&format!("{} --version", new.homectl()))?;
        ensure!(version.starts_with("systemd 262 "), "it is another one now: {version}");
        Ok(new)
    }

    /// A program of its files, with its own libraries first.
    fn program(&self, path: &str) -> String {
        let files = self.files;
        let libraries = format!("{files}/usr/lib/x86_64-linux-gnu");
        format!("env LD_LIBRARY_PATH={libraries}:{libraries}/systemd {files}/usr/{path}")
    }

    fn homectl(&self) -> String {
        self.program("bin/homectl")
    }

    /// Its daemon in the place of ours, for the length of what is done.
    fn instead_of_ours(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let machine = self.machine;
        let (files, daemon) = (self.files, self.program("lib/systemd/systemd-homed"));
        machine.check(&format!(
            "systemctl stop homed.service
             export SYSTEMD_HOMEWORK_PATH={files}/usr/lib/systemd/systemd-homework
             setsid {daemon} </dev/null >/run/theirs.log 2>&1 & pid=$!; echo $pid >/run/theirs.pid
             until busctl --quiet status org.freedesktop.home1 2>/dev/null; do
                kill -0 $pid || {{ cat /run/theirs.log >&2; exit 1; }}; sleep 0.1; done"
        ))?;
        let done = act().with_context(|| machine.check("cat /run/theirs.log").unwrap_or_default());
        machine.check(
            "pid=$(cat /run/theirs.pid); kill $pid; tail --pid=$pid -f /dev/null; systemctl start homed.service",
        )?;
        done
    }

    /// It makes a home that the key opens, too. It asks for the key's PIN by an agent.
    fn makes(&self, user: &str) -> Result<()> {
        let (homectl, questions) = (self.homectl(), "/run/systemd/ask-password/ask.*");
        self.machine
            .check(&format!(
                "mkdir -p /run/systemd/ask-password; export NEWPASSWORD={PASSWORD}
                 setsid {homectl} create {user} {CHEAP} --fido2-device=auto </dev/null >/run/said 2>&1 & pid=$!
                 until ls {questions} 2>/dev/null; do kill -0 $pid || {{ cat /run/said >&2; exit 1; }}; sleep 0.1; done
                 socket=$(sed -n s/^Socket=//p {questions})
                 printf '{PIN}\\0' | /usr/lib/systemd/systemd-reply-password 1 $socket
                 wait $pid || {{ cat /run/said >&2; exit 1; }}"
            ))
            .map(drop)
    }
}

/// The key alone opens the home, by that homectl and the daemon that is there; one touch.
fn opens_by_key(machine: &Ours, key: &SecurityKey<'_>, (homectl, user): (&str, &str)) -> Result<()> {
    key.touches()?;
    machine.check(&format!("export PIN={PIN}; setsid --wait {homectl} activate {user} </dev/null >&2"))?;
    machine.check(&format!("{homectl} deactivate {user} >&2"))?;
    let touches = key.touches()?;
    ensure!(touches == 1, "{homectl} {user}: {touches} touches");
    Ok(())
}

/// The home of ours (alice) opens with that original, one that it makes (bob) with ours, and both with it again.
fn go_there_and_come(original: &Original<'_>, key: &SecurityKey<'_>) -> Result<()> {
    let (machine, theirs) = (original.machine, original.homectl());
    original.instead_of_ours(|| {
        opens_by_key(machine, key, (&theirs, "alice"))?;
        original.makes("bob")?;
        opens_by_key(machine, key, (&theirs, "bob"))
    })?;
    for user in ["alice", "bob"] {
        opens_by_key(machine, key, ("homectl", user))?;
    }
    // What ours has written of both, on the way.
    original.instead_of_ours(|| {
        ["alice", "bob"].iter().try_for_each(|user| opens_by_key(machine, key, (&theirs, user)))
    })
}

#[test]
fn a_home_with_a_security_key_goes_to_the_original_and_one_of_the_originals_comes() -> Result<()> {
    let machine = past_processor_faults(booted)?;
    let key = SecurityKey::on_usb(&machine, SOFTKEY, "a", Some(PIN))?;
    done(&machine, "update alice --fido2-device=auto", PIN, PASSWORD)?;
    let seen = machine.command("homectl --fido2-device=list").user("nobody").run()?;
    ensure!(
        seen.status != 0 && seen.stderr.contains("/dev/hidraw0 is a security key, and you may not"),
        "{seen:?}"
    );
    go_there_and_come(&Original::of_stable(&machine), &key)
}

#[test]
fn so_it_does_with_the_original_of_debian_testing() -> Result<()> {
    let machine = past_processor_faults(booted)?;
    let original = Original::of_testing(&machine)?;
    let key = SecurityKey::on_usb(&machine, SOFTKEY, "a", Some(PIN))?;
    done(&machine, "update alice --fido2-device=auto", PIN, PASSWORD)?;
    go_there_and_come(&original, &key)
}
