//! Descriptors of other libraries in tokio's reactor.
#![allow(unsafe_code)]

use nix::sys::inotify::{Inotify, InotifyEvent};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Gives tokio the raw descriptor it asks for.
struct Raw(Inotify);

impl AsRawFd for Raw {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// An inotify instance that is waited for without blocking the loop.
pub struct AsyncInotify(AsyncFd<Raw>);

impl AsyncInotify {
    /// Takes over an instance that does not block. Only within the tokio runtime.
    pub fn new(inotify: Inotify) -> io::Result<Self> {
        // SAFETY: `Raw` owns the descriptor, never changes it and is dropped only after `AsyncFd` has
        // taken it out of the reactor.
        let registered = unsafe { AsyncFd::register_with_interest(Raw(inotify), Interest::READABLE) };
        registered.map(Self).map_err(|failed| io::Error::other(failed.to_string()))
    }

    /// The next events; waits until there are some.
    pub async fn events(&self) -> io::Result<Vec<InotifyEvent>> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(events) = ready.try_io(|raw| Ok(raw.get_ref().0.read_events()?)) {
                return events;
            }
        }
    }
}
