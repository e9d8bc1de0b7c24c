//! A connection to one of the daemon's sockets that waits for nothing longer than it is told to.
//!
//! Runs in other people's programs: a signal, of which `sudo` and `login` get many, ends no wait, and none is sent.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Most descriptors with one message, either way.
const MOST_FDS: usize = 2;

/// Messages that end with a certain byte, and descriptors.
pub struct Stream {
    socket: OwnedFd,
    received: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl Stream {
    /// Connects. A daemon that hangs lets its queue of connections fill up: then it waits for a place, until
    /// `deadline` (`TimedOut`). `NotFound` and `ConnectionRefused`: nobody listens there.
    pub fn connect(path: &Path, deadline: Instant) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let address = SocketAddrUnix::new(path)?;
        loop {
            // The kernel counts in ticks, and takes 0 for "for ever".
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
            set_socket_timeout(&socket, Timeout::Send, Some(left))?;
            match rustix::net::connect(&socket, &address) {
                Ok(()) => break,
                Err(Errno::INTR) if Instant::now() < deadline => {}
                Err(Errno::AGAIN | Errno::INTR) => return Err(io::ErrorKind::TimedOut.into()),
                Err(e) => return Err(e.into()),
            }
        }
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self::over(socket))
    }

    /// Around a socket that is connected and does not block.
    pub fn over(socket: OwnedFd) -> Self {
        Self { socket, received: Vec::new(), descriptor: None }
    }

    /// Sends a message that is far smaller than a socket's buffer: it goes in one piece or not at all.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let message = [IoSlice::new(bytes)];
        match rustix::net::sendmsg(&self.socket, &message, &mut control, SendFlags::NOSIGNAL)? {
            all if all == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// The next whole message without its `end`; `None` if none comes before `deadline`. One of more than
    /// `longest` bytes is an error, and so is the end of the connection.
    pub fn next(&mut self, end: u8, longest: usize, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.received[searched..].iter().position(|byte| *byte == end) {
                let mut message: Vec<u8> = self.received.drain(..=searched + at).collect();
                message.pop();
                return Ok(Some(message));
            }
            searched = self.received.len();
            if searched > longest {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if !self.readable(deadline)? {
                return Ok(None);
            }
            self.receive()?;
        }
    }

    /// The descriptor that came last.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let (mut into, flags) = ([IoSliceMut::new(&mut chunk)], RecvFlags::CMSG_CLOEXEC);
        let length = match rustix::net::recvmsg(&self.socket, &mut into, &mut control, flags) {
            Ok(received) if received.bytes == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => received.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.descriptor = fds.last().or_else(|| self.descriptor.take());
            }
        }
        self.received.extend_from_slice(&chunk[..length]);
        Ok(())
    }

    /// Waits until there is something to read; poll(2) is begun anew after a signal, with what is left of the time.
    fn readable(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()))
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let mut watched = [PollFd::new(&self.socket, PollFlags::IN)];
            match rustix::event::poll(&mut watched, Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
