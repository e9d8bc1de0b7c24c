//! What logind tells an X server over the system bus: that it may use its devices, or may no longer, each time somebody comes to its
//! terminal or leaves it. Read in the server's place, while that stands still.
//!
//! An Xorg (21.1) that was frozen meanwhile takes all of that at once when it goes on. It draws where it may not, opens keyboards
//! that were taken back since, and never gets over either: the screen stays black, the keyboard dead.

use super::bounded::Deadline;
use super::running::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Where the bus listens, under either name of the folder.
const BUS: &str = "run/dbus/system_bus_socket";
/// How the first of the notices that may be forgotten is called: the member of `org.freedesktop.login1.Session`.
const RESUME: &[u8] = b"ResumeDevice";
/// Before any other of those: what tells that a device is taken away must be heard.
const PAUSE: &[u8] = b"PauseDevice";
/// Of all that waits, so much is read at once, in bytes.
const PIECE: usize = 16 * 1024;
/// The head of a message, in bytes.
const HEAD: usize = 16;
/// The longest fields and the longest body of a message, in bytes: none of logind's comes near to it.
const LONGEST: usize = 1 << 20;
/// What the bus has kept back, because the connection was full, comes after this.
const QUIET: Duration = Duration::from_millis(20);
/// How long all of it may take: a connection holds some hundred notices. An unlock waits for it.
const BOUND: Duration = Duration::from_secs(3);
/// Between two looks at a head of which the end has not come.
const GLANCE: Duration = Duration::from_millis(1);

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
        self.0.iter().any(|stream| waits(stream, Duration::ZERO))
    }

    /// Throws away what waits, if all that it tells is of comings and goings: a going that was not heard of stays. Whether
    /// there was something. Anybody may send to the server, so it has a bound.
    pub fn forget(&self) -> io::Result<bool> {
        let deadline = Deadline::after(BOUND);
        let mut any = false;
        for stream in &self.0 {
            any |= forget(stream, deadline)?;
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

/// Message by message: where the bus has written half of one, as it does when a connection is full, the rest is waited for, or its
/// reader would take the rest for a message.
fn forget(stream: &UnixStream, deadline: Deadline) -> io::Result<bool> {
    let begins = begun(stream, deadline)?;
    if !begins.as_deref().is_some_and(begins_with_coming) {
        return Ok(false);
    }
    while !deadline.left().is_zero() && waits(stream, QUIET) {
        let Some(length) = begun(stream, deadline)?.as_deref().and_then(length) else { return Ok(true) };
        take(stream, length, deadline)?;
    }
    match deadline.left().is_zero() {
        true => Err(io::Error::other("more comes all the time")),
        false => Ok(true),
    }
}

/// What waits, as far as a piece goes, but a whole head; nothing is taken. `None`: nothing does, or the bus is gone.
fn begun(stream: &UnixStream, deadline: Deadline) -> io::Result<Option<Vec<u8>>> {
    let mut piece = vec![0; PIECE];
    while waits(stream, Duration::ZERO) {
        let (_, length) = recv(stream, &mut piece[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
        if length == 0 {
            return Ok(None);
        }
        if length >= HEAD {
            piece.truncate(length);
            return Ok(Some(piece));
        }
        if deadline.left().is_zero() {
            return Err(late());
        }
        std::thread::sleep(GLANCE);
    }
    Ok(None)
}

/// Takes so many bytes.
fn take(stream: &UnixStream, length: usize, deadline: Deadline) -> io::Result<()> {
    let mut left = length;
    let mut piece = vec![0; PIECE];
    while left > 0 {
        if !waits(stream, deadline.left()) {
            return Err(late());
        }
        let most = left.min(PIECE);
        // Descriptors that come along are nobody's then, and closed.
        let (_, length) = recv(stream, &mut piece[..most], RecvFlags::DONTWAIT)?;
        if length == 0 {
            return Ok(());
        }
        left -= length;
    }
    Ok(())
}

fn late() -> io::Error {
    io::Error::other("the rest of a message does not come")
}

/// How long the message is that begins here, in bytes (D-Bus specification, "Message Format"): a head of 16 bytes, in which the
/// lengths of the body and of the fields behind it are, the fields, filled up to 8 bytes, and the body. `None`: no message
/// begins here, which is where its reader has the beginning.
fn length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<HEAD>()?;
    let number = |at: usize| {
        let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        match head[0] {
            b'l' => Some(u32::from_le_bytes(bytes)),
            b'B' => Some(u32::from_be_bytes(bytes)),
            _ => None,
        }
    };
    let (body, fields) = (usize::try_from(number(4)?).ok()?, usize::try_from(number(12)?).ok()?);
    let is_message = (1..=4).contains(&head[1]) && head[3] == 1 && body <= LONGEST && fields <= LONGEST;
    is_message.then(|| head.len() + fields.next_multiple_of(8) + body)
}

fn waits(stream: &UnixStream, patience: Duration) -> bool {
    let mut waiting = [PollFd::new(stream, PollFlags::IN)];
    let Ok(patience) = Timespec::try_from(patience) else { return false };
    poll(&mut waiting, Some(&patience)).is_ok_and(|count| count > 0)
        && waiting[0].revents().contains(PollFlags::IN)
}

/// Whether what waits begins with notices that a device may be used.
fn begins_with_coming(bytes: &[u8]) -> bool {
    let place = |name: &[u8]| bytes.windows(name.len()).position(|some| some == name);
    match (length(bytes), place(RESUME), place(PAUSE)) {
        (Some(_), Some(resume), Some(pause)) => resume < pause,
        (Some(_), Some(_), None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    /// A signal without a body, but for so many bytes of it.
    fn signal(member: &str, body: usize) -> Vec<u8> {
        // The field "member" (3), a string ("s"): its length, itself, and a zero.
        let mut field = vec![3, 1, b's', 0];
        field.extend(u32::try_from(member.len()).expect("short").to_le_bytes());
        field.extend(member.bytes().chain([0]));
        let number = |length: usize| u32::try_from(length).expect("short").to_le_bytes();
        let mut message = vec![b'l', 4, 0, 1];
        message.extend(number(body).into_iter().chain(number(7)).chain(number(field.len())));
        field.resize(field.len().next_multiple_of(8), 0);
        message.extend(field);
        message.resize(message.len() + body, 0);
        message
    }

    #[test]
    fn comings_are_forgotten_and_a_going_is_not() {
        let (mut bus, mut server) = UnixStream::pair().expect("a pair");
        assert!(!forget(&server, deadline()).expect("nothing"));
        for member in ["ResumeDevice", "PauseDevice", "ResumeDevice", "PauseDevice", "PropertiesChanged"] {
            bus.write_all(&signal(member, 13)).expect("written");
        }
        assert!(forget(&server, deadline()).expect("forgotten"));
        assert!(!waits(&server, QUIET));
        let going = [signal("PauseDevice", 0), signal("ResumeDevice", 0)].concat();
        // The end of a message whose beginning the server has read.
        let rest = b"eDevice l4 ResumeDevice".to_vec();
        for kept in [going, signal("Something", 3), rest] {
            bus.write_all(&kept).expect("written");
            assert!(!forget(&server, deadline()).expect("looked at"), "{kept:?}");
            let mut left = vec![0; kept.len()];
            server.read_exact(&mut left).expect("still there");
            assert_eq!(left, kept);
        }
        bus.write_all(&signal("ResumeDevice", 0)).expect("written");
        drop(bus);
        assert!(forget(&server, deadline()).expect("the end"));
    }

    #[test]
    fn half_a_message_is_not_left() {
        let (mut bus, mut server) = UnixStream::pair().expect("a pair");
        let all = [signal("ResumeDevice", 3 * PIECE), signal("PauseDevice", 0)].concat();
        bus.write_all(&all[..all.len() - 5]).expect("written");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The second message has begun to be taken.
                while waits(&server, Duration::ZERO) {
                    std::thread::yield_now();
                }
                bus.write_all(&all[all.len() - 5..]).expect("written");
            });
            assert!(forget(&server, deadline()).expect("forgotten"));
        });
        bus.write_all(&signal("After", 0)).expect("written");
        let mut next = vec![0; signal("After", 0).len()];
        server.read_exact(&mut next).expect("read");
        assert_eq!(next, signal("After", 0));
    }

    #[test]
    fn the_end_of_a_head_is_waited_for_and_whoever_goes_on_is_not() {
        let (mut bus, mut server) = UnixStream::pair().expect("a pair");
        let message = signal("ResumeDevice", 0);
        bus.write_all(&message[..7]).expect("written");
        let late = forget(&server, Deadline::after(Duration::ZERO)).expect_err("no end");
        assert_eq!(late.to_string(), "the rest of a message does not come");
        bus.write_all(&message[7..]).expect("written");
        bus.write_all(&message).expect("written");
        let late = forget(&server, Deadline::after(Duration::ZERO)).expect_err("too late");
        assert_eq!(late.to_string(), "more comes all the time");
        let mut all = vec![0; 2 * message.len()];
        server.read_exact(&mut all).expect("nothing was taken");
        assert_eq!(all, message.repeat(2));
    }

    #[test]
    fn a_message_is_as_long_as_its_head_says() {
        for body in [0, 1, 8, 70_000] {
            let message = signal("ResumeDevice", body);
            assert_eq!(length(&message), Some(message.len()));
        }
        let message = signal("ResumeDevice", 0);
        assert_eq!(length(&message[..15]), None);
        for (at, wrong) in [(0, b'x'), (1, 0), (1, 5), (3, 2), (7, 0xff), (15, 0xff)] {
            let mut message = message.clone();
            message[at] = wrong;
            assert_eq!(length(&message), None, "{at}");
        }
        let mut other = message;
        other[0] = b'B';
        other[4..8].reverse();
        other[12..16].reverse();
        assert_eq!(length(&other), Some(other.len()));
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
