//! What the encrypted part of an image is a device by: a loop device over a file, or the block device itself. Programs and
//! tables of device-mapper know either by its number.

use crate::job::{Context, Failure};
use crate::sys::blockdev;
use crate::sys::file::Identity;
use crate::sys::loopdev::{self, LoopDevice, Window};
use crate::sys::mount::Number;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A device that shows the encrypted part, and nothing else.
pub enum Below {
    /// Over a file. It goes with its last user.
    Loop(LoopDevice),
    /// The image is a device, and encrypted as a whole.
    Itself {
        /// Open.
        device: File,
        /// Its node.
        node: PathBuf,
    },
}

impl Below {
    /// Of an open image.
    pub fn of(image: &File, path: &Path, window: Window) -> Result<Self, Failure> {
        if !blockdev::is_one(image).during("looking at the image")? {
            let attached = LoopDevice::attach(image, window);
            return attached.during("attaching the image to a loop device").map(Self::Loop);
        }
        let device = image.try_clone().during("keeping the image open")?;
        if window.offset != 0 || blockdev::length(&device).during("looking at the image")? != window.size {
            return Err(Failure::fault(format!("{} is not encrypted as a whole", path.display())));
        }
        Ok(Self::Itself { device, node: blockdev::resolved(path) })
    }

    /// Its node.
    pub fn path(&self) -> &Path {
        match self {
            Self::Loop(device) => device.path(),
            Self::Itself { node, .. } => node,
        }
    }

    /// Its number.
    pub fn number(&self) -> io::Result<Number> {
        match self {
            Self::Loop(device) => device.number(),
            Self::Itself { device, .. } => blockdev::number(device),
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            Self::Loop(device) => device.size(),
            Self::Itself { device, .. } => blockdev::length(device),
        }
    }
}

/// The devices that show an image, by their names in `/sys/class/block`: loop devices over it, and itself if it is one.
pub fn showing(image: &Path) -> io::Result<Vec<String>> {
    let loops = loopdev::at(image)?.into_iter().map(|one| one.name);
    Ok(loops.chain(itself(image)).collect())
}

/// The name of an image that is a block device itself.
pub fn itself(image: &Path) -> Option<String> {
    let node = blockdev::resolved(image);
    // Files are not asked for: their file system may give no answer.
    let is_one = node.starts_with("/dev") && Identity::of(&node).is_ok_and(|found| found.is_block_device);
    is_one.then(|| node.file_name()?.to_str().map(str::to_owned)).flatten()
}
