//! X.

use super::{BOUND, Session, machine};
use anyhow::Result;

/// alice's session: the server first, then what runs in it.
const SESSION: &str = "\
systemd-run -q --unit=server /usr/lib/xorg/Xorg :0 vt7 -ac -nolisten tcp
until [ -S /tmp/.X11-unix/X0 ]; do sleep 0.1; done
systemd-run -q --unit=alice --uid=alice -p PAMName=login -E XDG_SESSION_TYPE=x11 -E XDG_SESSION_CLASS=user \
    -E XDG_SEAT=seat0 -E XDG_VTNR=7 -E DISPLAY=:0 -E HOME=/home/alice \
    xterm -geometry 300x100+0+0 -bg '#00ff00' -fg black -e bash --norc -i
for try in $(seq 300); do loginctl list-sessions | grep -q alice && exit 0; sleep 0.1; done
journalctl -b -n 60 >&2; exit 1";

#[test]
fn a_locked_session_under_x_is_not_seen_and_gets_no_key() -> Result<()> {
    let machine = machine()?;
    machine.command(SESSION).timeout(BOUND).check()?;
    let screen = machine.screen()?;
    Session { machine: &machine, screen: &screen, at: "tty7", keys: "ctrl-alt-f7" }.is_out_of_reach()
}
