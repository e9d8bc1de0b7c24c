//! Who is locked and is to be asked: a note for each, which the daemon's workers write and remove.

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::SystemTime;

/// The folder of the notes.
const FOLDER: &str = "/run/homed/asked";

/// The users whose homes are locked now, in order.
pub fn users() -> Vec<String> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let mut users: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    users.sort();
    users
}

/// When the user's home was locked.
pub fn since(user: &str) -> Option<SystemTime> {
    std::fs::metadata(Path::new(FOLDER).join(user)).and_then(|note| note.modified()).ok()
}

/// Becomes readable when that has changed.
pub fn watch() -> io::Result<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, FOLDER, WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::DELETE_SELF)?;
    Ok(watch)
}

/// Makes it no longer readable: what has changed is looked at as a whole.
pub fn forget_changes(watch: &OwnedFd) {
    let mut buffer = [0; 4096];
    while rustix::io::read(watch, &mut buffer).is_ok_and(|length| length > 0) {}
}
