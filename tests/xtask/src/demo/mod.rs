//! `cargo xtask demo`: the main job, live. Two disposable machines, real logins; every claim is checked, and the first
//! one that does not hold ends it. In between the lid is closed, and all of the sleeping machine's memory is searched.

mod beside;
mod show;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use homed_tests::secrets::{traces_of_key, volume_key};
use machine::{Builder, Image, Init, Machine};

use crate::{find, prepare};
use show::Show;

/// Alice's password: she types it at the consoles.
const PASSWORD: &str = "Blaue-Giraffe-42-tanzt";

/// A file and a line of it, which is nowhere in what is typed.
const DIARY: &str = "seq -f 'line %g of my diary' 3000 > diary; grep -c diary diary";
const LINE: &str = "line 1777 of my diary";

/// Prints what is open of alice's home.
const OPEN: &str = "\
grep -E ' /(home/alice|run/systemd/user-home-mount)[/ ]' /proc/self/mountinfo
dmsetup ls | grep home-alice
losetup --list --noheadings | grep alice
grep -F home-alice /proc/keys
ps -o pid=,args= -u alice
:";

/// Prints owner and name of every file in the image, read without homed from the decrypted file system.
const ON_DISK: &str = "\
set -e
loop=$(losetup --find --show --read-only --offset 1048576 /home/alice.home)
cryptsetup open --readonly --key-file - $loop peek
mount -o ro,norecovery /dev/mapper/peek /mnt
find /mnt/alice -printf '%U:%G %P\\n' | sort
umount /mnt; cryptsetup close peek; losetup --detach $loop";

pub fn run(words: &[String]) -> Result<()> {
    ensure!(words.is_empty(), "usage: cargo xtask demo");
    prepare::everything()?;
    (find("deb").context("the command that makes the package")?.run)(&[])?;
    let carried = tempfile::tempdir()?;
    let (image, key) = (carried.path().join("alice.home"), carried.path().join("machine-a.public"));
    let mut show = Show::default();
    let owners = on_the_first(&mut show, &image, &key)?;
    on_the_second(&mut show, &image, &key, &owners)?;
    beside::the_original(&mut show)?;
    show.end();
    Ok(())
}

fn start(show: &mut Show, name: &str, settings: Builder) -> Result<Machine> {
    show.step(&format!("Machine {name}: Debian with homed in place of systemd-homed"));
    let machine = settings.image(Image::Ours).init(Init::Full).start()?;
    let version = machine.check("dpkg-query -W -f '${Package} ${Version}' homed")?;
    show.holds("the daemon runs", &version, machine.run("systemctl is-active homed")?.status == 0)?;
    Ok(machine)
}

/// On machine A: create, log in, log out. Gives the owners of the files as they are on disk.
fn on_the_first(show: &mut Show, image: &Path, key: &Path) -> Result<Vec<String>> {
    let machine = start(show, "A", Machine::builder().machine_id("a".repeat(32)))?;
    show.step("root creates alice at the console");
    let console = machine.console();
    console.login("root", "machine")?;
    console.shell("export TERM=vt220")?;
    let from = console.transcript().len();
    console.send("homectl create alice --disk-size=512M")?;
    for _ in 0..2 {
        console.expect(": ")?;
        console.send(PASSWORD)?;
    }
    console.expect("# ")?;
    let said = console.transcript().split_off(from);
    show.screen(&said);
    show.holds("it showed how far it was", "", said.contains("Formatting") || said.contains('%'))?;
    let listed = machine.check("homectl list --no-legend --no-pager || homectl list")?;
    show.holds("alice has a home, closed", listed.trim(), listed.contains("inactive"))?;
    console.send("exit")?;

    show.step("alice logs in with a wrong password, then with hers");
    show.holds("the wrong one is refused", "", console.login("alice", "wrong").is_err())?;
    console.try_again(PASSWORD)?;
    let uid = console.shell("id -u")?.0.trim().to_owned();
    let (said, status) =
        console.shell("mkdir letters; echo 'dear bob' > letters/bob; ls -lR letters; pwd")?;
    show.screen(&said);
    show.holds(
        "she is at home and writes",
        &format!("UID {uid}"),
        status == 0 && said.contains("/home/alice"),
    )?;
    let mount = machine.check("findmnt -no SOURCE,FSTYPE,OPTIONS /home/alice")?;
    show.holds("her home is mounted, its owners mapped", mount.trim(), mount.contains("idmapped"))?;

    lid(show, &machine)?;
    grows(show, &machine)?;
    show.step("alice logs out");
    console.send("exit")?;
    console.expect("login:")?;
    closed(show, &machine)?;
    let owners = lines(&machine.command(ON_DISK).stdin(PASSWORD).check()?);
    machine.copy_out("/home/alice.home", image)?;
    machine.copy_out("/var/lib/systemd/home/local.public", key)?;
    // Machine B is told which UID is to be taken.
    std::fs::write(image.with_extension("uid"), uid)?;
    Ok(owners)
}

/// The machine sleeps while alice is logged in, and wakes.
fn lid(show: &mut Show, machine: &Machine) -> Result<()> {
    show.step("the lid is closed while alice is logged in");
    let console = machine.console();
    let key = volume_key(machine, "alice", PASSWORD)?;
    console.shell(DIARY)?;
    console.shell("(i=0; while :; do echo $((i++)); sleep 0.1; done) > count & echo $! > counter")?;
    let before = (traces_of_key(machine, &key)?.len(), machine.count_in_ram(LINE.as_bytes())?);
    let words = format!("{} traces of the key, {} of the diary", before.0, before.1);
    show.holds("while she works they are in memory", &words, before.0 > 0 && before.1 > 0)?;
    machine.suspend()?;
    let asleep = traces_of_key(machine, &key)?;
    show.holds(
        "asleep: no trace of the key, its halves or round keys",
        &asleep.join(", "),
        asleep.is_empty(),
    )?;
    let lines = machine.count_in_ram(LINE.as_bytes())?;
    show.holds("asleep: no line of the diary", &lines.to_string(), lines == 0)?;
    let passwords = machine.count_in_ram(PASSWORD.as_bytes())?;
    show.holds("asleep: no password", &passwords.to_string(), passwords == 0)?;

    show.step("it is opened again");
    let from = console.transcript().len();
    machine.wake()?;
    for (question, answer) in [("assword", "wrong"), ("try again", PASSWORD)] {
        console.expect(question)?;
        console.send(answer)?;
    }
    console.expect("is unlocked")?;
    show.screen(&console.transcript().split_off(from));
    let goes_on = "kill -0 $(cat counter) && before=$(wc -l < count) && sleep 1 && [ $(wc -l < count) -gt $before ] \
                   && awk '$1 != NR - 1 { exit 1 }' count; echo $?; kill $(cat counter)";
    let (said, _) = console.shell(goes_on)?;
    show.holds("what she had running goes on, and has lost nothing", "", said.starts_with('0'))
}

/// Her home gets another size while she writes.
fn grows(show: &mut Show, machine: &Machine) -> Result<()> {
    show.step("her home grows and shrinks while she writes");
    let console = machine.console();
    console.shell("(while :; do sha256sum diary count; sync; done) > sums 2>&1 & echo $! > writer")?;
    let size =
        || machine.check("df -h --output=size /home/alice | tail -n 1").map(|text| text.trim().to_owned());
    let before = size()?;
    show.screen(&machine.check("homectl resize alice 900M 2>&1")?);
    let grown = size()?;
    show.screen(&machine.check("homectl resize alice 512M 2>&1")?);
    let shrunk = size()?;
    show.holds("it did", &format!("{before}, {grown}, {shrunk}"), before != grown && before == shrunk)?;
    console.shell("kill $(cat writer)")?;
    let read = machine.check("cd /home/alice; grep -c diary sums; grep diary sums | sort -u | wc -l")?;
    let (times, sums) = read.trim().split_once('\n').context("how often she has read it")?;
    show.holds("each time the diary was read, it was the same", &format!("{times} times"), sums == "1")
}

fn on_the_second(show: &mut Show, image: &Path, key: &Path, owners: &[String]) -> Result<()> {
    let machine = start(show, "B", Machine::builder().machine_id("b".repeat(32)))?;
    let uid = std::fs::read_to_string(image.with_extension("uid"))?;
    show.step("the image and machine A's public key are carried over; alice's UID belongs to bob here");
    machine.check(&format!("useradd --uid {uid} --no-create-home bob"))?;
    machine.copy_in(key, "/root/machine-a.public")?;
    machine.check("homectl add-signing-key /root/machine-a.public")?;
    machine.copy_in(image, "/home/alice.home")?;
    machine.check("until homectl list | grep -q alice; do sleep 0.1; done")?;
    show.screen(&machine.check("getent passwd bob; homectl list")?);

    show.step("alice logs in on machine B with a wrong password, then with hers");
    let console = machine.console();
    show.holds("the wrong one is refused", "", console.login("alice", "wrong").is_err())?;
    console.try_again(PASSWORD)?;
    let here = console.shell("id -u")?.0.trim().to_owned();
    show.holds("she has another UID here", &format!("{here}, not {uid}"), here != uid)?;
    let (said, _) = console.shell("ls -lR letters; cat letters/bob; stat -c %U letters/bob")?;
    show.screen(&said);
    show.holds("the files are hers", "", said.contains("dear bob\nalice"))?;
    console.send("exit")?;
    console.expect("login:")?;
    closed(show, &machine)?;
    let now = lines(&machine.command(ON_DISK).stdin(PASSWORD).check()?);
    let kept = owners.iter().filter(|line| now.contains(line)).count();
    let words = format!("{kept} of {} files have the owner they had on machine A", owners.len());
    show.holds("nothing on disk was chowned", &words, kept == owners.len())
}

fn closed(show: &mut Show, machine: &Machine) -> Result<()> {
    machine.check("until homectl list | grep -q inactive; do sleep 0.2; done")?;
    let open = machine.check(OPEN)?;
    if !open.is_empty() {
        bail!("of her home is still open:\n{open}");
    }
    show.holds("no mount, device-mapper device, loop device, key or process of hers is left", "", true)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
