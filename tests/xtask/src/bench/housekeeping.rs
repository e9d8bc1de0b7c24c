//! What a login waits because of housekeeping: the same call with nothing else to do, and while all homes are tended and
//! rebalanced.

use anyhow::Result;
use machine::Machine;

use super::figures::{Figures, Line, Unit};
use super::{Daemon, script};

const MEASURE: &str = r#"
set -e
export PASSWORD=correcthorse NEWPASSWORD=correcthorse
homectl create alice --disk-size=2G --luks-discard=yes --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 \
    --enforce-password-policy=no --rate-limit-burst=1000 >/dev/null
homectl activate alice >/dev/null
clock() {
    local name=$1 from=${EPOCHREALTIME/./}; shift
    "$@" >/dev/null
    echo "$name $(( ${EPOCHREALTIME/./} - from ))"
}
clock login-quiet homectl authenticate alice
BUSY
clock login-busy homectl authenticate alice
wait
homectl deactivate alice && homectl remove alice
"#;

/// A rebalance, as far as to the moment at which its worker runs.
const BUSY: &str = r#"head -c 64M /dev/urandom > /home/alice/file; sync -f /home/alice; rm /home/alice/file
    homectl rebalance >/dev/null 2>&1 &
    until pgrep -fx /usr/lib/homed/worker >/dev/null || ! kill -0 $! 2>/dev/null; do :; done"#;

pub const LINES: &[Line] = &[
    Line::new("login-quiet", "authenticate, nothing else to do", Unit::Time),
    Line::new("login-busy", "authenticate, while homes are rebalanced", Unit::Time),
];

pub fn measure(machine: &Machine, daemon: Daemon) -> Result<Figures> {
    let busy = if daemon == Daemon::Ours { BUSY } else { "homectl rebalance >/dev/null 2>&1 &" };
    script(machine, &MEASURE.replace("BUSY", busy))
}
