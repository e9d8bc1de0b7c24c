//! The stacks that `docs/PAM.md` has for other distributions, and those that were written for the original: each tried as
//! it stands there.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;

const DOCUMENT: &str = include_str!("../../docs/PAM.md");

/// A stack as manuals of the original have it: our module under its old name.
const ORIGINAL: &str = "\
auth     [success=done authtok_err=bad perm_denied=bad maxtries=bad default=ignore] pam_systemd_home.so
auth     sufficient pam_unix.so nullok try_first_pass
auth     required   pam_deny.so
account  [success=done authtok_expired=bad new_authtok_reqd=bad maxtries=bad acct_expired=bad default=ignore] pam_systemd_home.so
account  required   pam_unix.so
password sufficient pam_systemd_home.so
password sufficient pam_unix.so yescrypt shadow try_first_pass
password required   pam_deny.so
session  optional   pam_systemd_home.so
session  required   pam_unix.so
";

/// The block of the document that begins so.
fn documented(name: &str) -> Result<&'static str> {
    let (_, rest) = DOCUMENT.split_once(&format!("```pam {name}\n")).context("no such stack")?;
    Ok(rest.split_once("```").context("the stack has no end")?.0)
}

/// What a stack does for somebody who types these lines.
struct Talk {
    content: bool,
    said: String,
}

fn talk(machine: &Ours, words: &str, typed: &str) -> Result<Talk> {
    let run = format!("timeout 60 pamtester -I tty=/dev/tty9 {words} 2>&1");
    let output = machine.command(run).stdin(typed).run()?;
    ensure!(output.status != 124, "{words} hangs: {}", output.stdout);
    Ok(Talk { content: output.status == 0, said: output.stdout })
}

/// How many questions were asked.
fn questions(said: &str) -> usize {
    said.matches("assword: ").count()
}

#[test]
fn stacks_of_other_distributions_serve_everybody() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.check("useradd -m bob; echo bob:correcthorse | chpasswd")?;
    let login = "authenticate acct_mgmt open_session close_session";
    let (mut old, mut new) = ("correcthorse", "Batterystaple9");
    for (name, text) in [
        ("fedora", documented("fedora")?),
        ("arch", documented("arch")?),
        ("suse", documented("suse")?),
        ("original", ORIGINAL),
    ] {
        machine.write_file(&format!("/etc/pam.d/{name}"), text)?;
        for user in ["alice", "bob"] {
            let right = talk(&machine, &format!("{name} {user} {login}"), &format!("{old}\n"))?;
            ensure!(right.content && questions(&right.said) == 1, "{name}, {user}: {}", right.said);
            let wrong = talk(&machine, &format!("{name} {user} authenticate"), "wrong\nwrong\nwrong\n")?;
            ensure!(!wrong.content, "{name}, {user}, wrong password: {}", wrong.said);
        }
        let nobody = talk(&machine, &format!("{name} nosuch authenticate"), "wrong\nwrong\n")?;
        ensure!(!nobody.content, "{name}, nobody: {}", nobody.said);
        // Root changes bob's without the old one; alice's opens nothing without it.
        for (user, typed) in [("alice", format!("{old}\n{new}\n{new}\n")), ("bob", format!("{new}\n{new}\n"))]
        {
            if name == "original" && user == "bob" {
                continue; // Its order asks bob for nothing, and the next module expects that it has.
            }
            let changed = talk(&machine, &format!("{name} {user} chauthtok"), &typed)?;
            ensure!(changed.content, "{name}, {user}, change: {}", changed.said);
        }
        // A home that cannot be opened is nobody else's to decide about.
        machine.check("homectl deactivate alice; rmdir /home/alice; touch /home/alice")?;
        let broken = talk(&machine, &format!("{name} alice authenticate"), &format!("{new}\n{new}\n"))?;
        ensure!(!broken.content && broken.said.contains("alice"), "{name}: {}", broken.said);
        machine.check("rm /home/alice")?;
        (old, new) = (new, old);
    }
    Ok(())
}
