//! Connections to a message bus over which nobody can hang who has them.
//!
//! Anybody on the bus may send open files along with a message. Whoever has received one has to close it, and that may wait for
//! a program of the sender's for ever: a file system in user space is told by `close(2)`, and a TCP socket with `SO_LINGER`
//! waits until its data is taken. So [`Socket`] takes no files at all: the bus is told so, sends none, and if it did, the
//! kernel would drop them. Who has to have files says what becomes of them, by reading halves of its own over
//! [`Reader`] ([`zbus::connection::socket::ReadHalf`]).

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::Address;
use zbus::address::transport::{Transport, Unix, UnixSocket};
use zbus::connection::Builder;
use zbus::connection::socket::{self, ReadHalf, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

/// The system bus. A root daemon takes no address from its environment.
pub const SYSTEM: &str = "unix:path=/run/dbus/system_bus_socket";

/// Files that may go along with a message (`DBUS_MAXIMUM_MESSAGE_UNIX_FDS` is less; the kernel's `SCM_MAX_FD` is this).
const MOST_FILES: usize = 253;

/// Begins a connection to the bus at this address, over which no files come.
pub async fn connect(address: &str) -> zbus::Result<Builder<'static>> {
    Ok(Builder::socket(Socket(dial(address).await?)))
}

/// Begins a connection to the system bus, over which no files come; by the address that the environment has, if any.
pub async fn system() -> zbus::Result<Builder<'static>> {
    Ok(Builder::socket(Socket(dial_at(&Address::system()?).await?)))
}

/// Opens the socket at that address, which must be of the kind `unix:path=`.
pub async fn dial(address: &str) -> zbus::Result<Arc<UnixStream>> {
    dial_at(&address.try_into()?).await
}

async fn dial_at(address: &Address) -> zbus::Result<Arc<UnixStream>> {
    let path: &Path = match address.transport() {
        Transport::Unix(unix) => path_of(unix),
        _ => None,
    }
    .ok_or_else(|| zbus::Error::Address(format!("{address}: not a socket with a path")))?;
    Ok(Arc::new(UnixStream::connect(path).await?))
}

fn path_of(unix: &Unix) -> Option<&Path> {
    match unix.path() {
        UnixSocket::File(path) => Some(path),
        _ => None,
    }
}

/// A socket over which no files come.
#[derive(Debug)]
pub struct Socket(pub Arc<UnixStream>);

impl socket::Socket for Socket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        Split::new(Reader(self.0.clone()), Writer { stream: self.0, passes_files: false })
    }
}

/// Takes bytes, and no files.
#[derive(Debug)]
pub struct Reader(pub Arc<UnixStream>);

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(buffer) {
                Ok(length) => return Ok((length, Vec::new())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Sends bytes, and files where that is wished.
#[derive(Debug)]
pub struct Writer {
    /// The socket.
    pub stream: Arc<UnixStream>,
    /// Whether files may be sent along.
    pub passes_files: bool,
}

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            Ok(rustix::net::sendmsg(&self.stream, &[IoSlice::new(buffer)], &mut control, flags)?)
        };
        self.stream.async_io(Interest::WRITABLE, send).await
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both)?)
    }

    fn can_pass_unix_fd(&self) -> bool {
        self.passes_files
    }
}
