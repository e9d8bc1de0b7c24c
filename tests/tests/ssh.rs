//! ssh in all its ways: at home, or refused with a sentence and a failure. Never a shell in the root directory.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::Output;

/// Types the password at every question; once is enough.
const BY_PASSWORD: &str = "-o NumberOfPasswordPrompts=1 -o PubkeyAuthentication=no";

/// A program of ssh's, in an environment that answers for it.
fn run(machine: &Ours, program: &str, options: &str, rest: &str) -> Result<Output> {
    machine.run(&format!(
        "SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force timeout 60 setsid -w {program} \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {options} {rest}"
    ))
}

/// Alice, also called al, with a key, at home nowhere yet.
fn with_alice() -> Result<Ours> {
    let machine = Ours::full()?;
    // Refusals of one after another are what is tried here: sshd would close its door for that.
    machine.write_file("/etc/ssh/sshd_config.d/door.conf", "PerSourcePenalties no\n")?;
    machine.check("systemctl restart ssh; ssh-keygen -q -t ed25519 -N '' -f /root/key; printf '#!/bin/sh\\necho correcthorse\\n' > /root/ask; chmod +x /root/ask; echo text > /root/file")?;
    let options =
        format!("create alice {CHEAP} --alias=al --realm=example.org --ssh-authorized-keys=@/root/key.pub");
    machine.done(&options, "", "correcthorse")?;
    Ok(machine)
}

fn close(machine: &Ours) -> Result<()> {
    machine.run("homectl deactivate alice")?;
    machine.becomes("alice", "inactive")
}

#[test]
fn every_name_and_every_way_of_giving_the_password_leads_home() -> Result<()> {
    let machine = with_alice()?;
    for method in ["password", "keyboard-interactive"] {
        for name in ["alice", "al", "alice@example.org", "al@example.org"] {
            for round in 0..2 {
                close(&machine)?;
                let options = format!("{BY_PASSWORD} -o PreferredAuthentications={method} -l {name}");
                let output = run(&machine, "ssh", &options, "localhost 'pwd; id -un; touch f && ls f'")?;
                ensure!(
                    output.stdout == "/home/alice\nalice\nf\n",
                    "{name} by {method}, round {round}: {output:?}\n{}",
                    machine.check("journalctl -b -u ssh.service -u 'ssh@*' -u homed -o cat -n 30")?
                );
            }
        }
    }
    Ok(())
}

#[test]
fn programs_are_at_home_or_fail_with_a_sentence() -> Result<()> {
    let machine = with_alice()?;
    machine
        .check("cd /opt/neighbours && dpkg --install libpopt0_*.deb >&2 && dpkg --install rsync_*.deb >&2")?;
    machine.write_file("/root/batch", "put /root/file by-sftp\n")?;
    let by_key = "-i /root/key -o BatchMode=yes";
    let shell = |options: &str| {
        format!("rsync -e 'ssh -o StrictHostKeyChecking=no {options}' /root/file alice@localhost:by-rsync")
    };
    let ways = |machine: &Ours, options: &str| -> Result<Vec<Output>> {
        Ok(vec![
            run(machine, "ssh", options, "alice@localhost 'pwd; touch by-ssh'")?,
            run(machine, "scp", options, "/root/file alice@localhost:by-scp")?,
            run(machine, "sftp", options, "alice@localhost < /root/batch")?,
            machine.run(&format!(
                "SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force timeout 60 setsid -w {}",
                shell(options)
            ))?,
        ])
    };
    for output in ways(&machine, by_key)? {
        // rsync has a number of its own for a connection that does not come about.
        ensure!(output.status == 255 || output.status == 12, "{output:?}");
        ensure!(
            output.stderr.contains("not open") && output.stderr.contains("PubkeyAuthentication=no"),
            "{output:?}"
        );
    }
    close(&machine)?;
    for output in ways(&machine, &format!("{BY_PASSWORD} -o BatchMode=no"))? {
        ensure!(output.status == 0, "{output:?}");
    }
    // With the home open a key is enough.
    machine.becomes("alice", "inactive")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check("ls /home/alice")?, "by-rsync\nby-scp\nby-sftp\nby-ssh\n");
    let output = run(&machine, "ssh", by_key, "alice@localhost pwd")?;
    assert_eq!(output.stdout, "/home/alice\n", "{output:?}");
    homectl_of_another_host(&machine)?;
    // A key and the password besides open it as well.
    machine.write_file(
        "/etc/ssh/sshd_config.d/two.conf",
        "AuthenticationMethods publickey,password publickey,keyboard-interactive\n",
    )?;
    machine.check("systemctl reload ssh || systemctl restart ssh")?;
    for method in ["password", "keyboard-interactive"] {
        close(&machine)?;
        let options = format!(
            "-i /root/key -o NumberOfPasswordPrompts=1 -o PreferredAuthentications=publickey,{method}"
        );
        let output = run(&machine, "ssh", &options, "alice@localhost 'pwd; touch both && rm both'")?;
        ensure!(output.status == 0 && output.stdout == "/home/alice\n", "key and {method}: {output:?}");
    }
    Ok(())
}

/// `homectl -H` is homectl there: what it prints, what it says and how it ends.
fn homectl_of_another_host(machine: &Ours) -> Result<()> {
    machine.check(
        "mkdir -p -m 700 /root/.ssh; cat /root/key.pub >> /root/.ssh/authorized_keys
        printf 'Host localhost\\n StrictHostKeyChecking no\\n IdentityFile /root/key\\n' > /root/.ssh/config",
    )?;
    let (here, there) =
        (machine.check("homectl list -j")?, machine.check("homectl -H root@localhost list -j")?);
    ensure!(here == there && here.contains("alice"), "{here}\n{there}");
    machine.check("homectl --host=localhost update alice --offline --real-name=\"Alice O'Hara\"")?;
    ensure!(machine.check("homectl list -j | jq -r '.[0].realname'")?.trim() == "Alice O'Hara");
    let unknown = machine.run("homectl -Hlocalhost inspect nobody-of-ours")?;
    ensure!(unknown.status == 1 && unknown.stderr.contains("nobody-of-ours"), "{unknown:?}");
    Ok(())
}
