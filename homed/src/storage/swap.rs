//! Encrypted swap space for what the processes of a locked home have in memory.
//!
//! ```text
//! /var/lib/homed/swap/(no name) ─ loop device ─ /dev/mapper/homed-swap-alice ─ swap
//! ```
//!
//! As with the home itself every layer is held by the one above and by nothing else: when the kernel lets go of the
//! swap space, or the process that builds it dies, nothing is left. The file has no name, so none is left by a power
//! cut either. Plain dm-crypt: the key is in no header, and comes and goes with the lock.

use super::parts::mapped;
use crate::job::{Context, Failure, Steps, refuse};
use crate::sys::bounded::{Deadline, Late, within};
use crate::sys::devmapper::{self, Access, Given, Key, Target, Volume};
use crate::sys::loopdev::{LoopDevice, Window};
use crate::sys::{file, process, swap};
use mapped::{Mapped, New};
use records::{Refusal, Secret, UserName};
use rustix::fs::{Mode, OFlags};
use rustix::param::page_size;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a key: two halves of AES-256-XTS.
pub const KEY: usize = 64;
/// What the names of the devices begin with; the user's follows.
pub const NAME: &str = "homed-swap-";
/// Where the files without a name lie.
const FOLDER: &str = "/var/lib/homed/swap";
/// What must be left of the disk for others.
const RESERVE: u64 = 64 << 20;
/// mkswap(8): the last bytes of the first page, whatever size the kernel's pages have.
const MAGIC: &[u8] = b"SWAPSPACE2";

/// What became of a user's swap space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The kernel reads and writes it.
    InUse,
    /// It is suspended, and its key is out of memory.
    Sealed,
    /// Neither: a seal was broken off, or it was cut off.
    Between,
}

/// The swap space of one user.
pub struct Space {
    name: String,
}

impl Space {
    /// The one that this user has, or would have.
    pub fn of(user: &UserName) -> Self {
        Self { name: format!("{NAME}{user}") }
    }

    /// What the kernel knows its device by, whatever that is called.
    pub fn uuid_of(user: &str) -> String {
        mapped::plain_uuid(&format!("{NAME}{user}"))
    }

    /// Whether a device is one, of whichever user.
    pub fn is_one(device: &devmapper::Device) -> bool {
        device.uuid.starts_with(&mapped::plain_uuid(NAME))
    }

    /// Its device, by its UUID: somebody may have called it otherwise, and what has its name may be another.
    fn device(&self) -> io::Result<Option<devmapper::Device>> {
        devmapper::with_uuid(&mapped::plain_uuid(&self.name))
    }

    /// What its device is called now.
    fn called(&self) -> io::Result<String> {
        Ok(self.device()?.ok_or(ErrorKind::NotFound)?.name)
    }

    /// Where its device is, or would be.
    pub fn node(&self) -> PathBuf {
        mapped::node(self.called().as_ref().unwrap_or(&self.name))
    }

    /// How it is; `None`: there is none.
    pub fn state(&self) -> Result<Option<State>, Failure> {
        let device = self.device().during("looking at the encrypted swap space")?;
        Ok(device.map(|device| match (device.suspended, device.key) {
            (true, Some(Key::Wiped)) => State::Sealed,
            (false, Some(Key::Plain | Key::InKeyring)) => State::InUse,
            _ => State::Between,
        }))
    }

    /// Size, and what of it is taken; `None`: the kernel does not use it as swap.
    pub fn usage(&self) -> Result<Option<swap::Swap>, Failure> {
        swap::on_device(&self.node()).during("reading the table of swap space")
    }

    /// Makes it, and has the kernel use it before any other.
    pub fn make(&self, bytes: u64, key: &Secret, steps: &mut dyn Steps) -> Result<(), Failure> {
        let bytes = bytes.next_multiple_of(page_size() as u64);
        let file = allocate(bytes)?;
        let window = Window { offset: 0, size: bytes, block: 4096 };
        let device = LoopDevice::attach(&file, window).during("attaching the file for swap space")?;
        let target = Target {
            sectors: bytes / 512,
            cipher: "aes-xts-plain64".into(),
            iv_offset: 0,
            below: device.number().during("looking at the loop device")?,
            start: 0,
            options: ["no_read_workqueue", "no_write_workqueue", "sector_size:4096"]
                .map(str::to_owned)
                .into(),
            access: Access::Write,
        };
        let volume = Volume { target: &target, key, given: Given::Plain };
        let uuid = mapped::plain_uuid(&self.name);
        let mapped = Mapped::make(&New { name: &self.name, uuid: &uuid, volume }, steps)?;
        process::run("mkswap", &[&mapped.path().to_string_lossy()]).during("preparing swap space")?;
        swap::put_in(mapped.path()).during("adding swap space")?;
        drop(mapped);
        // It looks at every device that was written to, and must not do so when that one is sealed.
        let _ = process::run("udevadm", &["settle", "--timeout=5"]);
        Ok(())
    }

    /// Takes its key out of memory; whoever needs what is in it waits.
    pub fn seal(&self, deadline: Deadline) -> Result<(), Failure> {
        let seal = || {
            let name = self.called()?;
            devmapper::suspend(&name)?;
            devmapper::wipe_key(&name)
        };
        within(deadline, Late::Kill, seal).during("taking the key of the swap space out of memory")
    }

    /// Puts the key back. What cannot be read with it stays sealed.
    pub fn open(&self, key: &Secret) -> Result<(), Failure> {
        let name = self.called().during("looking for the swap space")?;
        devmapper::set_key(&name, key).during("giving the swap space its key back")?;
        devmapper::go_on(&name).during("letting the swap space go on")?;
        if head_is_right(&self.node()).during("reading the swap space")? {
            return Ok(());
        }
        self.seal(Deadline::after(std::time::Duration::from_secs(5)))?;
        Err(Failure::fault("the key does not fit the swap space of the locked processes"))
    }

    /// Brings what is in it back to memory, in the background; it is gone afterwards. So is a device that a killed run has made and
    /// not had the kernel use.
    pub fn take_out(&self) -> Result<(), Failure> {
        if self.usage()?.is_none() {
            return mapped::remove_stale(&self.called().during("looking for the swap space")?);
        }
        process::leave("swapoff", &[&self.node().to_string_lossy()]).during("taking swap space away")
    }

    /// The same, and returns when it is done.
    pub fn take_out_now(&self, deadline: Deadline) -> Result<(), Failure> {
        let node = self.node();
        within(deadline, Late::Kill, || swap::take_out(&node)).during("taking swap space away")?;
        mapped::forget_node(&self.name);
        Ok(())
    }

    /// Whoever needs what is in it gets an error from now on.
    pub fn cut_off(&self) -> Result<(), Failure> {
        self.called().and_then(|name| devmapper::cut_off(&name)).during("cutting the swap space off")
    }
}

/// A file without a name, all of it on disk and never moved there.
fn allocate(bytes: u64) -> Result<File, Failure> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(FOLDER).during("making the folder for swap space")?;
    let folder = File::open(FOLDER).during("opening the folder for swap space")?;
    let space = file::space(&folder).during("looking for room for swap space")?;
    if space.free < bytes.saturating_add(RESERVE) {
        return no_room(bytes, space.free);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file: File = rustix::fs::openat(folder.as_fd(), ".", flags, Mode::from_raw_mode(0o600))
        .map_err(io::Error::from)
        .during("making a file for swap space")?
        .into();
    // Only btrfs knows it, and needs it.
    let _ = file::write_in_place(&file);
    match file::allocate(&file, 0, bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            no_room(bytes, space.free)
        }
        // A write to a file with holes needs a block of the disk, and memory, when there is none.
        Err(error) if error.kind() == ErrorKind::Unsupported => refuse(
            Refusal::NotSupported,
            format!(
                "The home is not locked: its level is \"strict\", and the file system of {FOLDER} cannot reserve blocks for swap \
                 space. Put {FOLDER} on another one (ext4, xfs, btrfs), or choose the level \"cache\"."
            ),
        ),
        other => other.during("allocating swap space").map(|()| file),
    }
}

fn no_room<T>(bytes: u64, free: u64) -> Result<T, Failure> {
    refuse(
        Refusal::NoDiskSpace,
        format!(
            "The home is not locked: its level is \"strict\", and {FOLDER} has no room for what its user's processes have in \
             memory ({} MiB wanted, {} MiB free). Free some space, end some programs, or choose the level \"cache\".",
            bytes >> 20,
            free >> 20
        ),
    )
}

/// Whether the first page is that of swap space: read from the device, not from memory.
fn head_is_right(node: &Path) -> io::Result<bool> {
    let page = page_size();
    let mut options = File::options();
    let device = options.read(true).custom_flags(libc::O_DIRECT).open(node)?;
    let mut buffer = vec![0; 2 * page];
    let start = buffer.as_ptr().align_offset(page);
    let head = &mut buffer[start..start + page];
    device.read_exact_at(head, 0)?;
    Ok(is_head(head, page))
}

/// Whether a device begins as mkswap(8) writes it on a machine with pages of this size.
fn is_head(bytes: &[u8], page: usize) -> bool {
    bytes.get(..page).is_some_and(|head| head.ends_with(MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_space_is_known_by_the_end_of_its_first_page_of_any_size() {
        for page in [4096, 16384, 65536] {
            let mut device = vec![0; 2 * 65536];
            device[page - MAGIC.len()..page].copy_from_slice(MAGIC);
            for other in [4096, 16384, 65536] {
                assert_eq!(is_head(&device, other), other == page);
            }
        }
        assert!(!is_head(MAGIC, 4096));
    }

    #[test]
    fn mkswap_writes_what_is_looked_for_here() {
        let file = tempfile::NamedTempFile::new().expect("scratch file");
        file.as_file().set_len(1 << 20).expect("sized");
        process::run("mkswap", &[&file.path().to_string_lossy()]).expect("made");
        let mut head = vec![0; page_size()];
        file.as_file().read_exact_at(&mut head, 0).expect("read");
        assert!(is_head(&head, page_size()));
    }
}
