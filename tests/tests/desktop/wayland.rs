//! Wayland: labwc, which has its devices from logind, started by greetd.

use super::{BOUND, Session, machine};
use anyhow::Result;

/// greetd logs alice in at once. Nothing here has a graphics processor.
const GREETD: &str = "\
[terminal]
vt = 7
[default_session]
command = \"agreety --cmd /bin/bash\"
user = \"root\"
[initial_session]
command = \"env XDG_SESSION_TYPE=wayland WLR_RENDERER=pixman labwc -s /usr/local/bin/green\"
user = \"alice\"
";
/// All of the screen is a terminal.
const GREEN: &str = "#!/bin/sh
exec foot --fullscreen -o colors.background=00ff00 -o colors.foreground=000000 bash --norc -i
";
const START: &str = "\
chmod +x /usr/local/bin/green; systemctl start greetd
for try in $(seq 600); do pgrep -u alice foot >/dev/null && exit 0; sleep 0.1; done
journalctl -b -n 60 >&2; exit 1";

#[test]
fn a_locked_session_under_wayland_is_not_seen_and_gets_no_key() -> Result<()> {
    let machine = machine()?;
    machine.write_file("/etc/greetd/config.toml", GREETD)?;
    machine.write_file("/usr/local/bin/green", GREEN)?;
    machine.command(START).timeout(BOUND).check()?;
    let screen = machine.screen()?;
    Session { machine: &machine, screen: &screen, at: "tty7", keys: "ctrl-alt-f7" }.is_out_of_reach()
}
