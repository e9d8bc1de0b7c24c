//! Options of create and update: what each asks for is looked at where it takes effect, not in the record.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use std::path::Path;

/// The table of homectl's options.
const TABLE: &str = include_str!("../../ctl/src/options/record_rows.rs");

/// Options of one home, and what its user's own shell prints about each after a login at a console. (Of the ambient set login
/// keeps what may be inherited.)
const IN_A_SESSION: &[(&str, &str, &str)] = &[
    ("--umask=027", "umask", "0027"),
    ("--nice=5", "nice", "5"),
    ("--rlimit=NOFILE=123:456", "echo $(ulimit -Sn) $(ulimit -Hn)", "123 456"),
    ("--setenv=COLOUR=green", "echo $COLOUR", "green"),
    ("--timezone=Europe/Berlin", "echo $TZ", ":Europe/Berlin"),
    ("--email-address=alice@example.org", "echo $EMAIL", "alice@example.org"),
    ("--capability-bounding-set=CAP_CHOWN", "grep CapBnd /proc/self/status | cut -f2", "0000000000000001"),
    ("--capability-ambient-set=CAP_CHOWN", "grep CapInh /proc/self/status | cut -f2", "0000000000000001"),
    ("--tasks-max=333", "slice TasksMax", "333"),
    ("--memory-high=1G", "slice MemoryHigh", "1073741824"),
    ("--memory-max=2G", "slice MemoryMax", "2147483648"),
    ("--cpu-weight=50", "slice CPUWeight", "50"),
    ("--io-weight=60", "slice IOWeight", "60"),
    ("--real-name='Alice A.'", "getent passwd alice | cut -d: -f5", "Alice A."),
];

/// What the user database tells everybody of her.
const TOLD: &[(&str, &str, &str)] = &[
    ("--icon-name=face", ".iconName", "face"),
    ("--location=Berlin", ".location", "Berlin"),
    ("--birth-date=1990-02-28", ".birthDate", "1990-02-28"),
    ("--session-type=wayland", ".preferredSessionType", "wayland"),
    ("--session-launcher=sway", ".preferredSessionLauncher", "sway"),
    ("--kill-processes=yes", ".killProcesses", "true"),
    ("--stop-delay=0", ".stopDelayUSec", "0"),
];

/// Changes of an account that is in order, and what PAM says then to who has the right password; nothing: it lets her in.
const ACCOUNT: &[(&str, &str)] = &[
    ("--locked=yes", "locked"),
    ("--locked=no", ""),
    ("--not-before=2100-01-01", "not valid yet"),
    ("--not-before= --not-after=2001-01-01", "not valid anymore"),
    ("--not-after=", ""),
    ("--password-change-now=yes", "hange"),
    ("--password-change-now=", ""),
    ("--password-change-max=1us --password-change-inactive=1d", "xpired"),
    ("--password-change-inactive=1us", "xpired"),
    ("--password-change-max=1d --password-change-warn=2d --password-change-inactive=", "expire"),
    ("--password-change-max= --password-change-warn=", ""),
];

/// Options that no scenario gives, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("cifs-domain", "what the kernel is told: `storage/cifs/share.rs`"),
    ("cifs-extra-mount-options", "the same"),
    ("default-area", "pam_systemd from 258 on follows it: TEST-46 subarea"),
    ("tmp-limit", "systemd sets it from 258 on, where tmpfs has quotas: TEST-46 quota"),
    ("dev-shm-limit", "the same"),
    ("login-background", "a file like the avatar, by the same row: `dropin.rs`"),
    ("luks-pbkdf-time-cost", "deliberate: GAPS.md"),
    ("auto-resize-mode", "deliberate: GAPS.md; who takes part: `manager/space.rs`"),
    ("luks-offline-discard", "deliberate: GAPS.md; `storage/luks/tend.rs`"),
    ("snapshot-keep-daily", "which are kept: `words/`, as the hourly ones in `snapshots.rs`"),
    ("snapshot-keep-weekly", "the same"),
];

/// What is written in a folder's files, and in those of the folders below.
fn all_below(folder: &Path) -> Result<String> {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => all += &all_below(&path)?,
            false => all += &String::from_utf8_lossy(&std::fs::read(path)?),
        }
    }
    Ok(all)
}

#[test]
fn every_option_is_given_in_a_scenario_or_has_a_reason_why_not() -> Result<()> {
    let scenarios = all_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"))?;
    let name = |line: &str| {
        let (_, rest) = line.split_once("set(\"").or_else(|| line.split_once("special(\""))?;
        rest.split_once('"').map(|(name, _)| name.to_owned())
    };
    let (_, rows) = TABLE.split_once("RECORD_ROWS").unwrap_or_default();
    let names: Vec<String> = rows.lines().filter_map(name).filter(|name| !name.is_empty()).collect();
    ensure!(names.len() > 80, "{names:?}");
    let given = |name: &str| [' ', '=', '"'].iter().any(|end| scenarios.contains(&format!("--{name}{end}")));
    for name in names {
        let excused = WITHOUT.iter().any(|(row, _)| name.starts_with(row));
        ensure!(excused != given(&name), "--{name}: {excused}");
    }
    Ok(())
}

#[test]
fn what_options_ask_for_is_there_in_a_session() -> Result<()> {
    let machine = Ours::full()?;
    let options: Vec<&str> = IN_A_SESSION.iter().chain(TOLD).map(|(option, ..)| *option).collect();
    machine.done(&format!("create alice {CHEAP} {}", options.join(" ")), "", "correcthorse")?;
    machine.console().login("alice", "correcthorse")?;
    machine.console().shell("slice() { systemctl show user-$UID.slice -P $1; }")?;
    let mut wrong = String::new();
    for (option, command, expected) in IN_A_SESSION {
        let (printed, _) = machine.console().shell(command)?;
        if printed.trim() != *expected {
            wrong += &format!("{option}: {command}: {printed}");
        }
    }
    for (option, member, expected) in TOLD {
        let printed =
            machine.command(format!("userdbctl user -j alice | jq -r {member}")).user("nobody").check()?;
        if printed.trim() != *expected {
            wrong += &format!("{option}: {printed}");
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    // What she leaves running does not stay, and nor do her services.
    machine.console().shell("(setsid sleep 10000 > /dev/null 2>&1 < /dev/null &)")?;
    machine.console().send("exit")?;
    machine.becomes("alice", "inactive")
}

#[test]
fn an_account_is_as_open_as_its_options_say() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    for (options, expected) in ACCOUNT {
        machine.done(&format!("update alice {options}"), "correcthorse", "")?;
        let talk = "timeout 60 pamtester login alice authenticate acct_mgmt 2>&1";
        let output = machine.command(talk).stdin("correcthorse\n").run()?;
        println!("{options}: {} {}", output.status, output.stdout);
        ensure!(output.stdout.contains(expected), "{options}: {}", output.stdout);
        ensure!(
            (output.status == 0) == (expected.is_empty() || *expected == "expire"),
            "{options}: {}",
            output.stdout
        );
    }
    Ok(())
}
