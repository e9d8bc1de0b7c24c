//! The lid: what is in memory while the machine sleeps, and what goes on afterwards.

use anyhow::{Context, Result, ensure};
use homed_tests::secrets::{pages_with, traces_of_key, traces_of_password, volume_key};
use homed_tests::{Ours, frames};
use machine::{Console, Image, Init, Machine};

/// Not in one piece in anything that is typed or run in the machine.
const MARK: &str = "5c1a77e09b";

/// Kinds of data that nobody holds while his processes are frozen.
const KINDS: [&str; 6] = ["read", "deleted", "mapped", "program", "inline", "repeated"];

/// Pages that may be left in work areas of btrfs' compressor, of a home that is compressed: some are only reached if
/// as many are busy at once as there were before.
const UNREACHED: usize = 64;

/// One that looks another way as JSON.
const PASSWORD: &str = "correct\"horse";

/// How often she gives her password besides, before the machine sleeps.
const LOGINS: usize = 20;

/// How marks are made.
const MARKS: &str = r#"
cd
mark() { printf '%s-%s%s' $1 5c1a77 e09b; }
lines() { perl -e 'my ($m, $n) = @ARGV; srand; for (1..$n) { print "$m ", join("", map { sprintf "%08x", rand 4294967295 } 1..8), "\n" }' "$(mark $1)" $2; }
"#;

/// Makes files that stay in use, with marks of their kinds in them.
const PLANT_MAPPED: &str = r#"
lines mapped 20000 > mapped
perl -pe 's/coreutils/XYZXYZXYZ/g' /usr/bin/sleep > nap
mark=$(mark program); perl -e 'print "\0" x 4096, "$ARGV[0] " x 2000' "$mark" >> nap
chmod +x nap
"#;

/// Makes files with marks of the other kinds in them, and reads them.
const PLANT: &str = r#"
lines read 40000 > read; cat read > /dev/null
lines deleted 40000 > deleted; cat deleted > /dev/null
mkdir small; for i in $(seq 200); do echo "$(mark inline) $i" > small/$i; done; cat small/* > /dev/null
perl -e 'print "$ARGV[0]\n" x 200000' "$(mark repeated)" > repeated
mkdir names; for i in $(seq 200); do : > "names/$(mark name)-$i"; done
sync -f .
cat repeated nap > /dev/null
ls names > /dev/null
"#;

/// What is free is taken for something else soon: this comes last.
const DELETE: &str = "rm ~/deleted";

/// Has alice log in and work with all kinds of data.
fn at_work(machine: &Machine) -> Result<()> {
    let console = machine.console();
    console.login("alice", PASSWORD)?;
    machine.command(format!("{MARKS}{PLANT_MAPPED}{PLANT}")).user("alice").check()?;
    // It copies what it reads to one buffer: something else comes there last.
    console.shell(
        "{ (printf 'mmap -r 0 1m\\nmread 0 1m\\nopen -r /bin/sh\\nmmap -r 0 64k\\nmread 0 64k\\n'; sleep 100000) \
         | /usr/sbin/xfs_io -r mapped >/dev/null & ./nap 100000 & }",
    )?;
    machine.check("until pid=$(pgrep -x xfs_io) && grep -q /bin/dash /proc/$pid/maps; do sleep 0.1; done")?;
    console.shell("(i=0; while :; do echo $((i++)); sleep 0.05; done) > count & echo $! > counter")?;
    for _ in 0..LOGINS {
        console.send("su alice -c 'echo i''n'")?;
        console.expect("assword: ")?;
        console.send(PASSWORD)?;
        console.expect("in\r\n")?;
    }
    Ok(())
}

/// Succeeds where no keyring has a key that root could read back.
const NO_READABLE_KEY: &str = "awk '$8 == \"user\" && /home|crypt/ { exit 1 }' /proc/keys";

/// What is found of her in all of its memory.
#[derive(Debug)]
struct Traces {
    key: Vec<String>,
    password: Vec<(String, u64)>,
    files: Vec<(&'static str, usize)>,
    names: usize,
}

impl Traces {
    fn of(machine: &Machine, key: &[u8]) -> Result<Self> {
        Ok(Self {
            key: traces_of_key(machine, key)?,
            password: traces_of_password(machine, PASSWORD)?,
            files: pages(machine)?,
            names: pages_with(machine, &format!("name-{MARK}"))?,
        })
    }
}

/// Pages of each kind.
fn pages(machine: &Machine) -> Result<Vec<(&'static str, usize)>> {
    KINDS.iter().map(|kind| Ok((*kind, pages_with(machine, &format!("{kind}-{MARK}"))?))).collect()
}

#[test]
fn a_sleeping_machine_holds_no_key_and_no_file_data() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", PASSWORD)?;
    sleep_and_wake(&machine)?;
    // It holds every time.
    for _ in 1..rounds() {
        lock_again(&machine, 0)?;
    }
    Ok(())
}

#[test]
fn of_a_home_that_is_compressed_fragments_may_stay() -> Result<()> {
    let machine = Ours::full()?;
    let options = format!("create alice {} --luks-extra-mount-options=compress=zstd:1", homed_tests::CHEAP);
    machine.done(&options, "", PASSWORD)?;
    machine.done("activate alice", PASSWORD, "")?;
    lock_again(&machine, UNREACHED)?;
    machine.check("grep ' /home/alice btrfs .*compress=zstd:1' /proc/mounts")?;

    // What was compressed once is read by the compressor, also where nothing more is compressed.
    machine.done("update alice --luks-extra-mount-options=", PASSWORD, "")?;
    machine.done("deactivate alice", "", "")?;
    machine.done("activate alice", PASSWORD, "")?;
    machine.check("! grep ' /home/alice btrfs .*compress' /proc/mounts")?;
    lock_again(&machine, UNREACHED)
}

/// Her files are read, and her home is locked and unlocked: no more than so many pages of them stay.
fn lock_again(machine: &Ours, most: usize) -> Result<()> {
    machine.check("cd /home/alice; rm -rf read small names repeated")?;
    machine.command(format!("{MARKS}touch nap; {PLANT}{DELETE}")).user("alice").check()?;
    let planted = pages(machine)?;
    for kind in ["read", "deleted", "inline", "repeated"] {
        ensure!(!planted.contains(&(kind, 0)), "not planted: {planted:?}");
    }
    let begun = std::time::Instant::now();
    machine.done("lock alice", "", "")?;
    println!("locked in {:?}", begun.elapsed());
    let left = pages(machine)?;
    let places = machine.find_in_ram(MARK.as_bytes())?;
    println!("left: {left:?}");
    let sum: usize = left.iter().filter(|kind| !is_gone(**kind)).map(|(_, pages)| pages).sum();
    ensure!(sum <= most, "{left:?}\n{}", frames::explain(machine, &places).unwrap_or_default());
    machine.done("unlock alice", PASSWORD, "").map(drop)
}

#[test]
fn where_the_kernel_overwrites_what_is_freed_no_names_are_left_either() -> Result<()> {
    let settings = Machine::builder().image(Image::Ours).init(Init::Full).kernel_argument("init_on_free=1");
    let machine = Ours(settings.start()?);
    machine.create("alice", PASSWORD)?;
    let asleep = sleep_and_wake(&machine)?;
    println!("{asleep:?}");
    ensure!(asleep.names == 0, "{} pages with names", asleep.names);
    machine.console().shell("kill $(cat counter) %1; pkill xfs_io; pkill nap")?;
    logs_out(&machine, "alice", machine.console())
}

/// Nothing of the session stands still: it ends, and the home is closed with it.
fn logs_out(machine: &Ours, user: &str, console: &Console) -> Result<()> {
    console.send("exit")?;
    console.expect("login:")?;
    machine.becomes(user, "inactive")?;
    machine.nothing_open(user)
}

/// Pages with the mark of small files that may stay. Seen was one: what a shell had read from a pipe, in an unused place of a
/// slab that is in use, which nobody can write over.
const INLINE: usize = 2;

/// Whether of what was planted nothing is left, or no more than is known to stay now and then.
fn is_gone((kind, pages): (&str, usize)) -> bool {
    pages <= if kind == "inline" { INLINE } else { 0 }
}

/// She works, the machine sleeps and is searched, she types her password and works on.
fn sleep_and_wake(machine: &Ours) -> Result<Traces> {
    at_work(machine)?;
    machine.check(NO_READABLE_KEY)?;
    let key = volume_key(machine, "alice", PASSWORD)?;
    machine.command(DELETE).user("alice").check()?;
    let before = Traces::of(machine, &key)?;
    ensure!(!before.key.is_empty(), "the search does not find the key of an open home");
    let overwritten = machine.check("cat /proc/cmdline")?.contains("init_on_free=1");
    let there = |(kind, pages): &(&str, usize)| *pages > 0 || (overwritten && *kind == "deleted");
    ensure!(before.files.iter().all(there), "not planted: {before:?}");

    machine.suspend()?;
    let asleep = Traces::of(machine, &key)?;
    let mut places = machine.find_in_ram(MARK.as_bytes())?;
    places.extend(asleep.password.iter().map(|(_, place)| place));
    machine.wake()?;
    let pages = frames::explain(machine, &places)?;
    println!("asleep: {asleep:?}\nthe pages, as they are after waking:\n{pages}");
    ensure!(asleep.key.is_empty() && asleep.password.is_empty(), "{asleep:?}\n{pages}");
    ensure!(asleep.files.iter().all(|kind| is_gone(*kind)), "{asleep:?}\n{pages}");

    assert_eq!(machine.state("alice")?, "locked");
    let console = machine.console();
    console.expect("alice is locked")?;
    console.expect("assword")?;
    console.send("wrong")?;
    console.expect("try again")?;
    console.send(PASSWORD)?;
    console.expect("alice is unlocked")?;
    assert_eq!(console.shell("id -un; pwd")?.0, "alice\n/home/alice\n");
    goes_on(machine)?;
    Ok(asleep)
}

#[test]
fn the_original_beside_it() -> Result<()> {
    let machine = Machine::builder().image(Image::Peer).init(Init::Full).start()?;
    machine.check(&format!("NEWPASSWORD='{PASSWORD}' homectl create alice {}", homed_tests::CHEAP))?;
    at_work(&machine)?;
    assert_eq!(machine.run(NO_READABLE_KEY)?.status, 1);
    let key = volume_key(&machine, "alice", PASSWORD)?;
    machine.command(DELETE).user("alice").check()?;
    machine.suspend()?;
    let asleep = Traces::of(&machine, &key)?;
    println!("systemd-homed: {asleep:?}");
    // The search finds what is there: it would find it with ours.
    ensure!(!asleep.key.is_empty() && asleep.files.iter().all(|(_, pages)| *pages > 0), "{asleep:?}");
    machine.wake()
}

/// How often two users' machine sleeps; a hundred times takes a quarter of an hour.
fn rounds() -> usize {
    std::env::var("HOMED_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

#[test]
fn two_users_sleep_often_under_a_write_load_and_lose_nothing() -> Result<()> {
    let machine = Ours::full()?;
    let consoles = [machine.console(), machine.second_console()];
    for (user, console) in ["alice", "bob"].into_iter().zip(consoles) {
        machine.create(user, PASSWORD)?;
        console.login(user, PASSWORD)?;
        console.shell("(i=0; while :; do echo $((i++)); done) > count & echo $! > counter")?;
        console.shell("(while :; do head -c 300k /dev/urandom > data; done) & :")?;
    }
    for _ in 0..rounds() {
        machine.suspend()?;
        machine.wake()?;
        // Each at a terminal of their own, bob first: alice waits without harm.
        for console in consoles.into_iter().rev() {
            console.expect("assword")?;
            console.send(PASSWORD)?;
            console.expect("is unlocked").with_context(|| log(&machine))?;
        }
    }
    for user in ["alice", "bob"] {
        machine.check(&format!(
            "cd /home/{user}; before=$(wc -l < count); kill -0 $(cat counter)
            until [ $(wc -l < count) -gt $before ]; do sleep 0.1; done
            head -n $before count | awk '$1 != NR - 1 {{ exit 1 }}'"
        ))?;
    }
    let complaints =
        machine.check("dmesg | grep -E 'cut here|blocked for more than|BUG|BTRFS error' || :")?;
    ensure!(complaints.is_empty(), "the kernel complains:\n{complaints}");
    for (user, console) in ["alice", "bob"].into_iter().zip(consoles) {
        console.shell("kill %1 %2")?;
        logs_out(&machine, user, console)?;
    }
    Ok(())
}

fn log(machine: &Ours) -> String {
    machine.check("journalctl -b -o short-monotonic -n 120").unwrap_or_default()
}

/// The counter counts on, as the same process, with no number left out.
fn goes_on(machine: &Ours) -> Result<()> {
    machine.check(
        "cd /home/alice
        kill -0 $(cat counter)
        before=$(wc -l < count)
        until [ $(wc -l < count) -gt $((before + 5)) ]; do sleep 0.1; done
        head -n $((before + 5)) count | awk '$1 != NR - 1 { exit 1 }'",
    )?;
    Ok(())
}

#[test]
fn a_suspend_is_broken_off_when_a_home_cannot_be_locked() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", PASSWORD)?;
    let console = machine.console();
    console.login("alice", PASSWORD)?;
    machine.write_file("/run/homed/fault", "evict fail")?;
    machine.check("systemctl suspend; until systemctl is-failed homed-lock.service; do sleep 0.2; done")?;
    machine.check("while systemctl list-jobs | grep -q -E 'sleep|suspend'; do sleep 0.2; done")?;
    assert_eq!(console.shell("id -un; touch still-here && echo open")?.0, "alice\nopen\n");
    assert_eq!(machine.state("alice")?, "active");
    machine.check("dmesg | grep -q 'PM: suspend entry' && exit 1; :")?;

    // The next one works, and a second sleep while it is locked does too.
    machine.check("rm /run/homed/fault")?;
    machine.suspend()?;
    machine.wake()?;
    assert_eq!(machine.state("alice")?, "locked");
    machine.suspend()?;
    machine.wake()?;
    // A second login of the same user unlocks what the first has open.
    machine.second_console().login("alice", PASSWORD)?;
    assert_eq!(console.shell("ls still-here")?.0, "still-here\n");
    Ok(())
}

#[test]
fn a_machine_with_a_locked_home_shuts_down() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", PASSWORD)?;
    machine.console().login("alice", PASSWORD)?;
    machine.console().shell("echo kept > file")?;
    machine.done("lock alice", "", "")?;
    let machine = Ours(machine.0.shutdown()?.start()?);
    assert_eq!(machine.check("journalctl -b -1 -u homed | grep -c 'give up is done'")?.trim(), "1");
    machine.console().login("alice", PASSWORD)?;
    assert_eq!(machine.console().shell("cat file")?.0, "kept\n");
    Ok(())
}
