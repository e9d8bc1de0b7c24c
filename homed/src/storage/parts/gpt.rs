//! The partition table of an image: one partition, written and read as bytes, no IO.
//!
//! ```text
//! sector 0        protective MBR
//! sector 1        header            ┐ describe the same; each carries a checksum
//! sector 2…       128 entries       ┘
//! 1 MiB           the partition
//! … end           128 entries, header (the second copy, in the last sector)
//! ```
//!
//! UEFI specification 2.10, chapter 5. Only tables with exactly one partition of our type are read.

use uuid::Uuid;

mod found;

#[cfg(test)]
pub use found::choose;
pub use found::{Copies, find};

/// "user home" of the Discoverable Partitions Specification.
pub const USER_HOME: Uuid = Uuid::from_u128(0x773f91ef_66d4_49b5_bd83_d683bf40ad16);
/// The partition begins and ends on a multiple of this, in bytes.
const ALIGNMENT: u64 = 1 << 20;
const ENTRIES: u64 = 128;
const ENTRY: u64 = 128;
const HEADER: usize = 92;
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Room for a partition's name, in UTF-16 units.
const NAME: usize = 36;

/// A table with one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Bytes per sector: 512 or 4096.
    pub sector: u64,
    /// Bytes of the image; a multiple of 1 MiB.
    pub size: u64,
    /// GUID of the disk.
    pub disk: Uuid,
    /// GUID of the partition.
    pub partition: Uuid,
    /// Name of the partition (PARTLABEL).
    pub label: String,
    /// First byte of the partition.
    pub start: u64,
    /// Byte after its last.
    pub end: u64,
}

/// Bytes and where they belong.
pub type Piece = (u64, Vec<u8>);

impl Table {
    /// A table for an image of this size, the partition as large as alignment allows.
    pub fn covering(size: u64, sector: u64, disk: Uuid, partition: Uuid, label: &str) -> Self {
        let last_usable = size / sector - 2 - ENTRIES * ENTRY / sector;
        let end = (last_usable + 1) * sector / ALIGNMENT * ALIGNMENT;
        Self { sector, size, disk, partition, label: Self::name_of(label), start: ALIGNMENT, end }
    }

    /// The name a partition has for this text: as much of it as there is room for, in whole characters, up to the first
    /// NUL. What is written and what is compared both go through here.
    pub fn name_of(text: &str) -> String {
        let mut room = NAME;
        let fits = |character: &char| {
            let left = room.checked_sub(character.len_utf16());
            room = left.unwrap_or(0);
            left.is_some() && *character != '\0'
        };
        text.chars().take_while(fits).collect()
    }

    /// Whether the partition is named after this text.
    pub fn is_named(&self, text: &str) -> bool {
        self.label == Self::name_of(text)
    }

    /// The same table for an image of another size: the partition begins where it did, and ends as alignment allows.
    /// `None`: nothing would be left of it.
    pub fn resized(&self, size: u64) -> Option<Self> {
        let size = size / self.sector * self.sector;
        let ends = 2 + ENTRIES * ENTRY / self.sector;
        let end =
            (size / self.sector).checked_sub(ends - 1)?.checked_mul(self.sector)? / ALIGNMENT * ALIGNMENT;
        (end > self.start).then(|| Self { size, end, ..self.clone() })
    }

    /// What has to be written: MBR with the first copy, and the second copy.
    pub fn pieces(&self) -> [Piece; 2] {
        let entries = self.entries();
        let last = self.size / self.sector - 1;
        let entry_sectors = ENTRIES * ENTRY / self.sector;
        let mut first = self.protective_mbr();
        first.extend(self.header(1, last, 2, &entries));
        first.extend_from_slice(&entries);
        let mut second = entries.clone();
        second.extend(self.header(last, 1, last - entry_sectors, &entries));
        [(0, first), ((last - entry_sectors) * self.sector, second)]
    }

    /// The copy whose header is at this byte offset; `read` gives bytes of the image.
    fn read_at(offset: u64, sector: u64, read: &mut ReadAt<'_>) -> Option<Self> {
        let header = read(offset, HEADER)?;
        let number = |at: usize| header[at..].first_chunk().map(|b| u64::from_le_bytes(*b));
        let short = |at: usize| header[at..].first_chunk().map(|b| u32::from_le_bytes(*b));
        let mut unsummed = header.clone();
        unsummed.get_mut(16..20)?.fill(0);
        let sound = header.starts_with(SIGNATURE)
            && short(12)? as usize == HEADER
            && short(16)? == crc32(&unsummed)
            && number(24)?.checked_mul(sector)? == offset
            && u64::from(short(84)?) == ENTRY
            && u64::from(short(80)?) <= ENTRIES;
        if !sound {
            return None;
        }
        let bytes = usize::try_from(u64::from(short(80)?) * ENTRY).ok()?;
        let entries = read(number(72)?.checked_mul(sector)?, bytes)?;
        if crc32(&entries) != short(88)? {
            return None;
        }
        let used: Vec<_> = entries.chunks_exact(ENTRY as usize).filter(|e| e[..16] != [0; 16]).collect();
        let [entry] = used[..] else { return None };
        let disk = guid(header.get(56..72)?)?;
        let last = number(24)?.max(number(32)?);
        Self::from_entry(entry, disk, last.checked_add(1)?.checked_mul(sector)?, sector)
    }

    fn from_entry(entry: &[u8], disk: Uuid, size: u64, sector: u64) -> Option<Self> {
        if guid(&entry[..16])? != USER_HOME {
            return None;
        }
        let number = |at: usize| entry[at..].first_chunk().map(|b| u64::from_le_bytes(*b));
        let start = number(32)?.checked_mul(sector)?;
        let end = number(40)?.checked_add(1)?.checked_mul(sector)?;
        let units = entry[56..].chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]]));
        // Another program may have cut the name in the middle of a pair of units: what is left of one is not read.
        let label = char::decode_utf16(units.take_while(|unit| *unit != 0)).map_while(Result::ok).collect();
        (start < end && end <= size).then_some(Self {
            sector,
            size,
            disk,
            partition: guid(&entry[16..32])?,
            label,
            start,
            end,
        })
    }

    fn protective_mbr(&self) -> Vec<u8> {
        let mut block = vec![0; usize::try_from(self.sector).unwrap_or(512)];
        let sectors = u32::try_from(self.size / self.sector - 1).unwrap_or(u32::MAX);
        // One entry of type 0xEE from sector 1 over the whole disk, with the customary CHS values.
        block[446..462].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0]);
        block[458..462].copy_from_slice(&sectors.to_le_bytes());
        block[510..512].copy_from_slice(&[0x55, 0xAA]);
        block
    }

    fn entries(&self) -> Vec<u8> {
        let mut all = vec![0; (ENTRIES * ENTRY) as usize];
        all[..16].copy_from_slice(&USER_HOME.to_bytes_le());
        all[16..32].copy_from_slice(&self.partition.to_bytes_le());
        all[32..40].copy_from_slice(&(self.start / self.sector).to_le_bytes());
        all[40..48].copy_from_slice(&(self.end / self.sector - 1).to_le_bytes());
        for (place, unit) in all[56..128].chunks_exact_mut(2).zip(self.label.encode_utf16()) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
        all
    }

    fn header(&self, own: u64, other: u64, entries_at: u64, entries: &[u8]) -> Vec<u8> {
        let first_usable = 2 + ENTRIES * ENTRY / self.sector;
        let last_usable = self.size / self.sector - first_usable;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(SIGNATURE);
        header.extend_from_slice(&[0, 0, 1, 0]);
        header.extend_from_slice(&(HEADER as u32).to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        for place in [own, other, first_usable, last_usable] {
            header.extend_from_slice(&place.to_le_bytes());
        }
        header.extend_from_slice(&self.disk.to_bytes_le());
        header.extend_from_slice(&entries_at.to_le_bytes());
        header.extend_from_slice(&(ENTRIES as u32).to_le_bytes());
        header.extend_from_slice(&(ENTRY as u32).to_le_bytes());
        header.extend_from_slice(&crc32(entries).to_le_bytes());
        let sum = crc32(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header.resize(usize::try_from(self.sector).unwrap_or(512), 0);
        header
    }
}

/// Gives `length` bytes at an offset, or `None` where the image ends before.
pub type ReadAt<'a> = dyn FnMut(u64, usize) -> Option<Vec<u8>> + 'a;

fn guid(bytes: &[u8]) -> Option<Uuid> {
    Some(Uuid::from_bytes_le(*bytes.first_chunk()?))
}

/// CRC-32 of IEEE 802.3, reflected, as the UEFI specification asks for.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0xEDB8_8320;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(sector: u64) -> (Table, Vec<u8>) {
        let size = 64 << 20;
        let table =
            Table::covering(size, sector, Uuid::from_u128(1), Uuid::from_u128(2), "alice@example.com");
        let mut bytes = vec![0; size as usize];
        for (offset, piece) in table.pieces() {
            let at = offset as usize;
            bytes[at..at + piece.len()].copy_from_slice(&piece);
        }
        (table, bytes)
    }

    fn read(bytes: &[u8]) -> Option<(Table, Copies)> {
        find(bytes.len() as u64, &mut |at, length| {
            Some(bytes.get(at as usize..at as usize + length)?.to_vec())
        })
    }

    #[test]
    fn what_is_written_is_read_back() {
        for sector in [512, 4096] {
            let (table, bytes) = image(sector);
            assert_eq!((table.start, table.end), (1 << 20, 63 << 20));
            assert_eq!(read(&bytes), Some((table, Copies::Both)));
        }
    }

    #[test]
    fn either_copy_suffices() {
        let (table, whole) = image(512);
        let mut bytes = whole.clone();
        bytes[..20 * 1024].fill(0xA5);
        assert_eq!(read(&bytes), Some((table.clone(), Copies::SecondOnly)));
        let mut bytes = whole.clone();
        let end = bytes.len();
        bytes[end - 40 * 1024..].fill(0);
        assert_eq!(read(&bytes), Some((table, Copies::FirstOnly)));
        bytes[512] ^= 1;
        assert_eq!(read(&bytes), None);
    }

    #[test]
    fn another_size_keeps_what_names_the_partition() {
        let (table, _) = image(512);
        assert_eq!(
            table.resized(96 << 20),
            Some(Table::covering(96 << 20, 512, table.disk, table.partition, &table.label))
        );
        assert_eq!(table.resized(1 << 20), None);
        assert_eq!(table.resized(100), None);
    }

    #[test]
    fn an_image_that_was_cut_short_has_the_table_that_fits() {
        for sector in [512, 4096] {
            let (table, bytes) = image(sector);
            assert_eq!(
                read(&bytes[..40 << 20]),
                table.resized(40 << 20).map(|table| (table, Copies::CutShort))
            );
            let odd = read(&bytes[..(40 << 20) + 100]).expect("found").0;
            assert_eq!(odd.end, 39 << 20);
            assert_eq!(read(&bytes[..1 << 20]), None);
        }
    }

    #[test]
    fn a_name_is_cut_between_characters_and_known_by_its_beginning() {
        let long = "alice@students.engineering.university.example";
        assert_eq!(Table::name_of(long), "alice@students.engineering.universit");
        let table =
            |label: &str| Table::covering(64 << 20, 512, Uuid::from_u128(1), Uuid::from_u128(2), label);
        assert!(table(long).is_named(long) && !table(long).is_named("alice@students.engineering.uni"));
        // A character of two units that would be cut in two is left out.
        let pair = format!("{}\u{1F3E0}", "a".repeat(35));
        assert_eq!(Table::name_of(&pair), "a".repeat(35));
        assert!(table(&pair).is_named(&pair));
        assert_eq!(table("a\0b").label, "a");
    }

    /// What libfdisk does: it writes 36 units, whatever they are.
    #[test]
    fn a_name_that_another_program_cut_in_the_middle_of_a_character_is_known() {
        let pair = format!("{}\u{1F3E0}", "a".repeat(35));
        let (table, _) = image(512);
        let mut entry = table.entries();
        for (place, unit) in entry[56..128].chunks_exact_mut(2).zip(pair.encode_utf16()) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
        let read = Table::from_entry(&entry[..ENTRY as usize], table.disk, table.size, 512).expect("read");
        assert!(read.is_named(&pair));
    }

    #[test]
    fn places_beyond_all_numbers_are_no_table() {
        let (table, mut bytes) = image(512);
        let entries = table.entries();
        for last in [u64::MAX, u64::MAX / 512 + 1] {
            // A header whose other copy is at that sector.
            let header = table.header(1, last, 2, &entries);
            bytes[512..1024].copy_from_slice(&header);
            assert_eq!(read(&bytes).map(|found| found.1), Some(Copies::SecondOnly), "{last}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 200, ..Default::default() })]

        #[test]
        fn any_table_that_is_written_is_found(
            mib in 4_u64..6 << 20,
            sector in proptest::sample::select(vec![512_u64, 4096]),
            label in ".{0,80}",
        ) {
            let size = mib << 20;
            let table = Table::covering(size, sector, Uuid::new_v4(), Uuid::new_v4(), &label);
            proptest::prop_assert!(table.is_named(&label));
            let pieces = table.pieces();
            let found = find(size, &mut |at, length| {
                let mut bytes = vec![0; length];
                for (begin, piece) in &pieces {
                    for (place, byte) in (*begin..).zip(piece) {
                        if let Some(into) = place.checked_sub(at).and_then(|i| bytes.get_mut(i as usize)) {
                            *into = *byte;
                        }
                    }
                }
                (at + length as u64 <= size).then_some(bytes)
            });
            proptest::prop_assert_eq!(found, Some((table, Copies::Both)));
        }
    }

    #[test]
    fn a_changed_entry_is_noticed() {
        let (_, mut bytes) = image(512);
        bytes[1024 + 40] ^= 1;
        assert_eq!(read(&bytes).map(|found| found.1), Some(Copies::SecondOnly));
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn noise_is_no_table() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&vec![0xFF; 1 << 20]), None);
    }
}
