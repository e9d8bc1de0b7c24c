//! The home directory inside a file system: opened through a mount nobody else sees, and put into
//! the machine's tree when all is ready.

use super::idmap;
use super::superblock::Kind;
use crate::job::{Context, Failure, refuse};
use crate::sys::limits::{self, Limit};
use crate::sys::mount::{self, Attributes, Found, PrivateNamespace, Setting};
use crate::sys::{btrfs, durable, filesystem};
use records::Refusal;
use records::signature::Vouched;
use rustix::fs::{Gid, Mode, Uid};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Where file systems are mounted in the private namespace; also there, empty, outside of it.
pub const WORKPLACE: &str = "/run/homed/mount";

/// What is mounted.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// The file system on it.
    pub kind: Kind,
    /// Its node.
    pub path: &'a Path,
}

/// How it is mounted.
#[derive(Debug, Clone)]
pub struct Way {
    /// Options of the file system; of two that contradict, the later one counts.
    pub settings: Vec<Setting>,
    /// What holds for every mount.
    pub attributes: Attributes,
}

/// A file system that is mounted for this process alone.
pub struct PrivateMount {
    root: OwnedFd,
    namespace: Option<PrivateNamespace>,
}

impl PrivateMount {
    /// Mounts it. From here on the kernel reads what is on the device, so somebody has to vouch for it.
    pub fn new(device: Device<'_>, way: &Way, _vouched: Vouched) -> Result<Self, Failure> {
        let mount = mount::open_file_system(device.kind.name(), device.path, &way.settings, way.attributes)
            .during("mounting the home")?;
        Self::attached(mount)
    }

    fn attached(mount: OwnedFd) -> Result<Self, Failure> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(WORKPLACE).during(format!("making {WORKPLACE}"))?;
        let namespace = PrivateNamespace::enter().during("entering a private mount namespace")?;
        mount::attach(&mount, Path::new(WORKPLACE)).during("attaching the home privately")?;
        Ok(Self { root: mount, namespace: Some(namespace) })
    }

    /// Mounts a btrfs again that is mounted already, at its top: the kernel reads nothing anew, and all settings are those of
    /// the mount there is. `shown` is open in that one: where it can only be read, so can this, for some kernels (up to 6.7, and
    /// from 6.12 on) would have all of the file system be written to.
    pub fn again(home: &Found, shown: &OwnedFd) -> Result<Self, Failure> {
        let attributes = Attributes::HARMLESS;
        let read_only = filesystem::is_read_only(shown).during("looking at the file system of the home")?;
        let settings: &[Setting] = if read_only { &[("ro".to_owned(), None)] } else { &[] };
        let kind = Kind::Btrfs.name();
        let mount = mount::open_file_system(kind, &home.mount.source, settings, attributes)
            .during("mounting the file system of the home")?;
        Self::attached(mount)
    }

    /// Its top.
    pub fn top(&self) -> io::Result<OwnedFd> {
        durable::directory_at(&self.root, ".")
    }

    /// Opens the user's directory in it.
    pub fn open(&self, name: &str) -> io::Result<OwnedFd> {
        durable::directory_at(&self.root, name)
    }

    /// Makes the user's directory: a subvolume where that is possible.
    pub fn make(&self, name: &str) -> Result<OwnedFd, Failure> {
        // The mount's own descriptor is good for paths only.
        let root = self.top().during("opening the file system")?;
        if btrfs::create_subvolume(&root, name).is_err() {
            rustix::fs::mkdirat(&self.root, name, Mode::from_raw_mode(0o700))
                .map_err(io::Error::from)
                .during("making the home directory")?;
        }
        let directory = self.open(name).during("opening the home directory")?;
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o700))
            .map_err(io::Error::from)
            .during("setting the mode of the home directory")?;
        Ok(directory)
    }

    /// Whether IDs can be mapped on this file system.
    pub fn can_map_ids(&self, directory: &OwnedFd, exposed: u32) -> bool {
        let tree = mount::clone_tree(directory);
        tree.and_then(|tree| idmap::apply(&tree, STORED_UID, exposed)).is_ok()
    }

    /// Puts the directory at `target` on the machine, IDs mapped from `stored` to `exposed`, and
    /// leaves the private namespace.
    pub fn expose(mut self, directory: OwnedFd, ids: Ids, target: &Path) -> Result<(), Failure> {
        let tree = mount::clone_tree(&directory).during("making a mount of the home directory")?;
        match idmap::apply(&tree, ids.stored, ids.exposed) {
            // A kernel or file system without mapped mounts shows the right owner only if it is stored.
            Err(error) if unsupported(&error) && ids.stored == ids.exposed => {}
            Err(error) if Limit::met(&error).is_some() => return unmapped(&error),
            other => other.during("mapping the owner of the files")?,
        }
        drop(directory);
        drop(self.namespace.take());
        mount::attach(&tree, target).during(format!("mounting at {}", target.display()))
    }
}

/// Who owns the files: on the disk, and on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// UID and GID on the disk.
    pub stored: u32,
    /// UID and GID on this machine.
    pub exposed: u32,
}

/// Whose the files of a new home are on the disk: nobody's, so that no machine's user owns them by
/// accident (as the original stores them).
pub const STORED_UID: u32 = 65534;

/// Refuses a home whose files cannot be shown as the user's, where that is known before.
pub fn refuse_unmapped(ids: Ids) -> Result<(), Failure> {
    if ids.stored == ids.exposed || !limits::no_user_namespaces() {
        return Ok(());
    }
    unmapped(&Limit::UserNamespaces)
}

fn unmapped<T>(why: &dyn std::fmt::Display) -> Result<T, Failure> {
    refuse(
        Refusal::NotSupported,
        format!("The files of the home cannot be shown as its user's: {why}. Allow more."),
    )
}

/// Makes the directory the home is mounted at, closed to all while nothing is mounted there.
pub fn make_target(target: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    match builder.mode(0o700).create(target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && target.is_dir() => Ok(()),
        Err(error) => Err(error).during(format!("making {}", target.display())),
    }
}

/// Gives an open file to somebody.
pub fn give(file: impl AsFd, id: u32) -> Result<(), Failure> {
    rustix::fs::fchown(file, Some(Uid::from_raw(id)), Some(Gid::from_raw(id)))
        .map_err(io::Error::from)
        .during("changing the owner of the home directory")
}

fn unsupported(error: &io::Error) -> bool {
    Limit::met(error).is_some()
        || matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}
