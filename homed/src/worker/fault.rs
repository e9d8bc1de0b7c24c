//! Fault points: tests end a worker at a step of their choice. Not in the program that ships.

use crate::job::{Failure, Step};
#[cfg(feature = "fault-points")]
use nix::sys::signal::Signal;

/// Obeys `/run/homed/fault`: `STEP kill` (as a power cut would), `STEP stop` (until somebody kills it) or `STEP fail`.
#[cfg(feature = "fault-points")]
pub fn obey(step: Step) -> Result<(), Failure> {
    let wish = std::fs::read_to_string("/run/homed/fault").unwrap_or_default();
    match wish.trim().split_once(' ') {
        Some((name, "kill")) if name == step.name() => raise(Signal::SIGKILL),
        Some((name, "stop")) if name == step.name() => raise(Signal::SIGSTOP),
        Some((name, "fail")) if name == step.name() => {
            Err(Failure::fault(format!("fault point at {}", step.name())))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(feature = "fault-points")]
fn raise(signal: Signal) -> Result<(), Failure> {
    nix::sys::signal::kill(nix::unistd::Pid::this(), signal)
        .map_err(|error| Failure::fault(format!("fault point: {error}")))
}

/// Nothing to obey.
#[cfg(not(feature = "fault-points"))]
pub fn obey(_step: Step) -> Result<(), Failure> {
    Ok(())
}
