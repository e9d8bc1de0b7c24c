//! Where in an image the encrypted part is, and its header as a copy in memory.
//!
//! Passwords are tried on the copy: no loop device, no lock, nothing of the image is touched by a
//! wrong one, and it does not matter whether the home is mounted.

use super::header_copies::{self, Contents, MAGIC, Short};
use super::tries::{self, Unlocked};
use super::{cost, record_token};
use crate::job::{Context, Failure, refuse};
use crate::storage::luks::spec::Spec;
use crate::storage::parts::gpt::{self, Copies, Table};
use crate::storage::parts::image::{self, Lost};
use crate::storage::parts::mark::Spot;
use crate::storage::parts::taken::{Anothers, Taker, Way};
use crate::sys::cryptsetup::Luks;
use crate::sys::loopdev::Window;
use crate::sys::{blockdev, file, memory, oom};
use records::{FullName, Refusal, Secret};
use rustix::fs::{Advice, MemfdFlags};
use serde_json::Value;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
/// Largest page of memory there is, in bytes.
const PAGE: u64 = 64 << 10;
/// How much of a header is copied at a time, in bytes.
const BLOCK: usize = 64 << 10;
/// What the original reserves for a header: how far one is copied that does not say.
const USUAL: u64 = 16 * MIB;
/// Largest header there is: 2 × 4 MiB of metadata and 128 MiB of key slots.
const MOST: u64 = 144 * MIB;

/// Where the encrypted part is.
#[derive(Debug, Clone)]
pub struct Place {
    /// First byte in the image.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The partition table, where the image has one.
    pub table: Option<(Table, Copies)>,
    /// Where in an image without one the header has room for the mark.
    pub free: Option<u64>,
}

impl Place {
    /// Where the mark is that a machine has the image open.
    pub fn mark(&self) -> Spot {
        // Without a table nobody knows what is before the encrypted part.
        match (&self.table, self.free) {
            (Some(_), _) => Spot::before(self.offset),
            (None, Some(at)) => Spot::InHeader(at),
            (None, None) => Spot::None,
        }
    }

    /// Looks again whether the header has room for the mark, where it is written and not in this machine's memory: another machine may
    /// have given the place to a key slot since it was located.
    pub fn look_again(&mut self, file: &File) {
        if self.table.is_none() && self.free.is_some() {
            self.free = Contents::read(&mut |offset, length| stored(file, offset, length)).free();
        }
    }

    /// All of an image is encrypted.
    fn all(file: &File, size: u64) -> Self {
        let free = Contents::read(&mut |offset, length| image::bytes(file, offset, length)).free();
        Self { offset: 0, size, table: None, free }
    }
}

/// Bytes of an image as they are on its disk.
fn stored(file: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let part = (length - bytes.len()).min(4096);
        bytes.extend(file::read_stored(file, offset + bytes.len() as u64, part).ok()?);
    }
    Some(bytes)
}

/// Where the mark is in an image; one whose encrypted part is not found has none.
pub fn spot(file: &File, spec: &Spec) -> Spot {
    locate(file, spec).map_or(Spot::None, |place| place.mark())
}

/// The LUKS UUID of an image, as far as it tells.
pub fn uuid(spec: &Spec) -> Option<Uuid> {
    let file = image::open(&spec.image, image::Access::Read).ok()?;
    let mut header = HeaderCopy::read(&file, &locate(&file, spec).ok()?, spec).ok()?;
    header.luks.facts().ok().map(|facts| facts.uuid)
}

/// Takes the image for this run, with the lock on it.
pub fn take(spec: &Spec, way: Way, anothers: Anothers) -> Result<File, Failure> {
    let spot = |file: &File| spot(file, spec);
    Taker { machine: &spec.machine, spot: &spot }.take(&spec.image, way, anothers)
}

/// Whether the first copy of an encryption header can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Sound,
    /// It cannot.
    Damaged,
}

/// Finds the encrypted part: all of the image, or the partition named after the user. A block device is encrypted as a whole:
/// its partitions are devices of their own.
pub fn locate(file: &File, spec: &Spec) -> Result<Place, Failure> {
    let size = blockdev::length(file).during("looking at the image")?;
    refuse_unreadable(file, size, spec)?;
    if image::bytes(file, 0, MAGIC.len()).is_some_and(|head| head == MAGIC) {
        return Ok(Place::all(file, size));
    }
    if blockdev::is_one(file).during("looking at the image")? {
        return whole_device(file, size, spec);
    }
    let found = gpt::find(size, &mut |offset, length| image::bytes(file, offset, length));
    let (table, copies) = match found {
        Some(found) => found,
        None => (guess(file, size, spec)?, Copies::Neither),
    };
    if !table.is_named(&spec.name) || spec.uuids.partition.is_some_and(|wanted| wanted != table.partition) {
        return damaged(spec, "its partition belongs to another home");
    }
    Ok(Place { offset: table.start, size: table.end - table.start, table: Some((table, copies)), free: None })
}

/// Whose home an image says it is: by the name of its partition, where there is a LUKS header in that.
pub fn says(path: &Path, called: Option<&FullName>) -> Option<FullName> {
    if image::is_named_unfinished(path.file_name()?.to_str()?) {
        return None;
    }
    let file = image::open(path, image::Access::Read).ok()?;
    let size = blockdev::length(&file).ok()?;
    let (table, _) = gpt::find(size, &mut |offset, length| image::bytes(&file, offset, length))?;
    let has_header = image::bytes(&file, table.start, MAGIC.len()).is_some_and(|head| head == MAGIC);
    let said = match called.filter(|called| table.is_named(&called.to_string())) {
        Some(called) => Some(called.clone()),
        None => FullName::parse(&table.label).ok(),
    };
    said.filter(|_| has_header)
}

/// Whether an image lacks the encryption header of a home, or that a record. One copy of it is enough, for the other can be
/// rebuilt; what cannot be read is left to who opens it.
pub fn lacks(path: &Path) -> Option<&'static str> {
    let file = image::open(path, image::Access::Read).ok()?;
    let size = blockdev::length(&file).ok()?;
    let mut read = |offset: u64, length: usize| image::bytes(&file, offset, length);
    let begin = match header_copies::is_here(&mut read) {
        true => 0,
        false => gpt::find(size, &mut read).map_or(MIB, |(table, _)| table.start),
    };
    let mut at = |offset: u64, length: usize| image::bytes(&file, begin.checked_add(offset)?, length);
    if !header_copies::is_here(&mut at) {
        return Some("there is no LUKS2 header in it");
    }
    let texts = Contents::read(&mut at).texts;
    let has_record = |text: &Value| {
        let tokens = text["tokens"].as_object();
        tokens.is_some_and(|tokens| tokens.values().any(|token| token["type"] == record_token::KIND))
    };
    let lacks = !texts.is_empty() && !texts.iter().any(has_record);
    lacks.then_some("its LUKS2 header has no record of a home")
}

/// A device whose first copy of the header is damaged, or that is none of ours.
fn whole_device(file: &File, size: u64, spec: &Spec) -> Result<Place, Failure> {
    if header_copies::is_here(&mut |offset, length| image::bytes(file, offset, length)) {
        return Ok(Place::all(file, size));
    }
    if gpt::find(size, &mut |offset, length| image::bytes(file, offset, length)).is_some() {
        return refuse(
            Refusal::NotSupported,
            format!(
                "{} is a whole disk, and the home is on a partition of it: that is a device of its own (lsblk shows it).",
                spec.image.display()
            ),
        );
    }
    damaged(spec, "there is no LUKS header where one should be")
}

/// What gives no answer is not damaged: its disk may have been pulled out. The disk itself is asked: what is in memory of the
/// image would be read long after that. A disk with a bad spot at the beginning of the image answers elsewhere.
fn refuse_unreadable(file: &File, size: u64, spec: &Spec) -> Result<(), Failure> {
    let answers = |at: u64| {
        // Where a page cannot be let go of, it is about to be written, and what the disk says to that is told later.
        let _ = rustix::fs::fadvise(file, at, NonZeroU64::new(PAGE), Advice::DontNeed);
        file.read_at(&mut [0; 512], at)
    };
    let Err(error) = answers(0) else { return Ok(()) };
    // Where nothing was ever written no disk is asked. Partition table, header and the table's second copy are written whole.
    let last = size.saturating_sub(1) / PAGE * PAGE;
    let mut others = [16 << 10, MIB, last].into_iter().filter(|at| (1..size).contains(at));
    match others.any(|at| file::is_stored(file, at) && answers(at).is_ok()) {
        true => Ok(()),
        false => refuse(
            Refusal::HomeAbsent,
            format!(
                "The home's image {} cannot be read ({error}): is its disk still plugged in? The password was not \
                 tried and nothing was changed.",
                spec.image.display()
            ),
        ),
    }
}

/// Without any sound copy of the table: the one layout homes are made with, if a LUKS header is
/// where it puts one.
fn guess(file: &File, size: u64, spec: &Spec) -> Result<Table, Failure> {
    let is_here = header_copies::is_here(&mut |offset, length| image::bytes(file, MIB + offset, length));
    if size < 4 * MIB || !size.is_multiple_of(MIB) || !is_here {
        return damaged(spec, "it has no partition table and no LUKS header where one should be");
    }
    let partition = spec.uuids.partition.unwrap_or_else(Uuid::new_v4);
    Ok(Table::covering(size, 512, Uuid::new_v4(), partition, &spec.name))
}

/// A refusal that says the storage is broken, not the password.
pub fn damaged<T>(spec: &Spec, what: &str) -> Result<T, Failure> {
    refuse(
        Refusal::HomeDamaged,
        format!(
            "The home's image {} is damaged: {what}. The password was not tried and nothing was changed. \
             Restore the image from a backup.",
            spec.image.display()
        ),
    )
}

/// A header in memory.
pub struct HeaderCopy {
    /// The library's view of it.
    pub luks: Luks,
    /// Encryption sector size in bytes.
    pub sector: u32,
    /// Whether the first of its two copies on disk is damaged (the second one was read then).
    pub first_copy: Health,
    /// What its copies say.
    texts: Vec<Value>,
    /// What the disk did not give of it, by places in the image.
    lost: Lost,
    _memory: File,
}

impl HeaderCopy {
    /// Copies the header and reads it.
    pub fn read(file: &File, place: &Place, spec: &Spec) -> Result<Self, Failure> {
        let mut at = |offset, length| image::bytes(file, place.offset + offset, length);
        let (memory, contents) = match Short::of(&mut at) {
            Some(Short { bytes, contents }) => (fill(file, place, contents.slots(), &bytes), contents),
            None => {
                let contents = Contents::read(&mut at);
                (fill(file, place, whole(&contents), &[]), contents)
            }
        };
        let (memory, lost) = memory.during("copying the encryption header")?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
        let luks = match Luks::load(&path) {
            Ok(luks) => luks,
            Err(error) => {
                return damaged(
                    spec,
                    &format!("both copies of its encryption header are unreadable ({error})"),
                );
            }
        };
        let sector = contents.sector().unwrap_or(512);
        let first_copy = if contents.first { Health::Sound } else { Health::Damaged };
        Ok(Self { luks, sector, first_copy, texts: contents.texts, lost, _memory: memory })
    }

    /// Whether its record is in a form that only a newer systemd knows.
    pub fn is_newer(&mut self) -> bool {
        self.luks.tokens(record_token::KIND).iter().any(|(_, token)| record_token::is_newer(token))
    }

    /// The token that has the record.
    pub fn record_token(&mut self) -> Option<Value> {
        self.luks.tokens(record_token::KIND).into_iter().next().map(|found| found.1)
    }

    /// Refuses what a newer systemd wrote: it is not damaged, and must not be written over.
    pub fn refuse_newer(&mut self, spec: &Spec) -> Result<(), Failure> {
        if !self.is_newer() {
            return Ok(());
        }
        refuse(
            Refusal::NotSupported,
            format!(
                "The record in the header of {} was written by a newer systemd, in a form that is not known here. The \
                 home is not damaged, the password was not tried and nothing was changed. Open it with that systemd, or \
                 with a newer homed.",
                spec.image.display()
            ),
        )
    }

    /// Tries keys: which one fits which slot, and the volume key.
    pub fn unlock(&mut self, keys: &[Secret], spec: &Spec) -> Result<Unlocked, Failure> {
        if self.luks.slots().during("reading the key slots")?.is_empty() {
            return damaged(spec, "its encryption header has no key slots");
        }
        self.refuse_costly(spec)?;
        let _expendable = oom::expendable();
        let unlocked = tries::unlock(&mut self.luks, keys).during("trying a key slot")?;
        match unlocked {
            Some(unlocked) => Ok(unlocked),
            None if self.lost.is_nothing() => Err(Refusal::BadPassword.into()),
            None => refuse(
                Refusal::BadPassword,
                format!(
                    "The password is wrong, or right and its key slot unreadable: of the encryption header and key slots of {} the disk \
                     does not give {}. If you are sure of it, copy the image to another disk, and try there.",
                    spec.image.display(),
                    self.lost.words()
                ),
            ),
        }
    }

    /// Refuses to try keys on a header that would cost more than there is.
    fn refuse_costly(&self, spec: &Spec) -> Result<(), Failure> {
        let available = memory::available().during("asking how much memory there is")?;
        match self.texts.iter().find_map(|text| cost::too_costly(text, available)) {
            None => Ok(()),
            Some(why) => refuse(
                Refusal::NotSupported,
                format!(
                    "The password was not tried on {}: {why}. Nothing was changed. Close programs that take much memory, or \
                     open the home on another machine.",
                    spec.image.display()
                ),
            ),
        }
    }

    /// The window a loop device has to show.
    pub fn window(&self, place: &Place) -> Window {
        let large =
            self.sector == 4096 && place.offset.is_multiple_of(4096) && place.size.is_multiple_of(4096);
        Window { offset: place.offset, size: place.size, block: if large { 4096 } else { 512 } }
    }
}

/// All that the library may want to read of a header.
fn whole(contents: &Contents) -> Vec<Range<u64>> {
    let areas = contents.areas();
    // Nothing of it can be read here. The library has the last word.
    if areas.is_empty() { std::iter::once(0..USUAL).collect() } else { areas }
}

/// A file in memory as long as the encrypted part, of which only these areas are filled, and the beginning; and what the disk
/// does not give of them. A copy of the header that has a bad spot is one that is damaged, and a key slot opens with no key.
fn fill(file: &File, place: &Place, areas: Vec<Range<u64>>, beginning: &[u8]) -> io::Result<(File, Lost)> {
    let memory = File::from(rustix::fs::memfd_create("luks-header", MemfdFlags::CLOEXEC)?);
    memory.set_len(place.size)?;
    let (mut block, mut lost) = (vec![0; BLOCK], Lost::default());
    let mut read = |block: &mut [u8], at: u64| file.read_exact_at(block, at);
    for area in areas {
        let end = area.end.min(place.size).min(MOST);
        for at in (area.start..end).step_by(BLOCK) {
            let part = usize::try_from((end - at).min(BLOCK as u64)).map_err(io::Error::other)?;
            image::read_around(&mut read, &mut block[..part], place.offset + at, &mut lost)?;
            // Holes stay holes.
            if block[..part].iter().any(|b| *b != 0) {
                memory.write_all_at(&block[..part], at)?;
            }
        }
    }
    memory.write_all_at(beginning, 0)?;
    Ok((memory, lost))
}

#[cfg(test)]
mod tests;
