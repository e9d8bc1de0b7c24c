//! Watches the home root: storage that appears or goes; and the table of mounts: what holds storage may go.

use super::events::Events;
use super::scan;
use crate::home::effect::Event;
use crate::sys::reactor::{AsyncInotify, MountTable};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::io;
use std::path::{Path, PathBuf};

/// Begins to watch; reports until the daemon ends.
pub fn start(root: &Path, events: Events) -> io::Result<()> {
    let watcher = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let seen = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ONLYDIR;
    watcher.add_watch(root, seen)?;
    let watcher = AsyncInotify::new(watcher)?;
    tokio::spawn(follow(watcher, root.to_owned(), events));
    Ok(())
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

async fn follow(watcher: AsyncInotify, root: PathBuf, events: Events) {
    loop {
        match watcher.events().await {
            Ok(news) => news.iter().for_each(|event| report(&root, event, &events)),
            Err(error) => return tracing::warn!("new homes are no longer seen by themselves: {error}"),
        }
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
