//! Two homes in two folders, and the real talk between them over pipes.

mod hostile;
mod two;
mod walk;

use crate::talk::{Here, Line, Outcome, sync};
use crate::wire::Failure;
use crate::{End, Event};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(super) const MOMENT: &str = "20261128T014739Z";

/// Two homes.
pub(super) struct Two {
    _folder: tempfile::TempDir,
    pub first: PathBuf,
    pub second: PathBuf,
}

/// What an end does while it is watched.
pub(super) type Watches<'a> = &'a mut (dyn FnMut(Event) -> Result<(), Failure> + Send);

impl Two {
    pub fn new() -> Self {
        // In memory where that can be: disks take their time to have everything.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("scratch");
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        for home in [&first, &second] {
            fs::create_dir(home).expect("made");
        }
        Self { _folder: folder, first, second }
    }

    pub fn home(&self, end: End) -> &Path {
        if end == End::First { &self.first } else { &self.second }
    }

    /// A sync that nobody disturbs.
    pub fn sync(&self) -> (Outcome, Outcome) {
        let (first, second) = self.sync_with(&mut |_| Ok(()), &mut |_| Ok(()));
        (first.expect("the first end"), second.expect("the second end"))
    }

    /// Both ends, each in a thread.
    pub fn sync_with(
        &self,
        first: Watches<'_>,
        second: Watches<'_>,
    ) -> (Result<Outcome, Failure>, Result<Outcome, Failure>) {
        let (mut read_there, mut write_here) = std::io::pipe().expect("pipe");
        let (mut read_here, mut write_there) = std::io::pipe().expect("pipe");
        std::thread::scope(|scope| {
            let there = scope.spawn(move || {
                let line = Line { from: &mut read_there, to: &mut write_there };
                sync(here(&self.second, End::Second), line, &mut |event| second(event))
            });
            let line = Line { from: &mut read_here, to: &mut write_here };
            let done = sync(here(&self.first, End::First), line, &mut |event| first(event));
            // Whoever has ended says nothing any more.
            drop((read_here, write_here));
            (done, there.join().expect("no panic"))
        })
    }
}

pub(super) fn top(home: &Path) -> OwnedFd {
    rustix::fs::open(home, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opened")
}

pub(super) fn here(home: &Path, end: End) -> Here<'static> {
    let (id, host) = if end == End::First { ([1; 32], "one") } else { ([2; 32], "two") };
    Here { end, home: top(home), id, host, moment: MOMENT }
}

/// All there is in a home: path → what it is, with permissions, and for files the time and what is in them.
pub(super) fn listing(home: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(home).expect("within").to_string_lossy().into_owned();
            if name == ".homed-sync" {
                continue;
            }
            let meta = path.symlink_metadata().expect("there");
            let mode = meta.permissions().mode() & 0o7777;
            let shown = if meta.is_dir() {
                folders.push(path);
                format!("folder {mode:o}")
            } else if meta.is_symlink() {
                format!("link {}", fs::read_link(&path).expect("a link").display())
            } else {
                let text = fs::read(&path).expect("read");
                let time = (meta.mtime(), meta.mtime_nsec());
                format!("file {mode:o} {time:?} {}", String::from_utf8_lossy(&text))
            };
            all.insert(name, shown);
        }
    }
    all
}

pub(super) fn write(home: &Path, path: &str, text: &str) {
    fs::write(home.join(path), text).expect("written");
}

pub(super) fn read(home: &Path, path: &str) -> String {
    fs::read_to_string(home.join(path)).unwrap_or_else(|error| format!("({})", error.kind()))
}
