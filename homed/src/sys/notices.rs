//! What logind tells an X server over the system bus: that it may use its devices, or may no longer, each time somebody comes to its
//! terminal or leaves it. Read in the server's place, while that stands still.
//!
//! An Xorg (21.1) that was frozen meanwhile takes all of that at once when it goes on. It draws where it may not, opens keyboards
//! that were taken back since, and never gets over either: the screen stays black, the keyboard dead.

use super::running::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Where the bus listens, under either name of the folder.
const BUS: &str = "run/dbus/system_bus_socket";
/// How the first of the notices that may be forgotten is called: the member of `org.freedesktop.login1.Session`.
const RESUME: &[u8] = b"ResumeDevice";
/// Before any other of those: what tells that a device is taken away must be heard.
const PAUSE: &[u8] = b"PauseDevice";
/// Of all that waits, so much is read at once, in bytes.
const PIECE: usize = 16 * 1024;
/// So often. A connection holds some hundred notices; then the bus waits.
const MOST: usize = 256;
/// What the bus has kept back comes after this: what is read ends at the end of a notice.
const QUIET: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// The server's connections to the system bus.
pub struct Notices(Vec<UnixStream>);

impl Notices {
    /// Of this server; none where it has its devices by itself.
    pub fn to(server: Process) -> Self {
        let sockets = server.descriptors().into_iter().filter(|(_, file)| is_socket(file));
        let opened = sockets.filter_map(|(number, _)| server.descriptor(number).ok().flatten());
        let streams = opened.map(UnixStream::from);
        Self(streams.filter(is_bus).collect())
    }

    /// Whether some wait.
    pub fn wait(&self) -> bool {
        self.0.iter().any(|stream| waits(stream, Timespec { tv_sec: 0, tv_nsec: 0 }))
    }

    /// Throws away what waits, if all that it tells is of comings and goings: a going that was not heard of stays. Whether
    /// there was something.
    pub fn forget(&self) -> io::Result<bool> {
        let mut any = false;
        for stream in &self.0 {
            any |= forget(stream)?;
        }
        Ok(any)
    }
}

fn is_socket(file: &Path) -> bool {
    file.to_str().is_some_and(|file| file.starts_with("socket:"))
}

fn is_bus(stream: &UnixStream) -> bool {
    stream.peer_addr().is_ok_and(|address| address.as_pathname().is_some_and(|path| path.ends_with(BUS)))
}

fn forget(stream: &UnixStream) -> io::Result<bool> {
    let mut piece = vec![0; PIECE];
    for round in 0..MOST {
        let patience = if round == 0 { Timespec { tv_sec: 0, tv_nsec: 0 } } else { QUIET };
        if !waits(stream, patience) {
            return Ok(round > 0);
        }
        if round == 0 {
            let (_, length) = recv(stream, &mut piece[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
            if !begins_with_coming(&piece[..length]) {
                return Ok(false);
            }
        }
        // Descriptors that come along are nobody's then, and closed.
        let (_, length) = recv(stream, &mut piece[..], RecvFlags::DONTWAIT)?;
        if length == 0 {
            return Ok(true);
        }
    }
    Err(io::Error::other("more comes all the time"))
}

fn waits(stream: &UnixStream, patience: Timespec) -> bool {
    let mut waiting = [PollFd::new(stream, PollFlags::IN)];
    poll(&mut waiting, Some(&patience)).is_ok_and(|count| count > 0)
        && waiting[0].revents().contains(PollFlags::IN)
}

/// Whether what waits begins with notices that a device may be used.
fn begins_with_coming(bytes: &[u8]) -> bool {
    let place = |name: &[u8]| bytes.windows(name.len()).position(|some| some == name);
    match (place(RESUME), place(PAUSE)) {
        (Some(resume), Some(pause)) => resume < pause,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn comings_are_forgotten_and_a_going_is_not() {
        let (mut bus, mut server) = UnixStream::pair().expect("a pair");
        assert!(!forget(&server).expect("nothing"));
        bus.write_all(b"l4 ResumeDevice l4 PauseDevice l4 ResumeDevice").expect("written");
        bus.write_all(b" l4 PauseDevice").expect("written");
        assert!(forget(&server).expect("forgotten"));
        assert!(!waits(&server, QUIET));
        for kept in ["l4 PauseDevice l4 ResumeDevice", "l3 something else"] {
            bus.write_all(kept.as_bytes()).expect("written");
            assert!(!forget(&server).expect("looked at"), "{kept}");
            let mut left = vec![0; kept.len()];
            server.read_exact(&mut left).expect("still there");
            assert_eq!(left, kept.as_bytes());
        }
        bus.write_all(b"l4 ResumeDevice").expect("written");
        drop(bus);
        assert!(forget(&server).expect("the end"));
    }

    #[test]
    fn the_bus_alone_is_listened_to() {
        use std::os::unix::net::UnixListener;
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            (UnixListener::bind(&path).expect("listens"), path)
        };
        let (_bus, path) = place("run/dbus/system_bus_socket");
        let (_other, elsewhere) = place("run/other/system_bus_socket");
        assert!(is_bus(&UnixStream::connect(path).expect("connected")));
        assert!(!is_bus(&UnixStream::connect(elsewhere).expect("connected")));
        assert!(is_socket(Path::new("socket:[17]")) && !is_socket(Path::new("/dev/tty1")));
    }
}
