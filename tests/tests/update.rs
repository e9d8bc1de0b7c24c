//! `homectl update`: every copy of the record follows, in every state, whatever is cut off.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;

/// A member of the record as the daemon tells it.
fn member(machine: &Ours, name: &str) -> Result<serde_json::Value> {
    let record: serde_json::Value = serde_json::from_str(&machine.check("homectl inspect -j alice")?)?;
    Ok(record[name].clone())
}

/// The record that lies in the home.
fn inside(machine: &Ours) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&machine.check("cat /home/alice/.identity")?)?)
}

fn closed(machine: &Ours) -> Result<()> {
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

#[test]
fn a_change_reaches_every_copy_in_every_state() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    // Inactive.
    machine.refused("update alice --real-name=Wrong", "wrong", "")?;
    machine.done("update alice --real-name='Alice A.' --shell=/bin/sh", "correcthorse", "")?;
    assert_eq!(member(&machine, "realName")?, "Alice A.");
    machine.nothing_open("alice")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(inside(&machine)?["realName"], "Alice A.");
    // Active.
    let words = "update alice --password-hint='the usual' --ssh-authorized-keys='ssh-ed25519 AAAA a@b'";
    machine.done(words, "correcthorse", "")?;
    assert_eq!(inside(&machine)?["privileged"]["passwordHint"], "the usual");
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.refused("update alice --real-name=Wrong", "correcthorse", "")?;
    machine.done("update alice --real-name=Bell", "batterystaple", "")?;
    closed(&machine)?;
    // Dirty: cut off while it was open.
    machine.check("setfattr -n user.home-dirty -v 1 /home/alice.home")?;
    machine.done("update alice --location=here", "batterystaple", "")?;
    machine.nothing_open("alice")?;
    // Without this host's record, everything is in the image.
    machine.kill_daemon()?;
    machine.check("rm /var/lib/systemd/home/alice.identity")?;
    machine.start_daemon()?;
    let said = machine.refused("update alice --location=there", "batterystaple", "")?;
    ensure!(said.contains("log in once") || said.contains("Log in"), "{said}");
    machine.done("activate alice", "batterystaple", "")?;
    assert_eq!(
        (member(&machine, "realName")?, member(&machine, "location")?),
        ("Bell".into(), "here".into())
    );
    // The size of a home, and what nobody knows, stay in the record.
    machine.done("update alice --lock-level=key", "batterystaple", "")?;
    closed(&machine)
}

#[test]
fn offline_is_the_hosts_copy_alone_and_the_others_follow() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("mv /home/alice.home /root/")?;
    assert_eq!(machine.state("alice")?, "absent");
    machine.refused("update alice --real-name=Absent", "correcthorse", "")?;
    machine.done("update alice --offline --real-name=Offline", "", "")?;
    machine.check("mv /root/alice.home /home/")?;
    assert_eq!(member(&machine, "realName")?, "Offline");
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(inside(&machine)?["realName"], "Offline");
    machine.done("update alice --offline --real-name=While", "", "")?;
    assert_eq!(inside(&machine)?["realName"], "Offline");
    closed(&machine)?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(inside(&machine)?["realName"], "While");
    closed(&machine)?;
    let said = machine.refused("update alice --offline --recovery-key=yes", "correcthorse", "")?;
    ensure!(said.contains("offline"), "{said}");
    Ok(())
}

#[test]
fn a_recovery_key_added_later_opens_the_home() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    let made = |words: &str| -> Result<String> {
        let said = machine.done(words, "correcthorse", "")?;
        let key = said.split_whitespace().find(|word| word.matches('-').count() == 7);
        Ok(key.context("no recovery key was shown")?.to_owned())
    };
    let former = made("update alice --recovery-key=yes")?;
    // The one that is number 1 goes for the new one, and that stays.
    let key = made("update alice --recovery-key=yes --remove-token=1 --real-name=Both")?;
    ensure!(machine.done("inspect alice", "", "")?.contains("Both"), "the rest was not changed");
    machine.refused("authenticate alice", &former, "")?;
    machine.done("activate alice", &key, "")?;
    machine.done("update alice --real-name=Recovered", &key, "")?;
    closed(&machine)?;
    machine.done("authenticate alice", "correcthorse", "")?;
    // Cut off on either side of the line: the password tells nothing of it, and the slots follow all the same.
    for (step, is_the_old_key) in [("write-header", true), ("write-identity", false)] {
        machine.check(&format!("echo {step} kill > /run/homed/fault"))?;
        machine.refused("update alice --recovery-key=yes", "correcthorse", "")?;
        machine.check("rm /run/homed/fault")?;
        machine.done("activate alice", "correcthorse", "")?;
        closed(&machine)?;
        ensure!(machine.check(SLOTS)?.trim() == "[null,null] 1", "{step}: {}", machine.check(SLOTS)?);
        let opens = machine.homectl("authenticate alice", &key, "")?.status == 0;
        ensure!(opens == is_the_old_key, "{step}: the old key opens: {opens}");
    }
    // A machine may want the recovery key before any key goes.
    let conf = "/etc/systemd/homed.conf";
    machine.check(&format!("mkdir -p /etc/systemd; printf '[Home]\nRecoveryForRemoval=yes\n' > {conf}"))?;
    machine.kill_daemon()?;
    machine.start_daemon()?;
    let said = machine.refused("update alice --recovery-key=no", "correcthorse", "")?;
    ensure!(said.contains("RecoveryForRemoval="), "{said}");
    machine.check(&format!("rm {conf}"))?;
    machine.kill_daemon()?;
    machine.start_daemon()?;
    // And back to the password alone; the key that nobody has seen is no hindrance.
    machine.done("update alice --recovery-key=no", "correcthorse", "")?;
    ensure!(machine.check(SLOTS)?.trim() == "[null] 1", "{}", machine.check(SLOTS)?);
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.done("authenticate alice", "batterystaple", "").map(drop)
}

/// The priorities of the key slots, and how many tokens there are.
const SLOTS: &str = "\
loop=$(losetup --find --show --read-only --offset 1048576 /home/alice.home)
cryptsetup luksDump --dump-json-metadata $loop | jq --compact-output --raw-output \
    '([.keyslots[].priority] | tostring) + \" \" + (.tokens | length | tostring)'
losetup --detach $loop";

#[test]
fn what_nobody_here_knows_stays_in_the_record() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    let unknown = r#".xFuture = {"a": [1, null]} | .privileged.xFuture = "p" | .perMachine += [{"matchHostname": "else", "xFuture": 1}]"#;
    machine.check(&format!(
        "homectl inspect -EE alice | jq '{unknown} | .lastChangeUSec += 1' > /root/record"
    ))?;
    machine.done("update alice --identity=/root/record", "correcthorse", "")?;
    machine.done("update alice --real-name=Alice", "correcthorse", "")?;
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.done("activate alice", "batterystaple", "")?;
    for copy in
        ["homectl inspect -j alice", "cat ~alice/.identity", "cat /var/lib/systemd/home/alice.identity"]
    {
        let kept = machine.check(&format!(
            "{copy} | jq -c '[.xFuture, .privileged.xFuture, (.perMachine[] | .xFuture // empty)]'"
        ))?;
        assert_eq!(kept, "[{\"a\":[1,null]},\"p\",1]\n", "{copy}");
    }
    closed(&machine)
}

#[test]
fn pictures_follow_the_record() -> Result<()> {
    let machine = Ours::small()?;
    machine.check("echo one > /root/one; echo two > /root/two")?;
    machine.done(&format!("create alice {} --avatar=/root/two", homed_tests::CHEAP), "", "correcthorse")?;
    assert_eq!(machine.check("cat /var/cache/systemd/home/alice/avatar")?, "two\n");
    machine.done("update alice --avatar=/root/one", "correcthorse", "")?;
    assert_eq!(machine.check("cat /var/cache/systemd/home/alice/avatar")?, "one\n");
    machine.done("update alice --blob=extra=/root/two", "correcthorse", "")?;
    assert_eq!(
        machine.check("cd /var/cache/systemd/home/alice; cat avatar extra; ls -A ..")?,
        "one\ntwo\nalice\n"
    );
    machine.done("update alice --blob=extra=", "correcthorse", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check("cd ~alice/.identity-blob; ls -A; cat avatar")?, "avatar\none\n");
    closed(&machine)?;
    // The host's are lost: the home has them.
    machine.check("rm -r /var/cache/systemd/home/alice")?;
    machine.refused("update alice --offline --real-name=A", "", "")?;
    machine.done("update alice --real-name=A", "correcthorse", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check("cat /var/cache/systemd/home/alice/avatar")?, "one\n");
    closed(&machine)
}

#[test]
fn a_home_that_is_newer_than_this_machine_knows_is_taken_over_first() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("cp /var/lib/systemd/home/alice.identity /root/")?;
    machine.done("update alice --real-name=Newer --shell=/bin/sh", "correcthorse", "")?;
    machine.kill_daemon()?;
    machine.check("cp /root/alice.identity /var/lib/systemd/home/")?;
    machine.start_daemon()?;
    assert_eq!(member(&machine, "realName")?, serde_json::Value::Null);
    machine.done("update alice --location=here", "correcthorse", "")?;
    assert_eq!(
        (member(&machine, "realName")?, member(&machine, "location")?),
        ("Newer".into(), "here".into())
    );
    Ok(())
}

#[test]
fn what_a_home_cannot_have_is_refused_before_it_keeps_anybody_out() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    // A mount option that its file system does not know would be told of at the next login.
    for options in ["foo", "compress=foo", "noatime,foo"] {
        let words = format!("update alice --luks-extra-mount-options={options}");
        let said = machine.refused(&words, "correcthorse", "")?;
        ensure!(said.contains("btrfs does not take") && said.contains("Nothing was changed"), "{said}");
        let words = format!("create bob --luks-extra-mount-options={options}");
        let said = machine.refused(&words, "", "horsecorrect")?;
        ensure!(said.contains("btrfs does not take"), "{said}");
    }
    machine.done("update alice --luks-extra-mount-options=noatime", "correcthorse", "")?;
    // It is one of a record of elsewhere: the home says so, and how it is opened.
    machine.check(
        "homectl inspect -j alice | jq 'del(.binding, .status, .signature) | .luksExtraMountOptions = \"foo\" | .lastChangeUSec += 1' >/run/other
         key=/var/lib/systemd/home/local.private; ls $key",
    )?;
    let said = machine.refused("update alice --identity=/run/other", "correcthorse", "")?;
    ensure!(said.contains("btrfs does not take"), "{said}");

    let said = machine.refused("update alice --realm=example.com", "correcthorse", "")?;
    ensure!(said.contains("is part of what a home is called") && !said.contains("clock"), "{said}");
    let said = machine.refused("update alice --ssh-authorized-keys=/root/key", "correcthorse", "")?;
    ensure!(said.contains("is no public key"), "{said}");
    for size in ["10000T", "1M"] {
        let said = machine.refused(&format!("update alice --disk-size={size}"), "correcthorse", "")?;
        ensure!(said.contains("5M to 5T"), "{said}");
    }
    // A share of what there is.
    let size = || -> Result<u64> {
        member(&machine, "status")?["00000000000000000000000000000001"]["diskSize"]
            .as_u64()
            .context("no size")
    };
    let before = size()?;
    machine.done("update alice --disk-size=20%", "correcthorse", "")?;
    let small = size()?;
    machine.done("update alice --disk-size=40%", "correcthorse", "")?;
    let large = size()?;
    ensure!(
        small > before && (small * 19 / 10..small * 21 / 10).contains(&large),
        "{before} {small} {large}"
    );
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("grep ' /home/alice .*noatime' /proc/mounts")?;
    closed(&machine)
}
