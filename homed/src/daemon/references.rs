//! References: who holds a home is who has the write end of its FIFO open.
//!
//! ```text
//! /run/systemd/home/NAME.please-suspend    holder may be locked out at suspend
//! /run/systemd/home/NAME.dont-suspend      holder may not
//! ```
//!
//! The daemon has the read end: end of file means that the last holder has gone. The FIFO stays while
//! the home is mounted, so a daemon that starts finds out by opening it: "would block" is a living
//! holder, end of file is one that has gone in the meantime.

use super::events::{Events, Happened};
use crate::words::request::AtSuspend;
use records::UserName;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::task::AbortHandle;

/// Which FIFO.
pub type Key = (UserName, AtSuspend);

/// The read ends of all FIFOs.
pub struct References {
    folder: PathBuf,
    events: Events,
    watched: HashMap<Key, Watched>,
    generation: u64,
}

struct Watched {
    generation: u64,
    task: AbortHandle,
    /// A second read end, to look without waiting.
    read_end: OwnedFd,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a FIFO tells a daemon that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is none: nobody ever held the home since it was mounted.
    Nothing,
    /// Somebody holds it.
    Holder,
    /// Somebody did, and has gone.
    Gone,
}

impl References {
    /// None yet.
    pub fn new(folder: PathBuf, events: Events) -> Self {
        Self { folder, events, watched: HashMap::new(), generation: 0 }
    }

    /// Makes the folder.
    pub fn make(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)
    }

    /// A new reference.
    pub fn give(&mut self, user: &UserName, at_suspend: AtSuspend) -> io::Result<OwnedFd> {
        let path = self.path(user, at_suspend);
        match nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let read_end = OpenOptions::new().open_receiver(&path)?;
        let write_end = std::fs::OpenOptions::new()
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW)
            .open(&path)?;
        self.watch(user.clone(), at_suspend, read_end)?;
        Ok(write_end.into())
    }

    /// Looks for holders from before the start, and watches those that live.
    pub fn find(&mut self, user: &UserName, at_suspend: AtSuspend) -> Found {
        let Ok(read_end) = OpenOptions::new().open_receiver(self.path(user, at_suspend)) else {
            return Found::Nothing;
        };
        match is_held(&read_end) {
            Ok(false) => Found::Gone,
            Ok(true) if self.watch(user.clone(), at_suspend, read_end).is_ok() => Found::Holder,
            Ok(true) | Err(_) => Found::Nothing,
        }
    }

    /// Holders that have gone, and whose watcher has not said so yet: who closes a reference and then
    /// asks whether it is released must not be told that it is held.
    pub fn gone_by_now(&mut self) -> Vec<Key> {
        let is_gone = |watched: &Watched| matches!(is_held(&watched.read_end), Ok(false));
        let gone: Vec<Key> =
            self.watched.iter().filter(|(_, watched)| is_gone(watched)).map(|(key, _)| key.clone()).collect();
        self.watched.retain(|key, _| !gone.contains(key));
        gone
    }

    /// Whether that news of a holder that has gone is still true: a newer one may hold the FIFO.
    pub fn is_current(&mut self, user: &UserName, at_suspend: AtSuspend, generation: u64) -> bool {
        let key = (user.clone(), at_suspend);
        let current = self.watched.get(&key).is_some_and(|watched| watched.generation == generation);
        if current {
            self.watched.remove(&key);
        }
        current
    }

    /// Forgets a home's FIFOs.
    pub fn drop_all(&mut self, user: &UserName) {
        for at_suspend in AtSuspend::ALL {
            self.watched.remove(&(user.clone(), at_suspend));
            // Not there is just as good; anything else shows at the next use.
            let _ = std::fs::remove_file(self.path(user, at_suspend));
        }
    }

    /// A watcher of its own for every reference given: news of an older one is out of date.
    fn watch(&mut self, user: UserName, at_suspend: AtSuspend, read_end: Receiver) -> io::Result<()> {
        let second = read_end.as_fd().try_clone_to_owned()?;
        self.generation += 1;
        let generation = self.generation;
        let (key, events) = ((user.clone(), at_suspend), self.events.clone());
        let task = tokio::spawn(async move {
            until_end(read_end).await;
            events.send(Happened::ReferenceGone(user, at_suspend, generation));
        });
        self.watched.insert(key, Watched { generation, task: task.abort_handle(), read_end: second });
        Ok(())
    }

    fn path(&self, user: &UserName, at_suspend: AtSuspend) -> PathBuf {
        let kind = match at_suspend {
            AtSuspend::Lock => "please-suspend",
            AtSuspend::Stay => "dont-suspend",
        };
        self.folder.join(format!("{user}.{kind}"))
    }
}

/// Whether somebody has the write end; what was written is thrown away.
pub(super) fn is_held(read_end: impl AsFd) -> io::Result<bool> {
    let mut bytes = [0; 512];
    loop {
        match nix::unistd::read(&read_end, &mut bytes) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(nix::errno::Errno::EAGAIN) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until nobody has the write end; what is written is thrown away.
pub(super) async fn until_end(read_end: Receiver) {
    let mut bytes = [0; 512];
    loop {
        if read_end.readable().await.is_err() {
            return;
        }
        match read_end.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
