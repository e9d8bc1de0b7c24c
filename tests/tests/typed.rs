//! What is typed on a serial line while its session is locked never reaches it.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use machine::Console;

const PASSWORD: &str = "correcthorse";
/// What is typed; the file is not there afterwards.
const TYPED: &str = "touch /tmp/typed";
/// So often. Less than a terminal keeps (4096 bytes): the lines of this machine stand still when they were full.
const FLOOD: usize = 100;

/// The session is there, and has got none of it.
fn nothing_came(machine: &Ours, console: &Console, when: &str) -> Result<()> {
    let (said, status) = console.shell("echo he''re")?;
    ensure!(status == 0 && said.trim() == "here", "{when}: {said}");
    ensure!(machine.run("ls /tmp/typed")?.status != 0, "{when}: what was typed was carried out");
    Ok(())
}

#[test]
fn what_is_typed_before_a_locked_session_never_reaches_it() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", PASSWORD)?;
    let console = machine.console();
    console.login("alice", PASSWORD)?;

    // It is seen to come where nobody is locked.
    console.send(TYPED)?;
    machine.check("until [ -e /tmp/typed ]; do sleep 0.1; done; rm /tmp/typed")?;
    console.shell("true")?;

    // Nobody has the line: the prompt has not come yet, and never will.
    machine.check("systemctl stop homed-prompt.path")?;
    machine.done("lock alice", "", "")?;
    (0..FLOOD).try_for_each(|_| console.send(TYPED))?;
    machine.done("unlock alice", PASSWORD, "")?;
    nothing_came(&machine, console, "before the prompt")?;

    // The prompt has it, and was killed.
    machine.check("systemctl start homed-prompt.path")?;
    machine.done("lock alice", "", "")?;
    console.expect("assword")?;
    machine.check("systemctl stop homed-prompt.path; systemctl kill -s KILL homed-prompt.service")?;
    (0..3).try_for_each(|_| console.send(TYPED))?;
    machine.check("systemctl start homed-prompt.path homed-prompt.service")?;
    console.expect("assword")?;
    // Typed right behind the password.
    console.send(&format!("{PASSWORD}\r{TYPED}\r{TYPED}"))?;
    console.expect("is unlocked")?;
    nothing_came(&machine, console, "behind the password")
}
