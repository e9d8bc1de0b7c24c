//! Processes of others: which they are, also when their number is somebody else's by now.

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use std::fs;
use std::io;

pub use rustix::process::Signal;

/// A process: no other ever has the same number and the same start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// When it was started, in ticks since the boot.
    started: u64,
}

impl Process {
    /// The one that has this number now.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: started(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)? })
    }

    /// As a line of text.
    pub fn to_line(&self) -> String {
        format!("{} {}\n", self.pid, self.started)
    }

    /// Reads such a line.
    pub fn from_line(line: &str) -> Option<Self> {
        let (pid, started) = line.split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// Sends a signal to this process and no other. One that has ended is fine.
    pub fn signal(self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            other => other?,
        };
        // The handle is of whoever has the number now.
        if Self::of(self.pid) != Some(self) {
            return Ok(());
        }
        match pidfd_send_signal(&handle, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// proc_pid_stat(5): field 22, after the name in brackets, which may hold anything.
fn started(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let own = Process::of(std::process::id()).expect("runs");
        assert!(own.started > 0);
        assert_eq!(Process::from_line(own.to_line().trim_end()), Some(own));
        assert_eq!(Process::from_line("17"), None);
        assert_eq!(started("17 (a) b 1) S 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 1"), Some(4711));
    }

    #[test]
    fn whoever_has_the_number_later_is_left_alone() {
        let mut child = Command::new("sleep").arg("100").spawn().expect("started");
        let process = Process::of(child.id()).expect("runs");
        let earlier = Process { started: process.started - 1, ..process };
        earlier.signal(Signal::KILL).expect("not sent");
        assert!(child.try_wait().expect("asked").is_none(), "it was the wrong one");
        process.signal(Signal::KILL).expect("sent");
        assert!(!child.wait().expect("ended").success());
        process.signal(Signal::KILL).expect("nobody there");
    }
}
