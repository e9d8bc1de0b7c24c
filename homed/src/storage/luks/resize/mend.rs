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
use crate::job::{Failure, Step, Steps};
use crate::storage::luks::header;
use crate::storage::luks::perform::mend::{Backup, OnImage, reach};
use crate::storage::luks::plan::mend::Wish;
use crate::storage::parts::image;
use crate::sys::devmapper::Crypt;

impl Layers<'_> {
    /// Brings all layers of a mounted home in line with the table, if a change was cut short.
    pub fn level(&self, crypt: &Crypt, steps: &mut dyn Steps) -> Result<(), Failure> {
        if image::unfinished_resize(self.image).is_none() {
            return Ok(());
        }
        let place = header::locate(self.image, self.spec)?;
        let mut on_image = OnImage::new(self.spec, self.image, place, Backup::Table);
        if reach(&mut on_image, Wish::Opened, steps)?.is_longer() {
            return Err(Failure::fault("the image cannot be cut off, and a change of size stays cut short"));
        }
        let place = on_image.place;
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
