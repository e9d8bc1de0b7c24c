//! Locking and unlocking an idle home and one with a full cache, ours step by step; how long a suspend takes.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use machine::Machine;

use super::figures::{Figures, Line, Unit};
use super::{Daemon, script};

/// 1 GB that is not on disk yet, and 2 GB that is.
const DIRTY_MIB: u32 = 1024;
const CLEAN_MIB: u32 = 2048;

/// Makes the home.
const PREPARE: &str = r#"
set -e
export PASSWORD=correcthorse NEWPASSWORD=correcthorse
homectl create alice --disk-size=SIZE --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 \
    --enforce-password-policy=no --rate-limit-burst=1000 >/dev/null
homectl activate alice >/dev/null
"#;

/// Nothing is written by the kernel itself while the cache is filled.
const FULL_CACHE: &str = r#"
set -e
echo 0 > /proc/sys/vm/dirty_writeback_centisecs
echo 4000000000 > /proc/sys/vm/dirty_bytes
echo 3000000000 > /proc/sys/vm/dirty_background_bytes
"#;

/// Nobody unlocks in the instant of the lock: what still starts then (our prompt) is left the time to stand.
const LOCK: &str = r#"
export PASSWORD=correcthorse
now() { echo ${EPOCHREALTIME/./}; }
from=$(now)
if homectl lock alice >/dev/null; then
    echo "NAME-lock $(( $(now) - from ))"
    sleep 2
    from=$(now); homectl unlock alice >/dev/null && echo "NAME-unlock $(( $(now) - from ))"
else
    echo "NAME-refused 1"
fi
"#;

const FILL: &str = r#"
set -e
home=/home/alice
head -c 64M /dev/urandom > /dev/shm/seed
fill() { rm -f $home/$1; for i in $(seq $(( $2 / 64 ))); do cat /dev/shm/seed; done > $home/$1; }
rm -f $home/dirty
[ -s $home/clean ] || fill clean CLEAN
sync -f $home
cat $home/clean > /dev/null
fill dirty DIRTY
rm /dev/shm/seed
"#;

/// From the order to the moment the kernel takes it, by the kernel's clock.
const ASLEEP: &str = r#"
journalctl -k -b -o short-monotonic --no-pager | tr -d '[]' | awk '
    /bench: now/ { from = $1 } /PM: suspend entry/ { to = $1 } END { printf "NAME %d\n", (to - from) * 1000000 }'
"#;

pub const LINES: &[Line] = &[
    line("suspend-none", "order to suspend until sleep, no home open"),
    line("suspend-open", "the same, one home open"),
    line("idle-lock", "lock, idle home"),
    line("idle-lock-alone", "  the same without overwriting free memory").at_most(1.5),
    line("idle-unlock", "unlock, idle home, 2 s later").at_most(1.0),
    line("idle-start", "  idle lock: start of the worker"),
    line("idle-freeze-user", "  idle lock: freeze the processes"),
    line("idle-cover", "  idle lock: cover"),
    line("idle-sync", "  idle lock: sync"),
    line("idle-evict", "  idle lock: evict"),
    line("idle-freeze-file-system", "  idle lock: freeze the file system"),
    line("idle-suspend-device", "  idle lock: suspend the device, wipe the key"),
    line("idle-scrub", "  idle lock: scrub free memory"),
    line("idle-unlock-start", "  idle unlock: start of the worker"),
    line("idle-unlock-unlock", "  idle unlock: try the key slots"),
    line("idle-unlock-read-copies", "  idle unlock: read the record, check the password's hash"),
    line("idle-unlock-resume-device", "  idle unlock: key back, device goes on"),
    line("idle-unlock-uncover", "  idle unlock: uncover"),
    line("idle-unlock-thaw-file-system", "  idle unlock: thaw the file system"),
    line("idle-unlock-keep-key", "  idle unlock: keep the key in the keyring"),
    line("idle-unlock-thaw-user", "  idle unlock: let the processes go on"),
    line("idle-unlock-bring-back", "  idle unlock: the end of the worker"),
];

pub const FULL: &[Line] = &[
    line("full-lock", "lock, 1 GB dirty and 2 GB clean cache"),
    line("full-unlock", "unlock, the same"),
    Line::new("full-refused", "of these refused for lack of time", Unit::Count),
    line("full-start", "  full lock: start of the worker"),
    line("full-freeze-user", "  full lock: freeze the processes"),
    line("full-cover", "  full lock: cover"),
    line("full-sync", "  full lock: sync"),
    line("full-evict", "  full lock: evict"),
    line("full-freeze-file-system", "  full lock: freeze the file system"),
    line("full-suspend-device", "  full lock: suspend the device, wipe the key"),
    line("full-scrub", "  full lock: scrub free memory"),
];

const fn line(name: &'static str, words: &'static str) -> Line {
    Line::new(name, words, Unit::Time)
}

const REMOVE: &str = "homectl deactivate alice && homectl remove alice";

/// One round with an idle home.
pub fn measure(machine: &Machine, daemon: Daemon) -> Result<Figures> {
    let mut figures = Figures::default();
    asleep(machine, "suspend-none", &mut figures)?;
    script(machine, &PREPARE.replace("SIZE", "512M"))?;
    // The first lock after a home was made has more to write than others.
    lock(machine, daemon, "warm", &mut Figures::default())?;
    lock(machine, daemon, "idle", &mut figures)?;
    asleep(machine, "suspend-open", &mut figures)?;
    machine.run("PASSWORD=correcthorse homectl unlock alice")?;
    machine.check(REMOVE)?;
    Ok(figures)
}

/// One round with a full cache: a minute.
pub fn measure_full(machine: &Machine, daemon: Daemon) -> Result<Figures> {
    let mut figures = Figures::default();
    script(machine, &PREPARE.replace("SIZE", "5G"))?;
    script(machine, FULL_CACHE)?;
    let fill = FILL.replace("CLEAN", &CLEAN_MIB.to_string()).replace("DIRTY", &DIRTY_MIB.to_string());
    script(machine, &fill)?;
    lock(machine, daemon, "full", &mut figures)?;
    machine.check(REMOVE)?;
    Ok(figures)
}

fn lock(machine: &Machine, daemon: Daemon, name: &str, figures: &mut Figures) -> Result<()> {
    let measured = script(machine, &LOCK.replace("NAME", name))?;
    let locked = measured.median(&format!("{name}-lock")).is_some();
    figures.add(measured);
    if daemon == Daemon::Ours && locked {
        for (step, usec) in steps(machine, "lock")? {
            figures.put(&format!("{name}-{step}"), usec);
        }
        for (step, usec) in steps(machine, "unlock")? {
            figures.put(&format!("{name}-unlock-{step}"), usec);
        }
    }
    if let Some(whole) = figures.last(&format!("{name}-lock")) {
        let scrub = figures.last(&format!("{name}-scrub")).unwrap_or(0);
        figures.put(&format!("{name}-lock-alone"), whole.saturating_sub(scrub));
    }
    Ok(())
}

/// The steps of the last lock or unlock, from our daemon's log.
fn steps(machine: &Machine, verb: &str) -> Result<BTreeMap<String, u64>> {
    let text = machine.check(&format!(
        "journalctl -b -u homed.service -o json --no-pager \
         | jq -r 'select((.MESSAGE | type == \"string\" and test(\": {verb} is done\"))) | .F_STEPS' | tail -1"
    ))?;
    let pair = |word: &str| {
        let (name, usec) = word.split_once('=').with_context(|| format!("what is {word:?}?"))?;
        Ok((name.to_owned(), usec.parse()?))
    };
    text.split_whitespace().map(pair).collect()
}

/// Sends the machine to sleep, wakes it, and looks when it slept.
fn asleep(machine: &Machine, name: &str, figures: &mut Figures) -> Result<()> {
    machine.check("echo 'bench: now' > /dev/kmsg")?;
    machine.suspend()?;
    machine.wake()?;
    figures.add(script(machine, &ASLEEP.replace("NAME", name))?);
    machine.run("PASSWORD=correcthorse homectl unlock alice").map(drop)
}
