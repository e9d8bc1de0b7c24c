//! How often in a row a PIN was wrong that this computer's TPM looks at: `NAME.pin-tries`, the mark of what it opens, and
//! the count. There is no file where there was no wrong one.
//!
//! It is written before a PIN is tried: who is killed in between has used up a try, and nobody has one that is not counted.

use super::{Folders, remove_file, write_whole};
use crate::sys::durable::Existing;
use crate::sys::waiting::wait_until;
use records::UserName;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long another home's PIN is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Held while a PIN is tried, so that what the TPM was asked before is still so.
pub struct OneAtATime(#[expect(dead_code, reason = "it is closed with this")] File);

impl Folders {
    fn tries_path(&self, user: &UserName) -> PathBuf {
        self.state.join(format!("{user}.pin-tries"))
    }

    /// Waits until nobody else tries a PIN.
    pub fn one_at_a_time(&self) -> io::Result<OneAtATime> {
        let folder = File::open(&self.state)?;
        let is_held = || match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(io::Error::from(error)),
        };
        if wait_until(PATIENCE, is_held)? {
            Ok(OneAtATime(folder))
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    /// How many wrong ones there were in a row; those for something that was enrolled before do not count.
    pub fn tries(&self, user: &UserName, mark: &str) -> io::Result<u32> {
        let text = match std::fs::read_to_string(self.tries_path(user)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other?,
        };
        let counted = text.trim().split_once(' ').filter(|(marked, _)| *marked == mark);
        Ok(counted.and_then(|(_, count)| count.parse().ok()).unwrap_or(0))
    }

    /// Writes it to disk.
    pub fn set_tries(&self, user: &UserName, mark: &str, count: u32) -> io::Result<()> {
        if count == 0 {
            return self.forget_tries(user);
        }
        let text = format!("{mark} {count}\n");
        write_whole(&self.tries_path(user), text.as_bytes(), 0o600, Existing::Replace)
    }

    /// Forgets them, with the home or because it was opened by something else.
    pub fn forget_tries(&self, user: &UserName) -> io::Result<()> {
        remove_file(&self.tries_path(user)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_there_for_whoever_comes_next() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folders = Folders { state: scratch.path().into(), ..Folders::default() };
        let alice = UserName::parse("alice").expect("valid");
        let counted = |mark: &str| folders.tries(&alice, mark).expect("read");
        assert_eq!(counted("a"), 0);
        folders.set_tries(&alice, "a", 3).expect("written");
        assert_eq!((counted("a"), counted("b")), (3, 0));
        folders.forget_tries(&alice).expect("removed");
        folders.forget_tries(&alice).expect("not there");
        assert_eq!(counted("a"), 0);
    }

    #[test]
    fn one_waits_for_the_other() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folders = Folders { state: scratch.path().into(), ..Folders::default() };
        let first = folders.one_at_a_time().expect("free");
        let waiting = std::thread::spawn({
            let folders = folders.clone();
            move || folders.one_at_a_time().map(drop)
        });
        assert!(!waiting.is_finished());
        drop(first);
        waiting.join().expect("no panic").expect("free by now");
    }
}
