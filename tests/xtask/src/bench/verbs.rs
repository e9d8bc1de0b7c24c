//! How long a whole `homectl` takes, as a person would see it.

use anyhow::Result;
use machine::Machine;

use super::figures::{Figures, Line, Unit};
use super::{Daemon, script};

/// The daemon that runs is measured.
const MEASURE: &str = r#"
set -e
export PASSWORD=correcthorse NEWPASSWORD=correcthorse
options="--disk-size=256M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 --enforce-password-policy=no
    --rate-limit-burst=1000"
clock() {
    local name=$1 from=${EPOCHREALTIME/./}; shift
    "$@" >/dev/null
    echo "$name $(( ${EPOCHREALTIME/./} - from ))"
}
lookups() { for i in $(seq 100); do getent passwd alice; done; }
clock create homectl create alice $options
clock activate homectl activate alice
clock authenticate homectl authenticate alice
clock passwd homectl passwd alice
clock getent lookups
clock deactivate homectl deactivate alice
homectl remove alice
echo "rss $(awk '/^VmRSS/ { print $2 }' /proc/$(systemctl show --value -p MainPID DAEMON)/status)"
"#;

pub const LINES: &[Line] = &[
    line("create", "create"),
    line("activate", "activate"),
    line("authenticate", "authenticate"),
    line("passwd", "passwd"),
    line("deactivate", "deactivate"),
    line("getent", "100 x getent"),
    Line::new("rss", "idle daemon's memory", Unit::Memory),
];

const fn line(name: &'static str, words: &'static str) -> Line {
    Line::new(name, words, Unit::Time)
}

pub fn measure(machine: &Machine, daemon: Daemon) -> Result<Figures> {
    script(machine, &MEASURE.replace("DAEMON", daemon.unit()))
}
