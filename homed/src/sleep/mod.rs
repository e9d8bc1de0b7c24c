//! What is run around a sleep, by `homed-lock.service` and by tools that send a machine to sleep without systemd.
//!
//! ```text
//! before-sleep        have the daemon lock all homes ──→ locked: the machine may sleep
//!                         └── it cannot, or does not answer ──→ LockFailure=: break off, power off, go on
//! before-hibernation  where would memory be written to? ──→ HibernateUnencrypted=: break off, go on
//! after-sleep         give back what was changed for the sleep
//! ```
//!
//! A process of its own, so that policy is kept when the daemon hangs or is gone: what is open is asked from the
//! kernel then.

mod ask;
mod file_systems;
mod tell;

use crate::daemon::surroundings::{hibernation_target, homes_in_use, open_homes};
use crate::daemon::{POWER_OFF, config};
use crate::home::rules::Hibernation;
use crate::manager::{LockFailure, weakness};
use ask::Asked;
use std::process::{Command, ExitCode};

/// Locks all homes. Success means that the machine may sleep.
pub fn before() -> ExitCode {
    crate::daemon::start_log();
    let locked = match ask::lock_all() {
        Asked::Locked => true,
        // The daemon has taken the setting into account already.
        Asked::Refused(why) => {
            tell::everybody(&format!("The machine does not sleep: {why}"));
            false
        }
        Asked::Unheard(why) => unheard(&why),
    };
    if !locked {
        return ExitCode::FAILURE;
    }
    file_systems::freeze_them();
    ExitCode::SUCCESS
}

/// Gives back what was changed for the sleep.
pub fn after() -> ExitCode {
    crate::daemon::start_log();
    file_systems::leave_them();
    ExitCode::SUCCESS
}

/// The daemon does not answer: the kernel knows what is open, and the settings what follows.
fn unheard(why: &str) -> bool {
    let open = open_homes();
    if open.is_empty() {
        tracing::warn!("homed does not answer ({why}); no home is open, so the machine may sleep");
        return true;
    }
    let what = format!("homed does not answer ({why}), and these homes are open: {}.", open.join(", "));
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
    crate::daemon::start_log();
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
