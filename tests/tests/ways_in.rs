//! A locked home, and all the ways to it besides the prompt.

use anyhow::{Result, ensure};
use homed_tests::security_key::{SecurityKey, done};
use homed_tests::{CHEAP, Ours};
use machine::Output;
use std::time::{Duration, Instant};

const SOFTKEY: &str = env!("CARGO_BIN_EXE_softkey");
const PIN: &str = "7391";

/// Nothing may hang: ended after so many seconds, with status 124.
const BOUND: &str = "timeout 30 setsid --wait";

/// The options of an ssh that trusts every host.
const SSH: &str = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";

/// A machine where alice has an ssh key and is logged in at the first console, counting.
fn counting() -> Result<Ours> {
    let machine = Ours::full()?;
    machine.check("ssh-keygen -q -t ed25519 -N '' -f /root/key")?;
    let options = format!("create alice {CHEAP} --ssh-authorized-keys=@/root/key.pub");
    machine.done(&options, "", "correcthorse")?;
    machine.console().login("alice", "correcthorse")?;
    machine
        .console()
        .shell("(i=0; while :; do echo $((i++)); sleep 0.1; done) > count & echo $! > counter")?;
    machine.check("until [ -s /home/alice/count ]; do sleep 0.1; done")?;
    Ok(machine)
}

/// The home is open again, and the counter goes on without a gap.
fn goes_on(machine: &Ours) -> Result<()> {
    assert_eq!(machine.state("alice")?, "active");
    machine.check(
        "cd /home/alice; kill -0 $(cat counter); before=$(wc -l < count)
        until [ $(wc -l < count) -gt $before ]; do sleep 0.1; done
        head -n $before count | awk '$1 != NR - 1 { exit 1 }'",
    )?;
    Ok(())
}

fn lock(machine: &Ours) -> Result<()> {
    let locked = machine.homectl("lock alice", "", "")?;
    let log = || machine.check("journalctl -u homed -o cat | tail -n 20").unwrap_or_default();
    ensure!(locked.status == 0, "{}{}", locked.stderr, log());
    assert_eq!(machine.state("alice")?, "locked");
    Ok(())
}

fn refused(output: &Output) -> bool {
    output.status != 0 && output.status != 124
}

#[test]
fn who_has_no_password_at_hand_is_told_so_and_nothing_hangs() -> Result<()> {
    let machine = counting()?;
    // With the home open a key is enough.
    let key = format!("{SSH} -i /root/key -o BatchMode=yes");
    assert_eq!(machine.check(&format!("{BOUND} ssh {key} alice@localhost 'id -un'"))?, "alice\n");
    lock(&machine)?;
    machine.check("echo text > /root/file")?;
    for command in [
        format!("ssh {key} alice@localhost true"),
        format!("scp {key} /root/file alice@localhost:"),
        format!("sftp {key} alice@localhost"),
    ] {
        let output = machine.run(&format!("{BOUND} {command}"))?;
        ensure!(refused(&output) && output.status == 255, "{command}: {output:?}");
        ensure!(output.stderr.contains("Home of user alice is locked"), "{command}: {output:?}");
    }
    for command in ["su - alice -c true", "sudo -u alice true", "runuser -l alice -c true"] {
        let output = machine.run(&format!("{BOUND} {command}"))?;
        ensure!(output.status != 124, "{command} hangs: {output:?}");
        println!("{command}: {} {}", output.status, output.stderr);
    }
    // A service asks nobody. (From systemd 258 on it gets in where its password was left: `cargo xtask upstream subarea`.)
    for with in
        ["", "-p SetCredential=pam.authtok.login:wrong", "-p SetCredential=pam.authtok.other:correcthorse"]
    {
        let service = "systemd-run --quiet --pipe --wait --collect --uid=alice -p PAMName=login";
        let output = machine.run(&format!("{BOUND} {service} {with} id -un </dev/null"))?;
        ensure!(output.status == 224, "{with}: {output:?}");
    }
    assert_eq!(machine.state("alice")?, "locked");
    Ok(())
}

#[test]
fn whatever_runs_the_pam_stack_outside_of_the_session_unlocks() -> Result<()> {
    let machine = counting()?;
    // A second login, over ssh.
    lock(&machine)?;
    machine.write_file("/root/ask", "#!/bin/sh\necho correcthorse\n")?;
    machine.check(&format!(
        "chmod +x /root/ask; SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force {BOUND} ssh {SSH} \
         -o PreferredAuthentications=password,keyboard-interactive alice@localhost 'cat counter'"
    ))?;
    goes_on(&machine)?;
    // A second login, at another console.
    lock(&machine)?;
    machine.second_console().login("alice", "correcthorse")?;
    goes_on(&machine)?;
    // A greeter or a screen locker.
    machine.write_file("/root/password", "correcthorse\n")?;
    let unlock = |stack| format!("{BOUND} pamtester {stack} alice authenticate < /root/password");
    for stack in ["homed-unlock", "login"] {
        lock(&machine)?;
        machine.check(&unlock(stack))?;
        goes_on(&machine)?;
    }
    // What is broken is not called a wrong password, and nothing is done about it.
    lock(&machine)?;
    machine.check(
        "cd /root; dd if=/home/alice.home of=header bs=1M skip=1 count=16 status=none
        dd if=/dev/zero of=/home/alice.home bs=1M seek=1 count=16 conv=notrunc status=none",
    )?;
    let output = machine.run(&unlock("homed-unlock"))?;
    println!("{output:?}");
    ensure!(refused(&output) && !output.stdout.contains("ncorrect"), "{output:?}");
    ensure!(output.stderr.contains("damaged") || output.stdout.contains("damaged"), "{output:?}");
    machine.check("dd if=/root/header of=/home/alice.home bs=1M seek=1 conv=notrunc status=none")?;
    machine.check(&unlock("homed-unlock"))?;
    goes_on(&machine)
}

#[test]
fn agents_of_systemd_ask_password_are_asked_too() -> Result<()> {
    let machine = counting()?;
    machine.check("mkdir -p /etc/systemd/homed.conf.d")?;
    machine.write_file("/etc/systemd/homed.conf.d/agents.conf", "[Prompt]\nAgents=yes\n")?;
    lock(&machine)?;
    let waiting = "until ls /run/systemd/ask-password/ask.homed-alice-* >/dev/null 2>&1; do sleep 0.1; done";
    let question = machine.check(&format!("{waiting}; cat /run/systemd/ask-password/ask.homed-alice-*"))?;
    ensure!(
        question.contains("Id=homed:alice") && question.contains("home of alice is locked"),
        "{question}"
    );
    // Nobody but root may answer.
    machine.check("chmod 666 /run/systemd/ask-password/sck.homed-alice-*")?;
    machine.command(STRANGER).user("nobody").check()?;
    machine.write_file("/root/answer", ANSWER)?;
    machine.check(&format!("{BOUND} expect /root/answer wrong"))?;
    machine.check(&format!(
        "{waiting}; until grep -q incorrect /run/systemd/ask-password/ask.homed-alice-*; do sleep 0.1; done"
    ))?;
    machine.check(&format!("{BOUND} expect /root/answer correcthorse"))?;
    machine.check("until homectl list -j | grep -q '\"active\"'; do sleep 0.1; done")?;
    machine.check("until ! ls /run/systemd/ask-password/*homed* 2>/dev/null; do sleep 0.1; done")?;
    goes_on(&machine)
}

/// Sends the right password to the socket, by somebody who may not.
const STRANGER: &str = r#"
socket=$(sed -n s/^Socket=//p /run/systemd/ask-password/ask.homed-alice-*)
perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; send($s, "+correcthorse", 0, sockaddr_un($ARGV[0])) or die "$!"' "$socket"
"#;

/// Answers one question at a terminal, as a person does.
const ANSWER: &str = r#"
set timeout 20
spawn systemd-tty-ask-password-agent --query
expect {
    -re {is locked|PIN} { send "[lindex $argv 0]\r" }
    timeout { exit 1 }
}
expect eof
"#;

#[test]
fn agents_are_asked_for_the_pin_of_a_security_key() -> Result<()> {
    let machine = counting()?;
    machine.check("mkdir -p /etc/systemd/homed.conf.d")?;
    machine.write_file("/etc/systemd/homed.conf.d/agents.conf", "[Prompt]\nAgents=yes\n")?;
    machine.write_file("/root/answer", ANSWER)?;
    let key = SecurityKey::new(&machine, SOFTKEY, "a", Some(PIN))?;
    done(&machine, "update alice --fido2-device=auto", PIN, "correcthorse")?;
    // The prompt's.
    lock(&machine)?;
    key.touches()?;
    let asked = "until grep -q PIN /run/systemd/ask-password/ask.* 2>/dev/null; do sleep 0.1; done";
    machine.check(&format!("{asked}; {BOUND} expect /root/answer {PIN}"))?;
    machine.check("until homectl list -j | grep -q '\"active\"'; do sleep 0.1; done")?;
    ensure!(key.touches()? == 1, "it was the key");
    goes_on(&machine)?;
    // homectl's, where it has no terminal.
    machine.check(&format!(
        "setsid --wait homectl authenticate alice >/run/asked.log 2>&1 </dev/null & authenticated=$!
        {asked}; {BOUND} expect /root/answer {PIN}; wait $authenticated || {{ cat /run/asked.log >&2; exit 1; }}"
    ))?;
    ensure!(key.touches()? == 1, "it was the key");
    Ok(())
}

#[test]
fn wrong_passwords_cost_their_owner_time_and_nobody_else() -> Result<()> {
    let machine = counting()?;
    machine.create("bob", "batterystaple")?;
    machine.second_console().login("bob", "batterystaple")?;
    machine.done("lock-all", "", "")?;
    machine.write_file("/root/wrong", "wrong\n")?;
    machine.write_file("/root/password", "batterystaple\n")?;
    let try_once = || -> Result<Duration> {
        let start = Instant::now();
        let output =
            machine.run(&format!("{BOUND} pamtester homed-unlock alice authenticate < /root/wrong"))?;
        ensure!(refused(&output), "{output:?}");
        Ok(start.elapsed())
    };
    let mut costs = (0..5).map(|_| try_once()).collect::<Result<Vec<Duration>>>()?;
    println!("{costs:?}");
    // A busy host may be late with one or two of them.
    costs.sort_unstable();
    ensure!(costs[2] < Duration::from_secs(4), "a wrong password costs {costs:?}");
    // Bob does not wait for what alice did.
    let start = Instant::now();
    machine.check(&format!("{BOUND} pamtester homed-unlock bob authenticate < /root/password"))?;
    ensure!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!((machine.state("alice")?, machine.state("bob")?), ("locked".into(), "active".into()));
    Ok(())
}

#[test]
fn a_killed_daemon_forgives_no_wrong_password() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    for _ in 0..5 {
        machine.refused("authenticate alice", "wrong", "")?;
    }
    machine.kill_daemon()?;
    machine.start_daemon()?;
    let start = Instant::now();
    machine.refused("authenticate alice", "wrong", "")?;
    ensure!(start.elapsed() > Duration::from_secs(5), "it costs {:?} only", start.elapsed());
    Ok(())
}
