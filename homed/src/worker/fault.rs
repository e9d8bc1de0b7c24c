//! Fault points: tests end a worker at a step of their choice. Not in the program that ships.

use crate::job::{Failure, Step};

/// Obeys `/run/homed/fault`: `STEP kill` (as a power cut would) or `STEP fail`.
#[cfg(feature = "fault-points")]
pub fn obey(step: Step) -> Result<(), Failure> {
    let wish = std::fs::read_to_string("/run/homed/fault").unwrap_or_default();
    match wish.trim().split_once(' ') {
        Some((name, "kill")) if name == step.name() => {
            let itself = nix::unistd::Pid::this();
            nix::sys::signal::kill(itself, nix::sys::signal::Signal::SIGKILL)
                .map_err(|error| Failure::fault(format!("fault point: {error}")))
        }
        Some((name, "fail")) if name == step.name() => {
            Err(Failure::fault(format!("fault point at {}", step.name())))
        }
        Some(_) | None => Ok(()),
    }
}

/// Nothing to obey.
#[cfg(not(feature = "fault-points"))]
pub fn obey(_step: Step) -> Result<(), Failure> {
    Ok(())
}
