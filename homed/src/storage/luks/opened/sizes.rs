//! Sizes of an image that is being opened: what a change that was cut short has left is settled on the way.

use super::LuksOpened;
use crate::job::{Failure, Mounted, Steps};
use crate::storage::Opening;
use crate::storage::luks::header::{self, Health};
use crate::storage::luks::resize::Layers;
use crate::storage::luks::resize::mend::{self, Left};
use crate::storage::luks::{blocks, is_mounted};
use crate::storage::parts::superblock::FileSystem;
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

    /// Before anything is attached: the file follows its table.
    pub(super) fn settle_file(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        match mend::file(&self.image, &self.place, steps) {
            Ok(Left::Nothing) => Ok(()),
            Ok(Left::FileSystem) => {
                self.place = header::locate(&self.image, &self.spec)?;
                Ok(())
            }
            Err(failure) => {
                steps.warn(format!("A change of size that was cut short stays so: {}", failure.text()));
                Ok(())
            }
        }
    }

    /// Once it is mounted: the file system follows its device.
    pub(super) fn settle_size(&self, directory: OwnedFd, steps: &mut dyn Steps) {
        if crate::storage::parts::image::unfinished_resize(&self.image).is_none() {
            return;
        }
        let data = self.place.size.saturating_sub(self.facts.data_offset);
        if let Err(failure) = self.layers(directory).fill(data, steps) {
            steps.warn(format!("A change of size that was cut short stays so: {}", failure.text()));
        }
    }

    /// An image that somebody has cut short: if the file system fits in what is left, nothing is missing, and the
    /// table is written so.
    pub(super) fn repair_cut_table(&self, found: &FileSystem, steps: &mut dyn Steps) -> Result<(), Failure> {
        let Some((_, Health::CutShort)) = &self.place.table else { return Ok(()) };
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
        header::repair_table(&self.image, &self.place, Health::CutShort, steps)
    }
}
