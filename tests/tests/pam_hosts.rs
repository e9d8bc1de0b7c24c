//! The module as a guest in other people's programs: what they may do it may, it keeps nobody waiting, and one of ours
//! is never handed on.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use std::time::{Duration, Instant};

/// Runs a conversation with a PAM stack, answered from standard input; gives what it said and the status.
const TALK: &str = "timeout 60 pamtester -I tty=/dev/tty9";

fn with_alice() -> Result<Ours> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.check("useradd -m bob; echo bob:Quartz7-lamp | chpasswd")?;
    Ok(machine)
}

/// What the stack says of alice with the right password, and whether it was content.
fn talk(machine: &Ours, words: &str) -> Result<(bool, String)> {
    let output = machine.command(format!("{TALK} {words} 2>&1")).stdin("correcthorse\n").run()?;
    ensure!(output.status != 124, "{words} hangs: {}", output.stdout);
    Ok((output.status == 0, output.stdout))
}

#[test]
fn it_makes_no_call_that_systemd_s_usual_filter_forbids() -> Result<()> {
    let machine = with_alice()?;
    let inside = |how: &str, words: &str, input: &str| {
        let run = format!(
            "systemd-run --quiet --pipe --wait --collect -p SystemCallFilter=@system-service {how} {words} 2>&1"
        );
        machine.command(run).stdin(input).run()
    };
    // The filter is in force, and kills.
    let killed = inside("", "unshare --mount true", "")?;
    ensure!(killed.status != 0, "{killed:?}");
    let hooks = "pamtester login alice authenticate acct_mgmt open_session close_session";
    for how in [
        "",
        "-p SystemCallErrorNumber=EPERM",
        "-p ProtectHome=yes -p PrivateDevices=yes -p MemoryDenyWriteExecute=yes -p RestrictAddressFamilies=AF_UNIX -p PrivateNetwork=yes -p LimitMEMLOCK=0",
    ] {
        let output = inside(how, hooks, "correcthorse\n")?;
        ensure!(output.status == 0, "{how}: {output:?}");
        let output = inside(how, "pamtester login alice authenticate", "wrong\nwrong\n")?;
        ensure!(output.status == 1 && output.stdout.contains("incorrect"), "{how}: {output:?}");
    }
    let change =
        inside("", "pamtester passwd alice chauthtok", "correcthorse\nbatterystaple9\nbatterystaple9\n")?;
    ensure!(change.status == 0, "{change:?}");
    // No thread, and nothing that the filter knows as none of its own.
    let trace = machine.command(
        "strace -f -qq -e trace=clone,clone3,fork,vfork,memfd_secret,rt_sigaction,io_uring_setup,socket -o /run/trace \
         pamtester homed-unlock alice authenticate; cat /run/trace",
    );
    let trace = trace.stdin("batterystaple9\n").run()?;
    ensure!(trace.stdout.contains("AF_UNIX"), "{trace:?}");
    for call in ["clone", "fork", "memfd_secret", "io_uring", "rt_sigaction(SIGCHLD"] {
        ensure!(!trace.stdout.contains(call), "{call}: {}", trace.stdout);
    }
    Ok(())
}

#[test]
fn a_daemon_that_hangs_costs_a_classic_user_nothing_and_anybody_six_seconds() -> Result<()> {
    let machine = with_alice()?;
    machine.check("systemctl kill --kill-whom=main --signal=STOP homed.service")?;
    // Only the module: NSS has its own patience.
    machine.write_file(
        "/etc/pam.d/only",
        "auth required pam_homed.so\naccount required pam_homed.so\nsession required pam_homed.so\n",
    )?;
    let took = |user: &str| -> Result<(Duration, String)> {
        let start = Instant::now();
        let run = format!("timeout 100 pamtester only {user} authenticate acct_mgmt open_session 2>&1");
        let output = machine.command(run).stdin("x\n").run()?;
        ensure!(output.status != 124, "{user}: {output:?}");
        Ok((start.elapsed(), output.stdout))
    };
    let (bob, _) = took("bob")?;
    let (stranger, _) = took("ldapuser")?;
    let (alice, said) = took("alice")?;
    println!("bob {bob:?}, a stranger {stranger:?}, alice {alice:?}: {said}");
    // What is measured has to do with the daemon: 5 s, and what starting programs costs here.
    ensure!(bob < Duration::from_secs(4), "{bob:?}");
    ensure!(stranger < Duration::from_secs(9) && alice < Duration::from_secs(9), "{stranger:?} {alice:?}");
    ensure!(said.contains("does not answer"), "{said}");
    machine.check("systemctl kill --kill-whom=main --signal=CONT homed.service")?;
    Ok(())
}

/// Ways in which a home cannot be opened though the password is right: what is done, and undone.
const OBSTACLES: [(&str, &str, &str); 6] = [
    ("a file where it is mounted", "rmdir /home/alice 2>/dev/null; touch /home/alice", "rm /home/alice"),
    ("a FIFO where it is mounted", "mkfifo /home/alice", "rm /home/alice"),
    ("/home read-only", "mount --bind /home /home; mount -o remount,ro,bind /home", "umount /home"),
    (
        "records read-only",
        "mount --bind /var/lib/systemd/home /var/lib/systemd/home; mount -o remount,ro,bind /var/lib/systemd/home",
        "umount /var/lib/systemd/home",
    ),
    (
        "no module for dm-crypt",
        "rmmod dm_crypt; mv /usr/lib/modules /usr/lib/modules.away",
        "mv /usr/lib/modules.away /usr/lib/modules; modprobe dm_crypt",
    ),
    (
        "the daemon is dead",
        "systemctl stop homed.service; systemctl mask --runtime homed.service",
        "systemctl unmask --runtime homed.service; systemctl start homed.service",
    ),
];

#[test]
fn whatever_fails_one_of_ours_gets_a_sentence_and_no_shell_in_the_root_directory() -> Result<()> {
    let machine = with_alice()?;
    machine.write_file("/root/ask", "#!/bin/sh\necho correcthorse\n")?;
    machine.check("chmod +x /root/ask")?;
    let ssh = "SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force timeout 60 setsid -w ssh -o StrictHostKeyChecking=no \
               -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1";
    for (what, make, undo) in OBSTACLES {
        machine.run(make)?;
        for hooks in ["authenticate", "acct_mgmt", "open_session"] {
            let (content, said) = talk(&machine, &format!("login alice {hooks}"))?;
            println!("{what}, {hooks}: {content} {said}");
            // A home that opens all the same is fine: then there is nothing to be told.
            ensure!(
                content == (machine.run("mountpoint -q /home/alice")?.status == 0),
                "{what}, {hooks}: {said}"
            );
            let words = said.lines().filter(|line| !line.starts_with("pamtester:") && line.len() > 20);
            ensure!(content || words.count() > 0, "{what}, {hooks}: no sentence: {said}");
            if content {
                machine.run("homectl deactivate alice")?;
            }
        }
        for method in ["password", "keyboard-interactive"] {
            let output = machine.run(&format!(
                "{ssh} -o PreferredAuthentications={method} alice@localhost 'pwd; touch f && echo written' 2>&1"
            ))?;
            println!("{what}, ssh by {method}: {} {}", output.status, output.stdout);
            let at_home = output.stdout.contains("/home/alice\nwritten");
            ensure!(at_home || !output.stdout.lines().any(|line| line == "/"), "{what}: {output:?}");
            machine.run("homectl deactivate alice")?;
        }
        machine.check(undo)?;
    }
    let (content, said) = talk(&machine, "login alice authenticate")?;
    ensure!(content, "afterwards: {said}");
    Ok(())
}

#[test]
fn one_typo_is_one_attempt() -> Result<()> {
    let machine = with_alice()?;
    let counted = || -> Result<u64> {
        let text = machine.check(
            "homectl inspect -j alice | jq '[.status[] | .badAuthenticationCounter // 0] + [.badAuthenticationCounter // 0] | max'",
        )?;
        Ok(text.trim().parse()?)
    };
    let before = counted()?;
    // A program that gives one answer to every question.
    machine.write_file("/root/ask", "#!/bin/sh\necho wrong\n")?;
    let ssh = machine.run(
        "chmod +x /root/ask; SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force timeout 60 setsid -w ssh \
         -o StrictHostKeyChecking=no -o NumberOfPasswordPrompts=1 -o PreferredAuthentications=password alice@localhost true",
    )?;
    ensure!(ssh.status == 255, "{ssh:?}");
    assert_eq!(counted()? - before, 1, "over ssh");
    let locker = machine
        .command("pamtester login alice authenticate 2>&1")
        .stdin("wrong\nwrong\nwrong\nwrong\n")
        .run()?;
    ensure!(locker.status == 1, "{locker:?}");
    assert_eq!(counted()? - before, 2, "by a locker");
    Ok(())
}
