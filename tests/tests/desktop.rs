//! A session under X whose server is root's, in a service of its own, as display managers have it: locked, it is not seen
//! and gets no key.
//!
//! Not in the usual run: X is not on the machine's disk. `cargo test -p homed-tests --test desktop` with `HOMED_DEB` a package
//! that brings `xserver-xorg-core`, `xserver-xorg-input-libinput`, `xterm` and `x11-xserver-utils` with it, or an image that has them.

use anyhow::{Result, bail, ensure};
use homed_tests::Ours;
use machine::{Hardware, Image, Init, Machine, Picture, Screen};

/// How often somebody goes there.
const TIMES: usize = 10;
/// So many pictures until it is painted.
const PATIENCE: usize = 400;

/// alice's session: the server first, then what runs in it.
const SESSION: &str = "\
systemd-run -q --unit=server /usr/lib/xorg/Xorg :0 vt7 -ac -nolisten tcp
until [ -S /tmp/.X11-unix/X0 ]; do sleep 0.1; done
systemd-run -q --unit=alice --uid=alice -p PAMName=login -E XDG_SESSION_TYPE=x11 -E XDG_SESSION_CLASS=user \
    -E XDG_SEAT=seat0 -E XDG_VTNR=7 -E DISPLAY=:0 -E HOME=/home/alice \
    xterm -geometry 300x100+0+0 -bg '#00ff00' -fg black -e bash --norc -i
for try in $(seq 300); do loginctl list-sessions | grep -q alice && exit 0; sleep 0.1; done
journalctl -b -n 60 >&2; exit 1";

fn green(picture: &Picture) -> usize {
    picture.dots().filter(|[red, green, blue]| *green > 100 && *red < 60 && *blue < 60).count()
}

fn until_green(screen: &Screen<'_>) -> Result<()> {
    for _ in 0..PATIENCE {
        let all = screen.look()?;
        if green(&all) > all.dots().count() / 2 {
            return Ok(());
        }
    }
    bail!("the session is not green")
}

#[test]
fn a_locked_session_under_x_is_not_seen_and_gets_no_key() -> Result<()> {
    let settings =
        Machine::builder().image(Image::Ours).init(Init::Full).hardware(Hardware::Screen).memory(1024);
    let machine = Ours(settings.start()?);
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(SESSION)?;
    let screen = machine.screen()?;
    until_green(&screen)?;
    screen.write("touch /tmp/there\n")?;
    machine.check("for try in $(seq 300); do [ -e /tmp/there ] && exit 0; sleep 0.1; done; exit 1")?;

    machine.check("homectl lock alice")?;
    println!("{}", machine.check("cat /run/homed/hushed/alice; ps -C Xorg -o pid,stat,args")?);
    let ours = screen.await_front(|front| front != "tty7")?;
    screen.await_text(&ours, "Password:")?;
    for time in 0..TIMES {
        screen.await_front(|front| front != "tty7")?;
        screen.hurry("ctrl-alt-f7")?;
        let early = screen.look()?;
        "zqzq".chars().try_for_each(|letter| screen.hurry(&letter.to_string()))?;
        let late = screen.look()?;
        ensure!(green(&early) + green(&late) == 0, "attempt {time}: the session was seen");
    }
    let ours = screen.await_front(|front| front != "tty7")?;
    println!("{}", machine.check("journalctl -q -o cat -u homed-prompt")?);
    screen.await_text(&ours, "Password:")?;
    screen.press("ctrl-u")?;
    screen.write("correcthorse\n")?;
    screen.await_front(|front| front == "tty7")?;
    until_green(&screen)?;
    // The server has its keyboard a moment after the picture.
    for _ in 0..TIMES {
        screen.write("\nhistory > /tmp/history\n")?;
        if machine
            .run("for try in $(seq 20); do [ -s /tmp/history ] && exit 0; sleep 0.1; done; exit 1")?
            .status
            == 0
        {
            break;
        }
    }
    let history = machine.check("cat /tmp/history")?;
    ensure!(history.contains("touch /tmp/there") && !history.contains('z'), "{history}");
    Ok(())
}
