//! Who waits for a conversion: the lock of a file in `/run/homed/converting`. homed's worker looks at it while it copies, and
//! stops when nobody holds it: the caller has gone, or wants it no more (Ctrl-C).

use crate::bus::Failure;
use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the files are.
const FOLDER: &str = "/run/homed/converting";

/// What becomes of the lock when it is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is given up: a worker of homed's does the work, takes a lock of its own, and sees by that.
    No,
    /// It is held until this program ends, which does the work itself, and takes back what was begun.
    Yes,
}

/// Somebody waits; one at a time for each user.
pub struct Waiting {
    lock: Arc<File>,
    stopped: Arc<AtomicBool>,
}

impl Waiting {
    /// Begins to wait.
    pub fn begin(user: &str) -> Result<Self, Failure> {
        if user.contains('/') || user.starts_with('.') {
            return Err(Failure::say("No account is called so. Nothing was changed."));
        }
        let path = Path::new(FOLDER).join(user);
        let broken = |error: std::io::Error| {
            Failure::say(format!("{}: {error}. Nothing was changed.", path.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(FOLDER).map_err(broken)?;
        let lock = File::options().write(true).create(true).truncate(false).open(&path).map_err(broken)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { lock: Arc::new(lock), stopped: Arc::default() }),
            Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock => {
                Err(Failure::say(format!(
                    "Another homectl converts or releases {user} already, or a conversion that was stopped is being taken back. Nothing was \
                 changed by this one."
                )))
            }
            Err(error) => Err(broken(error.into())),
        }
    }

    /// From now on Ctrl-C ends the copying and not this program, which has to say what became of it.
    pub fn stops_by_signal(&self, hold: Hold) {
        let (lock, stopped) = (Arc::clone(&self.lock), Arc::clone(&self.stopped));
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                stop(&lock, &stopped, hold);
            }
        });
    }

    /// Whether it was to stop.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

fn stop(lock: &File, stopped: &AtomicBool, hold: Hold) {
    stopped.store(true, Ordering::Relaxed);
    if hold == Hold::No {
        let _ = rustix::fs::flock(lock, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_works_by_itself_holds_its_lock_when_it_is_to_stop() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (hold, is_free) in [(Hold::Yes, false), (Hold::No, true)] {
            let (lock, stopped) = (File::open(file.path()).expect("opened"), AtomicBool::new(false));
            rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("locked");
            stop(&lock, &stopped, hold);
            let other = File::open(file.path()).expect("opened");
            let free = rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive).is_ok();
            assert_eq!((free, stopped.into_inner()), (is_free, true), "{hold:?}");
        }
    }
}
