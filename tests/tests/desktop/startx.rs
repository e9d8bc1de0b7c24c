//! X that a user starts herself, from her text terminal (`startx`): the server is in her own session and is frozen with it.

use super::{BOUND, Session, machine};
use anyhow::{Result, ensure};
use homed_tests::Ours;
use machine::Screen;

/// All of the screen is a terminal.
const GREEN: &str = "#!/bin/sh
exec xterm -geometry 300x100+0+0 -bg '#00ff00' -fg black -e bash --norc -i
";
/// The server keeps root's rights, as it must where the kernel does not drive the graphics card: Xwrapper.config(5).
const AS_ROOT: &str = "allowed_users=console\nneeds_root_rights=yes\n";

/// alice is logged in at the first terminal and types this.
fn starts(machine: &Ours, screen: &Screen<'_>, what: &str) -> Result<()> {
    screen.write(&format!("{what}\n"))?;
    machine
        .command("for try in $(seq 3000); do pgrep -u alice xterm && exit 0; sleep 0.1; done; cat /dev/vcs1; exit 1")
        .timeout(BOUND)
        .check()?;
    Ok(())
}

/// The machine sleeps and wakes: the prompt is there, and then the session as it was.
fn sleeps_and_comes_back(session: &Session<'_>) -> Result<()> {
    session.machine.suspend()?;
    session.machine.wake()?;
    session.await_prompt()?;
    session.comes_back()
}

/// It ends, and the shell beneath has got nothing of what was typed.
fn gives_way_to_its_shell(session: &Session<'_>) -> Result<()> {
    let screen = session.screen;
    screen.write("\nexit\n")?;
    session.machine.check("while pgrep -u alice Xorg >&2; do sleep 0.1; done")?;
    screen.await_front(|front| front == "tty1")?;
    screen.write("clear; echo under''neath\n")?;
    let seen = screen.await_text("tty1", "underneath")?;
    ensure!(!seen.contains("zq"), "{seen}");
    Ok(())
}

#[test]
fn a_locked_session_of_startx_is_not_seen_and_gets_no_key() -> Result<()> {
    let machine = machine()?;
    machine.write_file("/usr/local/bin/green", GREEN)?;
    // login(1) ends itself after a minute, in which it may not have come to its question.
    machine.check(
        "chmod +x /usr/local/bin/green; sed -i 's/^LOGIN_TIMEOUT.*/LOGIN_TIMEOUT 0/' /etc/login.defs",
    )?;
    let screen = machine.screen()?;
    screen.write("alice\n")?;
    screen.await_text("tty1", "Password")?;
    screen.write("correcthorse\n")?;
    screen.await_text("tty1", "$ ")?;

    // The server is alice's, and has its devices from logind.
    starts(&machine, &screen, "startx /usr/local/bin/green")?;
    let session = Session { machine: &machine, screen: &screen, at: "tty1", keys: "ctrl-alt-f1" };
    session.is_out_of_reach()?;
    sleeps_and_comes_back(&session)?;
    gives_way_to_its_shell(&session)?;

    // It is root's, has its devices by itself, and is on another terminal than the session.
    machine.write_file("/etc/X11/Xwrapper.config", AS_ROOT)?;
    starts(&machine, &screen, "startx /usr/local/bin/green -- vt8")?;
    let session = Session { machine: &machine, screen: &screen, at: "tty8", keys: "ctrl-alt-f8" };
    session.is_out_of_reach()?;
    gives_way_to_its_shell(&session)
}
