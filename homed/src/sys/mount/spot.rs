//! A place in the tree of mounts, by what a walk to the folder around it finds.
//!
//! The walk may wait for the server of a file system. Where nobody may wait, the table of mounts alone gives the same
//! answer, as long as no symlink is on the way.

use super::table::{DEEPEST, Entry, Number, find, id};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The id of the mount that the folder around it is in.
    around: u64,
    /// The place's path without any symlink among the folders, as the table has it.
    path: PathBuf,
}

impl Spot {
    /// Walks there; symlinks among the folders are followed, the last name is not. It may wait for a file system.
    pub fn of(place: &Path) -> io::Result<Self> {
        let name = place.file_name().unwrap_or_default();
        let folder = walk(place.parent().unwrap_or(place), OFlags::DIRECTORY)?;
        // The thread may have files of its own.
        let mut path = std::fs::read_link(format!("/proc/thread-self/fd/{}", folder.as_raw_fd()))?;
        // Joining nothing would end the path with a slash.
        if !name.is_empty() {
            path.push(name);
        }
        Ok(Self { around: id(&folder)?, path })
    }

    /// Where a walk ends if no symlink is on the way: the table tells, and no file system is asked.
    pub fn by_name(place: &Path, table: &[Entry]) -> Option<Self> {
        let is_root = |mount: &&Entry| mount.target == Path::new("/");
        let root = table
            .iter()
            .find(|mount| is_root(mount) && table.iter().all(|other| other.id != mount.parent))?;
        let mut around = root.id;
        let mut folders: Vec<&Path> = place.ancestors().skip(1).collect();
        while let Some(folder) = folders.pop() {
            around = over(table, around, folder).last().map_or(around, |top| top.id);
        }
        Some(Self { around, path: place.to_owned() })
    }

    /// The id of the mount that the folder around it is in.
    pub fn around(&self) -> u64 {
        self.around
    }

    /// What is mounted there, each over the one before.
    pub fn mounts<'t>(&self, table: &'t [Entry]) -> Vec<&'t Entry> {
        // The root has nothing around it: it is mounted at the place itself.
        let at_root = table.iter().find(|mount| mount.id == self.around && mount.target == self.path);
        at_root.into_iter().chain(over(table, self.around, &self.path)).collect()
    }

    /// The id of the mount that a walk there ends in.
    pub fn top(&self, table: &[Entry]) -> u64 {
        self.mounts(table).last().map_or(self.around, |top| top.id)
    }

    /// Whether the file system on this device is mounted there, whatever lies over it.
    pub fn shows(&self, device: Number, table: &[Entry]) -> bool {
        let top = self.top(table);
        find(table, |mount| mount.is_of(device)).iter().any(|found| found.top().id == top)
    }
}

/// What lies over a mount at one place, each over the one before.
pub(super) fn over<'t>(table: &'t [Entry], mount: u64, place: &Path) -> Vec<&'t Entry> {
    let (mut stack, mut top) = (Vec::new(), mount);
    while let Some(next) = table.iter().find(|next| next.parent == top && next.target == place) {
        if next.id == top || stack.len() == DEEPEST {
            break;
        }
        top = next.id;
        stack.push(next);
    }
    stack
}

fn walk(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::super::line::parse;
    use super::*;

    const HOME: &str = "36 35 254:0 /alice /home/a\\040b rw,nosuid shared:1 - ext4 /dev/mapper/home-alice rw";

    fn lines(lines: &[&str]) -> Vec<Entry> {
        lines.iter().map(|line| parse(line.as_bytes()).expect("a mount")).collect()
    }

    #[test]
    fn a_thread_with_files_of_its_own_ends_where_any_does() {
        let around = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(around.path().join("folder")).expect("a folder in it");
        std::os::unix::fs::symlink("folder", around.path().join("link")).expect("a symlink");
        let place = around.path().join("link/alice");
        let here = Spot::of(&place).expect("walked");
        assert!(here.path.ends_with("folder/alice"));
        assert_eq!(crate::sys::apart::apart(move || Spot::of(&place).ok()), Some(here));
    }

    #[test]
    fn what_lies_over_a_place_is_what_a_walk_to_it_ends_in() {
        let table = lines(&[
            "35 1 8:1 / / rw - ext4 /dev/sda1 rw",
            HOME,
            "41 36 0:51 / /home/a\\040b rw - tmpfs first rw",
            "42 41 0:52 / /home/a\\040b rw - tmpfs second rw",
            "50 35 0:60 / /home rw - tmpfs over rw",
        ]);
        let top = |around| {
            let spot = Spot { around, path: "/home/a b".into() };
            spot.mounts(&table).last().map(|mount| mount.id)
        };
        assert_eq!(top(35), Some(42));
        // Where something lies over the folder around it, nothing is mounted there.
        assert_eq!(top(50), None);
        let root = Spot { around: 35, path: "/".into() };
        assert_eq!(root.mounts(&table).last().map(|mount| mount.id), Some(35));
    }

    #[test]
    fn without_a_walk_the_table_tells_where_it_would_end() {
        let table = lines(&[
            "35 1 8:1 / / rw - ext4 /dev/sda1 rw",
            HOME,
            "41 36 0:51 / /home/a\\040b rw - tmpfs first rw",
            "50 35 0:60 / /srv rw - nfs4 a:/b rw",
            "51 50 0:61 / /srv/homes rw - ext4 /dev/sdb rw",
            "52 51 254:1 / /srv/homes/bob rw - ext4 /dev/mapper/home-bob rw",
        ]);
        let top = |place: &str| Spot::by_name(Path::new(place), &table).map(|spot| spot.top(&table));
        assert_eq!(top("/home/a b"), Some(41));
        assert_eq!(top("/srv/homes/bob"), Some(52));
        assert_eq!((top("/srv/homes/carol"), top("/srv/x/y"), top("/")), (Some(51), Some(50), Some(35)));
        let shows = |place: &str, minor| {
            let spot = Spot::by_name(Path::new(place), &table).expect("there is a root");
            spot.shows(Number { major: 254, minor }, &table)
        };
        assert!(shows("/home/a b", 0) && shows("/srv/homes/bob", 1));
        assert!(!shows("/home/a b", 1) && !shows("/srv/homes/carol", 1));
        assert_eq!(Spot::by_name(Path::new("/x"), &[]), None);
    }

    #[test]
    fn the_walk_and_the_table_agree_where_no_link_is_on_the_way() {
        let table = super::super::table::table("self").expect("table");
        for place in ["/", "/proc", "/proc/sys", "/usr/nothing"] {
            let place = Path::new(place);
            assert_eq!(Spot::of(place).ok(), Spot::by_name(place, &table), "{}", place.display());
        }
    }
}
