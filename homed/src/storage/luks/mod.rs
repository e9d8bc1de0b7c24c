//! LUKS: a file system on dm-crypt on a partition of an image file or of a disk.
//!
//! ```text
//! /home/alice.home ─ GPT ─ partition ─ loop device ─ /dev/mapper/home-alice ─ btrfs ─ alice/ ─→ /home/alice
//!                                      autoclear      removed with its           IDs mapped
//!                                                     last user
//! ```
//!
//! Every layer is held by the one above and by nothing else, so the kernel takes all of it down when
//! the home is unmounted, or when the process that was building it dies. Where the image is a block device, dm-crypt lies on
//! it, and there is no loop device.

use super::examined::{Examination, Examined};
use super::parts::image::Blocks;
use super::parts::taken::{Anothers, Way};
use super::parts::{image, mapped, superblock};
use super::{
    Backend, Keeps, Kept, Kind, Locks, Mended, Mends, NewHome, Opened, Opening, Parts, Resized, Resizes,
    Seal, Settled, Tends, There, Unsealed,
};
use crate::job::{Care, Context, Failure, Force, Mounted, Size, Snapshots, Step, Steps, refuse};
use crate::sys::devmapper::Device;
use crate::sys::mount::{self, Found};
use crate::sys::waiting::wait_until;
use crate::sys::{blockdev, durable, loopdev};
use perform::pinned;
use perform::sweep::sweep;
use records::questions::Question;
use records::signature::Vouched;
use records::{Record, Refusal, Secret, Storage};
use serde_json::{Map, Value};
use spec::Spec;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

mod cost;
mod create;
mod disk;
mod examine;
mod file_system;
mod header;
mod header_copies;
mod mend;
#[cfg(test)]
mod model;
pub mod mount_options;
mod needed;
mod opened;
pub(super) mod perform;
pub(super) mod plan;
mod questions;
mod read_only;
mod record_token;
mod resize;
mod sealed;
mod segment;
mod snapshots;
mod spec;
mod stretching;
mod tend;
mod traces;
mod tries;
mod whereabouts;

/// How long the kernel may take to close the devices below an unmounted home: less than a worker has that gives one up,
/// or it could not say what is in the way.
const CLOSING: Duration = Duration::from_secs(15);
/// How long it takes as a rule.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long the kernel may keep an image open whose loop device has gone.
const LET_GO: Duration = Duration::from_secs(2);

/// The kind.
pub const KIND: Kind = Kind {
    storage: Storage::Luks,
    is_one: |_, facts| facts.is_file(),
    says: header::says,
    lacks: header::lacks,
    is_folder: false,
    parts: Parts { keyed: true, locks: true, resizes: true, tends: true },
    standing: whereabouts::standing,
    traces: traces::look,
    key: traces::key,
};

/// The backend for the home of this spec.
pub fn backend(common: super::Spec) -> Result<Box<dyn Backend>, Failure> {
    Ok(Box::new(Luks { spec: Spec::of(common)? }))
}

/// The backend for one home.
struct Luks {
    spec: Spec,
}

impl Backend for Luks {
    fn create(
        &self,
        request: &mut NewHome<'_>,
        steps: &mut dyn Steps,
    ) -> Result<Map<String, Value>, Failure> {
        create::create(&self.spec, request, steps)
    }

    fn open(&self, how: Opening, keys: &[Secret], steps: &mut dyn Steps) -> Result<Box<dyn Opened>, Failure> {
        Ok(Box::new(opened::LuksOpened::new(&self.spec, how, keys, steps)?))
    }

    fn questions(&self) -> Vec<Question> {
        // Whoever opens it has told by now what is wrong with the image.
        questions::read(&self.spec).unwrap_or_default()
    }

    fn close(&self, force: Force, steps: &mut dyn Steps) -> Result<(), Failure> {
        sweep(&self.spec)?;
        sealed::close(&self.spec, force, steps)
    }

    fn accept(&self, record: &Record) -> Result<(), Failure> {
        let wished = Spec::of(super::Spec::of(record, &self.spec.machine)?)?;
        let kind = self.spec.file_system.unwrap_or(superblock::Kind::Btrfs);
        file_system::accept(kind, &wished.extra).map_err(Into::into)
    }

    fn remove(&self, steps: &mut dyn Steps) -> Result<(), Failure> {
        remove(&self.spec, steps)
    }

    fn sweep(&self) -> Result<(), Failure> {
        sweep(&self.spec).map(drop)
    }

    fn examine(&self, wish: &Examination<'_>, steps: &mut dyn Steps) -> Result<Examined, Failure> {
        sweep(&self.spec)?;
        examine::examine(&self.spec, wish, steps)
    }

    fn has_lost_its_disk(&self) -> bool {
        mapped::is_dead(&self.spec.mapper_name())
    }

    fn locks(&self) -> Option<&dyn Locks> {
        Some(self)
    }

    fn resizes(&self) -> Option<&dyn Resizes> {
        Some(self)
    }

    fn tends(&self) -> Option<&dyn Tends> {
        Some(self)
    }

    fn keeps(&self) -> Option<&dyn Keeps> {
        Some(self)
    }

    fn mends(&self) -> Option<&dyn Mends> {
        Some(self)
    }
}

impl Locks for Luks {
    fn seal(&self, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Unsealed> {
        sweep(&self.spec).map_err(Unsealed::Open)?;
        sealed::seal(&self.spec, seal, steps)
    }

    fn lock_elsewhere(&self, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Failure> {
        sweep(&self.spec)?;
        pinned::lock(&self.spec, seal, steps)
    }

    fn settle(&self, steps: &mut dyn Steps) -> Result<Settled, Failure> {
        sweep(&self.spec)?;
        sealed::settle(&self.spec, steps)
    }

    fn give_up(&self, steps: &mut dyn Steps) -> Result<(), Failure> {
        sealed::give_up(&self.spec, steps)
    }
}

impl Resizes for Luks {
    fn resize(&self, size: Size, steps: &mut dyn Steps) -> Result<Resized, Failure> {
        let spec = &self.spec;
        let image = image::open(&spec.image, image::Access::Beside)?;
        let Some(home) = mounted_home(spec)? else {
            return refuse(Refusal::HomeNotActive, "The home is not mounted from its encrypted device.");
        };
        let directory = home.open().during("opening the home directory")?;
        let blocks = blocks(spec, Mounted::Yes);
        resize::Layers { spec, image: &image, directory, key: None, blocks }.resize(size, steps)
    }
}

impl Tends for Luks {
    fn tend(&self, care: Care, steps: &mut dyn Steps) -> Result<(), Failure> {
        tend::tend(&self.spec, care, steps)
    }
}

impl Keeps for Luks {
    fn snapshots(&self, wish: &Snapshots, now: u64, steps: &mut dyn Steps) -> Result<Value, Failure> {
        snapshots::serve(&self.spec, wish, now, steps)
    }

    fn keep(&self, now: u64, steps: &mut dyn Steps) -> Result<(), Failure> {
        snapshots::tend(&self.spec, now, steps)
    }
}

impl Mends for Luks {
    fn mend(&self, backup: &Path, there: There, steps: &mut dyn Steps) -> Result<Mended, Failure> {
        mend::mend(&self.spec, backup, there, steps)
    }

    fn keep(&self, backup: &Path, steps: &mut dyn Steps) -> Result<Mended, Failure> {
        mend::keep(&self.spec, backup, steps)
    }

    fn repair_file_system(
        &self,
        keys: &[Secret],
        how: (Kept, Vouched),
        steps: &mut dyn Steps,
    ) -> Result<(), Failure> {
        mend::repair_file_system(&self.spec, keys, how, steps)
    }

    fn rescue(
        &self,
        keys: &[Secret],
        (uid, target): (u32, Option<&Path>),
        vouched: Vouched,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure> {
        mend::rescue(&self.spec, keys, mend::Shown { uid, target, vouched }, steps)
    }
}

/// The kernel lets go of the image, and of the lock on it, a moment after the loop device is gone.
fn open_when_free(spec: &Spec) -> Result<std::fs::File, Failure> {
    let mut file = None;
    // Whose mark it is that goes is looked at when it does.
    let take = || header::take(spec, Way::Write, Anothers::Left);
    wait_until(CLOSING, || match take() {
        Err(Failure::Refused(refused)) if refused.refusal == Refusal::HomeInUse => Ok(false),
        other => other.map(|opened| file = Some(opened)).map(|()| true),
    })?;
    file.map_or_else(take, Ok)
}

/// The home's mount at its home directory, whatever lies over it; `None`: it is not mounted there from its encrypted device.
fn mounted_home(spec: &Spec) -> Result<Option<Found>, Failure> {
    let Some(device) = mapped::number(&spec.mapper_name()).during("looking for the encrypted device")? else {
        return Ok(None);
    };
    mount::ours_at(&spec.home_directory, device).during("reading the table of mounts")
}

/// Waits until the kernel has taken down what was below the mount. Whatever comes of that, nobody needs the key.
fn wait_until_closed(spec: &Spec, seen: Option<&Device>) -> Result<(), Failure> {
    let name = spec.mapper_name();
    let forgotten = resize::key::revoke(spec, seen);
    let is_closed = || {
        let mapped = mapped::number(&name).during("looking for the encrypted device")?.is_some();
        Ok::<bool, Failure>(!mapped && !loopdev::is_attached(&spec.image).during("looking for loop devices")?)
    };
    // What another mount namespace has mounted does not go by itself, however long one waits.
    let bound =
        if wait_until(AT_ONCE, is_closed)? || mapped::is_held_elsewhere(&name)? { AT_ONCE } else { CLOSING };
    if !wait_until(bound, is_closed)? {
        // A device that was made by another program is not marked for removal.
        mapped::remove_stale(&name)?;
    }
    mapped::forget_node(&name);
    forgotten
}

/// Unfinished images go with it: where the folder is not one that is looked through, nobody would know of them again.
fn remove(spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    sweep(spec)?;
    mapped::remove_stale(&spec.mapper_name())?;
    let file = match taken_when_let_go(spec) {
        Err(Failure::Refused(refused)) if refused.refusal == Refusal::HomeAbsent => None,
        other => Some(other?),
    };
    if !image::unfinished(&spec.image, &spec.machine.id).is_empty() {
        image::remove_unfinished(&spec.image, &spec.machine.id)?;
    }
    steps.enter(Step::Delete)?;
    if let Some(device) = &file
        && blockdev::is_one(device).during("looking at the image")?
    {
        return disk::give_up(device, spec, steps);
    }
    if file.is_some() {
        std::fs::remove_file(&spec.image).during(format!("deleting {}", spec.image.display()))?;
    }
    drop(file);
    match spec.image.parent().map(durable::folder) {
        // Somebody else may have deleted it, and not waited for the disk.
        Some(Ok(folder)) => durable::sync_directory(folder).during("writing the deletion to disk"),
        // The folder is gone, with all that was in it.
        Some(Err(_)) | None => Ok(()),
    }
}

/// The image with its lock. A loop device keeps both for a moment after it has gone (the kernel puts its file down later): who
/// takes back what was just made meets that.
fn taken_when_let_go(spec: &Spec) -> Result<File, Failure> {
    let is_held = |taken: &Result<File, Failure>| matches!(taken, Err(Failure::Refused(refused)) if refused.refusal == Refusal::HomeInUse);
    let mut taken = header::take(spec, Way::Write, Anothers::Refused);
    wait_until(LET_GO, || {
        if is_held(&taken) {
            taken = header::take(spec, Way::Write, Anothers::Refused);
        }
        Ok::<bool, Failure>(!is_held(&taken))
    })?;
    taken
}

/// Whether the blocks of a larger image are reserved at once.
fn blocks(spec: &Spec, mounted: Mounted) -> Blocks {
    match (spec.discard, spec.offline_discard, mounted) {
        (true, ..) | (false, true, Mounted::No) => Blocks::Sparse,
        (false, true, Mounted::Yes) | (false, false, _) => Blocks::Reserved,
    }
}

/// Whether the home is mounted, for an opening.
fn is_mounted(how: Opening) -> bool {
    how == Opening::Change(Mounted::Yes)
}
