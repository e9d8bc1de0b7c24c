//! Block devices: what a name in `/dev` stands for, what the kernel tells of one, and who has claimed it.

use super::mount::Number;
use super::waiting::wait_until;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

const NODES: &str = "/dev";
/// Where the kernel tells of each device by its number.
const BY_NUMBER: &str = "/sys/dev/block";
/// How long others (udev) may have partitions of a disk open whose table is to be read again.
const READ_BY_OTHERS: Duration = Duration::from_secs(10);

mod code {
    nix::ioctl_none!(read_table_again, 0x12, 95);
}

/// The node that a name in `/dev` stands for, links followed (`/dev/disk/by-uuid/…`); any other path, and a name that leads
/// nowhere or elsewhere, as it is. No file system is asked that could keep one waiting.
pub fn resolved(path: &Path) -> PathBuf {
    let is_inside =
        |path: &Path| path.starts_with(NODES) && path.components().all(|part| part != Component::ParentDir);
    if !is_inside(path) {
        return path.to_owned();
    }
    path.canonicalize().ok().filter(|node| is_inside(node)).unwrap_or_else(|| path.to_owned())
}

/// Whether an open file is a block device.
pub fn is_one(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.file_type().is_block_device())
}

/// How long a file or a block device is, in bytes.
pub fn length(mut file: &File) -> io::Result<u64> {
    if is_one(file)? { file.seek(SeekFrom::End(0)) } else { Ok(file.metadata()?.len()) }
}

/// How large the device at a node is, in bytes. It is not opened.
pub fn size_at(node: &Path) -> io::Result<u64> {
    /// The kernel's unit, whatever the device's sectors are.
    const UNIT: u64 = 512;
    let Number { major, minor } = Number::of(std::fs::metadata(node)?.rdev());
    let text = std::fs::read_to_string(Path::new(BY_NUMBER).join(format!("{major}:{minor}/size")))?;
    let units: u64 = text.trim().parse().map_err(io::Error::other)?;
    Ok(units.saturating_mul(UNIT))
}

/// Whether a read has failed since the disk does not give what is there, or gives what it knows to be wrong: a bad spot,
/// unless all of it is so.
pub fn is_bad_spot(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::ENODATA | libc::EILSEQ | libc::EBADMSG))
}

/// Such an error, for tests.
#[cfg(test)]
pub fn bad_spot() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

/// Its number.
pub fn number(device: &File) -> io::Result<Number> {
    Ok(Number::of(device.metadata()?.rdev()))
}

/// Bytes of its sectors, as its programs count them.
pub fn sector(device: &File) -> io::Result<u32> {
    Ok(rustix::fs::ioctl_blksszget(device)?)
}

/// Whether somebody has claimed the device at a node, or a part of it, for himself: a mount, a device-mapper device, a
/// program that writes a file system.
pub fn is_claimed(node: &Path) -> io::Result<bool> {
    match claim(node, OFlags::RDONLY) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(true),
        Err(error) => Err(error),
    }
}

/// Opens the device at a node for writing, and claims it: until it is closed nobody mounts it or a part of it.
/// `ResourceBusy`: somebody else has.
pub fn claimed(node: &Path) -> io::Result<File> {
    claim(node, OFlags::RDWR)
}

/// `O_EXCL` without `O_CREAT`: open(2).
fn claim(node: &Path, way: OFlags) -> io::Result<File> {
    let flags = way | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    Ok(File::from(rustix::fs::open(node, flags, Mode::empty())?))
}

/// What the kernel tells of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// It is a part of another.
    pub is_partition: bool,
    /// It cannot be written to.
    pub is_read_only: bool,
    /// Its parts.
    pub partitions: Vec<PathBuf>,
}

/// Asks the kernel.
pub fn told(device: &File) -> io::Result<Told> {
    let Number { major, minor } = number(device)?;
    let folder = Path::new(BY_NUMBER).join(format!("{major}:{minor}"));
    let mut partitions = Vec::new();
    // Looked into by its number: the link itself is no folder.
    for entry in std::fs::read_dir(folder.join("."))? {
        let path = entry?.path();
        if path.join("partition").exists() {
            partitions.extend(path.file_name().map(|name| Path::new(NODES).join(name)));
        }
    }
    Ok(Told {
        is_partition: folder.join("partition").exists(),
        is_read_only: std::fs::read_to_string(folder.join("ro"))?.trim() != "0",
        partitions,
    })
}

/// Has the kernel read the partition table of a disk again.
pub fn read_table_again(disk: &File) -> io::Result<()> {
    let done = wait_until(READ_BY_OTHERS, || {
        // SAFETY: the fd is open for the call; this ioctl takes no argument.
        match unsafe { code::read_table_again(disk.as_raw_fd()) } {
            Ok(_) => Ok(true),
            Err(nix::errno::Errno::EBUSY) => Ok(false),
            Err(error) => Err(io::Error::from(error)),
        }
    });
    if done? { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_dev_are_followed_as_long_as_they_stay_there() {
        let same = |path: &str| assert_eq!(resolved(Path::new(path)), Path::new(path));
        same("/dev/null");
        same("/dev/no/such");
        same("/dev/../etc/hostname");
        // A link that leads out of it.
        same("/dev/fd");
        let folder = tempfile::tempdir().expect("made");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).expect("linked");
        assert_eq!(resolved(&link), link);
    }

    #[test]
    fn a_file_is_as_long_as_it_is() {
        let file = tempfile::tempfile().expect("made");
        file.set_len(12345).expect("sized");
        assert_eq!((length(&file).expect("asked"), is_one(&file).expect("asked")), (12345, false));
        assert!(!is_one(&File::open("/dev/null").expect("opened")).expect("asked"));
    }
}
