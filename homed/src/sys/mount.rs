//! Mounts: the file-descriptor based mount interface, ID maps, namespaces; in `table`, what is mounted where.

use super::limits::Limit;
use nix::sched::{CloneFlags, setns, unshare};
use records::Secret;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

mod elsewhere;
mod line;
mod spot;
mod table;

pub use elsewhere::{Elsewhere, elsewhere};
pub use spot::Spot;
pub use table::{Entry, Found, Number, at, at_in, find, id_of, of_device, of_device_in, ours_at, table};

/// A mount option of a file system: a flag, or a name with a value.
pub type Setting = (String, Option<String>);

/// What applies to a mount, not to the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// set-user-ID bits have no effect.
    pub no_suid: bool,
    /// Device nodes have no effect.
    pub no_devices: bool,
    /// Programs cannot be started.
    pub no_execute: bool,
    /// Symbolic links are not followed.
    pub no_symlinks: bool,
    /// When reading a file is noted.
    pub access_times: AccessTimes,
    /// Reading a directory is not noted.
    pub no_directory_access_times: bool,
}

/// When the time of the last access of a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessTimes {
    /// When it is older than the last change, or than a day.
    #[default]
    Seldom,
    /// At each access.
    Always,
    /// It is not.
    Never,
}

impl Attributes {
    /// For what nobody is to be harmed by.
    pub const HARMLESS: Self = Self {
        no_suid: true,
        no_devices: true,
        no_execute: true,
        no_symlinks: false,
        access_times: AccessTimes::Seldom,
        no_directory_access_times: false,
    };

    fn flags(self) -> MountAttrFlags {
        let mut flags = match self.access_times {
            AccessTimes::Seldom => MountAttrFlags::MOUNT_ATTR_RELATIME,
            AccessTimes::Always => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
            AccessTimes::Never => MountAttrFlags::MOUNT_ATTR_NOATIME,
        };
        flags.set(MountAttrFlags::MOUNT_ATTR_NODIRATIME, self.no_directory_access_times);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, self.no_symlinks);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.no_suid);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, self.no_devices);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.no_execute);
        flags
    }
}

/// Opens a file system as a mount that is nowhere in the tree yet. An error carries what the file
/// system itself said.
pub fn open_file_system(
    kind: &str,
    source: &Path,
    settings: &[Setting],
    attributes: Attributes,
) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(&context, source, settings).map_err(|error| explained(&context, error))?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes.flags())
        .map_err(|error| Limit::Mounts.name(explained(&context, error.into())))
}

/// Why a share of a server was not opened.
#[derive(Debug)]
pub enum NoShare {
    /// The server does not let this user in with this password.
    Refused,
    /// The kernel does not know the file system.
    Unknown,
    /// Something else.
    Failed(io::Error),
}

/// Opens a share of a server as a mount that is nowhere in the tree yet. The secret is a setting that goes to the kernel alone.
pub fn open_share(
    kind: &str,
    source: &str,
    settings: &[Setting],
    (name, secret): (&str, &Secret),
    attributes: Attributes,
) -> Result<OwnedFd, NoShare> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|error| match error {
        Errno::NODEV => NoShare::Unknown,
        error => NoShare::Failed(error.into()),
    })?;
    let made = rustix::mount::fsconfig_set_string(&context, "source", source)
        .and_then(|()| settings.iter().try_for_each(|setting| set(&context, setting)))
        .and_then(|()| rustix::mount::fsconfig_set_string(&context, name, secret.open()))
        .and_then(|()| rustix::mount::fsconfig_create(&context));
    match made {
        Ok(()) => {}
        Err(Errno::ACCESS | Errno::KEYREJECTED) => return Err(NoShare::Refused),
        Err(error) => return Err(NoShare::Failed(explained(&context, error.into()))),
    }
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes.flags())
        .map_err(|error| NoShare::Failed(Limit::Mounts.name(explained(&context, error.into()))))
}

/// What a kind of file system says of the first of these settings that it does not take; `None`: it takes them, or cannot tell
/// before it is mounted.
pub fn not_taken(kind: &str, settings: &[Setting]) -> Option<String> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).ok()?;
    settings.iter().find_map(|setting| match set(&context, setting) {
        Err(Errno::INVAL) => Some(explained(&context, Errno::INVAL.into()).to_string()),
        _ => None,
    })
}

fn set(context: &OwnedFd, (name, value): &Setting) -> rustix::io::Result<()> {
    match value {
        None => rustix::mount::fsconfig_set_flag(context, name.as_str()),
        Some(value) => rustix::mount::fsconfig_set_string(context, name.as_str(), value.as_str()),
    }
}

fn configure(context: &OwnedFd, source: &Path, settings: &[Setting]) -> io::Result<()> {
    rustix::mount::fsconfig_set_string(context, "source", source)?;
    settings.iter().try_for_each(|setting| set(context, setting))?;
    Ok(rustix::mount::fsconfig_create(context)?)
}

/// Changes settings of the file system that an open directory is on; the others stay.
pub fn reconfigure(directory: impl AsFd, settings: &[Setting]) -> io::Result<()> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = rustix::mount::fspick(directory, "", flags)?;
    for (name, value) in settings {
        rustix::mount::fsconfig_set_string(&context, name.as_str(), value.as_deref().unwrap_or_default())?;
    }
    rustix::mount::fsconfig_reconfigure(&context).map_err(|error| explained(&context, error.into()))
}

/// Adds the messages the kernel queued on the context (each read gives one, "e name: text").
fn explained(context: &OwnedFd, error: io::Error) -> io::Error {
    let mut said = String::new();
    let mut buffer = [0; 512];
    while let Ok(length @ 1..) = rustix::io::read(context, &mut buffer) {
        said = format!("{said}; {}", String::from_utf8_lossy(&buffer[..length]).trim_end());
        if said.len() > 4096 {
            break;
        }
    }
    if said.is_empty() { error } else { io::Error::new(error.kind(), format!("{error}{said}")) }
}

/// A second, detached mount of an open directory of an attached mount.
pub fn clone_tree(directory: impl AsFd) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(directory, "", flags).map_err(|error| Limit::Mounts.name(error.into()))
}

/// Puts a detached mount into the tree.
pub fn attach(mount: impl AsFd, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", rustix::fs::CWD, target, flags)
        .map_err(|error| Limit::Mounts.name(error.into()))
}

/// Maps the IDs of a detached mount by a user namespace's map. Once per mount.
pub fn map_ids(mount: impl AsFd, namespace: impl AsFd) -> io::Result<()> {
    let namespace = u64::try_from(namespace.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    change(mount, libc::MOUNT_ATTR_IDMAP, namespace)
}

/// Has attributes apply to a detached mount, beside those it has.
pub fn restrict(mount: impl AsFd, attributes: Attributes) -> io::Result<()> {
    let on = [
        (attributes.no_suid, libc::MOUNT_ATTR_NOSUID),
        (attributes.no_devices, libc::MOUNT_ATTR_NODEV),
        (attributes.no_execute, libc::MOUNT_ATTR_NOEXEC),
    ];
    change(mount, on.iter().filter(|row| row.0).map(|row| row.1).sum(), 0)
}

/// Sets attributes; the namespace is for those who map.
fn change(mount: impl AsFd, attr_set: u64, namespace: u64) -> io::Result<()> {
    let change = libc::mount_attr { attr_set, attr_clr: 0, propagation: 0, userns_fd: namespace };
    // SAFETY: the path is a C string, the struct lives for the call and its true size is given.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &change,
            size_of_val(&change),
        )
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// Only where nobody uses it (`EBUSY`).
    Idle,
    /// Taken out of the tree now, closed when its last user is gone.
    Lazy,
}

/// Unmounts the topmost mount at a directory.
pub fn unmount(target: &Path, how: Unmount) -> io::Result<()> {
    let flags = match how {
        Unmount::Idle => UnmountFlags::NOFOLLOW,
        Unmount::Lazy => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    Ok(rustix::mount::unmount(target, flags)?)
}

/// A mount namespace of this process's own, left again on drop.
///
/// A mount attached here is seen by nobody else, and goes with the namespace. What is unmounted on the machine meanwhile
/// goes here, too: the copy of a mount would keep its device from being closed as long as this process lives.
pub struct PrivateNamespace {
    host: File,
}

impl PrivateNamespace {
    /// Enters a fresh one. The process must have one thread.
    pub fn enter() -> io::Result<Self> {
        let host = File::open("/proc/self/ns/mnt")?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let entered = Self { host };
        rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        Ok(entered)
    }
}

impl Drop for PrivateNamespace {
    fn drop(&mut self) {
        // Without the way back nothing this process does next would be seen: better to end.
        if let Err(error) = setns(&self.host, CloneFlags::CLONE_NEWNS) {
            eprintln!("cannot return to the machine's mount namespace: {error}");
            std::process::abort();
        }
    }
}
