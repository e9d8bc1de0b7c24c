//! A home that is carried to another machine.

use anyhow::{Result, ensure};
use homed_tests::security_key::{SecurityKey, done, refused};
use homed_tests::smart_card::Cards;
use homed_tests::{CHEAP, Ours, told_of_devices};
use machine::{Image, Init, Machine, Output};
use std::path::Path;

/// Owners of the files inside, as the disk has them: read without homed, from the decrypted file system.
const ON_DISK: &str = "\
set -e
loop=$(losetup --find --show --read-only --offset 1048576 /home/alice.home)
printf correcthorse | cryptsetup open --readonly --key-file - $loop peek
mount -o ro,norecovery /dev/mapper/peek /mnt
find /mnt/alice -printf '%P %U %G\\n' | sort
umount /mnt; cryptsetup close peek; losetup -d $loop";

#[test]
fn a_home_opens_on_another_machine_with_the_password_alone() -> Result<()> {
    let first = Ours::small()?;
    first.done(&format!("create alice {CHEAP} --member-of=games --setenv=X=1"), "", "correcthorse")?;
    first.done("activate alice", "correcthorse", "")?;
    first.command("echo mine > ~/file; mkdir ~/folder; touch ~/folder/x").user("alice").check()?;
    let uid = first.check("id -u alice")?.trim().to_owned();
    first.done("deactivate alice", "", "")?;
    let owners = first.check(ON_DISK)?;
    let folder = tempfile::tempdir()?;
    let (image, key) = (folder.path().join("alice.home"), folder.path().join("first.public"));
    first.copy_out("/home/alice.home", &image)?;
    first.copy_out("/var/lib/systemd/home/local.public", &key)?;

    let second = Ours::small_with(Machine::builder().machine_id("22222222222222222222222222222222"))?;
    second.check(&format!("useradd --uid {uid} --no-create-home somebody"))?;
    second.copy_in(&image, "/home/alice.home")?;
    as_a_stranger(&second)?;
    // Strangers may be kept out altogether, until their key is trusted.
    second
        .check("mkdir -p /etc/systemd && printf '[Home]\nTrustForeignHomes=no\n' >/etc/systemd/homed.conf")?;
    second.kill_daemon()?;
    second.start_daemon()?;
    let said = second.refused("activate alice", "correcthorse", "")?;
    assert!(said.contains("sign"), "{said}");
    second.copy_in(&key, "/root/first.public")?;
    second.check("homectl add-signing-key /root/first.public")?;
    second.refused("activate alice", "wrong", "")?;
    second.done("activate alice", "correcthorse", "")?;
    assert!(second.check("id -nG alice; homectl inspect alice")?.contains("games"), "its key is trusted");
    let other = second.check("id -u alice")?.trim().to_owned();
    assert_ne!(uid, other, "the UID belongs to somebody else here");
    assert_eq!(
        second.command("cat ~/file; stat -c %U ~/file ~/folder/x").user("alice").check()?,
        "mine\nalice\nalice\n"
    );
    second.command("echo more > ~/second").user("alice").check()?;
    second.done("deactivate alice", "", "")?;
    second.nothing_open("alice")?;
    let now = second.check(ON_DISK)?;
    for line in owners.lines() {
        assert!(now.lines().any(|there| there == line), "chowned: {line} is not in\n{now}");
    }

    it_changes_nothing(&second)?;

    // And back, with what was written on the way.
    second.copy_out("/home/alice.home", &image)?;
    first.copy_in(&image, "/home/alice.home")?;
    first.done("activate alice", "correcthorse", "")?;
    assert_eq!(first.check("id -u alice")?.trim(), uid);
    assert_eq!(first.command("cat ~/second").user("alice").check()?, "more\n");
    first.done("deactivate alice", "", "")?;
    first.nothing_open("alice")?;
    through_a_file(&first)?;
    from_a_backup(&first)?;
    over_a_line(&first)
}

/// Exported, removed, imported: the same home.
fn through_a_file(first: &Ours) -> Result<()> {
    first.check("homectl export alice /root/alice.carried")?;
    let before = first.check("sha256sum /home/alice.home")?;
    first.done("remove alice", "", "")?;
    let said = first.refused("import /etc/passwd", "", "")?;
    assert!(said.contains("does not begin as a home"), "{said}");
    // Cut short it is not there, and the next time goes on.
    first.check("head -c 1000000 /root/alice.carried >/root/cut")?;
    first.refused("import /root/cut", "", "")?;
    assert_eq!(first.state("alice")?, "none");
    first.done("import - </root/alice.carried", "", "")?;
    assert_eq!(first.check("sha256sum /home/alice.home; ls -A /home")?, format!("{before}alice.home\n"));
    first.becomes("alice", "unfixated")?;
    first.done("activate alice", "correcthorse", "")?;
    assert_eq!(first.command("cat ~/second").user("alice").check()?, "more\n");
    assert!(first.check("id -nG alice")?.contains("games"), "this machine signed it");
    first.done("deactivate alice", "", "").map(drop)
}

/// An image opens where it is, whatever it is called; one of another of its name is not taken for it.
fn from_a_backup(first: &Ours) -> Result<()> {
    let (image, aside) = ("'/srv/last week.img'", "mv /home/alice.home /root/kept");
    first.check(&format!("cp --sparse=always /home/alice.home {image}"))?;
    let said = first.refused(&format!("adopt {image}"), "", "")?;
    assert!(said.contains("is a home of alice") && said.contains("unregister alice"), "{said}");
    first.check(aside)?;
    first.done("unregister alice", "", "")?;
    first.done(&format!("adopt {image}"), "", "")?;
    first.done("activate alice", "correcthorse", "")?;
    assert_eq!(first.command("cat ~/second").user("alice").check()?, "more\n");
    first.done("deactivate alice", "", "")?;
    first.nothing_open("alice")?;
    first.done("unregister alice", "", "")?;
    first.check("mv /root/kept /home/alice.home")?;
    first.becomes("alice", "unfixated")?;
    first.done("activate alice", "correcthorse", "")?;
    first.done("deactivate alice", "", "").map(drop)
}

/// The other machine's `/home`, as its ssh shows it. While a home is on its way somebody tries to open it.
const SSH: &str = r#"
mkdir -p /srv/there /root/bin
cat >/root/bin/ssh <<'END'
#!/bin/bash
for last; do :; done
if [[ "$*" == *" with "* ]]; then exit 0; fi
if [[ "$*" == *" inspect "* ]]; then homectl inspect -j alice | sed "${OTHER:-}"; exit; fi
PASSWORD=correcthorse setsid --wait homectl activate alice 2>/root/said </dev/null && touch /root/opened
exec unshare -m sh -c "mount --bind /srv/there /home; /root/bin/line ${CUT:-1000000000} | ($last)"
END
cat >/root/bin/line <<'END'
#!/usr/bin/perl
# So many bytes, each as soon as it comes.
$left = shift;
while ($left > 0 && ($got = sysread(STDIN, $bytes, $left < 65536 ? $left : 65536))) {
    syswrite(STDOUT, $bytes, $got);
    $left -= $got;
}
END
chmod +x /root/bin/*"#;

fn over_a_line(first: &Ours) -> Result<()> {
    first.check(SSH)?;
    let send = |more: &str| first.run(&format!("export PATH=/root/bin:$PATH\n{more} </dev/null"));
    let cut = send("CUT=3000000 homectl send alice there")?;
    assert!(cut.status != 0 && cut.stderr.contains("goes on from there"), "{}", cut.stderr);
    assert_eq!(first.check("ls -A /srv/there")?, ".#carried-alice.home\n");
    let said = first.check("cat /root/said; ls /root/opened 2>&1 || true")?;
    assert!(said.contains("in use") && said.contains("No such file"), "opened on its way: {said}");
    let told = first.check("unshare -m sh -c 'mount --bind /srv/there /home; homectl status'")?;
    assert!(told.contains("The home of alice has not arrived whole"), "{told}");
    it_is_refused_before_it_comes(first, &send)?;
    let whole = send("homectl send alice there")?;
    assert!(whole.status == 0, "{}", whole.stderr);
    first.check("cmp /home/alice.home /srv/there/alice.home && test $(ls -A /srv/there | wc -l) = 1")?;
    first.done("activate alice", "correcthorse", "")?;
    first.command("echo third > ~/third").user("alice").check()?;
    first.done("deactivate alice", "", "")?;
    let there = send("homectl send alice there")?;
    assert!(there.status != 0 && there.stderr.contains("--replace"), "{}", there.stderr);
    let newer = send("homectl send --replace alice there")?;
    let moved = newer.stderr.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).next();
    assert!(moved.is_some_and(|moved| 0 < moved && moved < 4_000_000), "{}", newer.stderr);
    first.check("cmp /home/alice.home /srv/there/alice.home")?;
    // What opened over there is another home of that name: this one stays.
    let other = send(
        r#"OTHER='s/"luksUuid" *: *"......../"luksUuid":"00000000/' homectl send --replace --move alice there"#,
    )?;
    assert!(other.status != 0 && other.stderr.contains("LUKS UUID 00000000"), "{}", other.stderr);
    first.check("cmp /home/alice.home /srv/there/alice.home")?;
    let gone = send("homectl send --replace --move alice there")?;
    assert!(gone.status == 0, "{}", gone.stderr);
    assert_eq!((first.state("alice")?.as_str(), first.check("ls -A /home")?.as_str()), ("none", ""));
    Ok(())
}

/// What could not end well is not begun.
fn it_is_refused_before_it_comes(first: &Ours, send: &dyn Fn(&str) -> Result<Output>) -> Result<()> {
    let refused = |said: &str, words: &str| {
        let ended = send(words)?;
        assert!(ended.status != 0 && ended.stderr.contains(said), "{words}: {}", ended.stderr);
        anyhow::Ok(())
    };
    // No room there.
    first.check("mv /srv/there /srv/kept; mkdir /srv/there; mount -t tmpfs -o size=1M none /srv/there")?;
    refused("more is needed", "homectl send alice there")?;
    first.check(
        "test -z \"$(ls -A /srv/there)\"; umount /srv/there; rmdir /srv/there; mv /srv/kept /srv/there",
    )?;
    // Another home of that name: no block of it comes.
    let blocks = first.check("stat -c %b /srv/there/.#carried-alice.home")?;
    first.check("cp --sparse=always /home/alice.home /srv/there/alice.home")?;
    first.check("printf 00000000 | dd of=/srv/there/alice.home bs=1 seek=$((1048576 + 168)) conv=notrunc")?;
    refused("another home (the home of alice", "homectl send --replace alice there")?;
    assert_eq!(first.check("stat -c %b /srv/there/.#carried-alice.home")?, blocks);
    first.check("rm /srv/there/alice.home")?;
    // Another machine has it open, and no lock tells.
    let mark =
        |text: &str| format!("{text} | dd of=/home/alice.home bs=1 seek=$((1048576 - 4096)) conv=notrunc");
    let opener = r#"printf 'homed-open 1\n{"machine":"22222222222222222222222222222222","host":"box","boot":"","since":0}'"#;
    first.check(&mark(opener))?;
    refused("Another machine has /home/alice.home open: box", "homectl send alice there")?;
    refused("Another machine has /home/alice.home open: box", "homectl export alice /root/never")?;
    first.check(&mark("head -c 512 /dev/zero")).map(drop)
}

/// The password alone opens it, and of what its record says nothing gives a right before an administrator has agreed.
fn as_a_stranger(second: &Ours) -> Result<()> {
    second.refused("activate alice", "wrong", "")?;
    second.nothing_open("alice")?;
    second.done("activate alice", "correcthorse", "")?;
    assert_eq!(second.command("cat ~/file").user("alice").check()?, "mine\n");
    let groups = second.check("id -nG alice")?;
    assert!(!groups.contains("games"), "{groups}");
    assert!(second.check("findmnt -no OPTIONS /home/alice")?.contains("nosuid"));
    let shown = second.check("homectl inspect alice")?;
    assert!(shown.contains("Trust: restricted"), "{shown}");
    assert!(
        shown.contains("not believed: enforcePasswordPolicy, environment, memberOf, rateLimitBurst"),
        "{shown}"
    );
    let status =
        "homectl inspect -j alice | jq -c '.status[] | [.trust, (.notBelieved | index(\"memberOf\"))]'";
    assert_eq!(second.check(status)?.trim(), r#"["restricted",2]"#);
    // Another daemon knows it as the same.
    second.kill_daemon()?;
    second.start_daemon()?;
    assert!(!second.check("id -nG alice")?.contains("games"));
    let said = second.refused("trust alice", "", "")?;
    assert!(said.contains("Nothing was changed"), "nobody was asked: {said}");
    let asked = second.check("homectl trust --yes alice")?;
    assert!(asked.contains(r#"memberOf: ["games"]"#) && asked.contains(r#"environment: ["X=1"]"#), "{asked}");
    assert!(second.check("id -nG alice")?.contains("games"), "an administrator has believed it");
    let shown = second.check("homectl inspect alice")?;
    assert!(shown.contains("Trust: restricted") && !shown.contains("not believed"), "{shown}");
    second.done("deactivate alice", "", "")?;
    second.nothing_open("alice")
}

/// Only the machine that signed the record changes it.
fn it_changes_nothing(second: &Ours) -> Result<()> {
    second.done("activate alice", "correcthorse", "")?;
    let said = second.refused("passwd alice", "correcthorse", "batterystaple")?;
    assert!(said.contains("signed elsewhere"), "{said}");
    let said = second.refused("update alice --real-name=Elsewhere", "correcthorse", "")?;
    assert!(said.contains("signed elsewhere"), "{said}");
    second.done("deactivate alice", "", "").map(drop)
}

const PIN: &str = "1234";

/// Security key and smart card, enrolled on one machine and used on another that has nothing but the image.
#[test]
fn a_device_alone_opens_it_where_nobody_knows_its_record() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (image, memory, card) =
        (folder.path().join("alice.home"), folder.path().join("key"), folder.path().join("card"));
    enrols(&card, &memory, &image)?;

    let second = Machine::builder().image(Image::Ours).init(Init::Full);
    let second = Ours(second.machine_id("22222222222222222222222222222222").start()?);
    second.copy_in(&image, "/home/alice.home")?;
    second.becomes("alice", "unfixated")?;
    let record = second.check("homectl inspect -j alice")?;
    ensure!(!record.contains("fido2") && !record.contains("pkcs11"), "it is not known here: {record}");
    // Somebody else's key is left alone, and nobody is kept waiting.
    let other = SecurityKey::new(&second, env!("CARGO_BIN_EXE_softkey"), "b", Some(PIN))?;
    refused(&second, "activate alice", (PIN, ""), "of this home is plugged in")?;
    refused(&second, "activate alice", (PIN, "wrong"), "assword")?;
    ensure!(other.touches()? == 0 && other.tries()? == 8);
    other.pull_out()?;
    logs_in_by_key(&second, &memory)?;
    knows_it_now(&second)?;

    // And with the card.
    second.done("unregister alice", "", "")?;
    second.check("systemctl kill --signal=USR1 homed.service")?;
    second.becomes("alice", "unfixated")?;
    let cards = Cards::new(&second, env!("CARGO_BIN_EXE_softcard"))?;
    cards.bring("badge", &card)?;
    refused(&second, "activate alice", ("9999", ""), "The PIN of the smart card badge is not right")?;
    done(&second, "activate alice", PIN, "")?;
    ensure!(cards.tried()? == ["badge", "badge"], "a wrong PIN, and the right one");
    second.done("deactivate alice", "", "")?;
    second.nothing_open("alice")
}

/// Key and card are all that opens the home in the end.
fn enrols(card: &Path, memory: &Path, image: &Path) -> Result<()> {
    let first = Ours::small()?;
    first.create("alice", "correcthorse")?;
    ensure!(told_of_devices(&first, "alice")? == "null");
    let key = SecurityKey::new(&first, env!("CARGO_BIN_EXE_softkey"), "a", Some(PIN))?;
    let cards = Cards::new(&first, env!("CARGO_BIN_EXE_softcard"))?;
    cards.make("badge", PIN, "rsa")?;
    done(&first, "update alice --fido2-device=auto --token-name=blue", PIN, "correcthorse")?;
    let one_key = told_of_devices(&first, "alice")?;
    done(&first, "update alice --pkcs11-token-uri=auto", PIN, "correcthorse")?;
    let both = told_of_devices(&first, "alice")?;
    ensure!(
        one_key.contains("fido2HmacSalt") && !one_key.contains("pkcs11") && both.contains("pkcs11"),
        "{both}"
    );
    ensure!(!["hashed", "$", "blue", "alice"].iter().any(|secret| both.contains(secret)), "{both}");
    let without = "homectl inspect -EE -j alice | jq 'del(.lastChangeUSec, .privileged.hashedPassword)' > /root/without";
    first.check(without)?;
    // One that stays is not here.
    key.pull_out()?;
    refused(&first, "update alice --identity=/root/without", (PIN, "correcthorse"), "two other keys")?;
    key.plug_in()?;
    done(&first, "update alice --identity=/root/without", PIN, "correcthorse")?;
    refused(&first, "activate alice", ("", "correcthorse"), "PIN")?;
    ensure!(told_of_devices(&first, "alice")? == both, "the keys that stay are told of");
    ensure!(key.touches()? > 0, "what was counted here is not counted there");
    key.take_away(memory)?;
    cards.take_away("badge", card)?;
    first.copy_out("/home/alice.home", image)
}

fn logs_in_by_key(second: &Ours, memory: &Path) -> Result<()> {
    let key = SecurityKey::new(second, env!("CARGO_BIN_EXE_softkey"), "a", None)?;
    key.take_away(&memory.with_extension("empty"))?;
    key.bring_back(memory)?;
    let console = second.console();
    console.expect("login: ")?;
    console.send("alice")?;
    console.expect("PIN (or Enter, for the password): ")?;
    console.send(PIN)?;
    console.expect("touch")?;
    console.expect("$ ")?;
    ensure!(key.touches()? == 1, "one touch opens a home that is not known");
    console.send("exit")?;
    second.becomes("alice", "inactive")?;
    key.pull_out()
}

/// The record came with it, and is this machine's from now on.
fn knows_it_now(second: &Ours) -> Result<()> {
    let known = second.check("homectl inspect -j --details alice | jq -r '.status[].keys[] | .kind'")?;
    ensure!(known == "smart card\nsecurity key\n", "{known}");
    second.nothing_open("alice")
}
