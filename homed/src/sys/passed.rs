//! Files that strangers send along with a message, taken in where they can hang nobody.
//!
//! ```text
//! socket ─ recvmsg(2) ─> a thread apart ─ memory, pipes ─────────────> who has asked
//!                              └ a thread for each other file ─ pipe ─> its content, and how it ended
//! ```
//!
//! Whoever has received a file has to close it, and `close(2)` may wait for ever: FUSE asks the file system, which is a program
//! of the sender's; a socket with `SO_LINGER` waits for the other end; and the descriptors of a Unix socket that lie in another
//! are closed with it. That is so even for files that are never taken out: whoever reads the bytes beside them drops
//! them. So the bytes are looked at with `MSG_PEEK`, which tells whether files are among them ([`look`]), and read by a thread
//! that has no other files ([`take`]).

mod content;
mod living;

#[cfg(test)]
pub use content::standing_for;
pub use content::{Content, Unread};
pub use living::give_up;

use super::apart;
use living::Living;
use rustix::fs::{AtFlags, FileType, StatxFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// How much memory a thread has that waits for one file, in bytes.
const STACK: usize = 64 << 10;
/// Files in one message at most (the kernel's `SCM_MAX_FD`).
const MOST_FILES: usize = 253;

/// Threads that may wait for files of others' at a time: more is an attack on all there are of them.
const MOST_LIVING: usize = 1024;

/// What waits in a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Bytes that were looked at; 0: the other end has closed.
    pub length: usize,
    /// Whether files came with them.
    pub files: bool,
}

/// Looks at what waits in a socket, and leaves it there.
///
/// # Errors
///
/// `WouldBlock`: nothing is there yet.
pub fn look(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Waiting> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let mut none = RecvAncillaryBuffer::new(&mut []);
    let seen = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut none, flags)?;
    Ok(Waiting { length: seen.bytes, files: seen.flags.contains(ReturnFlags::CTRUNC) })
}

/// What becomes of the files in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Memory and pipes are handed on as they are, others are not read.
    Harmless,
    /// Of each its content is read, whatever it is, where that is allowed.
    Contents,
}

/// What was taken.
#[derive(Debug)]
pub struct Taken<Held> {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether there were others than harmless ones.
    pub foreign: bool,
    /// As many files as came along. None of them can hang who closes it.
    pub files: Vec<OwnedFd>,
    verdict: mpsc::Sender<Held>,
}

impl<Held> Taken<Held> {
    /// The contents may be read. This is kept until all files are closed. Where nobody says so, none are.
    pub fn may_be_read(self, held: Held) {
        // Where nothing is to be read nobody listens.
        let _ = self.verdict.send(held);
    }
}

/// Takes at most that many bytes off a socket, with the files beside them. What is to be held meanwhile, is, until all that are
/// only closed are closed.
///
/// # Errors
///
/// `WouldBlock`: nothing is there. Others: no thread is to be had for it, or the socket has broken.
pub async fn take<Held: Send + Sync + 'static>(
    socket: BorrowedFd<'_>,
    most: usize,
    wanted: Wanted,
) -> io::Result<Taken<Held>> {
    if Living::count() >= MOST_LIVING {
        return Err(io::Error::other("too many files of others' wait to be closed"));
    }
    let (near, far) = UnixStream::pair()?;
    let (tell, heard) = mpsc::channel();
    let (verdict, allowed) = mpsc::channel();
    let files = vec![socket.try_clone_to_owned()?, OwnedFd::from(far.into_std()?)];
    apart::with(files, move |files| {
        let Ok([socket, back]) = <[OwnedFd; 2]>::try_from(files) else { return };
        let (received, on, left) = match receive(&socket, most, wanted) {
            Ok((received, on, left)) => (Ok(received), on, left),
            Err(error) => (Err(error), Vec::new(), Vec::new()),
        };
        // By the socket alone: what wakes those who wait in the process is not open here.
        drop(tell.send(received));
        let _ = hand_on(&back, &on);
        // From here on it may last for ever, and nothing of anybody else's is open here.
        drop((socket, back, on));
        let held = allowed.recv().ok();
        content::copy_all(left, held.is_some() && wanted == Wanted::Contents, held);
    })?;
    let files = near.async_io(Interest::READABLE, || Ok(gather(near.as_fd(), &mut [0; 1])?.1)).await?;
    let received = heard.try_recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
    if files.len() != received.count {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Taken { bytes: received.bytes, foreign: received.foreign, files, verdict })
}

struct Received {
    bytes: Vec<u8>,
    count: usize,
    foreign: bool,
}

/// Takes it off the socket: what can be handed on, and what is to be copied, or only to be closed.
fn receive(
    socket: &OwnedFd,
    most: usize,
    wanted: Wanted,
) -> io::Result<(Received, Vec<OwnedFd>, Vec<content::Left>)> {
    let mut bytes = vec![0; most];
    let (length, came) = gather(socket.as_fd(), &mut bytes)?;
    bytes.truncate(length);
    let (mut on, mut left, mut foreign) = (Vec::new(), Vec::new(), false);
    for file in came {
        let harmless = is_harmless(&file);
        foreign |= !harmless;
        if wanted == Wanted::Harmless && harmless {
            on.push(file);
            continue;
        }
        let (reader, writer) = std::io::pipe()?;
        on.push(reader.into());
        left.push(content::Left { file, pipe: writer.into() });
    }
    Ok((Received { bytes, count: on.len(), foreign }, on, left))
}

/// One byte, and the files.
fn hand_on(back: &OwnedFd, files: &[OwnedFd]) -> io::Result<()> {
    let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&borrowed));
    }
    rustix::net::sendmsg(back, &[IoSlice::new(b".")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn gather(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    Ok((received.bytes, files.flatten().collect()))
}

/// Whether nobody waits who reads, writes or closes it: memory of the kernel's, and pipes. The file system is not asked.
fn is_harmless(file: &OwnedFd) -> bool {
    rustix::fs::fcntl_get_seals(file).is_ok()
        || rustix::pipe::fcntl_getpipe_size(file).is_ok()
        || handoff::is_memory(file)
}

/// Whether it is an ordinary file, as far as that is known without its file system.
fn is_ordinary(file: impl AsFd) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let seen = rustix::fs::statx(file, "", flags, StatxFlags::TYPE);
    seen.is_ok_and(|seen| FileType::from_raw_mode(seen.stx_mode.into()) == FileType::RegularFile)
}

/// Lets go of a socket in which files may lie that nobody has taken out. `held` is kept until they are closed.
pub fn let_go<Held: Send + 'static>(socket: OwnedFd, held: Held) {
    // What is to come is refused from now on, so nothing lies there that is not seen.
    let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
    match rustix::io::ioctl_fionread(&socket) {
        Ok(0) => drop((socket, held)),
        _ => {
            // Where there is no thread, it is closed here: that may wait, and is the best there is.
            let _ = apart::with(vec![socket], move |files| {
                drop(files);
                drop(held);
            });
        }
    }
}

#[cfg(test)]
mod tests;
