//! What is in memory, asked of the kernel: homes with their keys, and workers that are at one.

use crate::daemon::open::open_homes;
use crate::daemon::{MARK as DAEMON, worker};
use crate::job::MARK as WORKER;
use crate::sys::running::{Process, Signal, of_program};
use crate::sys::unwiped::{self, Marks};
use crate::sys::waiting::wait_until;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a worker may take to end that the daemon has ended, or that was about to.
const ENDING: Duration = Duration::from_secs(10);

/// What is seen of the daemon's workers.
pub enum Workers {
    /// So many run.
    Run(usize),
    /// It cannot be told, for this reason.
    Unseen(String),
}

/// What may have a key in memory but the homes of these users; `None`: nothing.
pub fn in_memory(left_out: &[String], workers: impl FnOnce() -> Workers) -> Option<String> {
    // The workers first: what one of them has opened when it ends is seen after that.
    let workers = workers();
    let open = match open_homes() {
        Ok(open) => open,
        Err(why) => return Some(format!("whether homes are open cannot be told ({why})")),
    };
    let open: Vec<_> = open.into_iter().filter(|(user, _)| !left_out.contains(user)).collect();
    for (user, why) in &open {
        // For the log alone: it is long, and names devices.
        tracing::warn!("{user}: the home is open: {why}");
    }
    still_there(&open, &workers)
}

/// Workers, whatever they do: nobody can tell what they are about to.
pub fn at_once() -> Workers {
    match worker::program().and_then(|program| of_program(&program, worker::NAME, 0)) {
        Ok(running) => Workers::Run(running.len()),
        Err(error) => Workers::Unseen(error.to_string()),
    }
}

/// Workers with secrets in memory, of which the daemon says that there are none: one that it has ended may be waiting for a disk.
pub fn patiently() -> Workers {
    let mut running = 0;
    let ended = wait_until(ENDING, || {
        running = Marks::look(Path::new(unwiped::FOLDER))?.living(WORKER).len();
        io::Result::Ok(running == 0)
    });
    ended.map_or_else(|error| Workers::Unseen(error.to_string()), |_| Workers::Run(running))
}

/// Ends a daemon that is silent, and returns when it has ended, or cannot.
pub fn end_daemon() {
    let living = || Marks::look(Path::new(unwiped::FOLDER)).map(|marks| marks.living(DAEMON));
    let ended = living().and_then(|daemons| {
        daemons.into_iter().filter_map(Process::of).try_for_each(|daemon| daemon.signal(Signal::KILL))?;
        wait_until(ENDING, || Ok(living()?.is_empty()))
    });
    match ended {
        Ok(true) => {}
        Ok(false) => tracing::warn!("homed, which is silent, was killed and does not end"),
        Err(error) => tracing::warn!("homed, which is silent, cannot be ended: {error}"),
    }
}

/// A worker that tries key slots, or changes them, has a key without any device.
fn still_there(open: &[(String, String)], workers: &Workers) -> Option<String> {
    match (open, workers) {
        ([], Workers::Run(0)) => None,
        ([], Workers::Run(_)) => {
            Some("a worker of its own is at a home, with a password or key in its memory".into())
        }
        ([], Workers::Unseen(why)) => Some(format!("whether its workers have keys cannot be told ({why})")),
        (open, _) => {
            let users: Vec<&str> = open.iter().map(|(user, _)| user.as_str()).collect();
            Some(format!("these homes are open: {}", users.join(", ")))
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
