//! A smaller ext4. Its own program moves what lies beyond the new end, in place: broken off, it leaves nothing whole.
//!
//! ```text
//! close → copy of the image (blocks shared where the disk can) → check, shrink, check → table → the image's name
//! ```
//!
//! Nothing of the image itself is changed, so whoever does this may be killed at any moment: the copy has no name
//! before it is whole and on disk, and goes with him.

use super::LuksOpened;
use crate::job::{Context, Failure, Size, Step, Steps, refuse};
use crate::storage::Resized;
use crate::storage::luks::resize::Smaller;
use crate::storage::luks::segment::{self, Discard, Use};
use crate::storage::luks::whereabouts::helper_name;
use crate::storage::luks::{file_system, header, sealed};
use crate::storage::parts::below::Below;
use crate::storage::parts::image::NewImage;
use crate::storage::parts::mapped::{self, Mapped};
use crate::storage::parts::size::MIB;
use crate::storage::parts::superblock;
use crate::sys::cryptsetup::Luks;
use crate::sys::durable;
use crate::sys::process::ToolFailed;
use records::Refusal;
use std::fs::File;
use std::os::unix::fs::FileExt;

impl LuksOpened {
    /// Gives the image this size by way of a copy; what is opened afterwards is the new one.
    pub(super) fn shrink_as_copy(
        &mut self,
        smaller: Smaller,
        steps: &mut dyn Steps,
    ) -> Result<Resized, Failure> {
        self.close(steps)?;
        steps.enter(Step::Allocate)?;
        let copy = NewImage::copy(&self.spec.image, &self.image, &self.spec.machine.id)?;
        let inside = self.shrink_inside(copy.file(), smaller, steps)?;
        let size = smaller.around + inside;
        let before = self.image.metadata().during("looking at the image")?.len();
        if size >= before {
            return Ok(Resized { size: before });
        }
        steps.enter(Step::FirstTable)?;
        self.cut(copy.file(), size).during("writing the partition table")?;
        steps.enter(Step::Publish)?;
        self.image = copy.publish()?;
        self.place = header::locate(&self.image, &self.spec)?;
        Ok(Resized { size })
    }

    /// Takes the layers down again, and the mark away.
    pub(super) fn close(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        if let Some(directory) = self.directory.take() {
            durable::sync_file_system(&directory).during("writing the home to disk")?;
        }
        self.let_go();
        sealed::let_go(&self.spec, &self.image, true, steps)?;
        self.was_dirty = None;
        Ok(())
    }

    /// Bytes that the file system has afterwards.
    fn shrink_inside(&self, copy: &File, smaller: Smaller, steps: &mut dyn Steps) -> Result<u64, Failure> {
        let name = helper_name(&self.spec.user, "smaller");
        mapped::remove_stale(&name)?;
        let window = self.header.window(&self.place);
        let device = Below::of(copy, &self.spec.image, window)?;
        let mut luks = Luks::load(device.path()).during("reading the encryption header")?;
        let how = Use::Write(Discard::Refused);
        let mapped = segment::open(&mut luks, &device, &name, &self.volume_key, how, steps)?;
        steps.enter(Step::CheckFileSystem)?;
        file_system::check_before_shrinking(mapped.path())?;
        steps.enter(Step::ShrinkFileSystem)?;
        let inside = match (file_system::resize_ext4(mapped.path(), smaller.inside), smaller.wish) {
            (Ok(()), _) => smaller.inside,
            (Err(failed), Size::Exactly(_)) => return too_small(&failed),
            (Err(_), _) => least(&mapped)?,
        };
        file_system::sound_ext4(mapped.path())?;
        mapped.sync()?;
        drop((mapped, luks, device));
        mapped::wait_until_gone(&name).map(|()| inside)
    }

    fn cut(&self, copy: &File, size: u64) -> std::io::Result<()> {
        copy.set_len(size)?;
        let table = self.place.table.as_ref().and_then(|(table, _)| table.resized(size));
        for (offset, bytes) in table.iter().flat_map(|table| table.pieces()) {
            copy.write_all_at(&bytes, offset)?;
        }
        copy.sync_all()
    }
}

/// As small as its program makes it, in whole MiB.
fn least(mapped: &Mapped) -> Result<u64, Failure> {
    file_system::minimize_ext4(mapped.path()).during("making the file system smaller")?;
    let found = superblock::probe(&mapped.head(superblock::BYTES)?);
    let size = found.ok_or_else(|| Failure::fault("the file system is not known any more"))?.size;
    let inside = size.next_multiple_of(MIB);
    file_system::resize_ext4(mapped.path(), inside).during("making the file system smaller").map(|()| inside)
}

fn too_small<T>(failed: &ToolFailed) -> Result<T, Failure> {
    refuse(
        Refusal::BadHomeSize,
        format!("The file system cannot be made that small ({failed}); nothing was changed."),
    )
}
