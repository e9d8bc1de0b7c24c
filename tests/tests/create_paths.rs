//! A home is made only where it can be kept and opened; what is in the way is named for what it is, and nothing of the new
//! home is left.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};

/// Options of `homectl create`, and what is said.
const REFUSED: &[(&str, &str)] = &[
    ("--image-path=/dev/nosuch", "is the device plugged in"),
    ("--image-path=/dev/loop1", "has 0 MiB"),
    ("--image-path=/dev/null", "character device"),
    ("--image-path=/dev/shm/x.home", "in memory"),
    ("--image-path=/run/x.home", "in memory"),
    ("--image-path=/proc/x", "no place for files"),
    ("--image-path=/nonexist/x.home", "has no \"nonexist\""),
    ("--image-path=/srv/link/x.home --home-dir=/home/alice", "home directory of alice"),
    ("--image-path=/srv", "is a folder"),
    ("--image-path=/etc/passwd", "is not a home"),
    ("--image-path=/home/alice.home", "image of alice's home"),
    ("--image-path=/srv/copy", "image of alice's home"),
    ("--image-path=/home/other2.home", "taken for the home of other2"),
    ("--image-path=/home/ip1", "below its own home"),
    ("--image-path=/home/alice/x.home", "home directory of alice"),
    ("--home-dir=/home/alice/sub", "home directory of alice"),
    ("--home-dir=/srv/new/deep5", "has no \"new\""),
    ("--home-dir=/proc/x", "no place for files"),
    ("--home-dir=/root", "is not empty"),
    ("--fs-type=ext4 --skel=/srv/large", "does not fit into a home of that size"),
    ("--skel=/nonexist", "/nonexist is not there"),
    ("--luks-pbkdf-hash-algorithm=sha9", "no hash is called"),
    ("--luks-pbkdf-type=argon2id --luks-pbkdf-memory-cost=8G", "it must be from 32 KiB to"),
    ("--luks-cipher=twofish", "not encrypted with"),
    ("--luks-volume-key-size=16", "not encrypted with"),
];

#[test]
fn what_activate_would_refuse_is_refused_and_nothing_is_made() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check(
        "mkdir -p /data /home/alice; ln -s /data /srv/link; mkdir /srv/large; truncate -s 300M /srv/large/f; cp --sparse=always /home/alice.home /srv/copy",
    )?;
    let all = "find /home /data /srv /dev /run -xdev -name '*.home' -o -name ip1 -o -name '*nosuch*' | sort; \
               ls /var/lib/systemd/home /home /srv /data";
    let before = machine.check(all)?;
    for (options, words) in REFUSED {
        let said = machine.refused(&format!("create ip1 {CHEAP} {options}"), "", "correcthorse")?;
        ensure!(said.contains(words), "{options}: {said}\n{}", machine.log());
        ensure!(!said.contains("unexpectedly") && !said.contains("homectl remove"), "{options}: {said}");
        let after = machine.check(all)?;
        ensure!(after == before, "{options}: {before}\n→\n{after}");
    }
    machine.nothing_open("ip1")?;
    // What is left has its name still: the same home, where it can be.
    machine.done(
        &format!("create ip1 {CHEAP} --image-path=/srv/link/ip1.home --home-dir=/srv/ip1"),
        "",
        "correcthorse",
    )?;
    machine.done("activate ip1", "correcthorse", "")?;
    machine.check("mountpoint -q /srv/ip1")?;
    machine.done("deactivate ip1", "", "")?;
    machine.done("remove ip1", "", "")?;
    machine.nothing_open("ip1")
}

#[test]
fn without_user_namespaces_a_home_is_refused_in_words_and_one_made_so_opens() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("echo 0 > /proc/sys/user/max_user_namespaces")?;
    let said = machine.refused("activate alice", "correcthorse", "")?;
    ensure!(said.contains("user.max_user_namespaces") && !said.contains("space ("), "{said}");
    ensure!(machine.state("alice")? == "inactive", "{}", machine.state("alice")?);
    machine.nothing_open("alice")?;
    machine.create("bob", "correcthorse")?;
    machine.done("activate bob", "correcthorse", "")?;
    machine.command("touch ~/mine").user("bob").check()?;
    machine.done("deactivate bob", "", "")?;
    machine.nothing_open("bob")
}

#[test]
fn where_home_is_a_link_homes_are_made_and_opened() -> Result<()> {
    let machine = Ours::small()?;
    machine.kill_daemon()?;
    machine.check("mkdir -p /data/home && rmdir /home && ln -s data/home /home")?;
    machine.start_daemon()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("echo kept > ~/file").user("alice").check()?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    machine.done("activate alice", "correcthorse", "")?;
    ensure!(machine.command("cat ~/file").user("alice").check()? == "kept\n", "the file is gone");
    machine.done("deactivate alice", "", "")?;
    machine.done("remove alice", "", "")?;
    ensure!(machine.check("ls -A /data/home")?.is_empty(), "something is left");
    Ok(())
}
