//! What a change of size that was cut short has left: finished or taken back, whichever is a matter of a moment.
//!
//! ```text
//! file longer than its table      shrinking: cut off, which finishes it; growing: cut off, which takes it back
//! file as long as its table       the loop device, dm-crypt and the file system follow: they grow to what is there
//! file shorter than its table     somebody else cut it: the table follows, once the file system is known to fit
//! ```
//!
//! A file that is longer without a note of ours is left alone. Nothing of this ever refuses a login.

use super::{Layers, Operation};
use crate::job::{Context, Failure, Step, Steps};
use crate::storage::luks::header::{self, Place};
use crate::storage::parts::image;
use crate::sys::devmapper::Crypt;
use std::fs::File;

/// Whether something is left to be done once the file system is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// No change of size was cut short.
    Nothing,
    /// The file system is to be as large as its device, then the note can go.
    FileSystem,
}

/// Brings the file in line with its table.
pub fn file(image: &File, place: &Place, steps: &mut dyn Steps) -> Result<Left, Failure> {
    let Some(_) = image::unfinished_resize(image) else { return Ok(Left::Nothing) };
    let length = image.metadata().during("looking at the image")?.len();
    if let Some((table, _)) = &place.table
        && length > table.size
    {
        steps.enter(Step::CutFile)?;
        let cut = image.set_len(table.size).and_then(|()| image.sync_all());
        cut.during("cutting the image off")?;
    }
    Ok(Left::FileSystem)
}

impl Layers<'_> {
    /// Brings all layers of a mounted home in line with the table, if a change was cut short.
    pub fn level(&self, crypt: &Crypt, steps: &mut dyn Steps) -> Result<(), Failure> {
        if image::unfinished_resize(self.image).is_none() {
            return Ok(());
        }
        let place = header::locate(self.image, self.spec)?;
        if let Some((table, _)) = &place.table {
            self.write(&table.pieces()[1])?;
            self.write(&table.pieces()[0])?;
        }
        file(self.image, &place, steps)?;
        let data = place.size.saturating_sub(crypt.start * 512);
        let grows = data >= crypt.sectors * 512;
        let mut operations = [Operation::Loop(place.size), Operation::Mapped(data)];
        if !grows {
            operations.reverse();
        }
        for operation in operations {
            self.execute(&operation, crypt, steps)?;
        }
        self.fill(data, steps)
    }

    /// Lets the file system have all of its device, and takes the note away.
    pub fn fill(&self, data: u64, steps: &mut dyn Steps) -> Result<(), Failure> {
        steps.enter(Step::GrowFileSystem)?;
        self.grow_file_system(data)?;
        steps.enter(Step::ForgetResize)?;
        image::forget_resize(self.image)?;
        steps.warn("A change of size that was cut short has been settled.".into());
        Ok(())
    }
}
