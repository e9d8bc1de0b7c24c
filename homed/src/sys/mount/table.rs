//! What is mounted where, by the ids that the kernel gives to mounts.
//!
//! A path says little: `/home` may be a symlink, a bind mount or mounted twice, and anything may lie over a home. So a
//! mount is found by the device below its file system, and a place by the id of the mount that a walk to it ends in. Both
//! lead to lines of mountinfo (proc_pid_mountinfo(5)).
//!
//! Who looks holds nothing: an open file keeps a mount busy, `O_PATH` included, and the home that another process is closing
//! at that moment would stay open. So the walk goes to the folder around the place alone (`mnt_id` in
//! proc_pid_fdinfo(5), which asks no file system), and the table says what is mounted at the last name.

use super::line::parse;
use super::spot::{Spot, over};
use super::{PrivateNamespace, Unmount, unmount};
use crate::sys::procfs;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// File systems whose `source` is the block device they are on. That of others is any text: with FUSE its user's.
const ON_DEVICES: &[&str] = &["btrfs", "ext4", "xfs"];

/// The number of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Its driver's.
    pub major: u32,
    /// The device's own.
    pub minor: u32,
}

impl Number {
    /// Of a device number as stat(2) gives it.
    pub fn of(device: u64) -> Self {
        Self { major: rustix::fs::major(device), minor: rustix::fs::minor(device) }
    }

    /// Of a node: `/dev/mapper/…`. The error is `NotFound` where there is none.
    pub fn of_node(node: &Path) -> io::Result<Self> {
        Ok(Self::of(std::fs::metadata(node)?.rdev()))
    }
}

/// A line of the table of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The mount's id, of which there is one at a time on the whole machine.
    pub id: u64,
    /// The id of the mount that it is on.
    pub parent: u64,
    /// The folder that it shows, as its file system has it.
    pub root: PathBuf,
    /// The directory it is at.
    pub target: PathBuf,
    /// What applies to this mount alone, as `rw,nosuid`.
    pub attributes: String,
    /// Device number, `major:minor`: one without a device for btrfs.
    pub device: String,
    /// File system type.
    pub kind: String,
    /// What is mounted: `/dev/mapper/…`.
    pub source: PathBuf,
    /// The file system's own options, as `a,b=c`.
    pub options: String,
}

impl Entry {
    /// Whether it is of the file system on this device. The kernel tells its number; only where that is of no device (btrfs)
    /// the source counts, which is the name that the device had once.
    pub fn is_of(&self, device: Number) -> bool {
        if !ON_DEVICES.contains(&self.kind.as_str()) {
            return false;
        }
        match self.device.strip_prefix("0:") {
            Some(_) => Number::of_node(&self.source).is_ok_and(|number| number == device),
            None => self.device == format!("{}:{}", device.major, device.minor),
        }
    }

    /// Whether nothing can be written, in this mount or in the file system.
    pub fn is_read_only(&self) -> bool {
        let has = |options: &str| options.split(',').any(|option| option == "ro");
        has(&self.attributes) || has(&self.options)
    }

    /// Whether nothing can be written to the file system, in any of its mounts.
    pub fn has_read_only_file_system(&self) -> bool {
        self.options.split(',').any(|option| option == "ro")
    }

    /// The user who has mounted it, where that was no administrator (mount.fuse(8), `user_id`).
    pub fn mounted_by(&self) -> Option<u32> {
        let is_fuse = self.kind == "fuse" || self.kind.starts_with("fuse.");
        let by = self.options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
        by.filter(|_| is_fuse)
    }
}

/// "fuse.sshfs at /home/alice/far".
impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.kind, self.target.display())
    }
}

/// A mount that was looked for, and what is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The mount.
    pub mount: Entry,
    /// What lies over all of it, at the same place; the topmost comes last.
    pub over: Vec<Entry>,
    /// What is mounted below it, or below what lies over it; what is deeper comes later.
    pub below: Vec<Entry>,
    /// Whether a walk to its place ends here, or in what lies over it. Not so where something lies over a folder above.
    pub reachable: bool,
}

impl Found {
    /// What a walk to its place ends in, as long as it is reachable.
    pub fn top(&self) -> &Entry {
        self.over.last().unwrap_or(&self.mount)
    }

    /// Opens the directory that is mounted, whatever lies over it. The process must have one thread.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let target = &self.mount.target;
        if self.reachable && self.over.is_empty() {
            let directory = directory(target)?;
            if id(&directory)? == self.mount.id {
                return Ok(directory);
            }
        }
        // In a copy of all mounts what hides it is taken away, and the machine's stays as it is.
        let _copy = PrivateNamespace::enter()?;
        for _ in 0..DEEPEST {
            let copies = table("self")?;
            let top = top_at(target, &copies)?;
            let top = copies.iter().find(|mount| mount.id == top).ok_or(io::ErrorKind::NotFound)?;
            if top.target == *target && top.device == self.mount.device {
                return directory(target);
            }
            unmount(&top.target, Unmount::Lazy)?;
        }
        Err(io::Error::other("too much is mounted over it"))
    }
}

/// So many mounts over each other are looked through.
pub(super) const DEEPEST: usize = 64;

/// The mounts of a process's namespace (`self`, or a process id), in order.
pub fn table(process: &str) -> io::Result<Vec<Entry>> {
    let text = procfs::read(format!("/proc/{process}/mountinfo"))?;
    Ok(text.split(|b| *b == b'\n').filter_map(parse).collect())
}

/// The topmost mount at exactly this place, if any.
pub fn at(place: &Path) -> io::Result<Option<Entry>> {
    at_in(&table("self")?, place)
}

/// The same by this process's table, as it was read a moment ago.
pub fn at_in(table: &[Entry], place: &Path) -> io::Result<Option<Entry>> {
    let missing =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let spot = match Spot::of(place) {
        Err(error) if missing(&error) => return Ok(None),
        other => other?,
    };
    Ok(spot.mounts(table).pop().cloned())
}

/// All mounts of the file system on this device, in this process's namespace.
pub fn of_device(device: Number) -> io::Result<Vec<Found>> {
    Ok(of_device_in(&table("self")?, device))
}

/// The same by this process's table, as it was read a moment ago.
pub fn of_device_in(table: &[Entry], device: Number) -> Vec<Found> {
    let mut found = find(table, |mount| mount.is_of(device));
    for one in &mut found {
        let top = one.top().id;
        one.reachable = top_at(&one.mount.target, table).is_ok_and(|id| id == top);
    }
    found
}

/// The mount of the file system on this device that is at a place, whatever lies over it.
pub fn ours_at(place: &Path, device: Number) -> io::Result<Option<Found>> {
    let top = match id_of(place) {
        Ok(top) => top,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(of_device(device)?.into_iter().rev().find(|found| found.top().id == top))
}

/// The mounts of a table that are looked for, with what is on them; whether they are reachable is not known.
pub fn find(table: &[Entry], ours: impl Fn(&Entry) -> bool) -> Vec<Found> {
    table.iter().filter(|mount| ours(mount)).map(|mount| with_what_is_on_it(table, mount)).collect()
}

fn with_what_is_on_it(table: &[Entry], mount: &Entry) -> Found {
    let over: Vec<Entry> = over(table, mount.id, &mount.target).into_iter().cloned().collect();
    let stack: BTreeSet<u64> = over.iter().map(|mount| mount.id).chain([mount.id]).collect();
    let (mut known, mut below) = (stack.clone(), Vec::new());
    loop {
        let before = below.len();
        for child in table.iter().filter(|child| known.contains(&child.parent)) {
            if !stack.contains(&child.id) && !below.contains(child) {
                below.push(child.clone());
            }
        }
        if below.len() == before {
            return Found { mount: mount.clone(), over, below, reachable: false };
        }
        known.extend(below.iter().map(|mount| mount.id));
    }
}

/// The id of the mount that a walk to this path ends in; symlinks among the folders are followed, the last name is not.
pub fn id_of(path: &Path) -> io::Result<u64> {
    top_at(path, &table("self")?)
}

fn top_at(path: &Path, table: &[Entry]) -> io::Result<u64> {
    Ok(Spot::of(path)?.top(table))
}

/// The id of the mount that an open file is in. No file system is asked for it, so none can be waited for.
pub(super) fn id(file: impl AsFd) -> io::Result<u64> {
    let text = procfs::text(format!("/proc/thread-self/fdinfo/{}", file.as_fd().as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    line.and_then(|id| id.trim().parse().ok())
        .ok_or_else(|| io::Error::other("the kernel shows no id of a mount"))
}

pub(super) fn directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "36 35 254:0 /alice /home/a\\040b rw,nosuid shared:1 - ext4 /dev/mapper/home-alice rw";

    fn lines(lines: &[&str]) -> Vec<Entry> {
        lines.iter().map(|line| parse(line.as_bytes()).expect("a mount")).collect()
    }

    #[test]
    fn who_mounts_with_fuse_may_call_the_source_as_they_like() {
        let line = "40 36 0:50 / /home/a rw shared:1 - fuse.x /dev/mapper/home-alice rw,user_id=60001,group_id=60001";
        let mount = parse(line.as_bytes()).expect("a mount");
        assert_eq!(mount.mounted_by(), Some(60001));
        assert!(!mount.is_of(Number { major: 254, minor: 0 }));
        let of_root = parse(HOME.replace("rw,nosuid", "ro,nosuid").as_bytes()).expect("a mount");
        assert_eq!(of_root.mounted_by(), None);
        assert!(of_root.is_read_only());
    }

    #[test]
    fn what_lies_over_a_mount_and_below_it_is_found() {
        let table = lines(&[
            "35 1 8:1 / / rw - ext4 /dev/sda1 rw",
            HOME,
            "40 36 0:50 / /home/a\\040b/far rw - fuse.sshfs x rw,user_id=60001",
            "41 36 0:51 / /home/a\\040b rw - tmpfs first rw",
            "42 41 0:52 / /home/a\\040b rw - tmpfs second rw",
            "43 42 0:53 / /home/a\\040b/deep rw - tmpfs third rw",
            "44 35 0:54 / /home/other rw - tmpfs other rw",
        ]);
        let found = find(&table, |mount| mount.kind == "ext4" && mount.id == 36);
        let ids = |mounts: &[Entry]| mounts.iter().map(|mount| mount.id).collect::<Vec<_>>();
        assert_eq!(found.len(), 1);
        assert_eq!((ids(&found[0].over), ids(&found[0].below)), (vec![41, 42], vec![40, 43]));
        assert_eq!(found[0].top().id, 42);
    }

    #[test]
    fn places_are_known_by_the_id_of_their_mount() {
        let root = at(Path::new("/")).expect("table").expect("the root is mounted");
        assert_eq!((root.target.as_path(), id_of(Path::new("/")).expect("an id")), (Path::new("/"), root.id));
        let folder = tempfile::tempdir().expect("scratch folder");
        std::fs::create_dir(folder.path().join("real")).expect("made");
        std::os::unix::fs::symlink("real", folder.path().join("link")).expect("linked");
        std::fs::create_dir(folder.path().join("real/home")).expect("made");
        assert_eq!(at(&folder.path().join("link/home")).expect("table"), None);
        assert_eq!(at(&folder.path().join("nothing")).expect("table"), None);
        let proc = at(Path::new("/proc")).expect("table").expect("mounted");
        std::os::unix::fs::symlink("/", folder.path().join("top")).expect("linked");
        assert_eq!(at(&folder.path().join("top/proc")).expect("table"), Some(proc));
    }
}
