//! One job, one process, then gone.

use std::process::ExitCode;

/// Runs the job on standard input.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
