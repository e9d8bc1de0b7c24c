//! Smart cards (PKCS#11): enrolled, used, wrong, foreign, several, removed; p11-kit itself, before SoftHSM.

use anyhow::{Result, ensure};
use homed_tests::secrets::traces_of_password;
use homed_tests::security_key::{done, refused};
use homed_tests::smart_card::Cards;
use homed_tests::{CHEAP, Ours};

const SOFTCARD: &str = env!("CARGO_BIN_EXE_softcard");
const PASSWORD: &str = "correcthorse";
/// Looked for in memory.
const PIN: &str = "turtle48151623";

const ASKED: &str = "PIN (or Enter, for the password): ";

/// Opens alice's home with a PIN, which costs one login, and closes it.
fn opens(machine: &Ours, cards: &Cards<'_>, pin: &str, label: &str) -> Result<()> {
    cards.tried()?;
    done(machine, "activate alice", pin, "")?;
    let tried = cards.tried()?;
    ensure!(tried == [label], "the home was opened by {tried:?}, and not by {label} alone");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

fn opens_by_password(machine: &Ours, cards: &Cards<'_>) -> Result<()> {
    done(machine, "activate alice", "", PASSWORD)?;
    machine.done("deactivate alice", "", "")?;
    ensure!(cards.tried()?.is_empty(), "who types the password needs no card");
    Ok(())
}

#[test]
fn a_card_opens_its_home_and_never_stands_in_the_way() -> Result<()> {
    let machine = Ours::small()?;
    let cards = Cards::new(&machine, SOFTCARD)?;
    machine.create("alice", PASSWORD)?;
    refused(&machine, "--pkcs11-token-uri=list", ("", ""), "No smart card is plugged in")?;
    let uri = cards.card("first", "1234", "rsa")?;
    // What is tried in vain changes nothing.
    refused(&machine, "update alice --pkcs11-token-uri=auto", ("9999", PASSWORD), "PIN")?;
    refused(
        &machine,
        "update alice --pkcs11-token-uri=pkcs11:serial=1",
        ("1234", PASSWORD),
        "No smart card",
    )?;
    refused(
        &machine,
        &format!("update alice --pkcs11-token-uri='{uri}?pin-value=1234'"),
        ("1234", PASSWORD),
        "no place",
    )?;
    ensure!(machine.check("homectl inspect -j alice | jq .pkcs11TokenUri")?.trim() == "null");
    done(&machine, "update alice --pkcs11-token-uri=auto", "1234", PASSWORD)?;
    let entry = "homectl inspect -j alice | jq -r '.pkcs11TokenUri[], .privileged.pkcs11EncryptedKey[].uri'";
    ensure!(machine.check(entry)?.lines().eq([uri.as_str(), uri.as_str()]));
    refused(&machine, "update alice --pkcs11-token-uri=auto", ("1234", PASSWORD), "enrolled already")?;
    opens(&machine, &cards, "1234", "first")?;
    opens_by_password(&machine, &cards)?;
    wrong_pins(&machine, &cards)?;
    a_foreign_card(&machine, &cards)?;
    two_cards(&machine, &cards)?;
    another_padding(&machine, &cards)?;
    keys_of_all_kinds(&machine, &cards)?;
    a_module_that_hangs_or_falls_over(&machine, &cards)
}

/// A wrong PIN costs one try, and its user hears how it is with the card.
fn wrong_pins(machine: &Ours, cards: &Cards<'_>) -> Result<()> {
    cards.tried()?;
    refused(machine, "activate alice", ("1111", ""), "first is not right; only a few tries are left")?;
    ensure!(cards.tried()? == ["first"], "one wrong PIN is one try");
    opens(machine, cards, "1234", "first")?;
    // CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED.
    cards.set("flags-first", "20000")?;
    refused(machine, "activate alice", ("1111", ""), "one try is left")?;
    cards.set("flags-first", "40000")?;
    cards.tried()?;
    refused(machine, "activate alice", ("1234", ""), "PIN of the smart card first is locked")?;
    ensure!(cards.tried()?.is_empty(), "nothing is tried on a card that is locked");
    opens_by_password(machine, cards)?;
    // CKF_PROTECTED_AUTHENTICATION_PATH: homectl says it where nobody is asked, and waits.
    cards.set("flags-first", "100")?;
    cards.set("pad", "1234")?;
    opens(machine, cards, "", "first")?;
    cards.unset("pad")?;
    refused(machine, "activate alice", ("", ""), "has not answered in time")?;
    cards.unset("flags-first")?;
    opens(machine, cards, "1234", "first")
}

fn a_foreign_card(machine: &Ours, cards: &Cards<'_>) -> Result<()> {
    cards.card("foreign", "1234", "rsa")?;
    opens(machine, cards, "1234", "first")?;
    refused(machine, "update alice --pkcs11-token-uri=auto", ("1234", PASSWORD), "Several smart cards")?;
    cards.pull_out("first")?;
    refused(machine, "activate alice", ("1234", ""), "No smart card of this home is plugged in")?;
    refused(machine, "activate alice", ("1234", "wrong"), "no security token is plugged in")?;
    opens_by_password(machine, cards)?;
    ensure!(cards.tried()?.is_empty(), "a foreign card was given a PIN");
    cards.plug_in("first")?;
    cards.pull_out("foreign")
}

/// One more card, of another kind, which the first one lets in; then both go.
fn two_cards(machine: &Ours, cards: &Cards<'_>) -> Result<()> {
    let second = cards.card("second", "1234", "ec")?;
    done(machine, &format!("update alice --pkcs11-token-uri='{second}'"), "1234", "")?;
    cards.pull_out("first")?;
    opens(machine, cards, "1234", "second")?;
    cards.plug_in("first")?;
    cards.pull_out("second")?;
    opens(machine, cards, "1234", "first")?;
    done(machine, "update alice --pkcs11-token-uri=", "", PASSWORD)?;
    cards.tried()?;
    refused(machine, "activate alice", ("1234", ""), "assword")?;
    ensure!(cards.tried()?.is_empty());
    let left = machine
        .check("homectl inspect -j alice | jq -c '[.pkcs11TokenUri, .privileged.pkcs11EncryptedKey]'")?;
    ensure!(left.trim() == "[null,null]", "{left}");
    opens_by_password(machine, cards)
}

/// What a newer systemd-homed writes: the same key with OAEP. homed has the card open it before it takes the entry.
fn another_padding(machine: &Ours, cards: &Cards<'_>) -> Result<()> {
    cards.pull_out("first")?;
    machine.check("/root/softcard key /root/key.pem")?;
    cards.card("newer", "1234", "/root/key.pem")?;
    done(machine, "update alice --pkcs11-token-uri=auto", "1234", PASSWORD)?;
    for (padding, taken) in [("oaep-sha256", false), ("oaep-sha1", true)] {
        machine.check(&format!(
            "homectl inspect -EE -j alice > /root/record
             data=$(/root/softcard oaep /root/key.pem $(jq -r '.privileged.pkcs11EncryptedKey[0].data' /root/record))
             jq 'del(.lastChangeUSec) | .privileged.pkcs11EncryptedKey[0] += {{data: \"'$data'\", padding: \"{padding}\"}}' \
                 /root/record > /root/changed"
        ))?;
        match taken {
            true => done(machine, "update alice --identity=/root/changed", "1234", PASSWORD).map(drop)?,
            false => refused(
                machine,
                "update alice --identity=/root/changed",
                ("1234", PASSWORD),
                "cannot be used",
            )?,
        }
    }
    ensure!(machine.check("homectl inspect -j alice")?.contains("oaep-sha1"));
    opens(machine, cards, "1234", "newer")?;
    cards.pull_out("newer")?;
    cards.plug_in("first")
}

/// A certificate alone, a key that wants its PIN each time, and two keys on one card, from the beginning of a home.
fn keys_of_all_kinds(machine: &Ours, cards: &Cards<'_>) -> Result<()> {
    machine.done("remove alice", "", "")?;
    cards.pull_out("first")?;
    for (label, kinds, logins) in
        [("third", "certificate", 1), ("fourth", "each-time", 2), ("fifth", "rsa ec", 1)]
    {
        let uri = cards.card(label, "1234", kinds)?;
        let words = format!("create alice {CHEAP} --pkcs11-token-uri='{uri}'");
        let created = machine
            .command(format!("export PIN=1234 NEWPASSWORD={PASSWORD}; exec setsid --wait homectl {words}"))
            .run()?;
        ensure!(created.status == 0, "{label}: {}", created.stderr);
        cards.tried()?;
        done(machine, "activate alice", "1234", "")?;
        ensure!(cards.tried()?.len() == logins, "{label}");
        machine.done("deactivate alice", "", "")?;
        let named = machine.check("homectl inspect -j alice | jq -r '.pkcs11TokenUri[0]'")?;
        ensure!(
            named.contains(";id=%01") == (label == "fifth"),
            "which of its keys, where there are several: {named}"
        );
        machine.done("remove alice", "", "")?;
        cards.pull_out(label)?;
    }
    Ok(())
}

/// Nothing of the home is held meanwhile, and nothing stays when the worker ends.
fn a_module_that_hangs_or_falls_over(machine: &Ours, cards: &Cards<'_>) -> Result<()> {
    cards.plug_in("first")?;
    machine.create("alice", PASSWORD)?;
    done(machine, "update alice --pkcs11-token-uri=auto", "1234", PASSWORD)?;
    cards.set("crash", "")?;
    refused(machine, "activate alice", ("1234", ""), "ended by signal")?;
    cards.tried()?;
    opens_by_password(machine, cards)?;
    cards.unset("crash")?;
    cards.set("hang", "")?;
    let opening = machine.command("PIN=1234 exec setsid --wait homectl activate alice").spawn()?;
    let held = machine.check(
        "until [ -s /run/cards/tried ]; do sleep 0.05; done
         worker=$(pgrep -o -fx /usr/lib/homed/worker); copy=$(pgrep -P $worker)
         losetup --list --noheadings; find /proc/$worker/fd /proc/$copy/fd -lname '*alice*'
         kill -KILL $worker; timeout 10 tail --pid=$copy -f /dev/null && echo gone",
    )?;
    ensure!(held.trim() == "gone", "a card that hangs holds: {held}");
    ensure!(opening.wait()?.status != 0);
    cards.unset("hang")?;
    opens(machine, cards, "1234", "first")
}

#[test]
fn at_a_login_and_an_unlock_it_opens_and_nothing_of_it_stays_in_memory() -> Result<()> {
    let machine = Ours::full()?;
    let cards = Cards::new(&machine, SOFTCARD)?;
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key.pem");
    let softcard = |words: &[&std::ffi::OsStr]| std::process::Command::new(SOFTCARD).args(words).output();
    softcard(&["key".as_ref(), key.as_ref()])?;
    machine.copy_in(&key, "/root/key.pem")?;
    cards.card("badge", PIN, "/root/key.pem")?;
    machine.create("alice", PASSWORD)?;
    done(&machine, "update alice --pkcs11-token-uri=auto", PIN, PASSWORD)?;
    let data = machine.check("homectl inspect -j alice | jq -r '.privileged.pkcs11EncryptedKey[0].data'")?;
    let given = softcard(&["answer".as_ref(), key.as_ref(), data.trim().as_ref()])?;
    let given = String::from_utf8(given.stdout)?.trim().to_owned();
    ensure!(given.len() == 172, "128 bytes, and not {given}");

    // Over ssh, which types the PIN at the question for it.
    machine.write_file("/root/ask", format!("#!/bin/sh\necho {PIN}\n"))?;
    let over_ssh = machine.check(
        "chmod +x /root/ask; SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force timeout 60 setsid -w ssh \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 \
         -o PreferredAuthentications=keyboard-interactive -l alice localhost pwd",
    )?;
    ensure!(over_ssh.trim() == "/home/alice", "{over_ssh}");
    machine.becomes("alice", "inactive")?;

    let console = machine.console();
    console.expect("login: ")?;
    console.send("alice")?;
    console.expect("The smart card badge needs its PIN.")?;
    console.expect(ASKED)?;
    console.send("wrong")?;
    console.expect("PIN incorrect")?;
    console.expect("): ")?;
    console.send("")?;
    console.expect("Password: ")?;
    console.send(PASSWORD)?;
    console.expect("$ ")?;
    console.send("exit")?;
    machine.becomes("alice", "inactive")?;

    console.expect("login: ")?;
    console.send("alice")?;
    console.expect(ASKED)?;
    console.send(PIN)?;
    console.expect("$ ")?;
    locked(&machine, &given)
}

/// Locked, which leaves nothing of the card; the prompt asks for its PIN.
fn locked(machine: &Ours, given: &str) -> Result<()> {
    let console = machine.console();
    // Nobody but the search knows PIN and passphrase any more.
    machine.check("shred -u /root/ask")?;
    machine.done("lock alice", "", "")?;
    for (what, secret) in [("PIN", PIN), ("passphrase", given)] {
        let left = traces_of_password(machine, secret)?;
        let places: Vec<u64> = left.iter().map(|(_, place)| *place).collect();
        ensure!(left.is_empty(), "{what}: {left:?}, {}", homed_tests::frames::explain(machine, &places)?);
    }
    // After the search: whoever brings it into the machine keeps copies.
    machine.write_file("/run/planted", given)?;
    ensure!(!traces_of_password(machine, given)?.is_empty(), "what is planted is found");
    console.expect(ASKED)?;
    console.send(PIN)?;
    machine.becomes("alice", "active")
}
