//! `cargo xtask upstream`: systemd's own integration test of homed (TEST-46-HOMED), as Debian packs it, each case in a
//! fresh machine, in three columns: the original's programs; our daemon with the original's homectl; ours.
//!
//! The text of the test is taken from the package `systemd-tests` of Debian stable and of testing, and nothing of it is
//! kept here. That of stable (systemd 257) is one long script: one case. What a case printed is in `target/upstream/`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use machine::{Image, Init, Machine, Suite};

use crate::{find, prepare};

/// How long one case may take.
const PATIENCE: Duration = Duration::from_secs(900);
const SCRIPT: &str = "testdata/units/TEST-46-HOMED.sh";
/// What a case's name begins with in the script.
const CASE: &str = "testcase_";
/// What a script with one case is called.
const WHOLE: &str = "all";

/// Whose programs run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Original,
    OurDaemon,
    Ours,
}

impl Column {
    const ALL: [Self; 3] = [Self::Original, Self::OurDaemon, Self::Ours];

    fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::OurDaemon => "daemon",
            Self::Ours => "ours",
        }
    }
}

/// What is to be run; all of it where nothing is said.
struct Wanted {
    suites: Vec<Suite>,
    columns: Vec<Column>,
    cases: Vec<String>,
}

pub fn run(words: &[String]) -> Result<()> {
    let wanted = parse(words);
    prepare::everything()?;
    if std::env::var_os("HOMED_DEB").is_none() {
        (find("deb").context("the command that makes the package")?.run)(&["--quick".into()])?;
    }
    let logs = PathBuf::from("target/upstream");
    fs::create_dir_all(&logs)?;
    let mut worse = Vec::new();
    for suite in &wanted.suites {
        for case in cases(*suite)? {
            if !wanted.cases.is_empty() && !wanted.cases.contains(&case) {
                continue;
            }
            let results = wanted.columns.iter().map(|column| {
                let result = one(*suite, *column, &case, &logs)?;
                println!("{:<8} {case:<36} {:<9} {}", name(*suite), column.name(), result.sentence());
                Ok((*column, result))
            });
            let results = results.collect::<Result<Vec<_>>>()?;
            let original = results.iter().any(|(column, it)| *column == Column::Original && it.passed());
            let ours = results.iter().filter(|(column, it)| *column != Column::Original && !it.passed());
            worse.extend(ours.filter(|_| original).map(|(column, _)| format!("{case} ({})", column.name())));
        }
    }
    if !worse.is_empty() {
        bail!("the original passes and ours does not: {}", worse.join(", "));
    }
    Ok(())
}

fn parse(words: &[String]) -> Wanted {
    let mut wanted = Wanted { suites: Vec::new(), columns: Vec::new(), cases: Vec::new() };
    for word in words {
        let column = Column::ALL.into_iter().find(|column| column.name() == word);
        match (word.as_str(), column) {
            ("stable", _) => wanted.suites.push(Suite::Stable),
            ("testing", _) => wanted.suites.push(Suite::Testing),
            (_, Some(column)) => wanted.columns.push(column),
            (case, None) => wanted.cases.push(case.to_owned()),
        }
    }
    if wanted.suites.is_empty() {
        wanted.suites = vec![Suite::Stable, Suite::Testing];
    }
    if wanted.columns.is_empty() {
        wanted.columns = Column::ALL.to_vec();
    }
    wanted
}

fn name(suite: Suite) -> &'static str {
    match suite {
        Suite::Stable | Suite::OldKernel => "stable",
        Suite::Testing => "testing",
    }
}

/// The names of the script's cases.
fn cases(suite: Suite) -> Result<Vec<String>> {
    let script = machine::upstream_tests(suite)?.join(SCRIPT);
    let text = fs::read_to_string(&script).with_context(|| format!("cannot read {}", script.display()))?;
    let names = text.lines().filter_map(|line| line.strip_prefix(CASE)?.split_once("()"));
    let names: Vec<String> = names.map(|(name, _)| name.to_owned()).collect();
    Ok(if names.is_empty() { vec![WHOLE.to_owned()] } else { names })
}

/// How a case ended.
struct Ended {
    status: i32,
    /// The command that ended it, and what it said.
    last: String,
}

impl Ended {
    fn passed(&self) -> bool {
        self.status == 0
    }

    fn sentence(&self) -> String {
        match self.status {
            0 => "passed".to_owned(),
            status => format!("failed ({status}): {}", self.last),
        }
    }
}

fn one(suite: Suite, column: Column, case: &str, logs: &Path) -> Result<Ended> {
    let image = if column == Column::Original { Image::Peer } else { Image::Ours };
    let tests = machine::upstream_tests(suite)?;
    let machine =
        Machine::builder().image(image).suite(suite).init(Init::Full).memory(2048).shared(&tests).start()?;
    if column == Column::OurDaemon {
        machine.check("cp /opt/peer/files/usr/bin/homectl /usr/bin/homectl")?;
    }
    machine.check(
        "to=/usr/lib/systemd/tests; mkdir -p $to/testdata/units $to/unit-tests/manual; cd /mnt; \
         cp testdata/units/{TEST-46*,util.sh,test-control.sh} $to/testdata/units/ 2>/dev/null; \
         cp unit-tests/manual/test-{homed-regression-31896,display-quota} $to/unit-tests/manual/ 2>/dev/null; \
         id testuser >/dev/null 2>&1 || useradd -m -u 4711 testuser; systemctl start user@4711.service; test -e $to/testdata/units/TEST-46-HOMED.sh",
    )?;
    let one =
        if case == WHOLE { String::new() } else { format!("export TEST_MATCH_TESTCASE='^{CASE}{case}$'; ") };
    let script = format!(
        "{one}export SYSTEMD_PAGER= SYSTEMD_NSS_LOG_LEVEL=info; cd /; \
         timeout 840 /usr/lib/systemd/tests/{SCRIPT} </dev/null >/run/test-46.log 2>&1; result=$?; \
         cat /run/test-46.log; echo '=== journal'; journalctl -b --no-pager | tail -150; exit $result"
    );
    let output = machine.command(script).timeout(PATIENCE).run()?;
    let log = logs.join(format!("{}-{case}-{}.log", name(suite), column.name()));
    fs::write(&log, &output.stdout)?;
    Ok(Ended { status: output.status, last: last(&output.stdout) })
}

/// The last command that was traced before the clean-up, and what was said after it.
fn last(log: &str) -> String {
    let said = log.split("=== journal").next().unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    let traced = lines.iter().rposition(|line| {
        let command = line.trim_start_matches('+');
        line.starts_with('+')
            && !["trap", "cleanup", "at_exit", "set "].iter().any(|word| command.trim().starts_with(word))
    });
    let mut text = String::new();
    for line in lines.iter().skip(traced.unwrap_or(0)).take(4) {
        // Writing to a string does not fail.
        let _ = write!(text, "{} ⏎ ", line.trim());
    }
    text
}
