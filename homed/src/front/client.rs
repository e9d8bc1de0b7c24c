//! The connection of somebody on this machine: files that lie in it hang nobody who reads or closes it (`sys::passed`).

use crate::daemon::link::Place;
use crate::sys::passed::{self, Taken, Wanted};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// One connection, with its place, which is kept until it is closed, and all that lies in it.
pub struct Client {
    /// Gone when it is dropped.
    stream: Option<UnixStream>,
    place: Arc<Place>,
}

/// What has come.
pub enum Came {
    /// Nothing yet.
    Nothing,
    /// So many bytes; 0: the client has closed.
    Bytes(usize),
    /// Bytes with files.
    Files(Taken),
}

impl Client {
    /// That connection.
    pub fn new(stream: UnixStream, place: Arc<Place>) -> Self {
        Self { stream: Some(stream), place }
    }

    /// To write to, and to wait for. Reading from it may hang.
    pub fn stream(&mut self) -> io::Result<&mut UnixStream> {
        self.stream.as_mut().ok_or(io::ErrorKind::NotConnected.into())
    }

    /// Waits for bytes, and for nothing else.
    ///
    /// # Errors
    ///
    /// The connection has broken, or files came, which are none of this conversation's.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream()?.readable().await?;
            match self.take(buffer).await? {
                Came::Nothing => {}
                Came::Bytes(length) => return Ok(length),
                Came::Files(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Takes what is there: bytes, or files of which memory is handed on.
    pub async fn take(&mut self, buffer: &mut [u8]) -> io::Result<Came> {
        let (most, sender) = (buffer.len(), (Some(self.place.uid()), self.place.clone()));
        let stream = self.stream()?;
        let waiting = match stream.try_io(Interest::READABLE, || passed::look(&*stream, buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Came::Nothing),
            waiting => waiting?,
        };
        if waiting.files {
            return Ok(Came::Files(passed::take(stream.as_fd(), most, Wanted::Memory, sender).await?));
        }
        // Those that were looked at, and no others: files may have come after them.
        Ok(Came::Bytes(stream.try_read(&mut buffer[..waiting.length])?))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            close(stream, Some(self.place.clone()));
        }
    }
}

/// Closes the connection of somebody who has no place.
pub fn turn_away(stream: UnixStream) {
    close::<()>(stream, None);
}

fn close<Held: Send + 'static>(stream: UnixStream, held: Option<Held>) {
    // One that the runtime does not let go of is closed with it.
    if let Ok(stream) = stream.into_std() {
        passed::let_go(OwnedFd::from(stream), held);
    }
}
