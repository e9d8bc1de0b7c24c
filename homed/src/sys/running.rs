//! Processes of others: which they are, also when their number is somebody else's by now.

use super::procfs;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open, pidfd_send_signal};
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

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
        Some(Self { pid, started: started(&procfs::text(format!("/proc/{pid}/stat")).ok()?)? })
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
        let Some(handle) = self.handle()? else { return Ok(()) };
        match pidfd_send_signal(&handle, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Whose it is: the real UID.
    pub fn uid(self) -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
    }

    /// Whether it was sent signals that it has not taken, because it stands still.
    pub fn has_signals_waiting(self) -> bool {
        self.signals_waiting() != 0
    }

    /// Whether this one is among them.
    pub fn has_waiting(self, signal: u32) -> bool {
        (1..=64).contains(&signal) && self.signals_waiting() >> (signal - 1) & 1 == 1
    }

    /// A bit each, proc_pid_status(5): those of a thread, and those of the process.
    fn signals_waiting(self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let mask = |name: &str| {
            let mask = text.lines().find_map(|line| line.strip_prefix(name));
            mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
        };
        mask("SigPnd:") | mask("ShdPnd:")
    }

    /// The numbers of its descriptors, and what their links say. Nothing is opened: no file system of a stranger is asked.
    pub fn descriptors(self) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().flatten();
        let shown = |entry: fs::DirEntry| {
            Some((entry.file_name().to_str()?.parse().ok()?, fs::read_link(entry.path()).ok()?))
        };
        entries.filter_map(shown).collect()
    }

    /// One of its descriptors, duplicated: the same open file, so whatever is done to it is done to the process's.
    /// `None`: the process has ended.
    pub fn descriptor(self, number: u32) -> io::Result<Option<OwnedFd>> {
        let Some(handle) = self.handle()? else { return Ok(None) };
        let number = i32::try_from(number).map_err(io::Error::other)?;
        match pidfd_getfd(&handle, number, PidfdGetfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => Ok(None),
            other => Ok(Some(other?)),
        }
    }

    /// `None`: it has ended.
    fn handle(self) -> io::Result<Option<OwnedFd>> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            other => other?,
        };
        // The handle is of whoever has the number now.
        Ok((Self::of(self.pid) == Some(self)).then_some(handle))
    }
}

/// Processes of a user that run the program at this path, also where another has taken its place since. `name` is what it calls
/// itself, for those whose program we may not be told.
pub fn of_program(path: &Path, name: &CStr, uid: u32) -> io::Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let runs = match fs::read_link(entry.path().join("exe")) {
            Ok(program) => {
                let program = program.to_string_lossy();
                Path::new(program.strip_suffix(" (deleted)").unwrap_or(&program)) == path
            }
            // One that has ended, and the kernel's own, have no program.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => false,
            Err(_) => {
                fs::read(entry.path().join("comm")).is_ok_and(|comm| comm.trim_ascii_end() == name.to_bytes())
            }
        };
        if runs {
            all.extend(Process::of(pid).filter(|process| process.uid() == Some(uid)));
        }
    }
    Ok(all)
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
    fn processes_are_found_by_their_program() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let program = folder.path().canonicalize().expect("there").join("worker");
        fs::copy("/bin/sleep", &program).expect("copied");
        let uid = rustix::process::getuid().as_raw();
        let found = |uid| -> Vec<u32> {
            of_program(&program, c"worker", uid).expect("looked").iter().map(|process| process.pid).collect()
        };
        assert!(found(uid).is_empty());
        let mut running = Command::new(&program).arg("1000").spawn().expect("started");
        // Called so alone, it is another program.
        let mut other = Command::new("/bin/sleep");
        let mut other = std::os::unix::process::CommandExt::arg0(&mut other, &program)
            .arg("1000")
            .spawn()
            .expect("started");
        assert_eq!(found(uid), [running.id()]);
        assert!(found(uid + 1).is_empty());
        fs::remove_file(&program).expect("removed");
        assert_eq!(found(uid), [running.id()]);
        for child in [&mut running, &mut other] {
            child.kill().and_then(|()| child.wait()).expect("ended");
        }
        assert!(found(uid).is_empty());
    }

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

    #[test]
    fn what_a_process_has_open_is_found_and_is_the_same_open_file() {
        let mut child =
            Command::new("sleep").arg("100").stdin(std::process::Stdio::piped()).spawn().expect("started");
        let process = Process::of(child.id()).expect("runs");
        let input = process.descriptors().into_iter().find(|(number, _)| *number == 0).expect("its input");
        assert!(input.1.to_string_lossy().starts_with("pipe:["), "{input:?}");
        let same = process.descriptor(0).expect("taken").expect("runs");
        use std::io::{Read, Write};
        child.stdin.take().expect("its other end").write_all(b"here").expect("written");
        let mut text = String::new();
        fs::File::from(same).read_to_string(&mut text).expect("read");
        assert_eq!(text, "here");
        assert!(process.descriptor(100).is_err());
        process.signal(Signal::KILL).expect("sent");
        child.wait().expect("ended");
        assert!(process.descriptor(0).expect("nobody there").is_none());
    }

    #[test]
    fn one_that_stands_still_has_its_signals_waiting() {
        let mut child = Command::new("sleep").arg("100").spawn().expect("started");
        let process = Process::of(child.id()).expect("runs");
        process.signal(Signal::STOP).expect("stopped");
        let pid = Pid::from_raw(i32::try_from(process.pid).expect("a number"));
        rustix::process::waitpid(pid, rustix::process::WaitOptions::UNTRACED).expect("waited");
        assert!(!process.has_signals_waiting());
        process.signal(Signal::USR1).expect("sent");
        assert!(process.has_signals_waiting());
        let number = u32::try_from(Signal::USR1.as_raw()).expect("a number");
        assert!(process.has_waiting(number));
        assert!([0, number - 1, number + 1, 65].iter().all(|other| !process.has_waiting(*other)));
        process.signal(Signal::CONT).expect("goes on");
        assert!(!child.wait().expect("ended").success());
    }
}
