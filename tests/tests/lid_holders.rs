//! Everything that holds a home is locked with it and goes on after one unlock; the package may change meanwhile.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;
use machine::our_package;

/// Kinds of holders, each counting in a file of its name.
const HOLDERS: [&str; 5] = ["console", "ssh", "manager", "service", "shell"];

/// Counts in the home.
const COUNT: &str = "#!/bin/sh\ni=0; while :; do echo $((i = i + 1)); sleep 0.1; done > /home/alice/$1\n";

/// Her slice is frozen, and what runs as she elsewhere is stopped.
const STAND_STILL: &str = "
slice=user-$(id -u alice).slice
grep -qx 'frozen 1' /sys/fs/cgroup/user.slice/$slice/cgroup.events
for pid in $(pgrep -u alice); do
    grep -q $slice /proc/$pid/cgroup || grep -q '^State:.[TZ]' /proc/$pid/status || { ps -fp $pid; exit 1; }
done
[ $(pgrep -u alice | wc -l) -ge 5 ]";

/// Numbers each holder has counted.
fn counted(machine: &Ours) -> Result<Vec<usize>> {
    let text =
        machine.check(&format!("cd /home/alice && wc -l {} | awk '{{ print $1 }}'", HOLDERS.join(" ")))?;
    Ok(text.lines().take(HOLDERS.len()).map(|line| line.parse()).collect::<Result<_, _>>()?)
}

/// All of them count on, with no number left out.
fn all_count(machine: &Ours) -> Result<()> {
    machine.check(&format!(
        "cd /home/alice; for who in {}; do
            before=$(cat $who 2>/dev/null | wc -l)
            for try in $(seq 600); do [ $(cat $who 2>/dev/null | wc -l) -gt $((before + 2)) ] && break; sleep 0.1; done
            [ $(wc -l < $who) -gt $((before + 2)) ] || {{ echo $who stands still; exit 1; }}
            awk '$1 != NR {{ exit 1 }}' $who || {{ echo $who has a gap; exit 1; }}
        done",
        HOLDERS.join(" ")
    ))?;
    Ok(())
}

#[test]
fn all_kinds_of_holders_stand_still_and_go_on_after_one_unlock() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.write_file("/usr/local/bin/count", COUNT)?;
    machine.check("chmod 755 /usr/local/bin/count; loginctl enable-linger alice")?;
    let console = machine.console();
    console.login("alice", "correcthorse")?;
    console.shell("count console & systemd-run --user -q count manager; :")?;
    machine.write_file(
        "/run/ssh",
        "set timeout -1\nspawn ssh -o StrictHostKeyChecking=no alice@localhost\nexpect assword\n\
         send \"correcthorse\\r\"\nexpect \"\\$ \"\nsend \"count ssh\\r\"\nexpect eof\n",
    )?;
    machine.check(
        "expect /run/ssh > /run/ssh.log 2>&1 &
        systemd-run -q --uid=alice count service
        setsid setpriv --reuid=alice --regid=alice --clear-groups count shell </dev/null >/dev/null 2>&1 &",
    )?;
    all_count(&machine)?;

    // Twice, the second time from the prompt.
    for _ in 0..2 {
        machine.suspend()?;
        machine.wake()?;
        assert_eq!(machine.state("alice")?, "locked");
    }
    ensure!(machine.run("ls /home/alice/console")?.status != 0, "somebody comes in");
    machine.check(STAND_STILL)?;

    // The package is installed again, and another daemon is started, while it is locked and while it is open.
    machine.copy_in(&our_package()?, "/run/homed.deb")?;
    let install = "DEBIAN_FRONTEND=noninteractive dpkg -i /run/homed.deb 2>&1; systemctl is-active homed";
    machine.check(install)?;
    machine.check(
        "! env -u JOURNAL_STREAM /usr/lib/homed/homed 2> /run/second; grep -q 'runs already' /run/second",
    )?;
    assert_eq!(machine.state("alice")?, "locked");
    console.expect("assword")?;
    console.send("correcthorse")?;
    console.expect("alice is unlocked")?;
    all_count(&machine)?;
    let before = counted(&machine)?;
    machine.check(install)?;
    assert_eq!(machine.state("alice")?, "active");
    all_count(&machine)?;
    ensure!(counted(&machine)?.iter().zip(before).all(|(now, before)| *now > before), "one began anew");
    assert_eq!(console.shell("id -un")?.0, "alice\n");

    // The homes are still known as held: the last session closes hers.
    machine.check("loginctl disable-linger alice; systemctl stop 'run-*.service'; pkill -u alice -f 'count shell'; pkill expect")?;
    console.send("kill %1; exit")?;
    machine.check("for try in $(seq 600); do homectl list -j | jq -e '.[0].state == \"inactive\"' && exit 0; sleep 0.1; done; homectl list; exit 1")?;
    machine.nothing_open("alice")
}

#[test]
fn sessions_that_end_in_a_lock_do_not_break_it_off() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    // Her slice comes and goes all the time: systemd stops it with the last unit in it.
    machine.check(
        "uid=$(id -u alice); cat >/run/sessions <<END
while :; do systemd-run --quiet --collect --wait --slice=user-$uid.slice --uid=$uid true; echo; done
END
         for n in 1 2; do systemd-run --quiet --unit sessions-$n sh -c 'exec sh /run/sessions >/run/ended.'$n; done
         until [ $(wc -l </run/ended.1) -gt 2 ]; do sleep 0.1; done",
    )?;
    for round in 0..6 {
        machine.done("lock alice", "", "").with_context(|| format!("round {round}"))?;
        machine.done("unlock alice", "correcthorse", "").with_context(|| {
            format!("round {round}: {:?}", machine.check("journalctl -u homed -o cat -n 30"))
        })?;
        let ended = machine.check("cat /run/ended.* | wc -l")?;
        machine.check(&format!(
            "for try in $(seq 600); do [ $(cat /run/ended.* | wc -l) -gt {} ] && exit; sleep 0.1; done; exit 1",
            ended.trim()
        ))?;
    }
    machine.check("systemctl stop sessions-1 sessions-2")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// Outside of every session: a process that is another one every 20 ms, and a tree that grows and withers all the time.
const FORKS: [&str; 2] = [
    "for (my $n = 1; ; $n++) {
        select undef, undef, undef, 0.02;
        my $file;
        select undef, undef, undef, 0.02 until open $file, '>>', '/home/alice/hops';
        print $file \"$n\\n\"; close $file;
        exit 0 if fork;
    }",
    "$SIG{CHLD} = 'IGNORE';
    while (1) { if (!fork) { fork; fork; select undef, undef, undef, 0.05; exit 0 } select undef, undef, undef, 0.01 }",
];

/// Processes of hers that are not stopped, after a look at all of them.
const RUNNING: &str = "ps -o pid=,stat=,args= -u $(stat -c %u /run/owned) | awk '$2 !~ /^[TZX]/'";

#[test]
fn who_forks_while_it_is_stopped_stands_still_too() -> Result<()> {
    let machine = Ours::small()?;
    machine.done(&format!("create alice {}", homed_tests::CHEAP), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("cp -p /home/alice/.bashrc /run/owned 2>/dev/null || { touch /run/owned; chown --reference=/home/alice /run/owned; }")?;
    for (number, script) in FORKS.iter().enumerate() {
        machine.write_file(&format!("/run/forks{number}"), script)?;
        machine.check(&format!(
            "setsid setpriv --reuid=alice --regid=alice --clear-groups perl /run/forks{number} </dev/null >/dev/null 2>&1 &"
        ))?;
    }
    machine.check("until [ $(cat /home/alice/hops 2>/dev/null | wc -l) -gt 3 ]; do sleep 0.1; done")?;
    for round in 0..12 {
        machine.done("lock alice", "", "").with_context(|| format!("round {round}: {}", machine.log()))?;
        let running = machine.check(RUNNING)?;
        ensure!(running.is_empty(), "round {round}: behind a lock there run\n{running}");
        machine.done("unlock alice", "correcthorse", "").with_context(|| format!("round {round}"))?;
        let hops = machine.run(
            "cd /home/alice; before=$(wc -l <hops)
            for try in $(seq 300); do [ $(wc -l <hops) -gt $((before + 3)) ] && break; sleep 0.1; done
            [ $(wc -l <hops) -gt $((before + 3)) ] && awk '$1 != NR { exit 1 }' hops || { tail -n 3 hops; ps -efH; exit 1; }",
        )?;
        ensure!(hops.status == 0, "round {round}: {}{}", hops.stdout, machine.log());
    }
    Ok(())
}

/// A virtual machine of the system's, a container, a backup: not frozen, and in the way of a sleep once they use what they have open.
#[test]
fn who_has_files_open_and_is_not_of_the_user_is_named() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(
        "touch /home/alice/disk; setsid setpriv --reuid=alice --regid=alice --clear-groups sleep 5003 </home/alice/disk >/dev/null 2>&1 &",
    )?;
    machine.done("lock alice", "", "")?;
    ensure!(!machine.log().contains("go on: "), "{}", machine.log());
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check(
        "setsid perl -e 'open(my $disk, \"<\", \"/home/alice/disk\") or die; $0 = \"backup\"; sleep 5001' </dev/null >/dev/null 2>&1 &
        mkdir -p /run/there; setsid unshare -m sh -c 'mount --bind /home/alice /run/there && umount /home/alice && exec sleep 5002 9</run/there/disk' \
            </dev/null >/dev/null 2>&1 &
        until ls -l /proc/$(pgrep -x backup)/fd | grep -q alice && pgrep -fx 'sleep 5002'; do sleep 0.05; done",
    )?;
    machine.done("lock alice", "", "")?;
    let log = machine.log();
    let named = log.lines().find(|line| line.contains("have files of the home open and go on: "));
    ensure!(named.is_some_and(|line| line.contains("backup (") && line.contains("sleep (")), "{log}");
    ensure!(named.is_some_and(|line| line.matches(" (").count() == 2), "{named:?}");
    machine.check("pkill -x backup; pkill -fx 'sleep 500[123]'")?;
    machine.done("unlock alice", "correcthorse", "").map(drop)
}
