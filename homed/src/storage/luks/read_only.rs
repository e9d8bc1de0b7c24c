//! An image opened to be read only: nothing of it is changed, whatever state it is in.

use super::file_system;
use super::header::{self, HeaderCopy, Place};
use super::segment::{self, Use};
use crate::job::{Context, Failure, Step, Steps};
use crate::storage::HomeDirectory;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::mapped::Mapped;
use crate::storage::parts::superblock::{self, FileSystem, Kind};
use crate::storage::parts::tree::{Device, Ids, PrivateMount};
use crate::sys::cryptsetup::Luks;
use crate::sys::loopdev::LoopDevice;
use crate::sys::mount::Setting;
use records::Secret;
use records::signature::Vouched;
use std::fs::File;
use std::path::Path;

/// The decrypted device.
pub struct Decrypted {
    mapped: Mapped,
    _luks: Luks,
    _device: LoopDevice,
}

impl Decrypted {
    /// Attaches an image that is open for reading, and decrypts it under this name.
    pub fn new(
        image: &File,
        (header, place): (&HeaderCopy, &Place),
        name: &str,
        volume_key: &Secret,
        steps: &mut dyn Steps,
    ) -> Result<Self, Failure> {
        let window = header.window(place);
        let device = LoopDevice::attach(image, window).during("attaching the image to a loop device")?;
        let mut luks = Luks::load(device.path()).during("reading the encryption header")?;
        let mapped = segment::open(&mut luks, &device, name, volume_key, Use::Look, steps)?;
        Ok(Self { mapped, _luks: luks, _device: device })
    }

    /// `/dev/mapper/…`.
    pub fn path(&self) -> &Path {
        self.mapped.path()
    }

    /// What file system is on it, if any that is known.
    pub fn probe(&self) -> Option<FileSystem> {
        superblock::probe(&self.mapped.head(superblock::BYTES).ok()?)
    }
}

/// A file system mounted for this process alone, to be read only.
pub struct Mounted {
    mount: PrivateMount,
    /// What had to be left out for it to be mounted; empty: nothing.
    pub without: &'static str,
}

/// How a file system is mounted without a write: from the way that sees most to the one that asks least.
fn ways(kind: Kind) -> &'static [(&'static [&'static str], &'static str)] {
    match kind {
        Kind::Btrfs => &[
            (&["ro"], ""),
            (&["ro", "rescue=nologreplay"], "what was written in the last seconds before it was cut off"),
            (&["ro", "rescue=usebackuproot"], "the last changes: an older tree is used"),
            (&["ro", "rescue=all"], "whatever is damaged: nothing is checked, files may be wrong"),
        ],
        Kind::Ext4 => &[
            (&["ro"], ""),
            (&["ro", "noload"], "what was written in the last seconds before it was cut off"),
            // A journal that cannot even be found keeps the tables from being checked.
            (&["ro", "noload", "noblock_validity"], "its journal, and a check of its own tables"),
        ],
        Kind::Xfs => &[
            (&["ro"], ""),
            (&["ro", "norecovery"], "what was written in the last seconds before it was cut off"),
        ],
    }
}

impl Mounted {
    /// Mounts it in the first way that works.
    pub fn new(
        spec: &Spec,
        device: &Decrypted,
        (kind, vouched): (Kind, Vouched),
        steps: &mut dyn Steps,
    ) -> Result<Self, Failure> {
        steps.enter(Step::Mount)?;
        let mut last = Failure::fault("there is no way to mount it");
        for (options, without) in ways(kind) {
            let mut way = file_system::plain(kind, spec, vouched);
            way.settings.extend(options.iter().map(|option| setting(option)));
            match PrivateMount::new(Device { kind, path: device.path() }, &way, vouched) {
                Ok(mount) => return Ok(Self { mount, without }),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// The home directory in it.
    pub fn home(&self, spec: &Spec) -> Result<HomeDirectory, Failure> {
        match self.mount.open(&spec.name) {
            Ok(fd) => HomeDirectory::new(fd),
            Err(error) => header::damaged(spec, &format!("there is no {:?} inside ({error})", spec.name)),
        }
    }

    /// Shows the home at a directory of the machine, its owner mapped to that UID.
    pub fn expose(self, home: &HomeDirectory, uid: u32, target: &Path) -> Result<(), Failure> {
        let ids = Ids { stored: home.owner(), exposed: uid };
        self.mount.expose(home.reopen()?, ids, target)
    }
}

fn setting(option: &str) -> Setting {
    match option.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (option.to_owned(), None),
    }
}
