//! Whether the machine is going to sleep. What is typed meanwhile is not kept: what is in memory then, sleeps with the machine.

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where the note is that homes are locked for a sleep.
pub const FOLDER: &str = "/run/homed";
const NOTE: &str = "hold";

/// From the first lock of a sleep until the machine has woken, or the sleep is given up.
pub struct Going {
    changes: OwnedFd,
    note: PathBuf,
    is_noted: bool,
    is_going: bool,
}

impl Going {
    /// Watches for the note in this folder.
    pub fn watch(folder: &Path) -> io::Result<Self> {
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let news = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        inotify::add_watch(&changes, folder, news)?;
        let mut going = Self { changes, note: folder.join(NOTE), is_noted: false, is_going: false };
        going.look();
        Ok(going)
    }

    /// Becomes ready when that may have changed.
    pub fn changes(&self) -> PollFd<'_> {
        PollFd::new(&self.changes, PollFlags::IN)
    }

    /// Looks at the note. That of a sleep which the machine has woken from lies there for a moment more.
    pub fn look(&mut self) {
        crate::locked::forget_changes(&self.changes);
        let is_noted = self.note.exists();
        self.is_going = is_noted && (self.is_going || !self.is_noted);
        self.is_noted = is_noted;
    }

    /// The machine has slept.
    pub fn woke(&mut self) {
        self.is_going = false;
    }

    /// Whether nothing that is typed is kept.
    pub fn is_going(&self) -> bool {
        self.is_going
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_going_to_sleep_from_the_note_until_it_woke_or_the_note_is_gone() {
        let folder = tempfile::tempdir().expect("folder");
        let note = folder.path().join(NOTE);
        let mut going = Going::watch(folder.path()).expect("watched");
        let looked = |going: &mut Going| {
            going.look();
            going.is_going()
        };
        assert!(!looked(&mut going));
        std::fs::write(&note, "1").expect("written");
        let ready = rustix::event::poll(&mut [going.changes()], Some(&rustix::event::Timespec::default()));
        assert_eq!(ready, Ok(1));
        assert!(looked(&mut going) && looked(&mut going));
        going.woke();
        assert!(!looked(&mut going));
        // It sleeps again.
        std::fs::remove_file(&note).expect("removed");
        assert!(!looked(&mut going));
        std::fs::write(&note, "2").expect("written");
        assert!(looked(&mut going));
        // It is given up.
        std::fs::remove_file(&note).expect("removed");
        assert!(!looked(&mut going));
        // Begun by the lock itself, the prompt finds the note there.
        std::fs::write(&note, "3").expect("written");
        assert!(Going::watch(folder.path()).expect("watched").is_going());
    }
}
