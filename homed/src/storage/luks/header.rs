//! Where in an image the encrypted part is, and its header as a copy in memory.
//!
//! Passwords are tried on the copy: no loop device, no lock, nothing of the image is touched by a
//! wrong one, and it does not matter whether the home is mounted.

use super::record_token;
use crate::job::{Context, Failure, Steps, refuse};
use crate::storage::parts::gpt::{self, Copies, Table};
use crate::storage::parts::image;
use crate::storage::spec::Spec;
use crate::sys::cryptsetup::Luks;
use crate::sys::loopdev::Window;
use records::{Refusal, Secret};
use rustix::fs::MemfdFlags;
use serde_json::Value;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;
/// What the original reserves for a header; also how far a header is copied that does not say.
const USUAL: u64 = 16 * MIB;
/// Largest header there is: 2 × 4 MiB of metadata and 128 MiB of key slots.
const MOST: u64 = 144 * MIB;
const MAGIC: &[u8] = b"LUKS\xba\xbe\x00\x02";
const SECOND_MAGIC: &[u8] = b"SKUL\xba\xbe\x00\x02";

/// Where the encrypted part is.
#[derive(Debug, Clone)]
pub struct Place {
    /// First byte in the image.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The partition table, where the image has one.
    pub table: Option<(Table, Health)>,
}

/// Whether the partition table wants to be written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does not.
    Sound,
    /// One copy is damaged, or both.
    Damaged,
    /// The image was cut short: the table fits what is left, the file system perhaps not.
    CutShort,
}

/// Finds the encrypted part: all of the image, or the partition named after the user.
pub fn locate(file: &File, spec: &Spec) -> Result<Place, Failure> {
    let size = file.metadata().during("looking at the image")?.len();
    refuse_unreadable(file, spec)?;
    if image::bytes(file, 0, MAGIC.len()).is_some_and(|head| head.starts_with(&MAGIC[..6])) {
        return Ok(Place { offset: 0, size, table: None });
    }
    let found = gpt::find(size, &mut |offset, length| image::bytes(file, offset, length));
    let (table, health) = match found {
        Some((table, Copies::Both)) => (table, Health::Sound),
        Some((table, Copies::FirstOnly | Copies::SecondOnly)) => (table, Health::Damaged),
        Some((table, Copies::CutShort)) => (table, Health::CutShort),
        None => (guess(file, size, spec)?, Health::Damaged),
    };
    if !table.is_named(&spec.name) || spec.uuids.partition.is_some_and(|wanted| wanted != table.partition) {
        return damaged(spec, "its partition belongs to another home");
    }
    Ok(Place { offset: table.start, size: table.end - table.start, table: Some((table, health)) })
}

/// What gives no answer is not damaged: its disk may have been pulled out.
fn refuse_unreadable(file: &File, spec: &Spec) -> Result<(), Failure> {
    match file.read_at(&mut [0; 512], 0) {
        Ok(_) => Ok(()),
        Err(error) => refuse(
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
    let at =
        |offset: u64, magic: &[u8]| image::bytes(file, offset, magic.len()).is_some_and(|head| head == magic);
    let second = |shift: u32| at(MIB + (0x4000 << shift), SECOND_MAGIC);
    if size < 4 * MIB || !size.is_multiple_of(MIB) || !(at(MIB, MAGIC) || (0..=8).any(second)) {
        return damaged(spec, "it has no partition table and no LUKS header where one should be");
    }
    let partition = spec.uuids.partition.unwrap_or_else(uuid::Uuid::new_v4);
    Ok(Table::covering(size, 512, uuid::Uuid::new_v4(), partition, &spec.name))
}

/// Writes a damaged partition table anew. That of an image that was cut short has to wait until the file system is
/// known to fit: before that it tells how much is missing.
pub fn repair_table(
    file: &File,
    place: &Place,
    health: Health,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    let Some((table, found)) = &place.table else { return Ok(()) };
    if *found == Health::Sound || *found != health {
        return Ok(());
    }
    let size = file.metadata().during("looking at the image")?.len();
    if table.size != size && health == Health::Damaged {
        steps.warn("The image's partition table does not fit its size; it was left alone.".into());
        return Ok(());
    }
    for (offset, bytes) in table.pieces() {
        file.write_all_at(&bytes, offset).during("writing the partition table")?;
    }
    file.sync_all().during("writing the partition table to disk")?;
    steps.warn("The image's partition table was damaged; it was written anew.".into());
    Ok(())
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
    /// Whether the first of its two copies on disk is damaged (the second one was read).
    pub first_copy: Health,
    _memory: File,
}

impl HeaderCopy {
    /// Copies the header and reads it.
    pub fn read(file: &File, place: &Place, spec: &Spec) -> Result<Self, Failure> {
        let metadata = Metadata::read(file, place);
        let length = metadata.as_ref().map_or(USUAL, |m| m.data_offset).clamp(USUAL, MOST).min(place.size);
        let memory = copy(file, place, length).during("copying the encryption header")?;
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
        let sector = metadata.as_ref().map_or(512, |m| m.sector);
        let first_copy = match metadata {
            Some(Metadata { first: true, .. }) => Health::Sound,
            Some(Metadata { first: false, .. }) | None => Health::Damaged,
        };
        Ok(Self { luks, sector, first_copy, _memory: memory })
    }

    /// Whether its record is in a form that only a newer systemd knows.
    pub fn is_newer(&mut self) -> bool {
        self.luks.tokens(record_token::KIND).iter().any(|(_, token)| record_token::is_newer(token))
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
        let slots = self.luks.slots().during("reading the key slots")?;
        if slots.is_empty() {
            return damaged(spec, "its encryption header has no key slots");
        }
        // First the slots that count, then those of a change that was cut short.
        let prepared =
            slots.iter().filter(|s| s.1 == crate::sys::cryptsetup::Priority::Ignore).map(|s| Some(s.0));
        for slot in std::iter::once(None).chain(prepared) {
            for (key, secret) in keys.iter().enumerate() {
                match self.luks.open_slot(slot, secret) {
                    Ok((slot, volume_key)) => return Ok(Unlocked { key, slot, volume_key }),
                    Err(error) if error.is_wrong_passphrase() || error.errno() == Some(libc::ENOENT) => {}
                    Err(error) => return Err(error).during("trying a key slot"),
                }
            }
        }
        Err(Refusal::BadPassword.into())
    }

    /// The window a loop device has to show.
    pub fn window(&self, place: &Place) -> Window {
        let large =
            self.sector == 4096 && place.offset.is_multiple_of(4096) && place.size.is_multiple_of(4096);
        Window { offset: place.offset, size: place.size, block: if large { 4096 } else { 512 } }
    }
}

/// What fitted.
pub struct Unlocked {
    /// Index of the key.
    pub key: usize,
    /// The slot it opens.
    pub slot: u32,
    /// What was in it.
    pub volume_key: Secret,
}

/// The two numbers of the LUKS2 metadata that are needed before the library sees the device.
struct Metadata {
    sector: u32,
    data_offset: u64,
    first: bool,
}

impl Metadata {
    /// LUKS2 on-disk format 1.1.3, chapter 2: binary header (size at byte 8, big endian), JSON from
    /// byte 4096; the second copy follows the first, which may have any of nine sizes.
    fn read(file: &File, place: &Place) -> Option<Self> {
        let at = |offset: u64, length: usize| image::bytes(file, place.offset + offset, length);
        let json = |offset: u64, magic: &[u8]| {
            let head = at(offset, 4096)?;
            let size = u64::from_be_bytes(*head.get(8..)?.first_chunk()?);
            let length = usize::try_from(size.checked_sub(4096)?).ok()?;
            if !head.starts_with(magic) || !(0x4000..=4 * MIB).contains(&size) {
                return None;
            }
            let area = at(offset + 4096, length)?;
            serde_json::from_slice::<Value>(area.split(|b| *b == 0).next()?).ok()
        };
        let first = json(0, MAGIC);
        let second = || (0..=8).find_map(|shift| json(0x4000 << shift, SECOND_MAGIC));
        let (json, first) = match first {
            Some(json) => (json, true),
            None => (second()?, false),
        };
        let segment = json.get("segments")?.get("0")?;
        Some(Self {
            sector: u32::try_from(segment.get("sector_size")?.as_u64()?).ok()?,
            data_offset: segment.get("offset")?.as_str()?.parse().ok()?,
            first,
        })
    }
}

/// A file in memory as long as the encrypted part, of which only the header is filled.
fn copy(file: &File, place: &Place, length: u64) -> io::Result<File> {
    let memory = File::from(rustix::fs::memfd_create("luks-header", MemfdFlags::CLOEXEC)?);
    memory.set_len(place.size)?;
    let mut block = vec![0; MIB as usize];
    let mut done = 0;
    while done < length {
        let part = usize::try_from((length - done).min(MIB)).map_err(io::Error::other)?;
        file.read_exact_at(&mut block[..part], place.offset + done)?;
        // Holes stay holes.
        if block[..part].iter().any(|b| *b != 0) {
            memory.write_all_at(&block[..part], done)?;
        }
        done += part as u64;
    }
    Ok(memory)
}
