//! Sizes of an image that is being opened: what a change that was cut short has left is settled on the way.

use super::{LuksOpened, probe};
use crate::job::{Failure, Mounted, Steps};
use crate::storage::Opening;
use crate::storage::luks::header;
use crate::storage::luks::perform::mend::{Backup, OnImage, reach};
use crate::storage::luks::plan::mend::Wish;
use crate::storage::luks::resize::Layers;
use crate::storage::luks::{blocks, is_mounted};
use crate::storage::parts::image;
use std::os::fd::OwnedFd;

impl LuksOpened {
    /// The layers, for a change of size.
    pub(super) fn layers(&self, directory: OwnedFd) -> Layers<'_> {
        let mounted =
            if is_mounted(self.how) || self.how == Opening::Activate { Mounted::Yes } else { Mounted::No };
        Layers {
            spec: &self.spec,
            image: &self.image,
            directory,
            key: Some(&self.volume_key),
            blocks: blocks(&self.spec, mounted),
        }
    }

    /// The file follows its table, and a damaged table its sound copy.
    pub(super) fn level_image(&mut self, wish: Wish, steps: &mut dyn Steps) -> Result<(), Failure> {
        let backup = if matches!(self.how, Opening::Repair(_)) { Backup::Before } else { Backup::Table };
        let mut on_image = OnImage::new(&self.spec, &self.image, self.place.clone(), backup);
        let stands = reach(&mut on_image, wish, steps)?;
        if stands.has_odd_table() {
            steps.warn("The image's partition table does not fit its size; it was left alone.".into());
        }
        self.place = on_image.place;
        Ok(())
    }

    /// Once it is mounted: the file system follows its device.
    pub(super) fn settle_size(&self, directory: OwnedFd, steps: &mut dyn Steps) {
        // What is still to be cut off is told by the note.
        let is_longer = |length: u64| self.place.table.as_ref().is_some_and(|(table, _)| length > table.size);
        let is_level = self.image.metadata().is_ok_and(|facts| !is_longer(facts.len()));
        if !is_level || image::unfinished_resize(&self.image).is_none() {
            return;
        }
        let data = self.place.size.saturating_sub(self.facts.data_offset);
        if let Err(failure) = self.layers(directory).fill(data, steps) {
            steps.warn(format!("A change of size that was cut short stays so: {}", failure.text()));
        }
    }

    /// An image that somebody has cut short: if the file system fits in what is left, nothing is missing, and the
    /// table is written so.
    pub(super) fn repair_cut_table(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        let is_doubtful = self.place.table.as_ref().is_some_and(|(_, copies)| copies.is_doubtful());
        let Some(mapped) = self.mapped.as_ref().filter(|_| is_doubtful) else { return Ok(()) };
        let found = probe(mapped, &self.spec)?;
        let room = self.place.size.saturating_sub(self.facts.data_offset);
        if found.size > room {
            return header::damaged(
                &self.spec,
                &format!(
                    "it was cut short, and {} MiB of it are missing",
                    (found.size - room).div_ceil(1 << 20)
                ),
            );
        }
        self.level_image(Wish::OpenedAndFits, steps)
    }
}
