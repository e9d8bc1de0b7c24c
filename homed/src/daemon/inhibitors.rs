//! Inhibitors: held as references are, by the writing end of a FIFO, and for no longer than they may last.
//!
//! ```text
//! /run/homed/inhibitors/7.ref    who has its writing end open holds inhibitor 7
//! /run/homed/inhibitors/7        what it is about, for a daemon that starts
//! ```

use super::events::Events;
use super::references::{is_held, until_end};
use crate::home::effect::Event;
use crate::home::inhibitor::Inhibitor;
use crate::sys::clock::since_boot;
use crate::words::request::InhibitorId;
use records::UserName;
use serde_json::Value;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::unix::pipe::{OpenOptions, Receiver};

/// When one is over, in µs since the machine was started, in its note: the other clock may be set back.
const UNTIL_UP: &str = "untilUpUSec";

/// The FIFOs and what they stand for.
pub struct Inhibitors {
    folder: PathBuf,
    events: Events,
}

impl Inhibitors {
    /// Those in a folder.
    pub fn new(folder: PathBuf, events: Events) -> Self {
        Self { folder, events }
    }

    /// Makes one, and gives the descriptor that holds it.
    pub fn give(&self, inhibitor: &Inhibitor, now_usec: u64) -> io::Result<OwnedFd> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.fifo(inhibitor.id);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
        let read_end = OpenOptions::new().open_receiver(&path)?;
        let write_end = std::fs::OpenOptions::new()
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW)
            .open(&path)?;
        let left = Duration::from_micros(inhibitor.until_usec.saturating_sub(now_usec));
        let mut note = inhibitor.to_json();
        note[UNTIL_UP] = since_boot().saturating_add(left).as_micros().to_string().into();
        std::fs::write(self.note(inhibitor.id), note.to_string())?;
        self.watch(inhibitor, read_end, left);
        Ok(write_end.into())
    }

    /// Those from before the start that are still held; the others are forgotten.
    pub fn load(&self, now_usec: u64) -> Vec<Inhibitor> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        names.filter_map(|id| self.found(InhibitorId(id), now_usec)).collect()
    }

    fn found(&self, id: InhibitorId, now_usec: u64) -> Option<Inhibitor> {
        let held = || {
            let note = std::fs::read_to_string(self.note(id)).ok()?;
            let inhibitor = from_json(id, &note)?;
            let read_end = OpenOptions::new().open_receiver(self.fifo(id)).ok()?;
            let left = left(&inhibitor, &note, now_usec);
            (!left.is_zero() && is_held(&read_end).ok()?).then_some((inhibitor, read_end, left))
        };
        match held() {
            Some((inhibitor, read_end, left)) => {
                self.watch(&inhibitor, read_end, left);
                Some(inhibitor)
            }
            None => {
                forget(&self.folder, id);
                None
            }
        }
    }

    /// Tells when it is let go of, or when its time is over.
    fn watch(&self, inhibitor: &Inhibitor, read_end: Receiver, left: Duration) {
        let (user, id) = (inhibitor.user.clone(), inhibitor.id);
        let (folder, events) = (self.folder.clone(), self.events.clone());
        tokio::spawn(async move {
            // Late or let go of: it is over either way.
            let _ = tokio::time::timeout(left, until_end(read_end)).await;
            forget(&folder, id);
            events.event(Event::LetGo(user, id));
        });
    }

    fn note(&self, id: InhibitorId) -> PathBuf {
        note(&self.folder, id)
    }

    fn fifo(&self, id: InhibitorId) -> PathBuf {
        fifo(&self.folder, id)
    }
}

/// How long one may still last: by the clock that nobody sets, and by the other, whichever is less.
fn left(inhibitor: &Inhibitor, note: &str, now_usec: u64) -> Duration {
    let by_wall = Duration::from_micros(inhibitor.until_usec.saturating_sub(now_usec));
    let note: Value = serde_json::from_str(note).unwrap_or_default();
    let until_up = note[UNTIL_UP].as_str().and_then(|usec| usec.parse().ok());
    until_up.map_or(by_wall, |usec| Duration::from_micros(usec).saturating_sub(since_boot()).min(by_wall))
}

fn note(folder: &Path, id: InhibitorId) -> PathBuf {
    folder.join(id.0.to_string())
}

fn fifo(folder: &Path, id: InhibitorId) -> PathBuf {
    folder.join(format!("{}.ref", id.0))
}

fn forget(folder: &Path, id: InhibitorId) {
    for file in [note(folder, id), fifo(folder, id)] {
        // Not there is just as good.
        let _ = std::fs::remove_file(file);
    }
}

fn from_json(id: InhibitorId, text: &str) -> Option<Inhibitor> {
    let value: Value = serde_json::from_str(text).ok()?;
    let text = |member: &str| value[member].as_str().map(str::to_owned);
    let number = |member: &str| value[member].as_u64().and_then(|number| u32::try_from(number).ok());
    Some(Inhibitor {
        id,
        user: UserName::parse(&text("userName")?).ok()?,
        who: text("who")?,
        why: text("why")?,
        uid: number("uid")?,
        pid: number("pid")?,
        until_usec: value["untilUSec"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::events::Happened;

    fn inhibitor(id: u64, until_usec: u64) -> Inhibitor {
        Inhibitor {
            id: InhibitorId(id),
            user: UserName::parse("alice").expect("valid"),
            who: "rsync".into(),
            why: "a long copy".into(),
            uid: 60001,
            pid: 7,
            until_usec,
        }
    }

    #[tokio::test]
    async fn one_ends_when_it_is_let_go_of_and_when_its_time_is_over() {
        let root = tempfile::tempdir().expect("folder");
        let (events, mut happened) = Events::new();
        let inhibitors = Inhibitors::new(root.path().join("inhibitors"), events);
        let held = inhibitors.give(&inhibitor(1, u64::MAX / 2), 0).expect("given");
        let _late = inhibitors.give(&inhibitor(2, 1_000), 0).expect("given");
        let ended = |news| match news {
            Some(Happened::Event(Event::LetGo(_, id))) => id.0,
            _ => 0,
        };
        assert_eq!(ended(happened.recv().await), 2);
        drop(held);
        assert_eq!(ended(happened.recv().await), 1);
        assert_eq!(inhibitors.load(0), []);
    }

    #[tokio::test]
    async fn a_daemon_that_starts_finds_those_that_are_held() {
        let root = tempfile::tempdir().expect("folder");
        let (events, _happened) = Events::new();
        let before = Inhibitors::new(root.path().to_owned(), events.clone());
        let _held = before.give(&inhibitor(1, 5_000_000), 0).expect("given");
        let _over = before.give(&inhibitor(2, 1_000_000), 0).expect("given");
        let after = Inhibitors::new(root.path().to_owned(), events);
        assert_eq!(after.load(2_000_000), [inhibitor(1, 5_000_000)]);
        assert!(!fifo(root.path(), InhibitorId(2)).exists());
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_makes_none_last_longer() {
        let root = tempfile::tempdir().expect("folder");
        let (events, _happened) = Events::new();
        let inhibitors = Inhibitors::new(root.path().to_owned(), events);
        let tomorrow = 86_400_000_000;
        let _held = inhibitors.give(&inhibitor(1, tomorrow + 1), tomorrow).expect("given");
        while note(root.path(), InhibitorId(1)).exists() {
            tokio::task::yield_now().await;
        }
        // A daemon that was killed before that finds one that is over.
        let _held = inhibitors.give(&inhibitor(2, tomorrow + 60_000_000), tomorrow).expect("given");
        let path = note(root.path(), InhibitorId(2));
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(left(&inhibitor(2, tomorrow + 60_000_000), &text, 0) <= Duration::from_secs(60));
        let mut over: Value = serde_json::from_str(&text).expect("JSON");
        over[UNTIL_UP] = "1".into();
        std::fs::write(&path, over.to_string()).expect("written");
        assert_eq!(inhibitors.load(0), []);
    }
}
