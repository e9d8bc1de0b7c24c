//! Another size for a home, mounted or not, in the order of [`plan`].
//!
//! The work is the same in both cases: a home that is not mounted has been, out of sight, before it comes here.
//! Whoever does this may be killed at any moment: what is left is a home that opens, and a note of what was meant
//! ([`mend`]). Without a password the encrypted device gets its new length with the key that the kernel keeps for
//! it as long as the home is open and not locked ([`key`]).

use super::header;
use crate::job::{Context, Failure, Size, Step, Steps, refuse};
use crate::storage::Resized;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::image::{self, Blocks};
use crate::storage::parts::superblock::Kind;
use crate::sys::devmapper::{self, Crypt};
use crate::sys::{blockdev, durable, file, filesystem, loopdev};
use plan::{Facts, Goal, Limits, Operation, Unfit};
use records::{Refusal, Secret};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

pub mod key;
pub mod mend;
pub(super) mod plan;
mod squeeze;

/// A home whose layers are all there.
pub struct Layers<'a> {
    /// Its record's values.
    pub spec: &'a Spec,
    /// The image, open for writing.
    pub image: &'a File,
    /// Its directory.
    pub directory: OwnedFd,
    /// The volume key, where somebody has opened it.
    pub key: Option<&'a Secret>,
    /// Whether the blocks of a larger image are reserved.
    pub blocks: Blocks,
}

/// An image that is to be smaller.
#[derive(Debug, Clone, Copy)]
pub struct Smaller {
    /// Bytes of the file system in it, if that is possible.
    pub inside: u64,
    /// Bytes around that.
    pub around: u64,
    /// What was asked for.
    pub wish: Size,
}

impl Layers<'_> {
    /// Gives the home this size.
    pub fn resize(&self, wish: Size, steps: &mut dyn Steps) -> Result<Resized, Failure> {
        steps.enter(Step::Check)?;
        self.refuse_device()?;
        let crypt = key::ready(self.spec, self.key)?;
        self.level(&crypt, steps)?;
        let facts = self.facts(&crypt)?;
        let goal = match facts.goal(wish) {
            Ok(goal) => goal,
            Err(unfit) => return unfit_for(unfit, facts.limits(), self.snapshots()),
        };
        refuse_what_the_kind_cannot(facts.kind, goal)?;
        let Some(intent) = facts.intent(goal) else { return Ok(Resized { size: facts.size }) };
        steps.enter(Step::NoteResize)?;
        image::note_resize(self.image, intent)?;
        let goal = match goal {
            Goal::Shrink(to) => squeeze::file_system(self, &facts, (to, wish), steps)?,
            Goal::Stay | Goal::Grow(_) => goal,
        };
        for operation in facts.operations(goal) {
            self.execute(&operation, &crypt, steps)?;
        }
        steps.enter(Step::ForgetResize)?;
        image::forget_resize(self.image)?;
        let size = match goal {
            Goal::Stay => facts.size,
            Goal::Grow(size) | Goal::Shrink(size) => size,
        };
        Ok(Resized { size })
    }

    /// How small an ext4 is to be, if this makes one smaller: that is done on a copy.
    pub fn only_as_copy(&self, wish: Size, steps: &mut dyn Steps) -> Result<Option<Smaller>, Failure> {
        self.refuse_device()?;
        let crypt = key::ready(self.spec, self.key)?;
        self.level(&crypt, steps)?;
        let facts = self.facts(&crypt)?;
        match (facts.kind, facts.goal(wish)) {
            (Kind::Ext4, Ok(Goal::Shrink(to))) => {
                let inside = facts.data(to);
                Ok(Some(Smaller { inside, around: to - inside, wish }))
            }
            (Kind::Btrfs | Kind::Ext4 | Kind::Xfs, _) => Ok(None),
        }
    }

    /// How many snapshots there may be that keep what was deleted.
    fn snapshots(&self) -> usize {
        super::snapshots::count(&self.directory)
    }

    /// A device is as large as it is.
    fn refuse_device(&self) -> Result<(), Failure> {
        if !blockdev::is_one(self.image).during("looking at the image")? {
            return Ok(());
        }
        refuse(
            Refusal::NotSupported,
            format!(
                "A home on a block device has the size of the device ({}). Nothing was changed.",
                self.spec.image.display()
            ),
        )
    }

    fn facts(&self, crypt: &Crypt) -> Result<Facts, Failure> {
        let place = header::locate(self.image, self.spec)?;
        let inside = filesystem::look(&self.directory).during("looking at the file system")?;
        let Some(kind) = inside.kind else {
            return refuse(Refusal::NotSupported, "The home's file system cannot change its size.");
        };
        let disk = self.image.metadata().during("looking at the image")?;
        let free = file::space(self.image).during("asking for free space")?.free;
        Ok(Facts {
            kind,
            size: disk.len(),
            table: place.table.map(|found| found.0),
            start: place.offset,
            header: crypt.start * 512,
            used: inside.used,
            room: free.saturating_add(disk.blocks() * 512),
        })
    }

    fn execute(&self, operation: &Operation, crypt: &Crypt, steps: &mut dyn Steps) -> Result<(), Failure> {
        match operation {
            Operation::Extend(size) => self.extend(*size, steps),
            Operation::SecondTable(table) => {
                steps.enter(Step::SecondTable)?;
                self.write(&table.pieces()[1])
            }
            Operation::FirstTable(table) => {
                steps.enter(Step::FirstTable)?;
                self.write(&table.pieces()[0])
            }
            Operation::Loop(size) => {
                steps.enter(Step::ResizeLoop)?;
                loopdev::resize(crypt.below.1, *size).during("resizing the loop device")
            }
            Operation::Mapped(size) => {
                steps.enter(Step::ResizeMapped)?;
                devmapper::resize(&self.spec.mapper_name(), size / 512)
                    .during("resizing the encrypted device")
            }
            Operation::FileSystem(size) => {
                steps.enter(Step::GrowFileSystem)?;
                self.grow_file_system(*size)
            }
            Operation::Cut(size) => {
                steps.enter(Step::CutFile)?;
                let cut = self.image.set_len(*size).and_then(|()| self.image.sync_all());
                cut.during("cutting the image off")
            }
        }
    }

    /// Room that cannot be had is found out here, and given back: nothing has been changed yet.
    fn extend(&self, size: u64, steps: &mut dyn Steps) -> Result<(), Failure> {
        let before = self.image.metadata().during("looking at the image")?.len();
        let extended = steps.enter(Step::Extend).and_then(|()| {
            let given = image::give_size(self.image, size, self.blocks);
            given.and_then(|()| self.image.sync_all()).during("extending the image")
        });
        if extended.is_err() {
            let back = self.image.set_len(before).and_then(|()| self.image.sync_all());
            back.during("giving the room back")?;
            image::forget_resize(self.image)?;
        }
        extended
    }

    fn write(&self, (offset, bytes): &(u64, Vec<u8>)) -> Result<(), Failure> {
        let written = self.image.write_all_at(bytes, *offset).and_then(|()| self.image.sync_all());
        written.during("writing the partition table")
    }

    fn grow_file_system(&self, size: u64) -> Result<(), Failure> {
        let found = filesystem::look(&self.directory).during("looking at the file system")?;
        let grown = match found.kind {
            Some(filesystem::Kind::Btrfs) => filesystem::resize_btrfs(&self.directory, size),
            Some(filesystem::Kind::Ext4) => filesystem::grow_ext4(&self.directory, size),
            Some(filesystem::Kind::Xfs) => filesystem::grow_xfs(&self.directory, size),
            None => Ok(()),
        };
        grown.and_then(|()| durable::sync_file_system(&self.directory)).during("growing the file system")
    }
}

fn unfit_for<T>(unfit: Unfit, limits: Limits, snapshots: usize) -> Result<T, Failure> {
    let (least, most) = (limits.least >> 20, limits.most >> 20);
    let why = match unfit {
        Unfit::TooSmall if snapshots > 0 => {
            "What is in the home does not fit in that size, with what its snapshots keep (homectl snapshot lists them, and \
             deletes them)"
        }
        Unfit::TooSmall => "What is in the home does not fit in that size",
        Unfit::TooLarge => "The disk has no room for that size",
    };
    refuse(
        Refusal::BadHomeSize,
        format!("{why}; nothing was changed. Possible is what lies between {least}M and {most}M."),
    )
}

fn refuse_what_the_kind_cannot(kind: Kind, goal: Goal) -> Result<(), Failure> {
    match (kind, goal) {
        (Kind::Ext4, Goal::Shrink(_)) => refuse(
            Refusal::NotSupported,
            "A home with ext4 inside shrinks only while it is closed; nothing was changed.",
        ),
        (Kind::Xfs, Goal::Shrink(_)) => refuse(
            Refusal::NotSupported,
            "A home with xfs inside can grow but not shrink; nothing was changed.",
        ),
        (Kind::Btrfs | Kind::Ext4 | Kind::Xfs, _) => Ok(()),
    }
}
