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

mod cellar;
mod content;
mod living;

pub use cellar::Cellar;
#[cfg(test)]
pub use content::standing_for;
pub use content::{Content, Unread};
pub use living::give_up;

use super::apart;
use living::Closing;
use rustix::fs::{AtFlags, FileType, StatxFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// How much memory a thread has that waits for one file, in bytes.
const STACK: usize = 64 << 10;
/// Files in one message at most (the kernel's `SCM_MAX_FD`).
const MOST_FILES: usize = 253;

/// How long a thread apart may take to tell what it has received. One that hangs before is a fault: better a connection that ends.
const SOON: Duration = Duration::from_secs(10);

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
    /// Memory is handed on as it is; others are not read.
    Memory,
    /// Of an answer to a question of ours: memory and pipes are handed on as they are, others are not read.
    Answers,
    /// Of each its content is read, whatever it is.
    Contents,
}

/// What was taken.
#[derive(Debug)]
pub struct Taken {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether there were others than harmless ones.
    pub foreign: bool,
    /// As many files as came along. None of them can hang who closes it.
    pub files: Vec<OwnedFd>,
}

/// Takes at most that many bytes off a socket, with the files beside them, which this user has sent. `held` is kept until all
/// of them are closed.
///
/// # Errors
///
/// `WouldBlock`: nothing is there. Others: no thread is to be had for it, or the socket has broken.
pub async fn take<Held: Send + Sync + 'static>(
    socket: BorrowedFd<'_>,
    most: usize,
    wanted: Wanted,
    (sender, held): (Option<u32>, Held),
) -> io::Result<Taken> {
    if living::is_ending() {
        std::future::pending::<()>().await;
    }
    let (near, far) = UnixStream::pair()?;
    let (tell, heard) = mpsc::channel();
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
        content::copy_all(left, wanted == Wanted::Contents, (sender, held));
    })?;
    let collect = || Ok(gather(near.as_fd(), &mut [0; 1])?.1);
    let files = in_time(near.async_io(Interest::READABLE, collect)).await?;
    let received = heard.try_recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
    if files.len() != received.count {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Taken { bytes: received.bytes, foreign: received.foreign, files })
}

async fn in_time<T>(answer: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(SOON, answer).await?
}

struct Received {
    bytes: Vec<u8>,
    count: usize,
    foreign: bool,
}

/// Takes it off the socket: what can be handed on, and what is to be copied, or only to be closed. A file that has come is never
/// dropped here.
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
        let passes = match wanted {
            Wanted::Memory => handoff::is_memory(&file),
            Wanted::Answers => is_harmless(&file),
            Wanted::Contents => false,
        };
        foreign |= !passes;
        if passes {
            on.push(file);
            continue;
        }
        // Whoever misses one is told so by their number.
        let (reader, pipe) = std::io::pipe().map_or((None, None), |(r, w)| (Some(r), Some(OwnedFd::from(w))));
        on.extend(reader.map(OwnedFd::from));
        left.push(content::Left { file, pipe });
    }
    Ok((Received { bytes, count: on.len(), foreign }, on, left))
}

/// One that says why a file is not read.
fn refused(why: Unread) -> io::Result<OwnedFd> {
    let (reader, writer) = std::io::pipe()?;
    content::say(&mut OwnedFd::from(writer).into(), Err(why));
    Ok(reader.into())
}

/// One byte, and the files.
fn hand_on(back: impl AsFd, files: &[OwnedFd]) -> io::Result<()> {
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
    gather_with(socket, bytes, RecvFlags::DONTWAIT)
}

/// The same, and waits until something comes.
fn gather_waiting(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    gather_with(socket, bytes, RecvFlags::empty())
}

fn gather_with(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    waits: RecvFlags,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | waits;
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

/// Whether it may be an ordinary file, as far as that is known without its file system. (FUSE lets nobody but its user see more;
/// read it can be.)
fn is_ordinary(file: impl AsFd) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(file, "", flags, StatxFlags::TYPE) {
        Ok(seen) => FileType::from_raw_mode(seen.stx_mode.into()) == FileType::RegularFile,
        Err(error) => error == rustix::io::Errno::ACCESS,
    }
}

/// Lets go of a socket in which files may lie that nobody has taken out. `held` is kept until they are closed; without, they lie
/// in a cellar.
pub fn let_go<Held: Send + 'static>(socket: OwnedFd, held: Option<Held>) {
    // What is to come is refused from now on, so nothing lies there that is not seen.
    let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
    if has_no_files(&socket) {
        return drop((socket, held));
    }
    if living::is_ending() {
        // Closed when the process ends, without waiting.
        return std::mem::forget(socket);
    }
    let Some(held) = held else { return cellar::throw_in(socket) };
    let close = move |files| {
        drop(files);
        drop(held);
    };
    if let Err(not) = apart::with(vec![socket], close) {
        not.files.into_iter().for_each(cellar::throw_in);
    }
}

/// Whether nothing lies in a socket, or bytes alone.
fn has_no_files(socket: &OwnedFd) -> bool {
    let Ok(length) = rustix::io::ioctl_fionread(socket) else { return false };
    let Ok(length @ 1..) = usize::try_from(length) else { return length == 0 };
    look(socket, &mut vec![0; length]).is_ok_and(|seen| !seen.files && seen.length == length)
}

#[cfg(test)]
mod tests;
