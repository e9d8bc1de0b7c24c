//! The copies of a LUKS2 header as bytes: where they are, which are sound, which is newer, and what is in them. No IO, and
//! the only place that reads them before the library does.
//!
//! LUKS2 on-disk format 1.1.3, chapter 2: a binary header of 4096 bytes (big endian), and the JSON area, text that ends
//! with a NUL. The checksum covers both, with its own field zeroed. The second copy follows the first.

use crate::storage::examined::Headers;
use openssl::sha::sha256;
use serde_json::Value;
use std::ops::Range;

/// How a header begins, whatever its version: `LUKS`, and two bytes that are no text.
pub const MAGIC: &[u8] = b"LUKS\xba\xbe";
const FIRST: &[u8] = b"LUKS\xba\xbe\x00\x02";
const SECOND: &[u8] = b"SKUL\xba\xbe\x00\x02";
/// Where the second copy may begin: after each size that the format allows the first.
const SIZES: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
/// Bytes of the binary header.
const BINARY: u64 = 4096;
/// Bytes of what is free before the data, as far as it is used.
const FREE: u64 = 4096;
/// Where the checksum is in it.
const SUM: Range<usize> = 448..512;
/// How much of the JSON area is read at a time: its text is far shorter than the area.
const PART: u64 = 64 << 10;

mod short;

pub use short::Short;

/// Gives bytes of the encrypted part, or `None` beyond its end.
pub type Read<'a> = dyn FnMut(u64, usize) -> Option<Vec<u8>> + 'a;

/// Which copies are sound, by their checksums.
pub fn look(read: &mut Read<'_>) -> Headers {
    let first = sound(0, FIRST, read);
    let second = match &first {
        Some(first) => sound(first.head.size, SECOND, read),
        None => SIZES.into_iter().find_map(|size| sound(size, SECOND, read)),
    };
    Headers { first: first.map(|copy| copy.head.sequence), second: second.map(|copy| copy.head.sequence) }
}

/// Whether a header may begin here: its first copy does, or a second one is where it would be.
pub fn is_here(read: &mut Read<'_>) -> bool {
    let mut at = |offset: u64, magic: &[u8]| read(offset, magic.len()).is_some_and(|head| head == magic);
    at(0, FIRST) || SIZES.into_iter().any(|size| at(size, SECOND))
}

/// What a header says, as far as its copies can be read.
#[derive(Debug, Default)]
pub struct Contents {
    /// Whether the first copy can.
    pub first: bool,
    /// The JSON text of each copy; checksums are the library's to check, so one of them may be void.
    pub texts: Vec<Value>,
    /// Bytes from the beginning of the header to the end of its last copy.
    end: u64,
}

impl Contents {
    /// Reads every copy that there may be: which one counts is known only to who checks them all.
    pub fn read(read: &mut Read<'_>) -> Self {
        let mut all = Self::default();
        for (offset, magic) in [(0, FIRST)].into_iter().chain(SIZES.map(|size| (size, SECOND))) {
            let Some(head) = head(offset, magic, read) else { continue };
            let Some(text) = text(offset, &head, read) else { continue };
            all.first |= offset == 0;
            all.end = all.end.max(offset + head.size);
            all.texts.push(text);
        }
        all
    }

    /// What a sound first copy says that the other does not differ from.
    pub(super) fn of_one(text: Value) -> Self {
        Self { first: true, texts: vec![text], end: 0 }
    }

    /// Size of the encryption's sectors, in bytes.
    pub fn sector(&self) -> Option<u32> {
        u32::try_from(self.segment()?.get("sector_size")?.as_u64()?).ok()
    }

    fn segment(&self) -> Option<&Value> {
        self.texts.first()?.get("segments")?.get("0")
    }

    /// Where in the encrypted part lies all that is needed to read the header and to try keys: the copies, and the areas
    /// of the key slots. Empty: that is not known.
    pub fn areas(&self) -> Vec<Range<u64>> {
        if self.texts.is_empty() {
            return Vec::new();
        }
        std::iter::once(0..self.end.max(2 * SIZES[0])).chain(self.slots()).collect()
    }

    /// The last 4096 bytes before the data, where the header has them and nothing in them: behind its copies, in no area of a
    /// key slot or of a change of the encryption, by all that it says. The library gives out areas from the front, and has room for
    /// all slots there may be before it comes to those.
    pub fn free(&self) -> Option<u64> {
        let segment = self.segment()?;
        let data: u64 = segment.get("offset")?.as_str()?.parse().ok()?;
        let at = data.checked_sub(FREE).filter(|at| at.is_multiple_of(FREE) && *at >= self.end)?;
        let is_plain = |text: &Value| {
            let segments = text.get("segments").and_then(Value::as_object);
            let alone = segments.is_some_and(|all| all.len() == 1 && all.get("0") == Some(segment));
            // Only what is under way has requirements (LUKS2 on-disk format, 3.6).
            alone && text.get("config").and_then(|config| config.get("requirements")).is_none()
        };
        let is_clear = self.slots().iter().all(|area| area.end <= at || data <= area.start);
        (is_clear && self.texts.iter().all(is_plain)).then_some(at)
    }

    /// The areas of the key slots.
    pub fn slots(&self) -> Vec<Range<u64>> {
        let slots = self.texts.iter().filter_map(|text| text.get("keyslots")?.as_object());
        let areas = slots.flat_map(|slots| slots.values()).filter_map(|slot| {
            let number = |name: &str| slot.get("area")?.get(name)?.as_str()?.parse::<u64>().ok();
            let (offset, size) = (number("offset")?, number("size")?);
            Some(offset..offset.checked_add(size)?)
        });
        areas.collect()
    }
}

/// What the binary header of a copy says.
struct Head {
    sequence: u64,
    size: u64,
    bytes: Vec<u8>,
}

fn head(offset: u64, magic: &[u8], read: &mut Read<'_>) -> Option<Head> {
    let bytes = read(offset, BINARY as usize)?;
    let number = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let (size, sequence, own_offset) = (number(8)?, number(16)?, number(256)?);
    let is_one = bytes.starts_with(magic) && SIZES.contains(&size) && own_offset == offset;
    is_one.then_some(Head { sequence, size, bytes })
}

/// A copy whose checksum holds.
fn sound(offset: u64, magic: &[u8], read: &mut Read<'_>) -> Option<Sound> {
    let head = head(offset, magic, read)?;
    let mut whole = read(offset, usize::try_from(head.size).ok()?)?;
    let sum = whole.get(SUM)?.to_vec();
    whole.get_mut(SUM)?.fill(0);
    // Homes are made with SHA-256; another algorithm is left to the library, and believed here.
    let sound = !head.is_sha256() || sum.starts_with(&sha256(&whole));
    sound.then_some(Sound { head, whole })
}

/// A copy that is sound, without its checksum.
struct Sound {
    head: Head,
    whole: Vec<u8>,
}

impl Head {
    fn is_sha256(&self) -> bool {
        self.bytes.get(72..104).and_then(|name| name.split(|byte| *byte == 0).next()) == Some(b"sha256")
    }
}

/// The JSON text of a copy.
fn text(offset: u64, head: &Head, read: &mut Read<'_>) -> Option<Value> {
    let (begin, end) = (offset + BINARY, offset + head.size);
    let mut text = Vec::new();
    for at in (begin..end).step_by(PART as usize) {
        let part = read(at, usize::try_from(PART.min(end - at)).ok()?)?;
        let length = part.iter().position(|byte| *byte == 0);
        text.extend_from_slice(&part[..length.unwrap_or(part.len())]);
        if length.is_some() {
            break;
        }
    }
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(magic: &[u8], offset: u64, sequence: u64) -> Vec<u8> {
        let mut bytes = vec![0; 0x4000];
        bytes[..8].copy_from_slice(magic);
        bytes[8..16].copy_from_slice(&0x4000_u64.to_be_bytes());
        bytes[16..24].copy_from_slice(&sequence.to_be_bytes());
        bytes[72..78].copy_from_slice(b"sha256");
        bytes[256..264].copy_from_slice(&offset.to_be_bytes());
        let text = format!(
            r#"{{"segments":{{"0":{{"sector_size":4096}}}},"keyslots":{{"0":{{"area":{{"offset":"32768","size":"258048"}}}}}},"n":{sequence}}}"#
        );
        bytes[4096..4096 + text.len()].copy_from_slice(text.as_bytes());
        let sum = sha256(&bytes);
        bytes[448..480].copy_from_slice(&sum);
        bytes
    }

    fn reader(image: &[u8]) -> impl FnMut(u64, usize) -> Option<Vec<u8>> {
        |at, length| {
            let at = usize::try_from(at).ok()?;
            Some(image.get(at..at + length)?.to_vec())
        }
    }

    fn looked(image: &[u8]) -> (Option<u64>, Option<u64>) {
        let found = look(&mut reader(image));
        (found.first, found.second)
    }

    #[test]
    fn each_copy_is_judged_by_itself() {
        let whole = [header(FIRST, 0, 7), header(SECOND, 0x4000, 6)].concat();
        assert_eq!(looked(&whole), (Some(7), Some(6)));
        for (what, at, expected) in [
            ("the first's magic", 0, (None, Some(6))),
            ("the first's JSON", 4100, (None, Some(6))),
            ("the second's magic", 0x4000, (Some(7), None)),
            ("the second's last byte", 0x7fff, (Some(7), None)),
        ] {
            let mut image = whole.clone();
            image[at] ^= 1;
            assert_eq!(looked(&image), expected, "{what}");
        }
        assert_eq!(looked(&[]), (None, None));
        assert_eq!(looked(&vec![0xFF; 1 << 16]), (None, None));
    }

    #[test]
    fn what_a_header_says_is_read_from_every_copy() {
        let whole = [header(FIRST, 0, 7), header(SECOND, 0x4000, 6)].concat();
        let contents = Contents::read(&mut reader(&whole));
        let sequences: Vec<_> = contents.texts.iter().map(|text| text["n"].as_u64()).collect();
        assert_eq!((contents.first, sequences), (true, vec![Some(7), Some(6)]));
        assert_eq!(contents.sector(), Some(4096));
        assert_eq!(contents.areas(), [0..0x8000, 32768..290_816, 32768..290_816]);
        assert!(is_here(&mut reader(&whole)));
        // One whose checksum does not hold is read too: it is not for this to say which one the library takes.
        let mut image = whole.clone();
        image[450] ^= 1;
        assert_eq!(Contents::read(&mut reader(&image)).texts.len(), 2);
        // A second copy that the first one's size does not lead to, either.
        let far = [header(FIRST, 0, 7), vec![0; 0x4000], header(SECOND, 0x8000, 9)].concat();
        assert_eq!(Contents::read(&mut reader(&far)).texts.len(), 2);
        image[0] ^= 1;
        let second = Contents::read(&mut reader(&image));
        assert!(!second.first && second.texts.len() == 1 && second.areas()[0] == (0..0x8000));
        assert!(is_here(&mut reader(&image)));
        assert!(Contents::read(&mut reader(&[])).areas().is_empty() && !is_here(&mut reader(&[])));
    }
}
