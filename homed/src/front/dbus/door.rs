//! The socket of a connection to the bus, where files that come along with messages hang nobody (`sys::passed`).
//!
//! ```text
//! look ─ no files ─> read
//!      └ files ─ an answer to us ─────────────> taken apart: memory and pipes (logind's inhibitors)
//!              ├ a call, whose sender has a place ─> taken apart: their contents come, through pipes
//!              └ others ──────────────────────> a cellar: they were not taken
//! ```
//!
//! Each user has places for so many messages whose files are still open.

use crate::daemon::link::{Good, Link, Place};
use crate::sys::passed::{self, Cellar, Wanted};
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
use zbus::names::{BusName, UniqueName};
use zbus::{Connection, Message};

/// The part of a header that each message has, in bytes (D-Bus specification, "Message Format").
const FIXED: usize = 16;
/// What is taken at a time, in bytes. Files come with the first of a message.
const CHUNK: usize = 64 << 10;
/// What is looked at for who has sent a message, in bytes. Whose header is longer than that sends no files.
const LOOKED_AT: usize = 8192;
/// The field of a header that the bus fills in (D-Bus specification, "Header Fields").
const SENDER: u8 = 7;
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
        let incoming = Incoming { plain: Reader(self.stream), guard: self.guard, cellar: None };
        Split::new(incoming, Writer { stream, passes_files: true })
    }
}

/// What comes in.
#[derive(Debug)]
pub struct Incoming {
    plain: Reader,
    guard: Option<Guard>,
    cellar: Option<Cellar>,
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
        // In the handshake, behind which a message may be there already.
        let stream = &self.plain.0;
        let waiting = stream.async_io(Interest::READABLE, || passed::look(stream, buffer)).await?;
        if !waiting.files {
            return self.plain.recvmsg(&mut buffer[..waiting.length]).await;
        }
        let (bytes, files) = self.refuse(buffer.len()).await?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok((bytes.len(), files))
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
        let most = length(&head).map_or(CHUNK, |length| length.min(CHUNK));
        let kind = head[1];
        let way = if kind == Type::MethodReturn as u8 || kind == Type::Error as u8 {
            Some((Wanted::Answers, (None, None)))
        } else if kind == Type::MethodCall as u8 {
            self.place().await.map(|place| (Wanted::Contents, (Some(place.uid()), Some(place))))
        } else {
            None
        };
        let (bytes, files) = match way {
            Some((wanted, held)) => {
                let taken = passed::take(self.plain.0.as_fd(), most, wanted, held).await?;
                (taken.bytes, taken.files)
            }
            None => self.refuse(most).await?,
        };
        let mut parcel = Parcel { bytes: bytes.into(), files, rest: Reader(self.plain.0.clone()) };
        parcel.receive_message(number, &mut Vec::new(), &mut Vec::new()).await
    }

    /// Takes what is there, and none of the files.
    async fn refuse(&mut self, most: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let cellar = match self.cellar.take().filter(|cellar| !cellar.is_full()) {
            Some(cellar) => cellar,
            None => Cellar::under(self.plain.0.as_fd())?,
        };
        self.cellar.insert(cellar).take(most).await
    }

    /// A place for the files of the call that is next, if its sender has one left.
    async fn place(&self) -> Option<Place> {
        let guard = self.guard.as_ref()?;
        let mut bytes = vec![0; LOOKED_AT];
        let seen = passed::look(&self.plain.0, &mut bytes).ok()?;
        let sender = UniqueName::try_from(sender(&bytes[..seen.length])?).ok()?;
        let asking = async {
            let bus = DBusProxy::new(&guard.asked).await.ok()?;
            bus.get_connection_unix_user(BusName::from(sender)).await.ok()
        };
        // One that is gone is told nothing.
        let uid = tokio::time::timeout(PATIENCE, asking).await.ok().flatten()?;
        guard.link.take(Good::Arriving, uid, 1).ok()
    }
}

/// Who has sent a message that begins so, as the bus says. `None`: it does not, or not so early.
fn sender(message: &[u8]) -> Option<&str> {
    let number = |at: usize| number(message, at);
    let end = FIXED.checked_add(number(12)?)?;
    let mut at = FIXED;
    while at < end {
        at = at.next_multiple_of(8);
        let (field, kind) = (*message.get(at)?, *message.get(at + 2)?);
        // Its code, and its type as a signature: length, one letter, NUL.
        at += 4;
        match kind {
            b's' | b'o' => {
                let text = at.checked_add(4)?..at.checked_add(4)?.checked_add(number(at)?)?;
                if field == SENDER {
                    return std::str::from_utf8(message.get(text)?).ok();
                }
                at = text.end + 1;
            }
            b'g' => at += usize::from(*message.get(at)?) + 2,
            b'u' => at += 4,
            _ => return None,
        }
    }
    None
}

/// The number of four bytes that stands there, in the byte order that the message begins with.
fn number(message: &[u8], at: usize) -> Option<usize> {
    let bytes = <[u8; 4]>::try_from(message.get(at..at.checked_add(4)?)?).ok()?;
    let little = *message.first()? == b'l';
    usize::try_from(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }).ok()
}

/// How long a whole message is that begins so, in bytes: header, filled up to eight, and body. `None`: nobody knows.
fn length(head: &Head) -> Option<usize> {
    let header = FIXED.checked_add(number(head, 12)?)?.checked_next_multiple_of(8)?;
    header.checked_add(number(head, 4)?)
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

    #[test]
    fn the_sender_is_found_wherever_it_stands() {
        let message = |name: &str| {
            let built = Message::method_call("/a/b", "Do").interface("c.d").destination("e.f");
            built.sender(name).build(&("text", 7u32)).expect("a message")
        };
        for name in [":1.2", ":1.4711"] {
            let message = message(name);
            assert_eq!(sender(message.data()), Some(name));
            for length in 0..message.data().len() {
                assert!(sender(&message.data()[..length]).is_none_or(|found| found == name), "{length}");
            }
        }
        let none = Message::method_call("/a/b", "Do").build(&()).expect("a message");
        assert_eq!(sender(none.data()), None);
    }
}
