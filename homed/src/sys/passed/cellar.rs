//! Where files go of those who have no place for them: a thread apart takes them, and another that has the same files closes one after
//! the other. While it waits for one, the others lie there and cost nobody a thread. Where too many lie, the next cellar is begun,
//! and the last keeps its own.

use super::{Closing, Unread, gather, hand_on, refused};
use crate::sys::apart;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Files that may lie in one; a process may have [`crate::sys::limits`] open.
const MOST: usize = 2000;

/// How many files lie in one.
#[derive(Debug, Clone, Default)]
struct Lying(Arc<AtomicUsize>);

impl Lying {
    fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MOST
    }
}

/// Closes what it is sent; its files are those of the thread that begins it.
fn closer(lying: Lying) -> mpsc::Sender<OwnedFd> {
    let (send, sent) = mpsc::channel::<OwnedFd>();
    let work = move || {
        for file in sent {
            let waits = Closing::begin(None, &file);
            drop(file);
            drop(waits);
            lying.0.fetch_sub(1, Ordering::Relaxed);
        }
    };
    // Where there is no thread they lie there until the other ends.
    let _ = std::thread::Builder::new().name("apart".into()).stack_size(super::STACK).spawn(work);
    send
}

/// The bytes that came, and how many files with them.
type Told = io::Result<(Vec<u8>, usize)>;

/// One for what comes over a socket.
#[derive(Debug)]
pub struct Cellar {
    back: UnixStream,
    order: mpsc::Sender<usize>,
    told: Mutex<mpsc::Receiver<Told>>,
    lying: Lying,
}

impl Cellar {
    /// Begins one.
    pub fn under(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let (back, far) = UnixStream::pair()?;
        let (order, orders) = mpsc::channel::<usize>();
        let (tell, told) = mpsc::channel();
        let lying = Lying::default();
        let theirs = lying.clone();
        apart::with(vec![socket.try_clone_to_owned()?, far.into_std()?.into()], move |files| {
            let Ok([socket, back]) = <[OwnedFd; 2]>::try_from(files) else { return };
            let close = closer(theirs.clone());
            for most in orders {
                let taken = put(socket.as_fd(), most, &close, &theirs);
                let (told, on) = match taken {
                    Ok((bytes, on)) => (Ok((bytes, on.len())), on),
                    Err(error) => (Err(error), Vec::new()),
                };
                // By the socket alone: what wakes those who wait in the process is not open here.
                if tell.send(told).is_err() || hand_on(&back, &on).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { back, order, told: Mutex::new(told), lying })
    }

    /// Whether another is better begun.
    pub fn is_full(&self) -> bool {
        self.lying.is_full()
    }

    /// Takes at most that many bytes off the socket, and for each file one that says [`Unread::Refused`].
    pub async fn take(&self, most: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        self.order.send(most).map_err(|_| io::ErrorKind::BrokenPipe)?;
        let collect = || Ok(gather(self.back.as_fd(), &mut [0; 1])?.1);
        let files = super::in_time(self.back.async_io(Interest::READABLE, collect)).await?;
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).try_recv();
        let (bytes, count) = told.map_err(|_| io::ErrorKind::BrokenPipe)??;
        if files.len() != count {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((bytes, files))
    }
}

fn put(
    socket: BorrowedFd<'_>,
    most: usize,
    close: &mpsc::Sender<OwnedFd>,
    lying: &Lying,
) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; most];
    let (length, came) = gather(socket, &mut bytes)?;
    bytes.truncate(length);
    lying.0.fetch_add(came.len(), Ordering::Relaxed);
    let on = came.iter().map(|_| refused(Unread::Refused)).collect::<io::Result<Vec<_>>>();
    came.into_iter().for_each(|file| lay(file, close));
    Ok((bytes, on?))
}

/// To be closed when its turn comes; where nobody closes anything it lies there.
fn lay(file: OwnedFd, close: &mpsc::Sender<OwnedFd>) {
    if let Err(unsent) = close.send(file) {
        std::mem::forget(unsent.0);
    }
}

/// One for whole connections.
struct Bin {
    way: std::os::unix::net::UnixStream,
    lying: Lying,
}

static BIN: Mutex<Option<Bin>> = Mutex::new(None);

impl Bin {
    fn begin() -> io::Result<Self> {
        let (way, far) = std::os::unix::net::UnixStream::pair()?;
        way.set_nonblocking(true)?;
        let lying = Lying::default();
        let theirs = lying.clone();
        apart::with(vec![far.into()], move |files| {
            let Ok([far]) = <[OwnedFd; 1]>::try_from(files) else { return };
            let close = closer(theirs);
            while let Ok((1.., came)) = super::gather_waiting(far.as_fd(), &mut [0; 1]) {
                came.into_iter().for_each(|file| lay(file, &close));
            }
        })?;
        Ok(Self { way, lying })
    }
}

/// Lets go of a connection of somebody who has no place: closed where that holds up nobody.
pub fn throw_in(socket: OwnedFd) {
    let mut bin = BIN.lock().unwrap_or_else(PoisonError::into_inner);
    if bin.as_ref().is_none_or(|bin| bin.lying.is_full()) {
        *bin = Bin::begin().ok();
    }
    let put = bin.as_ref().map(|bin| {
        bin.lying.0.fetch_add(1, Ordering::Relaxed);
        hand_on(&bin.way, std::slice::from_ref(&socket))
    });
    match put {
        // What is closed here is not the last.
        Some(Ok(())) => drop(socket),
        // Better one that is never closed than a thread that waits.
        _ => std::mem::forget(socket),
    }
}
