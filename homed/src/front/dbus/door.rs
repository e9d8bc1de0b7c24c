//! The socket of a connection to the bus, where files that come along with messages hang nobody (`sys::passed`).
//!
//! ```text
//! look ─ no files ─> read
//!      └ files ─ who sends them? has it a place? ─> taken apart: of a call the contents come, through pipes
//!                                                  of an answer, memory and pipes alone (logind's inhibitors)
//! ```
//!
//! Each sender has so many messages whose files are still open; of more of them it hears that they were not taken.

use crate::daemon::link::{Good, Link, Place};
use crate::sys::passed::{self, Taken, Wanted};
use bus::{Reader, Writer};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::connection::socket::{self, ReadHalf, Split};
use zbus::export::async_trait::async_trait;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::BusName;
use zbus::{Connection, Message};

/// The part of a header that each message has, in bytes (D-Bus specification, "Message Format").
const FIXED: usize = 16;
/// What is taken at a time, in bytes. Files come with the first of a message.
const CHUNK: usize = 64 << 10;
/// How long the bus may take to say who a sender is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who may send files, and how many.
#[derive(Clone)]
pub struct Guard {
    /// The account.
    pub link: Link,
    /// A connection on which it is asked who a sender is: this one is not read meanwhile.
    pub asked: Connection,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

/// The socket. Without a guard only answers have files.
#[derive(Debug)]
pub struct Door {
    /// The socket itself.
    pub stream: Arc<UnixStream>,
    /// Who looks at calls.
    pub guard: Option<Guard>,
}

impl socket::Socket for Door {
    type ReadHalf = Incoming;
    type WriteHalf = Writer;

    fn split(self) -> Split<Incoming, Writer> {
        let stream = self.stream.clone();
        let incoming = Incoming { plain: Reader(self.stream), guard: self.guard };
        Split::new(incoming, Writer { stream, passes_files: true })
    }
}

/// What comes in.
#[derive(Debug)]
pub struct Incoming {
    plain: Reader,
    guard: Option<Guard>,
}

#[async_trait]
impl ReadHalf for Incoming {
    async fn receive_message(
        &mut self,
        number: u64,
        bytes_before: &mut Vec<u8>,
        files_before: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        // What was read in the handshake had no files.
        match bytes_before.is_empty() {
            true => match self.files_to_come().await? {
                Some(head) => self.with_files(number, head).await,
                None => self.plain.receive_message(number, bytes_before, files_before).await,
            },
            false => self.plain.receive_message(number, bytes_before, files_before).await,
        }
    }

    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.plain.recvmsg(buffer).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// How a message begins.
type Head = [u8; FIXED];

impl Incoming {
    /// How the next message begins, if files come with it. Nothing is taken.
    async fn files_to_come(&self) -> io::Result<Option<Head>> {
        let stream = &self.plain.0;
        let mut head = [0; FIXED];
        let look = || passed::look(stream, &mut head);
        let waiting = stream.async_io(Interest::READABLE, look).await?;
        match waiting.files {
            false => Ok(None),
            true if waiting.length == FIXED => Ok(Some(head)),
            // The bus sends files with the first bytes, and never so few of them.
            true => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    async fn with_files(&mut self, number: u64, head: Head) -> zbus::Result<Message> {
        let is_call = head[1] == Type::MethodCall as u8;
        let wanted = if is_call { Wanted::Contents } else { Wanted::Harmless };
        let most = length(&head).map_or(CHUNK, |length| length.min(CHUNK));
        let mut taken = passed::take(self.plain.0.as_fd(), most, wanted).await?;
        let (bytes, files) = (std::mem::take(&mut taken.bytes), std::mem::take(&mut taken.files));
        let mut parcel = Parcel { bytes: bytes.into(), files, rest: Reader(self.plain.0.clone()) };
        let message = parcel.receive_message(number, &mut Vec::new(), &mut Vec::new()).await?;
        if is_call && let Some(guard) = self.guard.clone() {
            tokio::spawn(guard.judge(message.clone(), taken));
        }
        Ok(message)
    }
}

/// How long a whole message is that begins so, in bytes: header, filled up to eight, and body. `None`: nobody knows.
fn length(head: &Head) -> Option<usize> {
    let number = |at: usize| {
        let bytes = <[u8; 4]>::try_from(&head[at..at + 4]).ok()?;
        let number = if head[0] == b'l' { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        usize::try_from(number).ok()
    };
    let header = FIXED.checked_add(number(12)?)?.checked_next_multiple_of(8)?;
    header.checked_add(number(4)?)
}

impl Guard {
    /// Lets the files of a call be read, where its sender has a place for them.
    async fn judge(self, message: Message, taken: Taken<Place>) {
        let header = message.header();
        let Some(sender) = header.sender() else { return };
        let asking = async {
            let bus = DBusProxy::new(&self.asked).await.ok()?;
            bus.get_connection_unix_user(BusName::from(sender.to_owned())).await.ok()
        };
        // One that is gone is told nothing.
        let Some(uid) = tokio::time::timeout(PATIENCE, asking).await.ok().flatten() else { return };
        if let Ok(place) = self.link.take(Good::Arriving, uid, 1) {
            taken.may_be_read(place);
        }
    }
}

/// A message that was taken in part, with its files, and the rest of it.
#[derive(Debug)]
struct Parcel {
    bytes: VecDeque<u8>,
    files: Vec<OwnedFd>,
    rest: Reader,
}

#[async_trait]
impl ReadHalf for Parcel {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if self.bytes.is_empty() {
            return self.rest.recvmsg(buffer).await;
        }
        let count = self.bytes.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.bytes.drain(..count)) {
            *place = byte;
        }
        Ok((count, std::mem::take(&mut self.files)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_messages_length_is_in_its_head() {
        let mut head: Head = [0; FIXED];
        head[0] = b'l';
        (head[4], head[12]) = (5, 3);
        assert_eq!(length(&head), Some(16 + 3 + 5 + 5));
        head = [0; FIXED];
        head[0] = b'B';
        (head[7], head[15]) = (1, 8);
        assert_eq!(length(&head), Some(16 + 8 + 1));
    }
}
