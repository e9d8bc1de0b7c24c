//! How long an open home with files in it takes to grow and to shrink.

use anyhow::Result;
use machine::Machine;

use super::figures::{Figures, Line, Unit};
use super::{Daemon, script};

const MEASURE: &str = r#"
set -e
export PASSWORD=correcthorse NEWPASSWORD=correcthorse
homectl create alice --disk-size=512M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 \
    --enforce-password-policy=no --rate-limit-burst=1000 >/dev/null
homectl activate alice >/dev/null
head -c 100M /dev/urandom > /home/alice/file
sha256sum /home/alice/file > /root/sum
sync
clock() {
    local name=$1 from=${EPOCHREALTIME/./}; shift
    "$@" >/dev/null
    echo "$name $(( ${EPOCHREALTIME/./} - from ))"
}
clock grow homectl resize alice 1G
clock shrink homectl resize alice 512M
sha256sum --quiet -c /root/sum >&2
homectl deactivate alice
homectl remove alice
"#;

pub const LINES: &[Line] = &[
    Line::new("grow", "grow 512M to 1G, open, 100 MB inside", Unit::Time).at_most(1.0),
    Line::new("shrink", "shrink it again", Unit::Time).at_most(1.0),
];

pub fn measure(machine: &Machine, _daemon: Daemon) -> Result<Figures> {
    script(machine, MEASURE)
}
