//! A session that has the keyboard and the graphics card open by itself, beside its terminal.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::green::{green, until_green};
use machine::Screen;

const DRAWS: &str = include_str!("by_itself.pl");
/// What it has read so far, by the numbers of linux/input-event-codes.h.
const KEYS: &str = "/tmp/keys";
const KEY_A: &str = "30";
const KEY_B: &str = "48";

/// alice works at the first terminal, and starts something that draws and reads by itself; `keep`: it gives nothing up.
/// Locked, the prompt is seen and it is not; of what is typed it gets nothing; after the unlock all is as before.
pub fn is_not_seen_and_gets_no_key(machine: &Ours, screen: &Screen<'_>, keep: &str) -> Result<()> {
    machine.write_file("/usr/local/bin/draws", DRAWS)?;
    machine.check("chmod +x /usr/local/bin/draws; chmod a+r /dev/input/event*; rm -f /tmp/keys /tmp/said")?;
    let link = "ln -sf $(realpath /dev/input/by-path/*-event-kbd) /tmp/keyboard";
    machine.check(link)?;
    machine.write_file("/tmp/draw", format!("exec draws /tmp/keyboard {KEYS} {keep} > /tmp/said 2>&1\n"))?;
    screen.write("sh /tmp/draw\n")?;
    until_green(screen).map_err(|error| error.context(machine.check("cat /tmp/said").unwrap_or_default()))?;
    screen.press("a")?;
    await_keys(machine, KEY_A)?;

    machine.check("homectl lock alice")?;
    let ours = screen.await_front(|front| front != "tty1")?;
    screen.await_text(&ours, "Password:")?;
    for key in ["z", "q", "ctrl-alt-f1", "z", "q", "q"] {
        screen.hurry(key)?;
        let seen = green(&screen.look()?);
        ensure!(seen == 0, "the locked session was seen");
    }
    let ours = screen.await_front(|front| front != "tty1")?;
    screen.await_text(&ours, "Password:")?;
    ensure!(screen.look()?.dots().any(|dot| dot != [0, 0, 0]), "the prompt is not seen");
    screen.press("ctrl-u")?;
    screen.write("correcthorse\n")?;
    machine.becomes("alice", "active")?;
    screen.await_front(|front| front == "tty1")?;
    until_green(screen)?;
    screen.press("b")?;
    await_keys(machine, KEY_B)?;
    let keys = machine.check(&format!("cat {KEYS}"))?;
    let keys: Vec<&str> = keys.lines().collect();
    ensure!(keys == [KEY_A, KEY_B], "the locked session has got keys: {keys:?}");
    machine.check("pkill draws; while pgrep draws; do sleep 0.1; done")?;
    // What the terminal itself has kept of it.
    screen.press("ctrl-u")
}

fn await_keys(machine: &Ours, key: &str) -> Result<()> {
    machine.check(&format!(
        "for try in $(seq 600); do grep -qx {key} {KEYS} && exit 0; sleep 0.1; done; cat {KEYS}; exit 1"
    ))?;
    Ok(())
}
