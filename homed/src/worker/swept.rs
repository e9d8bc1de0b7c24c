//! Free memory is written over where somebody was killed who had secrets, and no lock has done it since: a worker that was at a
//! closed home, one that locked and was broken off, a daemon.

use super::memory::{self, Turn};
use crate::job::{Context, Failure};
use crate::sys::bounded::Deadline;
use crate::sys::unwiped::{self, Marks};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The program's whole work, where it has no job. Success means that nothing of that kind is left.
pub fn main() -> ExitCode {
    match super::prepare().and_then(|()| what_is_left(memory::SWEEP)) {
        Ok(warnings) => {
            warnings.iter().for_each(|warning| eprintln!("{warning}"));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{}", failure.text());
            ExitCode::FAILURE
        }
    }
}

/// Writes over it, if there is any; what is to be told of that.
pub fn what_is_left(bound: Duration) -> Result<Vec<String>, Failure> {
    let marks = Marks::look(Path::new(unwiped::FOLDER)).during("looking for processes that were killed")?;
    if !marks.are_left() {
        return Ok(Vec::new());
    }
    Ok(memory::sweep(Turn::take(), Deadline::after(bound))?.warnings())
}
