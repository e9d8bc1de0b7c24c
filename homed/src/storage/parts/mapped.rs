//! A dm-crypt device that goes when its last user goes, whatever becomes of this process.

use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::sys::cryptsetup::{self, Discard, Luks, Removal};
use crate::sys::{devmapper, file, holders, loopdev::LoopDevice, mount, waiting::wait_until};
use records::{Refusal, Secret};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the kernel may take to take a device down.
const GOING: Duration = Duration::from_secs(30);

/// An active device, held by an open file; the loop device below is held by the device.
pub struct Mapped {
    node: File,
    path: PathBuf,
}

impl Mapped {
    /// Makes `/dev/mapper/NAME` over the loop device. From here on the kernel cleans up: the device
    /// is marked for removal with its last user, which for now is this value.
    pub fn activate(
        luks: &mut Luks,
        _below: &LoopDevice,
        name: &str,
        key: &Secret,
        discard: Discard,
        steps: &mut dyn Steps,
    ) -> Result<Self, Failure> {
        luks.activate(name, key, discard).during("activating the encrypted device")?;
        // Killed here, the process leaves a device that nobody holds: the sweep before the next job takes it away.
        steps.enter(Step::HoldMapped)?;
        Self::hold(name, Way::Write)
    }

    /// The same, for reading only.
    pub fn read_only(
        luks: &mut Luks,
        _below: &LoopDevice,
        name: &str,
        key: &Secret,
        steps: &mut dyn Steps,
    ) -> Result<Self, Failure> {
        luks.activate_read_only(name, key).during("activating the encrypted device")?;
        steps.enter(Step::HoldMapped)?;
        Self::hold(name, Way::Read)
    }

    /// The same over a loop device without a header, with a key of 64 bytes.
    pub fn activate_plain(below: &LoopDevice, name: &str, key: &Secret) -> Result<Self, Failure> {
        cryptsetup::activate_plain(below.path(), name, key).during("activating the encrypted device")?;
        Self::hold(name, Way::Write)
    }

    /// A device that is active already: it goes with its last user as well.
    pub fn adopt(name: &str) -> Result<Self, Failure> {
        let path = node(name);
        let number = devmapper::number(name).during("looking for the encrypted device")?;
        let Some(number) = number else { return Err(Failure::fault("the encrypted device is gone")) };
        // Its other node may have been taken away.
        let kernels = format!("/dev/dm-{}", number.minor);
        let opened = OpenOptions::new().read(true).write(true).open(&kernels);
        let mapped = Self { node: opened.during(format!("opening {kernels}"))?, path };
        cryptsetup::remove(name, Removal::WhenUnused).during("marking the encrypted device for removal")?;
        mapped.restore_node()?;
        Ok(mapped)
    }

    fn hold(name: &str, way: Way) -> Result<Self, Failure> {
        let path = node(name);
        let opened = OpenOptions::new().read(true).write(way == Way::Write).open(&path);
        let opened = opened.during(format!("opening {}", path.display())).map(|node| Self { node, path });
        let marked = cryptsetup::remove(name, Removal::WhenUnused);
        marked.during("marking the encrypted device for removal")?;
        let mapped = opened?;
        mapped.restore_node()?;
        Ok(mapped)
    }

    /// Without udev libdevmapper takes the node away with the request, though the device stays.
    fn restore_node(&self) -> Result<(), Failure> {
        match file::make_block_node(&self.path, &self.node) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other.during(format!("making {}", self.path.display())),
        }
    }

    /// `/dev/mapper/NAME`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written to the device is on disk.
    pub fn sync(&self) -> Result<(), Failure> {
        self.node.sync_all().during("writing the decrypted device to disk")
    }

    /// The first bytes of the device.
    pub fn head(&self, length: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; length];
        self.node.read_exact_at(&mut bytes, 0).during("reading the decrypted device")?;
        Ok(bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Read,
    Write,
}

/// Where the device of a name is.
pub fn node(name: &str) -> PathBuf {
    Path::new("/dev/mapper").join(name)
}

/// Whether there is such a device, and its first page cannot be read: from the disk, not from memory.
pub fn is_dead(name: &str) -> bool {
    const PAGE: usize = 4096;
    // One that is suspended would never answer.
    if devmapper::device(name).is_ok_and(|device| device.is_some_and(|device| device.suspended)) {
        return false;
    }
    let mut options = File::options();
    let device = match options.read(true).custom_flags(libc::O_DIRECT).open(node(name)) {
        Ok(device) => device,
        Err(error) => return error.kind() != ErrorKind::NotFound,
    };
    let mut buffer = vec![0; 2 * PAGE];
    let start = buffer.as_ptr().align_offset(PAGE);
    device.read_exact_at(&mut buffer[start..start + PAGE], 0).is_err()
}

/// Waits until the kernel has taken down a device that nobody uses any more.
pub fn wait_until_gone(name: &str) -> Result<(), Failure> {
    let is_gone = || cryptsetup::is_active(name).map(|active| !active);
    if !wait_until(GOING, is_gone).during("looking for the encrypted device")? {
        return remove_stale(name);
    }
    forget_node(name);
    Ok(())
}

/// Removes the node of a device that is gone, where no udev does it.
pub fn forget_node(name: &str) {
    // A node that is not there, or that udev is just removing, is as good.
    let _ = std::fs::remove_file(node(name));
}

/// Removes a device that a killed process left: one that is there though the home is not active.
pub fn remove_stale(name: &str) -> Result<(), Failure> {
    if !cryptsetup::is_active(name).during("looking for the encrypted device")? {
        forget_node(name);
        return Ok(());
    }
    // The library tries for seconds.
    if is_held_elsewhere(name)? {
        return in_use(name);
    }
    match cryptsetup::remove(name, Removal::Now) {
        Ok(()) => Ok(()),
        Err(_) => in_use(name),
    }
}

/// Whether a mount namespace other than ours has the file system of a device mounted.
pub fn is_held_elsewhere(name: &str) -> Result<bool, Failure> {
    let Some(device) = devmapper::number(name).during("looking for the encrypted device")? else {
        return Ok(false);
    };
    let elsewhere = mount::elsewhere(device).during("looking into other mount namespaces")?;
    Ok(!elsewhere.is_empty())
}

fn in_use(name: &str) -> Result<(), Failure> {
    let holding = holders::of_device(&node(name));
    let by = if holding.is_empty() { String::new() } else { format!(" by {}", holders::names(&holding)) };
    refuse(Refusal::HomeBusy, format!("The home's encrypted device is still in use{by}."))
}
