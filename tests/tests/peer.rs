//! The original beside us, systemd-homed of Debian stable: homes, state folders, clients and modules, both ways.

use anyhow::{Context, Result, ensure};
use homed_tests::smart_card::Cards;
use homed_tests::{CHEAP, Ours, security_key, told_of_devices};
use machine::{Image, Init, Machine};

/// The original's programs, which are not installed beside ours.
const PEER: &str = "/opt/peer/files";

fn writes(machine: &Ours, user: &str, password: &str, text: &str) -> Result<()> {
    machine.done(&format!("activate {user}"), password, "")?;
    machine.command(format!("echo {text} >> ~/diary")).user(user).check()?;
    machine.done(&format!("deactivate {user}"), "", "").map(drop)
}

fn reads(machine: &Ours, user: &str, password: &str, expected: &str) -> Result<()> {
    machine.done(&format!("activate {user}"), password, "")?;
    let diary = machine.command("cat ~/diary").user(user).check()?;
    machine.done(&format!("deactivate {user}"), "", "")?;
    ensure!(diary.replace('\n', " ").trim() == expected, "{user}: {diary:?}, not {expected:?}");
    Ok(())
}

/// A home that a smart card opens as well, of whichever program is installed.
fn creates(machine: &Ours, user: &str, kind: &str, card: &str) -> Result<()> {
    let words = format!("create {user} {CHEAP} --fs-type={kind} --pkcs11-token-uri='pkcs11:token={card}'");
    let script = format!("export PIN=1234 NEWPASSWORD=correcthorse; exec setsid --wait homectl {words}");
    let output = machine.command(script).run()?;
    ensure!(output.status == 0, "{user}: {}", output.stderr);
    Ok(())
}

/// The card opens it, and nothing else is given.
fn opens_by_card(machine: &Ours, user: &str) -> Result<()> {
    security_key::done(machine, &format!("activate {user}"), "1234", "")?;
    machine.done(&format!("deactivate {user}"), "", "").map(drop)
}

#[test]
fn a_machine_goes_over_to_us_and_back_with_all_its_homes() -> Result<()> {
    // Whichever of the two is installed: the verbs are the same.
    let machine = Ours(Machine::builder().image(Image::Peer).init(Init::Full).start()?);
    let cards = Cards::new(&machine, env!("CARGO_BIN_EXE_softcard"))?;
    cards.make("rsa", "1234", "rsa")?;
    cards.make("curve", "1234", "ec")?;
    for (user, kind, card) in [("alice", "btrfs", "rsa"), ("bob", "ext4", "curve")] {
        creates(&machine, user, kind, card)?;
        writes(&machine, user, "correcthorse", "original")?;
    }
    machine.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    machine.check("dpkg --install /root/homed.deb >&2")?;
    ensure!(machine.run("dpkg-query -W -f '${Status}' systemd-homed")?.stdout != "install ok installed");
    machine.check("systemctl is-active homed.service")?;
    for user in ["alice", "bob"] {
        ensure!(told_of_devices(&machine, user)? == "null", "it is ours alone");
        opens_by_card(&machine, user)?;
        ensure!(told_of_devices(&machine, user)?.contains("pkcs11EncryptedKey"));
        reads(&machine, user, "correcthorse", "original")?;
        machine.done(&format!("passwd {user}"), "correcthorse", "batterystaple")?;
        machine.refused(&format!("activate {user}"), "correcthorse", "")?;
        writes(&machine, user, "batterystaple", "ours")?;
        let words = format!("update {user} --real-name=Updated --password-hint=hint --recovery-key=yes");
        machine.done(&words, "batterystaple", "")?;
    }
    for (user, kind, card) in [("carol", "btrfs", "rsa"), ("dave", "ext4", "curve")] {
        creates(&machine, user, kind, card)?;
        writes(&machine, user, "correcthorse", "ours")?;
    }
    machine.check("dpkg --remove homed >&2 && dpkg --install /opt/peer/systemd-homed_*.deb >&2")?;
    machine.check("systemctl restart systemd-homed.service && ! test -e /usr/lib/homed/homed")?;
    for (user, password, diary) in [
        ("alice", "batterystaple", "original ours"),
        ("bob", "batterystaple", "original ours"),
        ("carol", "correcthorse", "ours"),
        ("dave", "correcthorse", "ours"),
    ] {
        let record = machine.done(&format!("inspect -j {user}"), "", "")?;
        ensure!(record.contains("Updated") == (password == "batterystaple"), "{user}: {record}");
        reads(&machine, user, password, diary).with_context(|| {
            machine.check("journalctl -b --no-pager -u systemd-homed | tail -40").unwrap_or_default()
        })?;
        // It passes over what we have put beside the record, and leaves it out when it writes one.
        ensure!(told_of_devices(&machine, user)?.contains("pkcs11EncryptedKey"));
        opens_by_card(&machine, user)?;
        machine.done(&format!("update {user} --real-name=Again"), password, "")?;
        ensure!(told_of_devices(&machine, user)? == "null");
        opens_by_card(&machine, user)?;
        machine.nothing_open(user)?;
    }
    Ok(())
}

#[test]
fn the_originals_homectl_works_with_our_daemon() -> Result<()> {
    let machine = Ours::full()?;
    machine.check(&format!("install -m 755 {PEER}/usr/bin/homectl /root/homectl"))?;
    let theirs = |words: &str, password: &str, new: &str| -> Result<String> {
        let output = machine
            .command(format!(
                "export PASSWORD='{password}' NEWPASSWORD='{new}'; exec setsid --wait /root/homectl {words}"
            ))
            .run()?;
        ensure!(output.status == 0, "their {words}: {}\n{}", output.stderr, machine.log());
        Ok(output.stdout)
    };
    theirs(&format!("create alice {CHEAP}"), "", "correcthorse")?;
    assert!(theirs("list --no-pager", "", "")?.contains("alice"));
    assert!(theirs("inspect alice --no-pager", "", "")?.contains("/home/alice"));
    theirs("activate alice", "correcthorse", "")?;
    assert_eq!(machine.state("alice")?, "active");
    theirs("authenticate alice", "correcthorse", "")?;
    for (words, size) in [("resize alice 320M", 320), ("resize alice 300M", 300)] {
        theirs(words, "correcthorse", "")?;
        assert_eq!(machine.check("stat -c %s /home/alice.home")?.trim(), (size << 20).to_string());
    }
    let wrong =
        machine.run("PASSWORD=wrong timeout 20 setsid --wait /root/homectl authenticate alice </dev/null")?;
    assert_ne!(wrong.status, 0, "{}", wrong.stdout);
    theirs("passwd alice", "correcthorse", "batterystaple")?;
    theirs("update alice --real-name=While --shell=/bin/sh", "batterystaple", "")?;
    theirs("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    assert_eq!(theirs("with alice -- pwd", "batterystaple", "")?.trim(), "/home/alice");
    machine.check("until homectl list | grep -q inactive; do sleep 0.1; done")?;
    machine.check("echo picture > /root/picture")?;
    theirs("update alice --location=here --avatar=/root/picture", "batterystaple", "")?;
    let record = theirs("inspect alice --json=short --no-pager", "", "")?;
    assert!(["While", "/bin/sh", "here"].iter().all(|value| record.contains(value)), "{record}");
    assert_eq!(machine.check("cat /var/cache/systemd/home/alice/avatar")?, "picture\n");
    theirs("update alice --offline --real-name=Offline", "", "")?;
    theirs("resize alice 340M", "batterystaple", "")?;
    assert_eq!(machine.check("stat -c %s /home/alice.home")?.trim(), (340 << 20).to_string());
    theirs("remove alice", "", "")?;
    assert_eq!(machine.state("alice")?, "none");
    Ok(())
}

#[test]
fn the_originals_pam_module_works_with_our_daemon() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.check(&format!(
        "module=$(find {PEER} -name pam_systemd_home.so)\n\
         for kind in auth account session password; do echo \"$kind required $module\"; done > /etc/pam.d/theirs"
    ))?;
    let held = "pamtester theirs alice authenticate acct_mgmt open_session";
    let wrong = machine.command(held).stdin("wrong\n").run()?;
    assert_ne!(wrong.status, 0);
    machine.command(format!("{held} close_session")).stdin("correcthorse\n").check()?;
    machine.check("until homectl list | grep -q inactive; do sleep 0.1; done")?;
    machine
        .command("pamtester theirs alice chauthtok")
        .stdin("batterystaple\nbatterystaple\ncorrecthorse\n")
        .check()?;
    machine.command(format!("{held} close_session")).stdin("batterystaple\n").check()?;
    machine.check("until homectl list | grep -q inactive; do sleep 0.1; done")?;
    machine.nothing_open("alice")
}
