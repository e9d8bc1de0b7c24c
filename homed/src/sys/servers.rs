//! X servers, found by what they have open, and the signals that stop them and let them go on.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where X servers listen; the same name without a file, too (`@/tmp/…`).
const SOCKETS: &str = "/tmp/.X11-unix/X";
/// proc_net(5), `unix`: the flag of a socket that listens, `__SO_ACCEPTCON` of linux/net.h.
const LISTENS: u32 = 1 << 16;

/// A server; a process that has its number later is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Process id.
    pub pid: u32,
    /// When it began, in ticks since the machine did.
    pub began: u64,
}

impl Server {
    /// The X servers that have this virtual terminal (`/dev/ttyN`) open. Links are read and nothing is opened: no file system of
    /// a stranger is asked.
    pub fn of_terminal(device: &Path) -> Vec<Self> {
        let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let listening = listening(&table);
        let is_one = |pid: &u32| {
            let open = open_files(*pid);
            open.iter().any(|file| file == device) && open.iter().any(|file| listening.contains(file))
        };
        super::holders::all().filter(is_one).filter_map(Self::of).collect()
    }

    fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, began: began(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)? })
    }

    /// Stops it.
    pub fn stop(self) -> io::Result<()> {
        self.send(Signal::STOP)
    }

    /// Lets it go on; one that has ended needs nothing.
    pub fn let_go_on(self) -> io::Result<()> {
        self.send(Signal::CONT)
    }

    /// Whether it was sent signals while it stood.
    pub fn has_signals_waiting(self) -> bool {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        ["SigPnd:", "ShdPnd:"].iter().any(|name| {
            let mask = text.lines().find_map(|line| line.strip_prefix(name));
            mask.is_some_and(|mask| mask.trim().bytes().any(|digit| digit != b'0'))
        })
    }

    fn send(self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            handle => handle?,
        };
        // Only now that its number cannot be given to another.
        if Self::of(self.pid) != Some(self) {
            return Ok(());
        }
        match pidfd_send_signal(&handle, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }
}

fn open_files(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// The sockets at which X servers listen, as links to them read: field 4 is the flags, 7 the inode, 8 the name.
fn listening(table: &str) -> BTreeSet<PathBuf> {
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[_, _, _, flags, _, _, inode, name] = fields.as_slice() else { return None };
        let listens = u32::from_str_radix(flags, 16).ok()? & LISTENS != 0;
        let is_one = listens && name.trim_start_matches('@').starts_with(SOCKETS);
        is_one.then(|| PathBuf::from(format!("socket:[{inode}]")))
    };
    table.lines().filter_map(socket).collect()
}

/// proc_pid_stat(5): field 22, after the name in brackets.
fn began(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_listens_where_x_servers_do_is_one() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21001 @/tmp/.X11-unix/X0\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 21002 @/tmp/.X11-unix/X0\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21003 /tmp/.X11-unix/X1\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21004 /run/dbus/system_bus_socket\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 21005\n";
        assert_eq!(listening(table), ["socket:[21001]", "socket:[21003]"].map(PathBuf::from).into());
    }

    #[test]
    fn a_process_is_stopped_and_goes_on_and_another_of_its_number_is_left_alone() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("started");
        let server = Server::of(child.id()).expect("there");
        let state = || crate::sys::slice::state(server.pid);
        Server { began: server.began + 1, ..server }.stop().expect("nothing");
        assert_ne!(state(), Some('T'));
        server.stop().expect("stopped");
        rustix::process::waitpid(
            Pid::from_raw(i32::try_from(server.pid).expect("a number")),
            rustix::process::WaitOptions::UNTRACED,
        )
        .expect("waited");
        assert_eq!(state(), Some('T'));
        assert!(!server.has_signals_waiting());
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(server.pid).expect("a number")),
            nix::sys::signal::Signal::SIGUSR1,
        )
        .expect("sent");
        assert!(server.has_signals_waiting());
        server.let_go_on().expect("goes on");
        assert!(!child.wait().expect("ended").success());
        server.let_go_on().expect("one that has ended needs nothing");
    }
}
