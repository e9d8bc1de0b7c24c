//! One look at one inode.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp,
    Timespec, Timestamps, openat, openat2, statx,
};
use rustix::io::Errno;

use crate::terms::Terms;

/// Which inode it is, among all of the machine.
pub(crate) type Id = (u64, u64);

/// What the kernel said of an inode.
#[derive(Clone, Copy)]
pub(crate) struct Look(Statx);

impl Look {
    /// Looks at what a descriptor stands for.
    pub fn at(file: impl AsFd) -> Result<Self, Errno> {
        statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(Self)
    }

    /// The same as the copy of it is to be.
    pub fn on(mut self, terms: &Terms) -> Self {
        let owner = self.owner();
        let mode = terms.mode(self.mode(), owner).as_raw_mode();
        // What was read from these sixteen bits fits into them.
        self.0.stx_mode = (self.0.stx_mode & !0o7777) | (mode & 0o7777) as u16;
        (self.0.stx_uid, self.0.stx_gid) = terms.owner(owner);
        self
    }

    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.0.stx_mode.into())
    }

    pub fn is_folder(&self) -> bool {
        self.kind() == FileType::Directory
    }

    pub fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    /// Permissions with set-ID bits and the sticky bit.
    pub fn mode(&self) -> Mode {
        Mode::from_raw_mode(u32::from(self.0.stx_mode) & 0o7777)
    }

    pub fn id(&self) -> Id {
        (rustix::fs::makedev(self.0.stx_dev_major, self.0.stx_dev_minor), self.0.stx_ino)
    }

    pub fn owner(&self) -> (u32, u32) {
        (self.0.stx_uid, self.0.stx_gid)
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.0.stx_size
    }

    /// The bytes it has on its file system.
    pub fn allocated(&self) -> u64 {
        self.0.stx_blocks.saturating_mul(512)
    }

    pub fn names(&self) -> u32 {
        self.0.stx_nlink
    }

    /// Whether it may have other names. Folders have only one.
    pub fn has_links(&self) -> bool {
        self.0.stx_nlink > 1 && !self.is_folder()
    }

    /// Which device a device node stands for.
    pub fn device(&self) -> u64 {
        rustix::fs::makedev(self.0.stx_rdev_major, self.0.stx_rdev_minor)
    }

    /// Whether nobody may change it (`chattr +i`), or only add to it (`+a`).
    pub fn is_held(&self) -> bool {
        self.0.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND)
    }

    /// When its content was changed, in seconds and nanoseconds.
    pub fn modified(&self) -> (i64, u32) {
        pair(self.0.stx_mtime)
    }

    /// Times of access and change of content, to give them to a copy.
    pub fn times(&self) -> Timestamps {
        Timestamps { last_access: time(self.0.stx_atime), last_modification: time(self.0.stx_mtime) }
    }

    /// A number that is another one when anything was done to it, or to a name of it.
    pub fn state(&self) -> u64 {
        let mut sum = DefaultHasher::new();
        (self.id(), pair(self.0.stx_ctime)).hash(&mut sum);
        sum.finish()
    }

    /// Whether anything was done to it between two looks.
    pub fn same_as(&self, before: &Look) -> bool {
        let of = |look: &Look| (look.id(), look.size(), look.modified(), pair(look.0.stx_ctime));
        of(self) == of(before)
    }
}

/// Opens a name in a folder without opening what it stands for: no device, no FIFO is touched.
pub(crate) fn find(folder: impl AsFd, name: &[u8], resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    openat2(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Opens the very file that was found, to read. Looking at it must have shown that it is a file or a folder.
pub(crate) fn read(found: impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let path = place(&found);
    // Times of access stay as they are where one has the right to that.
    match openat(rustix::fs::CWD, &*path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(rustix::fs::CWD, &*path, flags, Mode::empty()),
        opened => opened,
    }
}

/// The path by which the kernel finds what a descriptor stands for.
pub(crate) fn place(file: impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

fn pair(time: StatxTimestamp) -> (i64, u32) {
    (time.tv_sec, time.tv_nsec)
}

fn time(time: StatxTimestamp) -> Timespec {
    Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec.into() }
}
