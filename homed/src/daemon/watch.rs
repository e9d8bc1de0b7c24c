//! Watches the home root: storage that appears or goes; and the table of mounts: what holds storage may go.

use super::aside::{self, Gate};
use super::events::{Events, Happened};
use super::{ground, looks, scan};
use crate::home::effect::Event;
use crate::sys::reactor::{AsyncInotify, MountTable};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::io;
use std::path::{Path, PathBuf};

/// Begins to watch; reports until the daemon ends. What is mounted over the home root later is the home root then.
/// One that gives no answer is watched when it does, as soon as something is mounted.
pub async fn start(root: &Path, events: Events) -> io::Result<()> {
    let mounts = MountTable::new()?;
    let mut watched = Watched { root: root.to_owned(), folder: None, watcher: None, gate: Gate::default() };
    watched.follows().await;
    tokio::spawn(follow(watched, mounts, events));
    Ok(())
}

/// The folder that the home root is at the moment.
struct Watched {
    root: PathBuf,
    /// Device and inode: another folder of the same name is another one.
    folder: Option<(u64, u64)>,
    /// `None`: nothing was there to be watched.
    watcher: Option<AsyncInotify>,
    gate: Gate,
}

impl Watched {
    /// Whether another folder is there now, which is watched from now on.
    async fn follows(&mut self) -> bool {
        let (root, before) = (self.root.clone(), self.folder);
        let other = move || match scan::identity(&root) {
            Ok(folder) if Some(folder) == before => Ok(None),
            _ => Ok::<_, io::Error>(Some((scan::identity(&root)?, watcher(&root)?))),
        };
        let found = match aside::once(&self.gate, ground::BOUND, other).await {
            // It gives no answer: it may be the same.
            None | Some(Ok(None)) => return false,
            Some(found) => found.and_then(|found| found.ok_or_else(|| io::ErrorKind::NotFound.into())),
        };
        let found = found.and_then(|(folder, watcher)| Ok((folder, AsyncInotify::new(watcher)?)));
        match found {
            Ok((folder, watcher)) => (self.folder, self.watcher) = (Some(folder), Some(watcher)),
            Err(error) => tracing::warn!("new homes are not seen by themselves at the moment: {error}"),
        }
        // Nothing to see is worth a look, too.
        true
    }

    async fn news(&self) -> io::Result<Vec<InotifyEvent>> {
        match &self.watcher {
            Some(watcher) => watcher.events().await,
            None => std::future::pending().await,
        }
    }
}

fn watcher(root: &Path) -> io::Result<Inotify> {
    let watcher = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let seen = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ONLYDIR;
    watcher.add_watch(root, seen)?;
    Ok(watcher)
}

/// Begins to watch the table of mounts; reports until the daemon ends.
pub fn mounts(events: Events) -> io::Result<()> {
    let table = MountTable::new()?;
    tokio::spawn(async move {
        while table.until_changed().await.is_ok() {
            events.send(Happened::MountsChanged);
        }
        tracing::warn!("the table of mounts cannot be watched: storage that is pulled out is not noticed");
    });
    Ok(())
}

/// One after the other, as they came: what has gone since is not seen any more.
async fn follow(mut watched: Watched, mounts: MountTable, events: Events) {
    loop {
        let news = tokio::select! {
            news = watched.news() => news,
            changed = mounts.until_changed() => changed.map(|()| Vec::new()),
        };
        let news = match news {
            Ok(news) => news,
            Err(error) => return tracing::warn!("new homes are no longer seen by themselves: {error}"),
        };
        if news.is_empty() && watched.follows().await {
            events.send(Happened::LookForStorage);
        }
        for event in &news {
            report(&watched, event, &events).await;
        }
    }
}

async fn report(watched: &Watched, event: &InotifyEvent, events: &Events) {
    let (root, gate) = (&watched.root, &watched.gate);
    let found = |found| events.send(Happened::Seen(Event::Found(found)));
    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        // Words were lost: look at everything.
        return looks::in_folder(root.clone(), gate).await.into_iter().for_each(found);
    }
    let Some(path) = event.name.as_ref().map(|name| root.join(name)) else { return };
    if event.mask.intersects(AddWatchFlags::IN_MOVED_FROM | AddWatchFlags::IN_DELETE) {
        if let Some(path) = path.to_str() {
            events.send(Happened::Seen(Event::Vanished(path.to_owned())));
        }
    } else {
        // One that gives no answer is no home that could be used.
        let seen = aside::once(gate, ground::BOUND, move || scan::file(&path)).await;
        seen.flatten().into_iter().for_each(found);
    }
}
