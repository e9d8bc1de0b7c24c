//! Keeping what a repair may write over.

use crate::job::{Context, Failure};
use crate::storage::luks::header::Place;
use crate::storage::parts::gpt::Table;
use crate::storage::parts::image::{self, Lost};
use crate::sys::{blockdev, durable};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// How much of the image's beginning is kept: 1 MiB of table and mark, 16 MiB of header.
const HEAD: u64 = 17 * MIB;
/// How much is kept around each place where the image ends, or should: a table has 17 KiB there.
const TAIL: u64 = MIB;
/// How much of an encryption header that does not say how long it is: what all are made with.
const HEADER: u64 = 16 * MIB;
/// Largest header there is, with its key slots.
const LARGEST: u64 = 144 * MIB;

/// What of an image of `length` bytes a repair may write over, in bytes: its tables and marks, and the encryption header with
/// its key slots, which has `header` bytes. What is inside of the encrypted part is the file system's.
pub fn places(length: u64, place: &Place, header: Option<u64>) -> Vec<Range<u64>> {
    let header = header.unwrap_or(HEADER).min(LARGEST);
    let ends = [Some(length), place.table.as_ref().map(|(table, _)| table.size)];
    let around = |end: u64| end.saturating_sub(TAIL)..end.saturating_add(TAIL);
    // The mark is before the header.
    let begins = [0..HEAD, place.offset.saturating_sub(MIB)..place.offset.saturating_add(header)];
    let all = begins.into_iter().chain(ends.into_iter().flatten().map(around));
    all.map(|range| range.start.min(length)..range.end.min(length)).collect()
}

/// What writing this table over an image of `length` bytes overwrites, in bytes.
pub fn of_table(length: u64, table: &Table) -> Vec<Range<u64>> {
    let pieces = table.pieces().into_iter().map(|(offset, bytes)| offset..offset + bytes.len() as u64);
    pieces.map(|piece| piece.start.min(length)..piece.end.min(length)).collect()
}

/// Keeps these places of the image in a sparse file of the same size, durably. It has its name when it is whole: half a
/// backup would be taken for a whole one. What a cut leaves of it is collected when the daemon starts.
///
/// What the disk does not give is a hole in it, and is told: of that nothing can be kept by anybody, and a repair that waited for
/// it would never be.
pub fn keep(file: &File, places: &[Range<u64>], backup: &Path) -> Result<Lost, Failure> {
    let unfinished = durable::unfinished(backup);
    let kept = || -> io::Result<Lost> {
        // What is kept is of an image that a power cut does not take away.
        file.sync_all()?;
        let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        copy.set_len(blockdev::length(file)?)?;
        let mut lost = Lost::default();
        places.iter().try_for_each(|place| image::copy_around(file, &copy, place.clone(), &mut lost))?;
        copy.sync_all()?;
        durable::name(&unfinished, backup)?;
        Ok(lost)
    };
    let kept = kept();
    if kept.is_err() {
        // Already failing: what matters is the first error.
        let _ = std::fs::remove_file(&unfinished);
    }
    kept.during(format!("keeping what was there in {}, before any of it is changed", backup.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::parts::gpt::Copies;
    use uuid::Uuid;

    fn table(size: u64) -> Table {
        Table::covering(size, 512, Uuid::from_u128(1), Uuid::from_u128(2), "alice")
    }

    fn is_kept(places: &[Range<u64>], bytes: Range<u64>) -> bool {
        places.iter().any(|place| place.start <= bytes.start && bytes.end <= place.end)
    }

    #[test]
    fn all_that_a_repair_writes_is_among_what_is_kept() {
        let length = 300 * MIB;
        // The image has the length of its table, is longer (a change of size was cut short), or shorter (it was cut off).
        for size in [length, 200 * MIB] {
            let found = table(size);
            let place = Place {
                offset: MIB,
                size: found.end - MIB,
                table: Some((found.clone(), Copies::Neither)),
                free: None,
            };
            let places = places(length, &place, None);
            for (offset, bytes) in found.pieces().into_iter().chain(table(length).pieces()) {
                assert!(
                    is_kept(&places, offset..offset + bytes.len() as u64),
                    "{offset} of {size}: {places:?}"
                );
            }
            assert!(is_kept(&places, MIB..17 * MIB));
            assert!(places.iter().all(|place| place.end <= length));
        }
    }

    #[test]
    fn of_a_table_both_places_are_kept_as_far_as_there_is_an_image() {
        let (head, tail) = (34 * 512, 33 * 512);
        assert_eq!(of_table(100 * MIB, &table(100 * MIB)), [0..head, 100 * MIB - tail..100 * MIB]);
        assert_eq!(of_table(50 * MIB, &table(100 * MIB)), [0..head, 50 * MIB..50 * MIB]);
    }

    #[test]
    fn a_header_is_kept_wherever_it_begins_and_as_large_as_it_is() {
        let far = Place { offset: 100 * MIB, size: 900 * MIB, table: None, free: None };
        assert!(is_kept(&places(1000 * MIB, &far, None), 100 * MIB..116 * MIB));
        assert!(is_kept(&places(1000 * MIB, &far, Some(64 * MIB)), 100 * MIB..164 * MIB));
        // What a header says of itself is nobody's word.
        let said = places(1000 * MIB, &far, Some(u64::MAX));
        assert!(said.iter().all(|place| place.end - place.start <= LARGEST + MIB));
        assert!(is_kept(&said, 100 * MIB - 4096..100 * MIB), "the mark is before it");
    }

    #[test]
    fn what_is_kept_has_a_name_when_it_is_whole_and_replaces_nothing() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let (from, backup) = (folder.path().join("image"), folder.path().join("alice.home.1.backup"));
        std::fs::write(&from, vec![7; 3 << 20]).expect("written");
        let file = File::open(&from).expect("opens");
        let ends = [0..MIB, 2 * MIB..3 * MIB];
        assert!(keep(&file, &ends, &backup).expect("kept").is_nothing());
        let kept = std::fs::read(&backup).expect("read");
        let is = |range: Range<usize>, byte: u8| kept[range].iter().all(|found| *found == byte);
        assert!(is(0..1 << 20, 7) && is(1 << 20..2 << 20, 0) && is(2 << 20..3 << 20, 7));
        std::fs::write(&backup, "that of an earlier repair").expect("written");
        keep(&file, &ends, &backup).expect_err("the name is taken");
        assert_eq!(std::fs::read(&backup).expect("read"), b"that of an earlier repair");
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 2);
    }
}
