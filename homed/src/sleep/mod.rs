//! What is run around a sleep, by `homed-lock.service` and by tools that send a machine to sleep without systemd.
//!
//! ```text
//! before-sleep        have the daemon lock all homes and hold ──→ the kernel shows none open, and nobody at work
//!                         │ it cannot, or does not answer             ──→ who was killed is written over ──→ it may sleep
//!                         └──→ LockFailure=: break off, power off, go on
//! last-look           the same again, where systemd is about to send the machine to sleep: what took long in between, a daemon that
//!                     was restarted, a hold that somebody has ended
//! before-hibernation  where would memory be written to? ──→ HibernateUnencrypted=: break off, go on
//! after-sleep         give back what was changed for the sleep; homes may be opened again
//! ```
//!
//! A process of its own, so that policy is kept when the daemon hangs or is gone: what is open is asked from the
//! kernel then.

mod ask;
mod file_systems;
mod look;
mod tell;

use crate::daemon::going_to_sleep::{Known, locked_for_one};
use crate::daemon::open::homes_in_use;
use crate::daemon::paths::HOLD;
use crate::daemon::surroundings::hibernation_target;
use crate::daemon::{POWER_OFF, config, hold, worker};
use crate::home::Sleep;
use crate::home::rules::Hibernation;
use crate::job::SWEEP;
use crate::manager::{LockFailure, weakness};
use ask::Asked;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Locks all homes. Success means that the machine may sleep, and that no home is opened before that is over.
pub fn before() -> ExitCode {
    crate::daemon::log::start();
    if !(holds() && is_locked() && is_written_over()) {
        over();
        return ExitCode::FAILURE;
    }
    file_systems::freeze_them();
    ExitCode::SUCCESS
}

/// The same once more, right before systemd has the kernel sleep. Quick where all is as it was left. Whoever has disabled
/// `homed-lock.service` wants no lock, and is not asked again.
pub fn last_look() -> ExitCode {
    crate::daemon::log::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(locked_for_one())) {
        Ok(Known::No) => ExitCode::SUCCESS,
        // Not to be told, it is looked at.
        Ok(Known::Comes | Known::Silent) | Err(_) => before(),
    }
}

/// A daemon that is only starting now holds as well, by this note.
fn holds() -> bool {
    hold::note(Path::new(HOLD), Sleep::Holding).map_or_else(
        |error| {
            follow_failure(&format!("what keeps homes from being opened cannot be noted ({HOLD}: {error})."))
        },
        |()| true,
    )
}

fn is_locked() -> bool {
    match ask::lock_all() {
        // The daemon's word is not enough: the kernel has the last one.
        Asked::Locked(left_out) => look::in_memory(&left_out, look::patiently)
            .is_none_or(|what| follow_failure(&format!("homed says that all homes are locked, and {what}."))),
        // The daemon has taken the setting into account already.
        Asked::Refused(why) => {
            tell::everybody(&format!("The machine does not sleep: {why}"));
            false
        }
        Asked::Unheard(why) => unheard(&why),
    }
}

/// Who was killed with a secret in memory has left it in free memory, if no lock has written over that since.
fn is_written_over() -> bool {
    let sweep = worker::program().and_then(|program| Command::new(program).arg(SWEEP).status());
    match sweep {
        Ok(status) if status.success() => true,
        Ok(_) => follow_failure(
            "free memory, with what a killed process of homed has left, cannot be written over.",
        ),
        Err(error) => follow_failure(&format!(
            "whether a killed process of homed has left secrets in memory cannot be told ({error})."
        )),
    }
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
    if let Err(error) = hold::note(Path::new(HOLD), Sleep::Awake) {
        tracing::error!("{HOLD}: {error}");
    }
    if let Err(why) = ask::sleep_is_over() {
        tracing::warn!("homed could not be told that the sleep is over ({why}); it goes by the clock");
    }
}

/// The daemon does not answer: the kernel knows what is open, and the settings what follows.
fn unheard(why: &str) -> bool {
    // One that is only late would open a home for whoever waits there, when it goes on: it does not know that this is a sleep. The
    // next one finds the note.
    let still = look::in_memory(&[], look::at_once).or_else(|| {
        look::end_daemon();
        look::in_memory(&[], look::at_once)
    });
    match still {
        None => {
            tracing::warn!("homed does not answer ({why}); no home is open, so the machine may sleep");
            true
        }
        Some(what) => follow_failure(&format!("homed does not answer ({why}), and {what}.")),
    }
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
    // What cannot be told counts as in use.
    let homes = homes_in_use().unwrap_or_else(|why| vec![why]);
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
