//! Processes of a user's that wait for a file system which another process of theirs serves (FUSE: sshfs, rclone, a desktop's). Frozen
//! together with its server such a wait never ends, and who waits so is not frozen. So they are stopped while the server goes on,
//! and all of them are frozen then.

use crate::job::Failure;
use crate::sys::bounded::{Deadline, Unfinished};
use crate::sys::running::{Process, Signal};
use crate::sys::slice::{self, Slice};
use crate::sys::waiting::wait_until;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a freeze takes at most where nobody waits for somebody who is frozen by then.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Freezes a slice. Whom it has to stop for that it tells to `note` before; that none of them is stopped any more, with nobody.
pub fn freeze(
    slice: &Slice,
    deadline: Deadline,
    note: &mut dyn FnMut(&BTreeSet<Process>) -> Result<(), Failure>,
) -> Result<(), Unfinished> {
    let mut stopped = Vec::new();
    let frozen = in_turns(slice, deadline, &mut stopped, note);
    if stopped.is_empty() {
        return frozen;
    }
    // While all stand still: a shell that runs, and sees its child stopped, takes the terminal from it.
    stopped.iter().rev().for_each(|process| drop(process.signal(Signal::CONT)));
    frozen.and_then(|()| told(note(&BTreeSet::new())))
}

fn in_turns(
    slice: &Slice,
    deadline: Deadline,
    stopped: &mut Vec<Process>,
    note: &mut dyn FnMut(&BTreeSet<Process>) -> Result<(), Failure>,
) -> Result<(), Unfinished> {
    loop {
        match slice.freeze(deadline.at_most(AT_ONCE)) {
            Err(Unfinished::Late) if !deadline.left().is_zero() => {}
            other => return other,
        }
        let waiting = slice.stuck();
        let servers = slice.servers();
        slice.thaw(deadline)?;
        if waiting.is_empty() || servers.is_empty() {
            return slice.freeze(deadline);
        }
        for process in waiting.iter().flat_map(|waiting| line(slice, waiting.pid)) {
            if servers.contains(&process.pid) || stopped.contains(&process) || slice::is_stopped(process.pid)
            {
                continue;
            }
            stopped.push(process);
            told(note(&stopped.iter().copied().collect()))?;
            process.signal(Signal::STOP)?;
            // One that waits for the server stops when it has its answer.
            wait_until(deadline.left(), || Ok::<_, Unfinished>(slice::is_stopped(process.pid)))?;
        }
    }
}

/// A process and those in the slice that it comes from, the first of them first: who would see it stopped, stands still before.
fn line(slice: &Slice, pid: u32) -> Vec<Process> {
    let mut pids = vec![pid];
    while let Some(parent) = pids.last().and_then(|pid| slice::parent(*pid)) {
        if !slice.has(parent) || pids.contains(&parent) {
            break;
        }
        pids.push(parent);
    }
    pids.into_iter().rev().filter_map(Process::of).collect()
}

fn told(noted: Result<(), Failure>) -> Result<(), Unfinished> {
    noted.map_err(|failure| Unfinished::Failed(failure.text().to_owned()))
}
