//! X servers, found by what they have open.

use super::running::Process;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where X servers listen; the same name without a file, too (`@/tmp/…`).
const SOCKETS: &str = "/tmp/.X11-unix/X";
/// proc_net(5), `unix`: the flag of a socket that listens, `__SO_ACCEPTCON` of linux/net.h.
const LISTENS: u32 = 1 << 16;

/// The X servers that have this virtual terminal (`/dev/ttyN`) open.
pub fn of_terminal(device: &Path, user: u32) -> Vec<Process> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let listening = listening(&table);
    let is_one = |process: &Process| {
        let open = process.descriptors();
        open.iter().any(|(_, file)| file == device) && is_server(*process, &open, &listening, user)
    };
    super::holders::all().filter_map(Process::of).filter(is_one).collect()
}

/// Whether it is an X server: the user's, or one of root's that listens by itself. Anybody can listen under such a name and send
/// what listens to a program of somebody else, which holds it until it is read (the message bus, what keeps descriptors).
fn is_server(process: Process, open: &[(u32, PathBuf)], listening: &BTreeSet<PathBuf>, user: u32) -> bool {
    let mut listens = open.iter().filter(|(_, file)| listening.contains(file));
    match process.uid() {
        Some(0) => process.pid != 1 && listens.any(|(number, _)| has_begun(process, *number)),
        uid => uid == Some(user) && listens.next().is_some(),
    }
}

/// Whether it was this process itself that began to listen there (`SO_PEERCRED`, unix(7)).
fn has_begun(process: Process, number: u32) -> bool {
    let socket = process.descriptor(number).ok().flatten();
    let by = socket.and_then(|socket| rustix::net::sockopt::socket_peercred(socket).ok());
    by.is_some_and(|by| u32::try_from(by.pid.as_raw_nonzero().get()) == Ok(process.pid))
}

/// Those of these processes that are X servers, and the virtual terminals (numbers) that each has open: its own, and the one from
/// which it was started.
pub fn among(processes: impl Iterator<Item = Process>) -> Vec<(Process, Vec<u32>)> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let listening = listening(&table);
    let server = |process: Process| {
        let open = process.descriptors();
        let listens = open.iter().any(|(_, file)| listening.contains(file));
        listens.then(|| (process, terminals(open.iter().map(|(_, file)| file.as_path()))))
    };
    processes.filter_map(server).collect()
}

/// The numbers of the virtual terminals among these files.
fn terminals<'a>(files: impl Iterator<Item = &'a Path>) -> Vec<u32> {
    let number = |file: &Path| {
        let name = file.strip_prefix("/dev").ok()?.to_str()?;
        name.strip_prefix("tty")?.parse().ok().filter(|number| *number != 0)
    };
    files.filter_map(number).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The X servers of a display that have no virtual terminal: those of other seats than the first.
pub fn of_display(number: u32, user: u32) -> Vec<Process> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let own = format!("{SOCKETS}{number}");
    let listening = listening_at(&table, |name| name == own);
    let is_one = |process: &Process| {
        let open = process.descriptors();
        is_server(*process, &open, &listening, user)
            && terminals(open.iter().map(|(_, file)| file.as_path())).is_empty()
    };
    super::holders::all().filter_map(Process::of).filter(is_one).collect()
}

/// The sockets at which X servers listen, as links to them read: field 4 is the flags, 7 the inode, 8 the name.
fn listening(table: &str) -> BTreeSet<PathBuf> {
    listening_at(table, |name| name.starts_with(SOCKETS))
}

/// The same for some names alone.
fn listening_at(table: &str, is_meant: impl Fn(&str) -> bool) -> BTreeSet<PathBuf> {
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[_, _, _, flags, _, _, inode, name] = fields.as_slice() else { return None };
        let listens = u32::from_str_radix(flags, 16).ok()? & LISTENS != 0;
        let is_one = listens && is_meant(name.trim_start_matches('@'));
        is_one.then(|| PathBuf::from(format!("socket:[{inode}]")))
    };
    table.lines().filter_map(socket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsRawFd, OwnedFd};

    #[test]
    fn only_what_listens_where_x_servers_do_is_one() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21001 @/tmp/.X11-unix/X0\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 21002 @/tmp/.X11-unix/X0\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21003 /tmp/.X11-unix/X1\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21004 /run/dbus/system_bus_socket\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 21005\n";
        assert_eq!(listening(table), ["socket:[21001]", "socket:[21003]"].map(PathBuf::from).into());
        let first = listening_at(table, |name| name == "/tmp/.X11-unix/X0");
        assert_eq!(first, [PathBuf::from("socket:[21001]")].into());
    }

    #[test]
    fn who_only_holds_what_listens_is_none() {
        let me = Process::of(std::process::id()).expect("runs");
        let user = me.uid().expect("a user");
        let folder = tempfile::tempdir().expect("folder");
        let socket = std::os::unix::net::UnixListener::bind(folder.path().join("X9")).expect("bound");
        let number = u32::try_from(socket.as_raw_fd()).expect("a number");
        let is_own = |open: &(u32, PathBuf)| open.0 == number;
        let open: Vec<_> = me.descriptors().into_iter().filter(is_own).collect();
        let listening = open.iter().map(|(_, file)| file.clone()).collect();
        assert!(is_server(me, &open, &listening, user));
        assert!(has_begun(me, number));
        // Somebody else's program has it, too.
        let held: OwnedFd = socket.try_clone().expect("copied").into();
        let mut other = std::process::Command::new("sleep")
            .arg("100")
            .stdin(std::process::Stdio::from(held))
            .spawn()
            .expect("started");
        let holder = Process::of(other.id()).expect("runs");
        assert!(!has_begun(holder, 0));
        assert!(!is_server(holder, &holder.descriptors(), &listening, user + 1));
        if user == 0 {
            assert!(!is_server(holder, &holder.descriptors(), &listening, 0));
        }
        other.kill().and_then(|()| other.wait()).expect("ended");
    }

    #[test]
    fn virtual_terminals_are_told_from_other_terminals() {
        let open = [
            "/dev/tty8",
            "/dev/tty1",
            "/dev/tty",
            "/dev/tty0",
            "/dev/ttyS1",
            "/dev/pts/2",
            "/dev/tty8",
            "pipe:[3]",
        ];
        assert_eq!(terminals(open.iter().map(Path::new)), [1, 8]);
    }

    #[test]
    fn the_server_of_a_display_without_a_terminal_is_found() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener};
        let own = rustix::process::getuid().as_raw();
        let number = 40_000 + std::process::id() % 10_000;
        let address = SocketAddr::from_abstract_name(format!("{SOCKETS}{number}")).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("listens");
        let found: Vec<u32> = of_display(number, own).iter().map(|process| process.pid).collect();
        assert!(found.contains(&std::process::id()), "{found:?}");
        let processes = || [std::process::id(), 1].into_iter().filter_map(Process::of);
        let among: Vec<u32> = among(processes()).iter().map(|(process, _)| process.pid).collect();
        assert_eq!(among, [std::process::id()]);
        assert!(of_display(number + 1, own).is_empty());
        drop(listener);
        assert!(of_display(number, own).is_empty());
    }
}
