//! Kernels that lack something, or forbid it: a lock works there, or is refused in words before anything is touched.

use anyhow::{Result, ensure};
use homed_tests::secrets::{traces_of_key, volume_key};
use homed_tests::{CHEAP, Ours};
use machine::{Image, Init, Machine};

/// Starts a process that holds so many bytes in memory of its own, and perhaps a file in memory alone.
fn hold(machine: &Ours, user: &str, bytes: usize, in_file: usize) -> Result<()> {
    machine.write_file(
        "/run/hold",
        r#"my $own = "o" x $ARGV[0]; my $name = "kept"; open my $file, "+<&=", syscall(319, $name, 0) or die;
        print $file "f" x $ARGV[1]; $file->flush; open my $ready, ">", "/tmp/ready"; sleep 1 while 1"#,
    )?;
    // In a slice of the user's.
    machine.check(&format!(
        "rm -f /tmp/ready
        systemd-run --quiet --slice=user-$(id -u {user}).slice --uid={user} perl -MIO::Handle /run/hold {bytes} {in_file}
        until [ -e /tmp/ready ]; do sleep 0.1; done
        grep -q /user.slice/user-$(id -u {user}).slice/ /proc/$(pgrep -u {user} perl)/cgroup"
    ))?;
    Ok(())
}

/// KiB of a user's perl in memory of its own.
fn held(machine: &Ours, user: &str) -> Result<u64> {
    let text =
        machine.check(&format!("awk '/RssAnon/ {{ print $2 }}' /proc/$(pgrep -u {user} perl)/status"))?;
    Ok(text.trim().parse()?)
}

/// Runs homectl in a full machine; the error has the journal's end.
fn done(machine: &Ours, words: &str, password: &str) -> Result<()> {
    let output = machine.homectl(words, password, "")?;
    let journal = || machine.check("journalctl -b -u homed -o cat | tail -n 30");
    ensure!(output.status == 0, "homectl {words}: {}\n{}", output.stderr, journal()?);
    Ok(())
}

/// What a user's perl has is moved out by a lock at the level strict.
fn locks_strictly(machine: &Ours) -> Result<()> {
    hold(machine, "alice", 60_000_000, 0)?;
    ensure!(held(machine, "alice")? > 50_000, "nothing is held");
    done(machine, "lock alice", "")?;
    let left = held(machine, "alice")?;
    ensure!(left < 4 << 10, "{left} KiB stay in memory");
    done(machine, "unlock alice", "correcthorse")?;
    machine.check("pkill -KILL -u alice perl; while pgrep -u alice perl; do sleep 0.1; done >/dev/null")?;
    Ok(())
}

/// Has the daemon started without these system calls.
fn without(machine: &Ours, calls: &str) -> Result<()> {
    machine.check(&format!(
        "mkdir -p /etc/systemd/system/homed.service.d
        printf '[Service]\\nSystemCallFilter=~{calls}\\n' > /etc/systemd/system/homed.service.d/small.conf
        systemctl daemon-reload && systemctl restart homed.service"
    ))?;
    Ok(())
}

/// All that a home goes through with the key at hand, and locked no key is in memory.
fn goes_through_all(machine: &Ours) -> Result<()> {
    opened(machine, "cache")?;
    let key = volume_key(machine, "alice", "correcthorse")?;
    machine.check("echo text > /home/alice/file; sync")?;
    done(machine, "lock alice", "")?;
    assert_eq!(machine.state("alice")?, "locked");
    machine.check("! cat /home/alice/file 2>/dev/null")?;
    let traces = traces_of_key(machine, &key)?;
    ensure!(traces.is_empty(), "{traces:?}");
    done(machine, "unlock alice", "correcthorse")?;
    machine.check("grep -q text /home/alice/file")?;
    ensure!(!traces_of_key(machine, &key)?.is_empty(), "the search does not find the key of an open home");
    done(machine, "resize alice 300M", "")?;
    done(machine, "resize alice 256M", "correcthorse")?;
    done(machine, "deactivate alice", "")?;
    machine.nothing_open("alice")
}

fn opened(machine: &Ours, level: &str) -> Result<()> {
    machine.done(&format!("create alice {CHEAP} --lock-level={level}"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    Ok(())
}

#[test]
fn without_a_memory_controller_processes_are_moved_and_files_in_memory_refused() -> Result<()> {
    let settings = Machine::builder().image(Image::Ours).init(Init::Full);
    let machine = Ours(settings.kernel_argument("cgroup_disable=memory").start()?);
    opened(&machine, "strict")?;
    machine.check("! [ -e /sys/fs/cgroup/user.slice/memory.stat ]")?;
    hold(&machine, "alice", 60_000_000, 30_000_000)?;
    let said = machine.refused("lock alice", "", "")?;
    ensure!(said.contains("files in memory alone") && said.contains("cgroup_disable=memory"), "{said}");
    assert_eq!(machine.state("alice")?, "active");
    machine.check(
        "[ $(wc -l < /proc/swaps) = 1 ] && awk '$3 == \"T\" { exit 1 }' /proc/$(pgrep -u alice perl)/stat",
    )?;
    machine.check("pkill -KILL -u alice perl; while pgrep -u alice perl; do sleep 0.1; done >/dev/null")?;
    locks_strictly(&machine)
}

#[test]
fn without_an_account_of_swap_processes_are_moved() -> Result<()> {
    let settings = Machine::builder().image(Image::Ours).init(Init::Full);
    let machine = Ours(settings.kernel_argument("swapaccount=0").start()?);
    opened(&machine, "strict")?;
    locks_strictly(&machine)
}

#[test]
fn without_key_rings_and_secret_memory_nothing_is_missing() -> Result<()> {
    let machine = Ours::full()?;
    without(&machine, "keyctl add_key request_key memfd_secret")?;
    goes_through_all(&machine)
}

#[test]
fn without_user_namespaces_it_is_said_what_is_not_allowed() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check("echo 0 > /proc/sys/user/max_user_namespaces")?;
    let output = machine.homectl("activate alice", "correcthorse", "")?;
    ensure!(!output.stderr.contains("disk space"), "{}", output.stderr);
    ensure!(
        output.status == 0 || output.stderr.contains("max_user_namespaces"),
        "{}\n{}",
        output.stderr,
        machine.log()
    );
    if output.status != 0 {
        machine.nothing_open("alice")?;
        machine.check("echo 1000 > /proc/sys/user/max_user_namespaces")?;
        machine.done("activate alice", "correcthorse", "")?;
    }
    Ok(())
}

#[test]
fn without_the_ciphers_of_the_kernel_for_programs_a_home_locks_and_unlocks() -> Result<()> {
    let machine = Ours::small()?;
    machine.check("modprobe -r algif_skcipher 2>/dev/null; for m in algif_skcipher algif_hash af_alg; do echo install $m /bin/false; done > /etc/modprobe.d/no-alg.conf; modprobe -r algif_hash af_alg 2>/dev/null; ! grep -q af_alg /proc/modules")?;
    opened(&machine, "cache")?;
    machine.done("lock alice", "", "")?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

#[test]
fn settings_of_the_kernel_come_back_after_a_kill() -> Result<()> {
    let machine = Ours::small()?;
    opened(&machine, "cache")?;
    let settings =
        "cd /proc/sys/vm; grep . swappiness watermark_boost_factor min_free_kbytes watermark_scale_factor";
    let before = machine.check(settings)?;
    machine.done("lock alice", "", "")?;
    assert_eq!(machine.check(settings)?, before);
    machine.check("! ls /run/homed/settings-* 2>/dev/null")?;
    machine.done("unlock alice", "correcthorse", "")?;
    // As a worker leaves it that is killed in the midst: a note of what was, and the new values.
    machine.check(
        "cd /proc/sys/vm; for s in swappiness min_free_kbytes; do echo /proc/sys/vm/$s $(cat $s); done > /run/homed/settings-scrub
        echo 0 > swappiness; echo 1024 > min_free_kbytes",
    )?;
    machine.done("lock alice", "", "")?;
    assert_eq!(machine.check(settings)?, before);
    machine.check("! ls /run/homed/settings-* 2>/dev/null").map(drop)
}

#[test]
fn several_homes_that_are_locked_together_are_swept_once() -> Result<()> {
    let machine = Ours::small()?;
    for user in ["alice", "bob", "carol"] {
        machine.done(&format!("create {user} {CHEAP} --lock-level=cache"), "", "correcthorse")?;
        machine.done(&format!("activate {user}"), "correcthorse", "")?;
    }
    let dropped = "awk '/^drop_pagecache/ { print $2 }' /proc/vmstat";
    let before: u64 = machine.check(dropped)?.trim().parse()?;
    machine.done("lock-all", "", "")?;
    let after: u64 = machine.check(dropped)?.trim().parse()?;
    // A sweep drops them in two rounds; one that begins when another is done is swept by itself.
    ensure!(
        (2..=4).contains(&(after - before)),
        "caches were dropped {} times for three homes",
        after - before
    );
    for user in ["alice", "bob", "carol"] {
        assert_eq!(machine.state(user)?, "locked");
    }
    Ok(())
}
