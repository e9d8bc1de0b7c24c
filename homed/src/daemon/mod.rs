//! The daemon: Event in → core → Effect out.

pub mod link;

use std::process::ExitCode;

/// Runs the daemon until it is told to stop.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
