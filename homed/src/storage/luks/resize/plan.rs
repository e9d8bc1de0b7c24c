//! What is to be done to give an image another size: facts and a wish in, an ordered list out. No IO.
//!
//! ```text
//! grow    note → file → second table → first table → loop → dm-crypt → file system → forget
//! shrink  note → file system → dm-crypt → loop → second table → first table → file → forget
//! ```
//!
//! Each operation is on disk before the next begins. Whichever copy of the table is found after a cut, the
//! partition it shows lies within the file, and the file system within the partition.

use crate::job::Size;
use crate::storage::parts::gpt::Table;
use crate::storage::parts::image::Intent;
use crate::storage::parts::size::{self, MIB, MOST};
use crate::storage::parts::superblock::Kind;

/// What a file system needs beyond what is in it, in bytes (as the original).
const AIR: u64 = 16 * MIB;

/// An image whose file, table and file system agree.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The file system inside.
    pub kind: Kind,
    /// Bytes of the file.
    pub size: u64,
    /// The partition table, where there is one.
    pub table: Option<Table>,
    /// First byte of the partition.
    pub start: u64,
    /// Bytes of the encryption header, before the data.
    pub header: u64,
    /// Bytes in use inside.
    pub used: u64,
    /// Bytes the file could have on its disk.
    pub room: u64,
}

/// Smallest and largest possible size, in bytes, whole MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What is inside fits in, as far as can be told before it is tried.
    pub least: u64,
    /// The disk has room for, and what is claimed to be possible.
    pub most: u64,
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// It has the size already.
    Stay,
    /// To so many bytes.
    Grow(u64),
    /// To so many bytes.
    Shrink(u64),
}

/// A size that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// What is inside does not fit.
    TooSmall,
    /// The disk has no room.
    TooLarge,
}

/// One operation; it is on disk when the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The file gets so many bytes, which lie beyond its old end.
    Extend(u64),
    /// The copy of the table at the end is written.
    SecondTable(Table),
    /// The copy at the beginning is.
    FirstTable(Table),
    /// The loop device shows so many bytes.
    Loop(u64),
    /// The encrypted device has so many bytes.
    Mapped(u64),
    /// The file system grows to so many bytes.
    FileSystem(u64),
    /// The file ends after so many bytes.
    Cut(u64),
}

impl Limits {
    fn nearest(self, bytes: u64) -> u64 {
        bytes.clamp(self.least, self.most.max(self.least))
    }
}

impl Facts {
    /// What the image can be.
    pub fn limits(&self) -> Limits {
        let around = self.size - self.data(self.size);
        let least = (self.used + AIR).max(size::least_inside(self.kind));
        let least = (around + least).next_multiple_of(MIB);
        // What it has already it may keep.
        Limits { least: least.min(self.size), most: self.room.min(MOST) / MIB * MIB }
    }

    /// Where a wish leads.
    pub fn goal(&self, wish: Size) -> Result<Goal, Unfit> {
        let limits = self.limits();
        let floor = size::least_inside(self.kind) + self.size - self.data(self.size);
        let wanted = match wish {
            Size::Least => limits.least,
            Size::Most => limits.most.max(self.size),
            Size::Near(bytes) => limits.nearest(bytes),
            Size::Share(part) => limits.nearest(size::share(limits.most, part)),
            // No file system is smaller than its kind allows; who asks for less gets that.
            Size::Exactly(bytes) => bytes.max(floor.next_multiple_of(MIB)),
            Size::AsIs => self.size,
        };
        let wanted = wanted / MIB * MIB;
        if wanted == self.size / MIB * MIB {
            return Ok(Goal::Stay);
        }
        if wanted > self.size {
            return if wanted > limits.most { Err(Unfit::TooLarge) } else { Ok(Goal::Grow(wanted)) };
        }
        if wanted < limits.least { Err(Unfit::TooSmall) } else { Ok(Goal::Shrink(wanted)) }
    }

    /// What is noted before the first operation.
    pub fn intent(&self, goal: Goal) -> Option<Intent> {
        match goal {
            Goal::Stay => None,
            Goal::Grow(to) | Goal::Shrink(to) => Some(Intent { from: self.size, to }),
        }
    }

    /// Bytes for the file system in an image of this size.
    pub fn data(&self, size: u64) -> u64 {
        self.window(size).saturating_sub(self.header)
    }

    /// Bytes of the partition in an image of this size.
    fn window(&self, size: u64) -> u64 {
        match &self.table {
            Some(table) if size == table.size => table.end - table.start,
            Some(table) => table.resized(size).map_or(0, |table| table.end - table.start),
            None => size.saturating_sub(self.start),
        }
    }

    /// What is to be done. A file system that shrinks has done so before.
    pub fn operations(&self, goal: Goal) -> Vec<Operation> {
        let tables = |size| {
            let table = self.table.as_ref().and_then(|table| table.resized(size));
            table.map(|table| [Operation::SecondTable(table.clone()), Operation::FirstTable(table)])
        };
        let (window, data) = (|size| Operation::Loop(self.window(size)), |size| self.data(size));
        match goal {
            Goal::Stay => Vec::new(),
            Goal::Grow(to) => {
                let mut all = vec![Operation::Extend(to)];
                all.extend(tables(to).into_iter().flatten());
                all.extend([window(to), Operation::Mapped(data(to)), Operation::FileSystem(data(to))]);
                all
            }
            Goal::Shrink(to) => {
                let mut all = vec![Operation::Mapped(data(to)), window(to)];
                all.extend(tables(to).into_iter().flatten());
                all.push(Operation::Cut(to));
                all
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::parts::gpt;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    fn facts(size: u64, used: u64, room: u64) -> Facts {
        let table = Table::covering(size, 512, Uuid::from_u128(1), Uuid::from_u128(2), "alice");
        Facts {
            kind: Kind::Btrfs,
            size,
            start: table.start,
            table: Some(table),
            header: 16 * MIB,
            used,
            room,
        }
    }

    #[test]
    fn wishes_meet_the_limits() {
        let facts = facts(1000 * MIB, 400 * MIB, 5000 * MIB + 17);
        assert_eq!(facts.limits(), Limits { least: 434 * MIB, most: 5000 * MIB });
        assert_eq!(facts.goal(Size::Least), Ok(Goal::Shrink(434 * MIB)));
        assert_eq!(facts.goal(Size::Most), Ok(Goal::Grow(5000 * MIB)));
        assert_eq!(facts.goal(Size::Exactly(1000 * MIB + 5)), Ok(Goal::Stay));
        assert_eq!(facts.goal(Size::Exactly(5001 * MIB)), Err(Unfit::TooLarge));
        assert_eq!(facts.goal(Size::Exactly(433 * MIB)), Err(Unfit::TooSmall));
        assert_eq!(facts.goal(Size::Near(1)), Ok(Goal::Shrink(434 * MIB)));
        assert_eq!(facts.goal(Size::Near(u64::MAX)), Ok(Goal::Grow(5000 * MIB)));
        assert_eq!(facts.goal(Size::Share(1 << 31)), Ok(Goal::Grow(2500 * MIB)));
        assert_eq!(facts.goal(Size::Share(u32::MAX)), Ok(Goal::Grow(4999 * MIB)));
        assert_eq!(facts.goal(Size::Share(0)), Ok(Goal::Shrink(434 * MIB)));
        assert_eq!(facts.goal(Size::AsIs), Ok(Goal::Stay));
    }

    #[test]
    fn a_file_system_is_never_smaller_than_its_kind_allows() {
        let facts = facts(1000 * MIB, MIB, 5000 * MIB);
        assert_eq!(facts.goal(Size::Exactly(5 * MIB)), Ok(Goal::Shrink(274 * MIB)));
        assert_eq!(facts.limits().least, 274 * MIB);
    }

    #[test]
    fn a_home_that_is_larger_than_its_disk_can_stay_as_it_is() {
        let facts = facts(1000 * MIB, 980 * MIB, 500 * MIB);
        assert_eq!(facts.goal(Size::Most), Ok(Goal::Stay));
        assert_eq!(facts.goal(Size::Least), Ok(Goal::Stay));
        assert_eq!(facts.goal(Size::Near(2000 * MIB)), Ok(Goal::Stay));
    }

    /// What is on the disk: only the places of the tables have bytes.
    #[derive(Clone)]
    struct Disk {
        length: u64,
        sectors: BTreeMap<u64, Vec<u8>>,
        file_system: u64,
    }

    impl Disk {
        fn of(facts: &Facts) -> Self {
            let mut disk =
                Self { length: facts.size, sectors: BTreeMap::new(), file_system: facts.data(facts.size) };
            for piece in facts.table.as_ref().map(Table::pieces).into_iter().flatten() {
                disk.write(&piece, u64::MAX);
            }
            disk
        }

        fn read(&self, at: u64, length: usize) -> Option<Vec<u8>> {
            let end = at + length as u64;
            let sectors = at / 512..end.div_ceil(512);
            let all = sectors.flat_map(|n| self.sectors.get(&n).cloned().unwrap_or_else(|| vec![0; 512]));
            let within = all.skip((at % 512) as usize).take(length).collect();
            (end <= self.length).then_some(within)
        }

        fn find(&self) -> Option<Table> {
            gpt::find(self.length, &mut |at, length| self.read(at, length)).map(|found| found.0)
        }

        /// Does it, or only the sectors of a write for which `kept` has a set bit.
        fn apply(&mut self, operation: &Operation, kept: u64) {
            match operation {
                Operation::Extend(to) | Operation::Cut(to) => self.length = *to,
                Operation::SecondTable(table) => self.write(&table.pieces()[1], kept),
                Operation::FirstTable(table) => self.write(&table.pieces()[0], kept),
                Operation::FileSystem(bytes) => self.file_system = *bytes,
                Operation::Loop(_) | Operation::Mapped(_) => {}
            }
        }

        fn write(&mut self, (start, bytes): &gpt::Piece, kept: u64) {
            for (number, sector) in bytes.chunks(512).enumerate() {
                if kept >> (number % 64) & 1 == 1 {
                    self.sectors.insert(start / 512 + number as u64, sector.to_vec());
                }
            }
        }

        fn check(&self, facts: &Facts) -> Result<(), TestCaseError> {
            let table = self.find();
            prop_assert!(table.is_some(), "no table is found");
            let Some(table) = table else { return Ok(()) };
            prop_assert_eq!(table.partition, Uuid::from_u128(2));
            prop_assert!(table.end <= self.length);
            prop_assert!(self.file_system + facts.header <= table.end - table.start, "it does not fit");
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_cut_leaves_a_partition_in_which_the_file_system_fits(
            from in 274u64..2000, to in 274u64..2000, kept in any::<u64>(),
        ) {
            let facts = facts(from * MIB, 0, 4000 * MIB);
            let goal = facts.goal(Size::Exactly(to * MIB)).expect("possible");
            let mut disk = Disk::of(&facts);
            if let Goal::Shrink(to) = goal {
                disk.file_system = facts.data(to);
            }
            for operation in facts.operations(goal) {
                let mut torn = disk.clone();
                torn.apply(&operation, kept);
                torn.check(&facts)?;
                disk.apply(&operation, u64::MAX);
                disk.check(&facts)?;
            }
            prop_assert_eq!(disk.length, to * MIB);
            prop_assert_eq!(disk.file_system, facts.data(to * MIB));
            prop_assert_eq!(disk.find().map(|table| table.size), Some(to * MIB));
        }
    }
}
