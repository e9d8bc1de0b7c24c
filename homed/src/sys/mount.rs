//! Mounts: the file-descriptor based mount interface, ID maps, namespaces, the table of mounts.

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A mount option of a file system: a flag, or a name with a value.
pub type Setting = (String, Option<String>);

/// What applies to a mount, not to the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// set-user-ID bits have no effect.
    pub no_suid: bool,
    /// Device nodes have no effect.
    pub no_devices: bool,
    /// Programs cannot be started.
    pub no_execute: bool,
}

impl Attributes {
    fn flags(self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::MOUNT_ATTR_RELATIME;
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
        .map_err(|error| explained(&context, error.into()))
}

fn configure(context: &OwnedFd, source: &Path, settings: &[Setting]) -> io::Result<()> {
    rustix::mount::fsconfig_set_string(context, "source", source)?;
    for (name, value) in settings {
        match value {
            None => rustix::mount::fsconfig_set_flag(context, name.as_str())?,
            Some(value) => rustix::mount::fsconfig_set_string(context, name.as_str(), value.as_str())?,
        }
    }
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
    Ok(rustix::mount::open_tree(directory, "", flags)?)
}

/// Puts a detached mount into the tree.
pub fn attach(mount: impl AsFd, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", rustix::fs::CWD, target, flags)?)
}

/// Maps the IDs of a detached mount by a user namespace's map. Once per mount.
pub fn map_ids(mount: impl AsFd, namespace: impl AsFd) -> io::Result<()> {
    let namespace = u64::try_from(namespace.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace,
    };
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
/// A mount attached here is seen by nobody else, and goes with the namespace.
pub struct PrivateNamespace {
    host: File,
}

impl PrivateNamespace {
    /// Enters a fresh one. The process must have one thread.
    pub fn enter() -> io::Result<Self> {
        let host = File::open("/proc/self/ns/mnt")?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        let entered = Self { host };
        rustix::mount::mount_change("/", private)?;
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

/// A line of the table of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The directory it is at.
    pub target: PathBuf,
    /// Device number, `major:minor`.
    pub device: String,
    /// File system type.
    pub kind: String,
    /// What is mounted: `/dev/mapper/…`.
    pub source: PathBuf,
    /// The file system's own options, as `a,b=c`.
    pub options: String,
}

/// The mounts of a process's namespace (`self`, or a process id), in order.
pub fn table(process: &str) -> io::Result<Vec<Mounted>> {
    let text = std::fs::read(format!("/proc/{process}/mountinfo"))?;
    Ok(text.split(|b| *b == b'\n').filter_map(parse).collect())
}

/// The topmost mount at exactly this directory, if any.
pub fn at(target: &Path) -> io::Result<Option<Mounted>> {
    Ok(table("self")?.into_iter().rev().find(|mount| mount.target == target))
}

/// proc(5), mountinfo: `id parent major:minor root target options [optional…] - type source options`.
fn parse(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|b| *b == b' ');
    let device = String::from_utf8(fields.nth(2)?.to_vec()).ok()?;
    let target = unescaped(fields.nth(1)?);
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let source = unescaped(fields.next()?);
    let options = String::from_utf8_lossy(fields.next().unwrap_or_default()).trim_end().to_owned();
    Some(Mounted { target, device, kind, source, options })
}

/// Blanks and backslashes are written as `\ooo`.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = if first == b'\\' { tail.get(..3) } else { None };
        let code =
            octal.and_then(|o| std::str::from_utf8(o).ok()).and_then(|o| u8::from_str_radix(o, 8).ok());
        if let Some(code) = code {
            bytes.push(code);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = b"36 35 254:0 /alice /home/a\\040b rw,nosuid shared:1 - btrfs /dev/mapper/home-alice rw";
        let mount = parse(line).expect("a mount");
        assert_eq!(mount.target, Path::new("/home/a b"));
        assert_eq!((mount.kind.as_str(), mount.device.as_str()), ("btrfs", "254:0"));
        assert_eq!(mount.source, Path::new("/dev/mapper/home-alice"));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1 2 3"), None);
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(table("self").expect("table").iter().any(|mount| mount.target == Path::new("/")));
    }
}
