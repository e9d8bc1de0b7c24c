//! Somebody at the keyboard goes to the terminal of a locked session, types, and looks.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::green::{green, until_green};
use machine::Screen;

/// How often it is tried.
const TIMES: usize = 20;
/// What is typed: in no word that is seen there otherwise.
const TYPED: &str = "zqzq";
/// The session has all of its terminal in green, which the prompt has nothing of.
const GREEN: &str = "printf '\\033[42m\\033[2J\\033[H'";
/// And as it was.
const PLAIN: &str = "printf '\\033[0m\\033[2J\\033[H'";

/// Has the kernel draw a terminal's letters as in one of its own fonts: KDFONTOP of ioctl_console(2), KD_FONT_OP_SET_DEFAULT.
fn font(machine: &Ours, terminal: &str, name: &str) -> Result<()> {
    machine
        .check(&format!(
            "perl -e 'my $call = pack(\"L5 x4 p\", 2, 0, 0, 0, 0, \"{name}\");
            open(my $tty, \"+<\", \"/dev/{terminal}\") or die $!; ioctl($tty, 0x4B72, $call) or die $!'"
        ))
        .map(drop)
}

/// carol is locked while alice, who works at the first terminal, is not: she is not disturbed. The prompt is found, in carol's
/// language and with her name.
pub fn who_works_is_not_disturbed(machine: &Ours, screen: &Screen<'_>) -> Result<()> {
    machine.create("carol --language=de_DE.UTF-8 --real-name='Carol Jones'", "batterystaple")?;
    machine.done("activate carol", "batterystaple", "")?;
    // Of small letters there are enough for those that are twice as large.
    font(machine, "tty12", "VGA8x8")?;
    machine.check("homectl lock carol || { journalctl -b -o cat -u homed -n 30 >&2; exit 1; }")?;
    screen.write("echo undis''turbed\n")?;
    screen.await_text("tty1", "undisturbed")?;
    machine.check("until [ -e /run/homed/prompt ]; do sleep 0.1; done")?;
    assert_eq!(machine.check("cat /sys/class/tty/tty0/active")?.trim(), "tty1");
    screen.press("ctrl-alt-f12")?;
    screen.await_text("tty12", "Carol Jones (carol) ist gesperrt seit")?;
    screen.await_text("tty12", "Passwort:")?;
    let sizes = machine.check("for tty in tty1 tty12; do stty -F /dev/$tty size; done")?;
    ensure!(sizes == "37 100\n37 50\n", "rows and columns: {sizes}");
    screen.write("batterystaple\n")?;
    machine.becomes("carol", "active")?;
    screen.press("ctrl-alt-f1")?;
    screen.await_front(|front| front == "tty1").map(drop)
}

/// alice works at the first terminal. Locked, her session gets no key, and no picture shows it.
pub fn nothing_reaches_a_locked_session(machine: &Ours, screen: &Screen<'_>) -> Result<()> {
    machine.write_file("/tmp/green", GREEN)?;
    screen.write("sh /tmp/green\n")?;
    until_green(screen)?;

    machine.check("homectl lock alice")?;
    let ours = screen.await_front(|front| front != "tty1")?;
    screen.await_text(&ours, "Password:")?;
    let since = machine.check("date +@%s.%6N")?;
    for time in 0..TIMES {
        go_there(machine, screen, time)?;
        screen.hurry("ctrl-alt-f1")?;
        let early = screen.look()?;
        TYPED.chars().try_for_each(|letter| screen.hurry(&letter.to_string()))?;
        let late = screen.look()?;
        ensure!(green(&early) + green(&late) == 0, "attempt {time}: the session was seen");
    }
    let ours = screen.await_front(|front| front != "tty1")?;
    let log =
        machine.check(&format!("journalctl -q -o cat -u homed-prompt -S {} -g 'came to'", since.trim()))?;
    println!("{log}");
    ensure!(log.contains("somebody came to tty1, where the session of alice is locked"), "{log}");
    ensure!(log.lines().count() < TIMES, "one line each time: {log}");

    screen.await_text(&ours, "Password:")?;
    screen.press("ctrl-u")?;
    // The right one is typed while the wrong one is looked at.
    screen.write("wrong\ncorrecthorse\n")?;
    screen.await_front(|front| front == "tty1")?;
    screen.write("echo go''es on\n")?;
    let seen = screen.await_text("tty1", "goes on")?;
    ensure!(!seen.contains("zq"), "the session has got what was typed: {seen}");
    until_green(screen)?;
    machine.write_file("/tmp/plain", PLAIN)?;
    screen.write("sh /tmp/plain\n")
}

/// Has the kernel bring the first terminal to the front, as chvt(1) does: VT_ACTIVATE of linux/vt.h.
const ACTIVATE: &str =
    "perl -e 'open(my $all, \"+<\", \"/dev/tty0\") or die $!; ioctl($all, 0x5606, 1) or die $!'";

/// Besides the keyboard: root's `chvt`, logind, and that while the prompt is killed.
fn go_there(machine: &Ours, screen: &Screen<'_>, time: usize) -> Result<()> {
    let active = "loginctl activate $(loginctl -j | jq -r '.[] | select(.tty == \"tty1\").session')";
    match time % 5 {
        1 => machine.check(&format!("systemctl kill -s KILL homed-prompt.service; {ACTIVATE}")).map(drop),
        3 => machine.check(ACTIVATE).map(drop),
        4 => machine.check(active).map(drop),
        _ => match screen.await_front(|front| front != "tty1") {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(machine.check(
                "systemctl status homed-prompt 2>&1; ps axo pid,stat,wchan:24,args | grep prompt; journalctl -n 40 -u homed-prompt",
            )?)),
        },
    }
}
