//! What is run around a sleep, by `homed-lock.service` and by tools that send a machine to sleep without systemd.
//!
//! ```text
//! before-sleep        have the daemon lock all homes and hold ──→ the kernel shows none open ──→ it may sleep
//!                         └── it cannot, or does not answer          └── LockFailure=: break off, power off, go on
//! before-hibernation  where would memory be written to? ──→ HibernateUnencrypted=: break off, go on
//! after-sleep         give back what was changed for the sleep; homes may be opened again
//! ```
//!
//! A process of its own, so that policy is kept when the daemon hangs or is gone: what is open is asked from the
//! kernel then.

mod ask;
mod file_systems;
mod tell;

use crate::daemon::open::{homes_in_use, open_homes};
use crate::daemon::paths::HOLD;
use crate::daemon::surroundings::hibernation_target;
use crate::daemon::{POWER_OFF, config, hold, worker};
use crate::home::Sleep;
use crate::home::rules::Hibernation;
use crate::manager::{LockFailure, weakness};
use crate::sys::running::of_program;
use ask::Asked;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Locks all homes. Success means that the machine may sleep, and that no home is opened before that is over.
pub fn before() -> ExitCode {
    crate::daemon::log::start();
    // A daemon that is only starting now holds as well.
    hold::note(Path::new(HOLD), Sleep::Holding);
    let may_sleep = match ask::lock_all() {
        // The daemon's word is not enough: the kernel has the last one.
        Asked::Locked(left_out) => {
            let open = open_homes();
            let open: Vec<_> = open.into_iter().filter(|(user, _)| !left_out.contains(user)).collect();
            open.is_empty() || still_open(&open)
        }
        // The daemon has taken the setting into account already.
        Asked::Refused(why) => {
            tell::everybody(&format!("The machine does not sleep: {why}"));
            false
        }
        Asked::Unheard(why) => unheard(&why),
    };
    if !may_sleep {
        over();
        return ExitCode::FAILURE;
    }
    file_systems::freeze_them();
    ExitCode::SUCCESS
}

/// Gives back what was changed for the sleep, and lets homes be opened again.
pub fn after() -> ExitCode {
    crate::daemon::log::start();
    file_systems::leave_them();
    over();
    ExitCode::SUCCESS
}

/// Lets homes be opened again; a daemon that is only starting now finds no note of the sleep.
fn over() {
    hold::note(Path::new(HOLD), Sleep::Awake);
    if let Err(why) = ask::sleep_is_over() {
        tracing::warn!("homed could not be told that the sleep is over ({why}); it goes by the clock");
    }
}

/// The daemon does not answer: the kernel knows what is open, and the settings what follows.
fn unheard(why: &str) -> bool {
    // The workers first: what one of them has opened when it ends is seen after that.
    let workers = match worker::program().and_then(|program| of_program(&program, worker::NAME, 0)) {
        Ok(running) => Workers::Run(running.len()),
        Err(error) => Workers::Unseen(error.to_string()),
    };
    let open = open_homes();
    let Some(what) = still_there(&open, &workers) else {
        tracing::warn!("homed does not answer ({why}); no home is open, so the machine may sleep");
        return true;
    };
    log_each(&open);
    follow_failure(&format!("homed does not answer ({why}), and {what}."))
}

/// What is seen of the daemon's workers.
enum Workers {
    /// So many run.
    Run(usize),
    /// It cannot be told, for this reason.
    Unseen(String),
}

/// What may have a key in memory; `None`: nothing. A worker that tries key slots, or changes them, has a key without any device.
fn still_there(open: &[(String, String)], workers: &Workers) -> Option<String> {
    match (open, workers) {
        ([], Workers::Run(0)) => None,
        ([], Workers::Run(_)) => {
            Some("a worker of its own is at a home, with a password or key in its memory".into())
        }
        ([], Workers::Unseen(why)) => Some(format!("whether its workers have keys cannot be told ({why})")),
        (open, _) => Some(format!("these homes are open: {}", named(open))),
    }
}

/// What the kernel shows of each, for the log alone: it is long, and names devices.
fn log_each(open: &[(String, String)]) {
    for (user, why) in open {
        tracing::warn!("{user}: the home is open: {why}");
    }
}

/// Whose homes they are, for everybody.
fn named(open: &[(String, String)]) -> String {
    open.iter().map(|(user, _)| user.as_str()).collect::<Vec<_>>().join(", ")
}

fn still_open(open: &[(String, String)]) -> bool {
    log_each(open);
    let homes = named(open);
    follow_failure(&format!("homed says that all homes are locked, and the kernel has these open: {homes}."))
}

/// What the settings say where a home is open that should not be: whether the machine may sleep.
fn follow_failure(what: &str) -> bool {
    match config::read().0.lock_failure {
        LockFailure::Abort => {
            tell::everybody(&format!("The machine does not sleep: {what}"));
            false
        }
        LockFailure::PowerOff => {
            tell::everybody(&format!("The machine is shut down, as LockFailure=poweroff says: {what}"));
            if let Err(error) = Command::new("systemctl").args(POWER_OFF).status() {
                tracing::error!("the machine cannot be shut down: {error}");
            }
            false
        }
        LockFailure::Ignore => {
            tracing::error!(
                "{what} The machine sleeps WITH THESE KEYS IN MEMORY, as LockFailure=ignore says."
            );
            true
        }
    }
}

/// Whether memory may be written to where a hibernation would write it. Success means that it may.
pub fn before_hibernation() -> ExitCode {
    crate::daemon::log::start();
    let Some(weakness) = weakness::hibernation(&hibernation_target()) else { return ExitCode::SUCCESS };
    let homes = homes_in_use();
    match config::read().0.lock_rules.hibernation {
        _ if homes.is_empty() => ExitCode::SUCCESS,
        Hibernation::Allow => {
            tracing::error!(
                "{} It goes on, as HibernateUnencrypted=allow says; in use: {}.",
                weakness.what,
                homes.join(", ")
            );
            ExitCode::SUCCESS
        }
        Hibernation::Refuse => {
            tell::everybody(&format!(
                "The machine does not hibernate: {} In use: {}. {} (HibernateUnencrypted= in homed.conf)",
                weakness.what,
                homes.join(", "),
                weakness.advice
            ));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_a_device_counts_as_open() {
        let open = [("alice".to_owned(), "its device".to_owned())];
        assert_eq!(still_there(&[], &Workers::Run(0)), None);
        assert!(still_there(&[], &Workers::Run(1)).is_some_and(|what| what.contains("worker")));
        assert!(still_there(&[], &Workers::Unseen("no /proc".into())).is_some());
        assert!(still_there(&open, &Workers::Run(1)).is_some_and(|what| what.ends_with("open: alice")));
    }
}
