//! Security keys (FIDO2): enrolled, used, wrong, foreign, several, removed; libfido2 itself against a key that is a program.

use anyhow::{Result, ensure};
use homed_tests::secrets::traces_of_password;
use homed_tests::security_key::{SecurityKey, done, refused};
use homed_tests::smart_card::Cards;
use homed_tests::{Ours, slot_costs};
use machine::Console;

const SOFTKEY: &str = env!("CARGO_BIN_EXE_softkey");
const SOFTCARD: &str = env!("CARGO_BIN_EXE_softcard");
const PASSWORD: &str = "correcthorse";
/// Looked for in memory.
const PIN: &str = "turtle48151623";

const ASKED: &str = "PIN (or Enter, for the password): ";

/// How many key slots alice has.
fn slots(machine: &Ours) -> Result<usize> {
    Ok(slot_costs(machine, "alice")?.len())
}

/// The tokens of alice's header: type, relying party, how many slots.
fn tokens(machine: &Ours) -> Result<String> {
    let all = "[.tokens[] | \"\\(.type) \\(.[\"fido2-rp\"] // \"\") \\(.keyslots | length)\"] | sort";
    Ok(machine.check(&homed_tests::header("alice", all))?.trim().to_owned())
}

/// Opens alice's home with a PIN, which touches the key once, and closes it.
fn opens(machine: &Ours, key: &SecurityKey<'_>, pin: &str) -> Result<()> {
    key.touches()?;
    done(machine, "activate alice", pin, "")?;
    ensure!(key.touches()? == 1, "one touch opens a home");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

#[test]
fn a_key_opens_its_home_and_never_stands_in_the_way() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", PASSWORD)?;
    let key = SecurityKey::new(&machine, SOFTKEY, "a", Some("1234"))?;
    ensure!(machine.check("homectl --fido2-device=list")?.contains("test-fido2/a a"));
    // What is tried in vain changes nothing.
    refused(&machine, "update alice --fido2-device=auto", ("9999", PASSWORD), "PIN")?;
    refused(
        &machine,
        "update alice --fido2-device=auto --fido2-with-user-verification=yes",
        ("1234", PASSWORD),
        "verify",
    )?;
    ensure!(slots(&machine)? == 1 && key.touches()? == 0);
    // A credential, its secret, and homed's own question. What is random need not be costly to guess at.
    let costly = "--luks-pbkdf-type=argon2id --luks-pbkdf-memory-cost=32M --luks-pbkdf-force-iterations=4";
    let costly = format!("{costly} --luks-cryptsetup-tokens=yes");
    done(&machine, &format!("update alice --fido2-device=auto {costly}"), "1234", PASSWORD)?;
    ensure!(tokens(&machine)? == r#"["systemd-fido2 io.systemd.home 1","systemd-homed  0"]"#);
    ensure!(key.touches()? == 3);
    let costs = slot_costs(&machine, "alice")?;
    ensure!(costs == ["pbkdf2 1000", "pbkdf2 1000"], "{costs:?}");
    let entry = machine
        .check("homectl inspect -j alice | jq -c '.privileged.fido2HmacSalt[] | [.up, .uv, .clientPin]'")?;
    ensure!(entry.trim() == "[true,false,true]", "{entry}");
    refused(&machine, "update alice --fido2-device=auto", ("1234", PASSWORD), "enrolled already")?;
    ensure!(key.touches()? == 0, "what is not done asks for nothing");
    named(&machine)?;
    opens(&machine, &key, "1234")?;
    // Who types the password touches nothing, whether the key is plugged in or not.
    for plugged_in in [true, false] {
        if !plugged_in {
            key.pull_out()?;
            refused(&machine, "activate alice", ("1234", ""), "No security key of this home is plugged in")?;
            refused(&machine, "activate alice", ("", "wrong"), "no security token is plugged in")?;
        }
        done(&machine, "activate alice", "", PASSWORD)?;
        machine.done("deactivate alice", "", "")?;
        ensure!(key.touches()? == 0);
    }
    key.plug_in()?;
    nobody_touches(&machine, &key)?;
    wrong_pins(&machine, &key)?;
    two_keys(&machine, &key)
}

/// A key gets a name: the same keys open the home, and whoever asks for its PIN says which key is meant.
fn named(machine: &Ours) -> Result<()> {
    let listed = "homectl inspect -j --details alice | jq -c '.status[].keys[] | [.number, .kind, .name, .model, .pluggedIn]'";
    let before = machine.check(listed)?;
    ensure!(before.trim() == r#"[1,"security key",null,"a",true]"#, "{before}");
    done(machine, "update alice --token-name=1=blue", "", PASSWORD)?;
    let after = machine.check(listed)?;
    ensure!(after.trim() == r#"[1,"security key","blue","a",true]"#, "{after}");
    refused(
        machine,
        "update alice --token-name=red=green",
        ("", PASSWORD),
        "No key of the home is called red",
    )?;
    refused(machine, "activate alice", ("9999", ""), "The PIN of the security key blue is not right")?;
    let text = machine
        .check("homectl inspect --details alice | grep -F 'Keys: 1: security key \"blue\" (a), since'")?;
    ensure!(text.trim_end().ends_with(", here"), "{text}");
    Ok(())
}

/// Whoever wants the home meanwhile has it at once, and nobody is waited for when the caller has gone.
fn nobody_touches(machine: &Ours, key: &SecurityKey<'_>) -> Result<()> {
    let ended = "tail --pid=$(cat /run/waits) -f /dev/null";
    key.waits_for_touch("activate alice", "1234")?;
    done(machine, "activate alice", "", PASSWORD)?;
    machine.check(&format!("{ended}; grep -F 'was not waited for any longer' /run/said"))?;
    machine.done("deactivate alice", "", "")?;
    key.pull_out()?;
    key.plug_in()?;
    key.waits_for_touch("activate alice", "1234")?;
    // It would wait for 30 s.
    machine.check(&format!(
        "kill $(cat /run/waits); {ended}
         for try in $(seq 150); do pgrep -fx /usr/lib/homed/worker >/dev/null || exit 0; sleep 0.1; done; exit 1"
    ))?;
    key.unset("held")?;
    key.pull_out()?;
    key.plug_in()?;
    key.touches()?;
    machine.nothing_open("alice")
}

/// A wrong PIN costs one try, and the key says so in the end; nobody touches it.
fn wrong_pins(machine: &Ours, key: &SecurityKey<'_>) -> Result<()> {
    refused(machine, "activate alice", ("1111", ""), "is not right")?;
    ensure!(key.tries()? == 7);
    opens(machine, key, "1234")?;
    ensure!(key.tries()? == 8);
    for said in ["is not right", "is not right", "plugged in again", "plugged in again"] {
        refused(machine, "activate alice", ("1111", ""), said)?;
    }
    refused(machine, "activate alice", ("1234", ""), "plugged in again")?;
    done(machine, "activate alice", "", PASSWORD)?;
    machine.done("deactivate alice", "", "")?;
    key.pull_out()?;
    key.plug_in()?;
    ensure!(key.tries()? == 5);
    opens(machine, key, "1234")?;
    key.set("tries", "2")?;
    refused(machine, "activate alice", ("1111", ""), "one try is left")?;
    refused(machine, "activate alice", ("1111", ""), "is locked")?;
    key.set("tries", "8")?;
    key.pull_out()?;
    key.plug_in()?;
    key.set("untouched", "")?;
    refused(machine, "activate alice", ("1234", ""), "Nobody has touched")?;
    key.unset("untouched")?;
    machine.nothing_open("alice")
}

/// Another key: somebody else's at first, then one more of alice's, which the first one lets in.
fn two_keys(machine: &Ours, first: &SecurityKey<'_>) -> Result<()> {
    let second = SecurityKey::new(machine, SOFTKEY, "b", None)?;
    opens(machine, first, "1234")?;
    refused(machine, "update alice --fido2-device=auto", ("1234", ""), "Several security keys")?;
    let path = "/run/homed/test-fido2/b";
    done(machine, &format!("update alice --fido2-device=unix:{path}"), "1234", "")?;
    ensure!(second.touches()? == 3 && first.touches()? == 1 && slots(machine)? == 3);
    // The one that needs no PIN is asked, and the other left alone; whichever is there opens.
    opens(machine, &second, "")?;
    ensure!(first.touches()? == 0);
    second.pull_out()?;
    opens(machine, first, "1234")?;
    // A PIN that is set later changes nothing for a key that was enrolled without.
    second.set("pin", "4321")?;
    second.plug_in()?;
    opens(machine, &second, "")?;
    // One goes alone, and the other with all there are; the home has its password.
    done(machine, "update alice --remove-token=blue", "", PASSWORD)?;
    // The one that stays is touched: its slot is told from that of the other.
    ensure!(slots(machine)? == 2 && first.touches()? == 0 && second.touches()? == 1);
    refused(
        machine,
        "update alice --remove-token=blue",
        ("", PASSWORD),
        "No key of the home is called blue",
    )?;
    opens(machine, &second, "")?;
    done(machine, "update alice --fido2-device=", "", PASSWORD)?;
    refused(machine, "activate alice", ("1234", ""), "assword")?;
    ensure!(first.touches()? + second.touches()? == 0);
    let left = machine
        .check("homectl inspect -j alice | jq -c '[.fido2HmacCredential, .privileged.fido2HmacSalt, .privileged.keyDetails]'")?;
    ensure!(left.trim() == "[null,null,null]", "{left}");
    done(machine, "activate alice", "", PASSWORD)?;
    machine.done("deactivate alice", "", "")?;
    ensure!(slots(machine)? == 1, "what was removed opens no slot");
    ensure!(tokens(machine)? == r#"["systemd-homed  0"]"#, "{}", tokens(machine)?);
    machine.nothing_open("alice")
}

/// Asks for alice's home over D-Bus with these members of a secret; the error's last name, or nothing.
fn told(machine: &Ours, secret: &str) -> Result<String> {
    let said = machine.run(&format!(
        "dbus-send --system --print-reply --reply-timeout=60000 --dest=org.freedesktop.home1 /org/freedesktop/home1 \
             org.freedesktop.home1.Manager.AuthenticateHome string:alice string:'{{{secret}}}'"
    ))?;
    let name =
        said.stderr.strip_prefix("Error org.freedesktop.home1.").and_then(|rest| rest.split(':').next());
    ensure!((said.status == 0) == name.is_none(), "{said:?}");
    Ok(name.unwrap_or_default().to_owned())
}

const TOUCH: &str = "\"fido2UserPresencePermitted\":true";
const VERIFY: &str = "\"fido2UserVerificationPermitted\":true";

#[test]
fn whatever_a_token_wants_is_told_by_the_originals_names() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", PASSWORD)?;
    let enrol = |pin: &str, options: &str| -> Result<()> {
        done(&machine, &format!("update alice --fido2-device=auto {options}"), pin, PASSWORD).map(drop)
    };
    let is = |secret: &str, name: &str| -> Result<()> {
        let said = told(&machine, secret)?;
        ensure!(said == name, "{secret}: {said:?}, and not {name}\n{}", machine.log());
        Ok(())
    };
    // One that verifies its user by itself, and signs in the way that was asked for.
    let key = SecurityKey::new(&machine, SOFTKEY, "a", None)?;
    key.set("finger", "")?;
    let by_finger = "--fido2-with-client-pin=no --fido2-with-user-verification=yes";
    refused(
        &machine,
        &format!("update alice --fido2-device=auto {by_finger} --fido2-credential-algorithm=rs256"),
        ("", PASSWORD),
        "ALGORITHM",
    )?;
    enrol("", &format!("{by_finger} --fido2-credential-algorithm=eddsa"))?;
    let flags = "homectl inspect -j alice | jq -c '.privileged.fido2HmacSalt[] | [.up, .uv, .clientPin]'";
    ensure!(machine.check(flags)?.trim() == "[true,true,false]");
    is("", "TokenUserVerificationNeeded")?;
    is(VERIFY, "TokenUserPresenceNeeded")?;
    is(&format!("{VERIFY},{TOUCH}"), "")?;
    // A PIN that is set later does not come in its way.
    key.set("pin", "4321")?;
    is(&format!("{VERIFY},{TOUCH}"), "")?;
    key.pull_out()?;
    is("", "BadPasswordAndNoToken")?;
    by_pin(&machine, &is, &enrol)?;
    with_a_pad(&machine, &is)
}

/// A key with a PIN.
fn by_pin(
    machine: &Ours,
    is: &dyn Fn(&str, &str) -> Result<()>,
    enrol: &dyn Fn(&str, &str) -> Result<()>,
) -> Result<()> {
    let key = SecurityKey::new(machine, SOFTKEY, "b", Some("1234"))?;
    enrol("1234", "")?;
    let with = |pin: &str| format!("\"tokenPin\":[\"{pin}\"],{TOUCH}");
    is("", "TokenPinNeeded")?;
    is("\"tokenPin\":[\"1234\"]", "TokenUserPresenceNeeded")?;
    is(&with("1234"), "")?;
    is("\"password\":[\"wrong\"]", "TokenPinNeeded")?;
    is(&with("1111"), "BadPin")?;
    key.set("tries", "4")?;
    is(&with("1111"), "BadPinFewTriesLeft")?;
    key.pull_out()?;
    key.plug_in()?;
    key.set("tries", "2")?;
    is(&with("1111"), "BadPinOneTryLeft")?;
    is(&with("1111"), "TokenPinLocked")?;
    key.set("tries", "8")?;
    key.set("untouched", "")?;
    is(&with("1234"), "TokenActionTimeout")?;
    key.pull_out()
}

/// A reader that has keys of its own; and who has no token at all.
fn with_a_pad(machine: &Ours, is: &dyn Fn(&str, &str) -> Result<()>) -> Result<()> {
    let cards = Cards::new(machine, SOFTCARD)?;
    cards.make("card", "1234", "rsa")?;
    done(machine, "update alice --pkcs11-token-uri=auto", "1234", PASSWORD)?;
    is("", "TokenPinNeeded")?;
    is("\"tokenPin\":[\"1234\"]", "")?;
    // CKF_PROTECTED_AUTHENTICATION_PATH.
    cards.set("flags-card", "100")?;
    cards.set("pad", "1234")?;
    is("", "TokenProtectedAuthenticationPathNeeded")?;
    is("\"pkcs11ProtectedAuthenticationPathPermitted\":true", "")?;
    done(machine, "update alice --pkcs11-token-uri= --fido2-device=", "", PASSWORD)?;
    is("", "BadPassword")?;
    is("\"password\":[\"wrong\"]", "BadPassword")?;
    is(&format!("\"password\":[\"{PASSWORD}\"]"), "")
}

/// Types the name at `login:`, and waits for what is asked.
fn begins(console: &Console, question: &str) -> Result<()> {
    console.expect("login: ")?;
    console.send("alice")?;
    console.expect(question).map(drop)
}

fn logs_out(machine: &Ours, console: &Console) -> Result<()> {
    console.send("exit")?;
    machine.becomes("alice", "inactive")
}

/// What the key answers for alice's home.
fn answer(machine: &Ours, folder: &std::path::Path) -> Result<String> {
    let entry = machine
        .check("homectl inspect -j alice | jq -r '.privileged.fido2HmacSalt[] | .credential, .salt'")?;
    let done = std::process::Command::new(SOFTKEY).arg("answer").arg(folder).args(entry.lines()).output()?;
    ensure!(done.status.success(), "{done:?}");
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}

#[test]
fn at_a_login_and_an_unlock_it_opens_and_nothing_of_it_stays_in_memory() -> Result<()> {
    let machine = Ours::full()?;
    // The keys of this test are sockets. True ones are devices, and the service may open few.
    let allowed = machine.check("systemctl show --property=DeviceAllow --value homed.service")?;
    ensure!(allowed.lines().any(|line| line == "char-hidraw rw"), "{allowed}");
    machine.create("alice", PASSWORD)?;
    let key = SecurityKey::new(&machine, SOFTKEY, "a", Some(PIN))?;
    done(&machine, "update alice --fido2-device=auto", PIN, PASSWORD)?;
    key.touches()?;
    let console = machine.console();
    // The password in the PIN's place.
    begins(console, ASKED)?;
    console.send("")?;
    console.expect("Password: ")?;
    console.send(PASSWORD)?;
    console.expect("$ ")?;
    ensure!(key.touches()? == 0);
    logs_out(&machine, console)?;
    // A touch in vain, and the password after that.
    key.set("untouched", "")?;
    begins(console, ASKED)?;
    console.send(PIN)?;
    console.expect("touch")?;
    console.expect("to try the token again): ")?;
    console.send(PASSWORD)?;
    console.expect("$ ")?;
    key.unset("untouched")?;
    logs_out(&machine, console)?;
    // Plugged in late, a wrong PIN, the right one, a touch.
    key.pull_out()?;
    begins(console, "insert the token, and press Enter): ")?;
    key.plug_in()?;
    console.send("")?;
    console.expect(ASKED)?;
    console.send("wrong")?;
    console.expect("PIN incorrect")?;
    console.expect("): ")?;
    console.send(PIN)?;
    console.expect("touch")?;
    console.expect("$ ")?;
    ensure!(key.touches()? == 1);
    locked(&machine, &key)
}

/// Locked without the key, which leaves nothing; the prompt is at the same console, and waits for the key.
fn locked(machine: &Ours, key: &SecurityKey<'_>) -> Result<()> {
    let console = machine.console();
    ensure!(!traces_of_password(machine, PIN)?.is_empty(), "the key itself knows its PIN");
    let folder = tempfile::tempdir()?;
    let memory = folder.path().join("key");
    key.take_away(&memory)?;
    let answer = answer(machine, &memory)?;
    machine.write_file("/run/answer", &answer)?;
    ensure!(!traces_of_password(machine, &answer)?.is_empty(), "what is planted is found");
    machine.check("rm /run/answer")?;
    machine.done("lock alice", "", "")?;
    for (what, secret) in [("PIN", PIN), ("answer", answer.as_str())] {
        let left = traces_of_password(machine, secret)?;
        ensure!(left.is_empty(), "{what}: {left:?}");
    }
    console.expect("insert the token, and press Enter): ")?;
    key.bring_back(&memory)?;
    console.send("")?;
    console.expect(ASKED)?;
    console.send(PIN)?;
    machine.becomes("alice", "active")?;
    ensure!(key.touches()? == 1);
    pulled_out(machine, key)
}

/// The key that has opened the home goes. (It is no device of the kernel's, so udev tells of another one.)
fn pulled_out(machine: &Ours, key: &SecurityKey<'_>) -> Result<()> {
    let tells = "udevadm trigger --settle --action=change --subsystem-match=block";
    let note = machine.check("head -1 /run/homed/opened-with/alice")?;
    ensure!(note == "/run/homed/test-fido2/a\n", "{note}");
    machine.check(tells)?;
    done(machine, "update alice --lock-on-token-removal=yes", "", PASSWORD)?;
    ensure!(machine.check("homectl inspect --details alice")?.contains("Lock Token: yes"));
    ensure!(machine.state("alice")? == "active", "it is plugged in");
    key.pull_out()?;
    machine.check(tells)?;
    machine.becomes("alice", "locked")
}
