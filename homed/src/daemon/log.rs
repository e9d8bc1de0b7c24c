//! The daemon's log: where it goes, and from which weight on; both can be changed while it runs (`LogControl1`).

use std::sync::{Mutex, OnceLock, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Levels as systemd's tools name them (syslog(3)), with what is let through.
const LEVELS: [(&str, LevelFilter); 8] = [
    ("emerg", LevelFilter::ERROR),
    ("alert", LevelFilter::ERROR),
    ("crit", LevelFilter::ERROR),
    ("err", LevelFilter::ERROR),
    ("warning", LevelFilter::WARN),
    ("notice", LevelFilter::INFO),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
];

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Journal,
    Console,
    Nowhere,
}

impl Target {
    const NAMES: [(&str, Target); 5] = [
        ("journal", Self::Journal),
        ("journal-or-kmsg", Self::Journal),
        ("console", Self::Console),
        ("auto", Self::Journal),
        ("null", Self::Nowhere),
    ];
}

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    level: &'static str,
    target: Target,
}

type Changing = Box<dyn Fn(Targets) + Send + Sync>;

/// The log of this process.
struct Log {
    setting: Mutex<Setting>,
    has_journal: bool,
    journal: Changing,
    console: Changing,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// To the journal where it listens, else to standard error.
pub fn start() {
    let to_journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let has_journal = to_journal.is_some();
    let target = if has_journal { Target::Journal } else { Target::Console };
    let setting = Setting { level: "info", target };
    let (for_journal, journal) = reload::Layer::new(setting.lets_through(Target::Journal));
    let (for_console, console) = reload::Layer::new(setting.lets_through(Target::Console));
    let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let done = tracing_subscriber::registry()
        .with(to_journal.with_filter(for_journal))
        .with(text.with_filter(for_console))
        .try_init();
    // A second logger in one process: the first stays.
    if done.is_ok() {
        let log = Log {
            setting: Mutex::new(setting),
            has_journal,
            journal: Box::new(move |filter| drop(journal.reload(filter))),
            console: Box::new(move |filter| drop(console.reload(filter))),
        };
        let _ = LOG.set(log);
    }
}

impl Setting {
    /// Other libraries are let through from "info" on only: the bus library's words may have what was said.
    fn lets_through(self, to: Target) -> Targets {
        let level =
            LEVELS.iter().find(|(name, _)| *name == self.level).map_or(LevelFilter::INFO, |one| one.1);
        let level = if self.target == to { level } else { LevelFilter::OFF };
        Targets::new().with_default(level.min(LevelFilter::INFO)).with_target("homed", level)
    }
}

impl Log {
    fn change(&self, change: impl FnOnce(&mut Setting)) {
        let mut setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut setting);
        (self.journal)(setting.lets_through(Target::Journal));
        (self.console)(setting.lets_through(Target::Console));
    }
}

/// From which weight on it is written.
pub fn level() -> &'static str {
    let level = |log: &Log| log.setting.lock().unwrap_or_else(PoisonError::into_inner).level;
    LOG.get().map_or("info", level)
}

/// Writes from that weight on; `false`: there is none of that name.
pub fn set_level(name: &str) -> bool {
    let Some((level, _)) = LEVELS.iter().find(|(known, _)| *known == name) else { return false };
    LOG.get().into_iter().for_each(|log| log.change(|setting| setting.level = level));
    true
}

/// The same as a number, as syslog(3) counts: 0 is emergencies alone, 7 is everything.
pub fn level_number() -> usize {
    LEVELS.iter().position(|(name, _)| *name == level()).unwrap_or(0)
}

/// Writes from that weight on; `false`: there is none of that number.
pub fn set_level_number(number: usize) -> bool {
    LEVELS.get(number).is_some_and(|(name, _)| set_level(name))
}

/// Where it goes.
pub fn target() -> &'static str {
    let target = |log: &Log| log.setting.lock().unwrap_or_else(PoisonError::into_inner).target;
    let target = LOG.get().map_or(Target::Journal, target);
    Target::NAMES.iter().find(|(_, one)| *one == target).map_or("journal", |one| one.0)
}

/// Sends it elsewhere; `false`: there is no such place, or it was not there when the program began.
pub fn set_target(name: &str) -> bool {
    let Some((_, target)) = Target::NAMES.iter().find(|(known, _)| *known == name) else { return false };
    let Some(log) = LOG.get() else { return true };
    let target = match (*target, name) {
        (Target::Journal, "auto") if !log.has_journal => Target::Console,
        (Target::Journal, _) if !log.has_journal => return false,
        (target, _) => target,
    };
    log.change(|setting| setting.target = target);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_libraries_say_nothing_at_debug_and_one_place_is_written_to() {
        let debug = Setting { level: "debug", target: Target::Console };
        let told = |to: Target, library: &str, level: tracing::Level| {
            debug.lets_through(to).would_enable(library, &level)
        };
        assert!(told(Target::Console, "homed::daemon", tracing::Level::DEBUG));
        assert!(!told(Target::Console, "zbus", tracing::Level::DEBUG));
        assert!(told(Target::Console, "zbus", tracing::Level::INFO));
        assert!(!told(Target::Journal, "homed::daemon", tracing::Level::ERROR));
    }

    #[test]
    fn words_that_nobody_knows_are_not_taken() {
        assert!(!set_level("loud") && !set_target("printer"));
        assert!(set_level("err") && set_target("null"));
    }
}
