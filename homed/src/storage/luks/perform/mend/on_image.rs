//! An image on this machine, and the steps that rebuild it.

use super::{Mends, kept};
use crate::job::{Context, Failure, Steps, refuse};
use crate::statedir::Folders;
use crate::storage::There;
use crate::storage::luks::header::{self, HeaderCopy, Place};
use crate::storage::luks::header_copies;
use crate::storage::luks::perform::sweep::refuse_what_is_open;
use crate::storage::luks::plan::mend::{Situation, Step, Table, Used, Which};
use crate::storage::luks::spec::Spec;
use crate::storage::parts::below::Below;
use crate::storage::parts::{image, mark};
use crate::sys::cryptsetup::Luks;
use crate::sys::waiting::wait_until;
use crate::sys::{blockdev, loopdev};
use records::{Refusal, UserName};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest that others may read a device that was detached.
const READ_BY_UDEV: Duration = Duration::from_secs(3);

/// An image that is open for writing, and locked.
pub struct OnImage<'a> {
    /// Its record's values.
    pub spec: &'a Spec,
    /// The image.
    pub image: &'a File,
    /// Where its encrypted part is, as it was at the last look.
    pub place: Place,
    /// Where what is written over is kept.
    pub backup: Backup<'a>,
    /// That has been done.
    pub kept: bool,
    /// Whether another machine that has marked it has it open.
    pub there: There,
    /// What was done, in words.
    pub done: Vec<String>,
}

/// Where what is written over is kept, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backup<'a> {
    /// A repair: all that it may write over.
    All(&'a Path),
    /// A login: the places of the table, where that is guessed.
    Table,
    /// A repair that goes on with a key has kept it.
    Before,
}

impl<'a> OnImage<'a> {
    /// Nothing is done yet.
    pub fn new(spec: &'a Spec, image: &'a File, place: Place, backup: Backup<'a>) -> Self {
        Self {
            spec,
            image,
            place,
            backup,
            kept: backup == Backup::Before,
            there: There::Unknown,
            done: Vec::new(),
        }
    }

    fn used(&self) -> Result<Used, Failure> {
        let devices = self.spec.clues().devices().during("looking for what is open")?;
        // The sweep has detached what nobody has open. udev reads a device that changes, for a moment.
        let is_free = || loopdev::at(&self.spec.image).map(|loops| loops.is_empty());
        let is_used =
            !devices.is_empty() || !wait_until(READ_BY_UDEV, is_free).during("looking for loop devices")?;
        Ok(if is_used { Used::Yes } else { Used::No })
    }

    /// Whether another machine has marked it. A login has read its own mark back before it comes to this.
    fn elsewhere(&self) -> Option<There> {
        let is_repair = self.backup != Backup::Table;
        let another = || mark::another(self.image, self.place.mark(), &self.spec.machine);
        is_repair.then(another).flatten().map(|_| self.there)
    }

    fn forget_elsewhere(&mut self) -> Result<(), Failure> {
        let spot = self.place.mark();
        let Some(opener) = mark::another(self.image, spot, &self.spec.machine) else { return Ok(()) };
        mark::forget(self.image, spot)
            .and_then(|()| self.image.sync_all())
            .during("taking away the mark of another machine")?;
        self.done.push(format!(
            "The mark of another machine that has the home open was taken away: {}.",
            mark::words(&opener)
        ));
        Ok(())
    }

    fn remove_unfinished(&mut self) -> Result<(), Failure> {
        let (image, machine) = (&self.spec.image, &self.spec.machine.id);
        let left = image::unfinished(image, machine);
        image::remove_unfinished(image, machine)?;
        self.done.push(format!("Unfinished images were deleted: {}.", left.join(", ")));
        Ok(())
    }

    fn cut_file(&mut self) -> Result<(), Failure> {
        let Some((table, _)) = &self.place.table else { return Ok(()) };
        let cut = self.image.set_len(table.size).and_then(|()| self.image.sync_all());
        cut.during("cutting the image off")
    }

    fn keep(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        let length = blockdev::length(self.image).during("looking at the image")?;
        let (places, backup) = match (self.backup, &self.place.table) {
            (Backup::All(path), _) => {
                (kept::places(length, &self.place, self.header_size()), path.to_owned())
            }
            (Backup::Table, Some((table, _))) => (kept::of_table(length, table), backup_now(self.spec)?),
            (Backup::Table, None) | (Backup::Before, _) => {
                return Err(Failure::fault("there is no place to keep it"));
            }
        };
        let lost = kept::keep(self.image, &places, &backup)?;
        self.kept = true;
        let path = backup.display();
        if self.backup == Backup::Table {
            steps.warn(format!(
                "The image has no partition table that is sound. One is written anew; what was in its place is kept in {path}. \
                 Delete that once the home is well."
            ));
        } else {
            self.done.push(format!(
                "What was there is kept in {path}: as sparse as it is, it has the beginning and the end of the image. \
                 Delete it once the home is well: old passwords open what it has."
            ));
        }
        if !lost.is_nothing() {
            let told = format!(
                "The disk did not give {} of it, which are zeros in what is kept: it may be failing. Copy the image to another \
                 disk soon.",
                lost.words()
            );
            if self.backup == Backup::Table { steps.warn(told) } else { self.done.push(told) }
        }
        Ok(())
    }

    fn write_table(&mut self, which: Which, steps: &mut dyn Steps) -> Result<(), Failure> {
        let Some((table, _)) = &self.place.table else { return Ok(()) };
        let [first, second] = table.pieces();
        let (offset, bytes) = if which == Which::First { first } else { second };
        let written = self.image.write_all_at(&bytes, offset).and_then(|()| self.image.sync_all());
        written.during("writing the partition table")?;
        let words = match which {
            Which::First => "The first copy of the image's partition table was damaged; it was written anew.",
            Which::Second => {
                "The second copy of the image's partition table was damaged; it was written anew."
            }
        };
        match self.backup {
            Backup::All(_) => self.done.push(words.into()),
            // It was cut short within, and that is told when it is settled.
            Backup::Table | Backup::Before if image::unfinished_resize(self.image).is_some() => {}
            Backup::Table | Backup::Before => steps.warn(words.into()),
        }
        Ok(())
    }

    /// The library writes the copy that is damaged or older anew when it reads the header.
    fn write_header(&mut self) -> Result<(), Failure> {
        let header = HeaderCopy::read(self.image, &self.place, self.spec)?;
        let device = Below::of(self.image, &self.spec.image, header.window(&self.place))?;
        drop(Luks::load(device.path()).during("reading the encryption header")?);
        drop(device);
        self.image.sync_all().during("writing the header to disk")?;
        let now = self.headers();
        if now.first.is_none() || now.first != now.second {
            return refuse(
                Refusal::HomeDamaged,
                "The encryption header could not be written anew. The home opens by the copy that is sound.",
            );
        }
        self.done.push("The encryption header was written anew, both copies.".into());
        Ok(())
    }

    /// Bytes of the encryption header with its key slots; `None`: it does not say.
    fn header_size(&self) -> Option<u64> {
        let facts = HeaderCopy::read(self.image, &self.place, self.spec).ok()?.luks.facts().ok()?;
        Some(facts.data_offset)
    }

    fn headers(&self) -> crate::storage::examined::Headers {
        let offset = self.place.offset;
        header_copies::look(&mut |at, length| image::bytes(self.image, offset + at, length))
    }
}

/// Where a login keeps what it writes over: beside what repairs have kept, and found and removed with that.
fn backup_now(spec: &Spec) -> Result<PathBuf, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).during("reading the clock")?.as_secs();
    let user = UserName::parse(&spec.user).during("reading the user's name")?;
    let folders = Folders::default();
    let seconds = folders.free_second(&user, now).during("looking for what repairs have kept")?;
    Ok(folders.backup_path(&user, seconds))
}

impl Mends for OnImage<'_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        let rebuilds = matches!(self.backup, Backup::All(_));
        let unfinished = || image::unfinished(&self.spec.image, &self.spec.machine.id);
        let table = self.place.table.as_ref();
        Ok(Situation {
            used: if rebuilds { self.used()? } else { Used::No },
            unfinished: rebuilds && !unfinished().is_empty(),
            elsewhere: self.elsewhere(),
            length: blockdev::length(self.image).during("looking at the image")?,
            resizing: image::unfinished_resize(self.image).is_some(),
            table: table.map(|(table, copies)| Table {
                size: table.size,
                sector: table.sector,
                copies: *copies,
            }),
            headers: rebuilds.then(|| self.headers()),
            kept: self.kept,
        })
    }

    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure> {
        match step {
            Step::RemoveUnfinished => self.remove_unfinished(),
            Step::ForgetElsewhere => self.forget_elsewhere(),
            Step::CutFile => self.cut_file(),
            Step::Keep => self.keep(steps),
            Step::WriteTable(which) => self.write_table(which, steps),
            Step::WriteHeader => self.write_header(),
        }?;
        self.place = header::locate(self.image, self.spec)?;
        Ok(())
    }

    fn in_use(&self) -> Failure {
        if let Err(failure) = mark::refuse_another(self.image, self.place.mark(), &self.spec.machine) {
            return failure;
        }
        let luks = HeaderCopy::read(self.image, &self.place, self.spec).and_then(|mut header| {
            header.luks.facts().during("reading the encryption header").map(|facts| facts.uuid)
        });
        match luks.and_then(|uuid| refuse_what_is_open(self.spec, uuid, None)) {
            Err(failure) => failure,
            Ok(()) => Refusal::HomeInUse.into(),
        }
    }
}
