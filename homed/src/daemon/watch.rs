//! Watches the home root: storage that appears or goes; and the table of mounts: what holds storage may go.

use super::events::Events;
use super::scan;
use crate::home::effect::Event;
use crate::sys::reactor::{AsyncInotify, MountTable};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Begins to watch; reports until the daemon ends. What is mounted over the home root later is the home root then.
pub fn start(root: &Path, events: Events) -> io::Result<()> {
    let watched = Watched::begin(root)?;
    tokio::spawn(follow(watched, MountTable::new()?, events));
    Ok(())
}

/// The folder that the home root is at the moment.
struct Watched {
    root: PathBuf,
    /// Device and inode: another folder of the same name is another one.
    folder: (u64, u64),
    watcher: AsyncInotify,
}

impl Watched {
    fn begin(root: &Path) -> io::Result<Self> {
        Ok(Self { root: root.to_owned(), folder: identity(root)?, watcher: watcher(root)? })
    }

    /// Whether another folder is there now, which is watched from now on.
    fn follows(&mut self) -> bool {
        if identity(&self.root).is_ok_and(|folder| folder == self.folder) {
            return false;
        }
        match Self::begin(&self.root) {
            Ok(other) => {
                *self = other;
                true
            }
            Err(error) => {
                tracing::warn!("new homes are not seen by themselves at the moment: {error}");
                false
            }
        }
    }
}

fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    let facts = folder.metadata()?;
    Ok((facts.dev(), facts.ino()))
}

fn watcher(root: &Path) -> io::Result<AsyncInotify> {
    let watcher = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let seen = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ONLYDIR;
    watcher.add_watch(root, seen)?;
    AsyncInotify::new(watcher)
}

/// Begins to watch the table of mounts; reports until the daemon ends.
pub fn mounts(events: Events) -> io::Result<()> {
    let table = MountTable::new()?;
    tokio::spawn(async move {
        while table.until_changed().await.is_ok() {
            events.event(Event::MountsChanged);
        }
        tracing::warn!("the table of mounts cannot be watched: storage that is pulled out is not noticed");
    });
    Ok(())
}

async fn follow(mut watched: Watched, mounts: MountTable, events: Events) {
    loop {
        let news = tokio::select! {
            news = watched.watcher.events() => news,
            changed = mounts.until_changed() => changed.map(|()| Vec::new()),
        };
        let news = match news {
            Ok(news) => news,
            Err(error) => return tracing::warn!("new homes are no longer seen by themselves: {error}"),
        };
        // On a thread of its own: a home root on a server that does not answer keeps nobody else waiting.
        let told = events.clone();
        let looked = tokio::task::spawn_blocking(move || {
            news.iter().for_each(|event| report(&watched.root, event, &told));
            if watched.follows() {
                scan::folder(&watched.root).into_iter().for_each(|found| told.event(Event::Found(found)));
            }
            watched
        });
        let Ok(still) = looked.await else { return };
        watched = still;
    }
}

fn report(root: &Path, event: &InotifyEvent, events: &Events) {
    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        // Words were lost: look at everything.
        scan::folder(root).into_iter().for_each(|found| events.event(Event::Found(found)));
        return;
    }
    let Some(path) = event.name.as_ref().map(|name| root.join(name)) else { return };
    if event.mask.intersects(AddWatchFlags::IN_MOVED_FROM | AddWatchFlags::IN_DELETE) {
        if let Some(path) = path.to_str() {
            events.event(Event::Vanished(path.to_owned()));
        }
    } else if let Some(found) = scan::file(&path) {
        events.event(Event::Found(found));
    }
}
