//! Whoever's rights restic has can stop it (SIGSTOP), and would hold up root's program for ever: it is ended then. While a home
//! is locked what runs as its user is stopped by homed, and goes on afterwards.

use super::program::PROGRAM;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where homed notes which homes are locked.
const LOCKED: &str = "/run/homed/locked";

/// How long it is waited for a program that is stopped.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// It is looked at so often.
    pub every: Duration,
    /// So many looks in a row find it stopped.
    pub looks: u32,
}

/// A minute.
pub const MINUTE: Patience = Patience { every: Duration::from_secs(5), looks: 12 };

/// Ends a child that stays stopped, for as long as this lives.
pub struct Watch(Option<(Sender<()>, JoinHandle<()>)>);

impl Watch {
    /// Begins to look at a child of this program, which runs for that user.
    pub fn begin(child: u32, user: &str, patience: Patience) -> io::Result<Self> {
        let pid = i32::try_from(child).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let (end, ended) = channel();
        let locked = Path::new(LOCKED).join(user);
        let watched = Watched { child, process, locked, looks: 0 };
        let watch = move || {
            let mut watched = watched;
            while ended.recv_timeout(patience.every) == Err(RecvTimeoutError::Timeout) {
                watched.look(patience.looks);
            }
        };
        Ok(Self(Some((end, std::thread::Builder::new().spawn(watch)?))))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}

struct Watched {
    child: u32,
    process: OwnedFd,
    locked: PathBuf,
    /// That have found it stopped.
    looks: u32,
}

impl Watched {
    fn look(&mut self, most: u32) {
        let stays = is_stopped(self.child) && !self.locked.exists();
        self.looks = if stays { self.looks.saturating_add(1) } else { 0 };
        if self.looks == most {
            let _ = writeln!(
                io::stderr(),
                "{PROGRAM} was stopped (SIGSTOP), by its user most likely, and is ended."
            );
            // That one is gone, and its number may be another's.
            let _ = pidfd_send_signal(&self.process, Signal::KILL);
        }
    }
}

/// proc_pid_stat(5): the state comes behind the name, which may have brackets in it. Stopped, by a signal or a debugger.
fn is_stopped(pid: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = text.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    matches!(state, Some('T' | 't'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::kill_process;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    const SHORT: Patience = Patience { every: Duration::from_millis(5), looks: 3 };

    #[test]
    fn what_stays_stopped_is_ended_and_what_runs_is_left_alone() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("starts");
        let watch = Watch::begin(child.id(), "nobody-is-called-so", SHORT).expect("watched");
        let pid = Pid::from_child(&child);
        // What goes on again in time.
        for signal in [Signal::STOP, Signal::CONT] {
            kill_process(pid, signal).expect("told");
        }
        drop(child.stdin.take());
        let ended = child.wait().expect("ended");
        drop(watch);
        assert!(ended.success(), "{ended}");

        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("starts");
        let _watch = Watch::begin(child.id(), "nobody-is-called-so", SHORT).expect("watched");
        kill_process(Pid::from_child(&child), Signal::STOP).expect("stopped");
        let held = child.stdin.take();
        assert_eq!(child.wait().expect("ended").signal(), Some(9));
        drop(held);
    }
}
