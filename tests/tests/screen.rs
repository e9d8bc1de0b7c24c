//! The machine with a screen: a true suspend, the prompt that a person sees after it, and what passes between the keyboard and a
//! session that is locked.

#[path = "screen/by_itself.rs"]
mod by_itself;
#[path = "screen/typed.rs"]
mod typed;

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::secrets::{traces_of_key, volume_key};
use machine::{Hardware, Image, Init, Machine, Screen, past_processor_faults};
use std::path::Path;

/// Counts in a file, as long as it may.
const COUNT: &str = "#!/bin/bash
cd; echo $$ > counter; i=0; while :; do echo $((i++)); sleep 0.1; done > count
";

/// Where pictures go: `HOMED_PICTURES`, else nowhere.
fn picture(screen: &Screen<'_>, name: &str) -> Result<()> {
    match std::env::var_os("HOMED_PICTURES") {
        Some(folder) => screen.picture(&Path::new(&folder).join(name)),
        None => Ok(()),
    }
}

/// alice works at the first terminal; the machine sleeps, is searched, and wakes.
fn slept() -> Result<Ours> {
    // Little memory: all that is free is written over, and its processor is computed.
    let settings =
        Machine::builder().image(Image::Ours).init(Init::Full).hardware(Hardware::Screen).memory(768);
    let machine = Ours(settings.start()?);
    machine.create("alice", "correcthorse")?;
    let screen = machine.screen()?;
    // login(1) ends itself after a minute, in which it may not have come to its question.
    machine.check("sed -i 's/^LOGIN_TIMEOUT.*/LOGIN_TIMEOUT 0/' /etc/login.defs")?;
    machine.write_file("/etc/default/keyboard", "XKBLAYOUT=\"us,de\"\n")?;
    machine.write_file("/etc/systemd/homed.conf", "[Prompt]\nLargeText=yes\nColors=white on blue\n")?;
    screen.write("alice\n")?;
    screen.await_text("tty1", "Password")?;
    screen.write("correcthorse\n")?;
    screen.await_text("tty1", "$ ")?;
    machine.write_file("/usr/local/bin/count", COUNT)?;
    machine.check("chmod +x /usr/local/bin/count")?;
    screen.write("count &\n")?;
    machine.check("until [ -s /home/alice/counter ]; do sleep 0.1; done")?;
    let key = volume_key(&machine, "alice", "correcthorse")?;
    ensure!(!traces_of_key(&machine, &key)?.is_empty(), "the search does not find the key of an open home");

    machine.suspend()?;
    let left = traces_of_key(&machine, &key)?;
    ensure!(left.is_empty(), "asleep: {left:?}");
    machine.wake()?;
    Ok(machine)
}

#[test]
fn after_a_true_suspend_the_prompt_is_in_front_and_gives_the_session_back() -> Result<()> {
    let machine = past_processor_faults(slept)?;
    let screen = machine.screen()?;
    let ours = screen.await_front(|front| front != "tty1")?;
    let seen = screen.await_text(&ours, "Password:")?;
    ensure!(seen.contains("alice is locked since") && seen.contains("F5 power off"), "{seen}");
    // CAP_SYS_TTY_CONFIG and CAP_DAC_OVERRIDE (linux/capability.h: bits 26 and 1).
    machine.check(
        "grep -q '^CapEff:\t0000000004000002$' /proc/$(systemctl show -P MainPID homed-prompt.service)/status",
    )?;
    what_is_typed_can_be_judged(&machine, &screen, &ours)?;
    picture(&screen, "prompt.png")?;
    screen.write("wrong\n")?;
    screen.await_text(&ours, "incorrect")?;
    picture(&screen, "wrong.png")?;
    assert_eq!(machine.state("alice")?, "locked");
    screen.write("correcthorse\n")?;
    screen.await_front(|front| front == "tty1")?;
    machine.check("until [ $(cat /sys/module/kernel/parameters/consoleblank) = 0 ]; do sleep 0.1; done")?;
    machine.check(
        "cd /home/alice; kill -0 $(cat counter); before=$(wc -l < count)
        until [ $(wc -l < count) -gt $((before + 5)) ]; do sleep 0.1; done
        head -n $before count | awk '$1 != NR - 1 { exit 1 }'",
    )?;
    // The keys are those of before, too.
    screen.write("echo as-be''fore\n")?;
    screen.await_text("tty1", "as-before")?;
    machine.check("test ! -e /run/homed/keymap")?;
    println!("{}", machine.check("uname -r; journalctl -b -u homed | grep -E 'locked[:,]'")?);
    typed::nothing_reaches_a_locked_session(&machine, &screen)?;
    by_itself::is_not_seen_and_gets_no_key(&machine, &screen, "")?;
    by_itself::is_not_seen_and_gets_no_key(&machine, &screen, "keep")?;
    its_keys_do_what_they_say(&machine, &screen)
}

/// The layout is said, Caps Lock too, and what is typed is shown when asked for. The screen does not stay on.
fn what_is_typed_can_be_judged(machine: &Ours, screen: &Screen<'_>, ours: &str) -> Result<()> {
    let seen = screen.await_text(ours, "QWERTY")?;
    ensure!(!seen.contains("Caps Lock"), "{seen}");
    screen.press("caps_lock")?;
    screen.await_text(ours, "Caps Lock is on")?;
    screen.write("ab")?;
    screen.press("f6")?;
    screen.await_text(ours, "Password: AB")?;
    screen.press("f6")?;
    screen.await_text(ours, "Password: **")?;
    screen.press("caps_lock")?;
    screen.press("ctrl-u")?;
    another_layout_is_tried(screen, ours)?;
    ensure!(machine.check("cat /sys/module/kernel/parameters/consoleblank")?.trim() == "60", "it stays on");
    Ok(())
}

/// The keys make the letters of a German keyboard: y and z, one with AltGr, and a dead accent. It stays so until the unlock.
fn another_layout_is_tried(screen: &Screen<'_>, ours: &str) -> Result<()> {
    screen.press("f7")?;
    screen.await_text(ours, "Keyboard: us, QWERTY")?;
    screen.press("f7")?;
    screen.await_text(ours, "Keyboard: de, QWERTZ")?;
    screen.press("f6")?;
    ["y", "z", "alt_r-q", "grave_accent", "spc"].iter().try_for_each(|key| screen.press(key))?;
    screen.await_text(ours, "Password: zy@^")?;
    screen.press("f6")?;
    screen.press("ctrl-u")
}

/// Two users are locked: one changes between them, to other logins, to sleep and off.
fn its_keys_do_what_they_say(machine: &Ours, screen: &Screen<'_>) -> Result<()> {
    machine.create("bob", "batterystaple")?;
    machine.done("activate bob", "batterystaple", "")?;
    typed::who_works_is_not_disturbed(machine, screen)?;
    machine.check("homectl lock-all")?;
    let ours = screen.await_front(|front| front != "tty1")?;
    // Whoever is locked first is the one that is chosen.
    if screen.await_text(&ours, "Tab another user")?.contains("> bob is locked") {
        screen.press("tab")?;
    }
    let seen = screen.await_text(&ours, "> alice is locked")?;
    ensure!(seen.contains("> alice is locked") && seen.contains("  bob is locked"), "{seen}");
    screen.press("tab")?;
    screen.await_text(&ours, "> bob is locked")?;
    picture(screen, "two.png")?;
    screen.write("batterystaple\n")?;
    machine.becomes("bob", "active")?;
    assert_eq!(machine.state("alice")?, "locked");

    // What is pressed before the next question is thrown away.
    screen.await_text(&ours, "Password:")?;
    screen.press("f7")?;
    screen.await_text(&ours, "Keyboard: us, QWERTY")?;
    screen.press("f7")?;
    screen.await_text(&ours, "Keyboard: de, QWERTZ")?;
    // Killed, it is there again, with the keyboard as it was. What the killed one had painted is wiped first: keys pressed on the strength of
    // that would find nobody who reads them.
    machine.check(&format!(
        "systemctl kill --signal=STOP homed-prompt.service
        until grep -q '^State:.T' /proc/$(systemctl show -P MainPID homed-prompt.service)/status; do sleep 0.1; done
        printf '\\033c' > /dev/{ours}
        systemctl kill --signal=KILL homed-prompt.service"
    ))?;
    let ours = screen.await_front(|front| front != "tty1")?;
    screen.await_text(&ours, "alice is locked since")?;
    screen.await_text(&ours, "Password:")?;
    screen.await_text(&ours, "Keyboard: us,de, QWERTY")?;
    machine.check("test ! -e /run/homed/keymap")?;
    screen.press("f2")?;
    let other = screen.await_front(|front| front != "tty1" && front != ours)?;
    screen.await_text(&other, "login:")?;
    screen.press(&format!("ctrl-alt-f{}", ours.trim_start_matches("tty")))?;
    screen.await_front(|front| front == ours)?;

    // Carried out they would take the machine away: that it is asked for is enough.
    machine.check("systemctl mask --runtime suspend.target poweroff.target 2>&1")?;
    presses(machine, screen, "f3", "suspend")?;
    let forbid = "systemd-run -q --unit=updates systemd-inhibit --what=shutdown --who=updates --why='being installed' sleep 1000
        until systemd-inhibit --list | grep updates; do sleep 0.1; done";
    machine.check(forbid)?;
    screen.press("f5")?;
    screen.await_text(&ours, "Press F5 again to power it off")?;
    screen.press("f5")?;
    screen.await_text(&ours, "Cannot power it off: updates: being installed")?;
    machine.check("systemctl stop updates")?;
    screen.press("f5")?;
    screen.await_text(&ours, "Press F5 again to power it off")?;
    presses(machine, screen, "f5", "power off")
}

/// logind is asked to do it by that key.
fn presses(machine: &Ours, screen: &Screen<'_>, key: &str, what: &str) -> Result<()> {
    let since = machine.check("date +@%s.%6N")?;
    screen.press(key)?;
    machine.check(&format!(
        "for try in $(seq 600); do
            journalctl -q -u systemd-logind -S {} -g 'The system will {what} now' | grep . && exit 0; sleep 0.1
        done
        journalctl -n 20 >&2; exit 1",
        since.trim()
    ))?;
    Ok(())
}
