//! What a LUKS2 header says, read from its bytes: for homed, and for whoever carries images. No IO, and checksums are not looked at.
//!
//! LUKS2 on-disk format 1.1.3, chapter 2: a binary header of 4096 bytes (big endian), and the JSON area, text that ends
//! with a NUL. The second copy follows the first.

use serde_json::Value;
use std::ops::Range;

/// What the first copy begins with, its version included.
pub const FIRST: &[u8] = b"LUKS\xba\xbe\x00\x02";
/// What the second begins with.
pub const SECOND: &[u8] = b"SKUL\xba\xbe\x00\x02";
/// Where the second copy may begin, in bytes: after each size that the format allows the first.
pub const SIZES: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
/// Bytes of the binary header.
pub const BINARY: u64 = 4096;
/// Bytes of what is free before the data, as far as it is used.
const FREE: u64 = 4096;
/// How much of the JSON area is read at a time: its text is far shorter than the area.
const PART: u64 = 64 << 10;
/// Key slots that there can be (libcryptsetup, LUKS2_KEYSLOTS_MAX).
const SLOTS: u64 = 32;
/// Bytes of the area of a slot for a key of 512 bits: 4000 stripes of it, in whole blocks of 4096 bytes.
const AREA: u64 = 258_048;

/// Gives bytes of the encrypted part, or `None` beyond its end.
pub type Read<'a> = dyn FnMut(u64, usize) -> Option<Vec<u8>> + 'a;

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
    pub fn of_one(text: Value) -> Self {
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

    /// The last 4096 bytes before the data, where the header has them and nothing in them, now and with all key slots there may
    /// be: behind its copies, in no area of a key slot or of a change of the encryption, by all that it says.
    pub fn free(&self) -> Option<u64> {
        let segment = self.segment()?;
        let data: u64 = segment.get("offset")?.as_str()?.parse().ok()?;
        let at = data.checked_sub(FREE).filter(|at| at.is_multiple_of(FREE) && *at >= self.end)?;
        let slots = self.slots();
        let is_plain = |text: &Value| {
            let segments = text.get("segments").and_then(Value::as_object);
            let alone = segments.is_some_and(|all| all.len() == 1 && all.get("0") == Some(segment));
            // Only what is under way has requirements (LUKS2 on-disk format, 3.6).
            alone && text.get("config").and_then(|config| config.get("requirements")).is_none()
        };
        let is_beyond = |text: &Value| reach(text, &slots).is_some_and(|end| end <= at);
        let is_clear = slots.iter().all(|area| area.end <= at || data <= area.start);
        (is_clear && self.texts.iter().all(|text| is_plain(text) && is_beyond(text))).then_some(at)
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

/// Where key slots end at most, whatever is added to these: not beyond the room for them (`keyslots_size`). The library puts a new
/// one into the first gap that is large enough (`LUKS2_find_area_gap`). Slots of one size without a gap between their places stay
/// so; of others, each of which may have a gap before it that is nearly as large as a slot, 32 take 63 times the largest.
fn reach(text: &Value, slots: &[Range<u64>]) -> Option<u64> {
    let number = |name: &str| text.get("config")?.get(name)?.as_str()?.parse::<u64>().ok();
    let begin = number("json_size")?.checked_add(BINARY)?.checked_mul(2)?;
    let end = begin.checked_add(number("keyslots_size")?)?;
    let length = |area: &Range<u64>| area.end - area.start;
    let one = slots.first().map_or(AREA, length);
    let is_in_row = |area: &Range<u64>| {
        length(area) == one && area.start.checked_sub(begin).is_some_and(|at| at.is_multiple_of(one))
    };
    let places = if slots.iter().all(is_in_row) { SLOTS } else { 2 * SLOTS - 1 };
    let largest = slots.iter().map(length).max().unwrap_or(0).max(AREA);
    Some(end.min(begin.checked_add(places.checked_mul(largest)?)?))
}

/// What the binary header of a copy says.
pub struct Head {
    /// How often the header was written.
    pub sequence: u64,
    /// Bytes of the copy, its JSON area included.
    pub size: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Head {
    /// Whether its checksum is SHA-256.
    pub fn is_sha256(&self) -> bool {
        self.bytes.get(72..104).and_then(|name| name.split(|byte| *byte == 0).next()) == Some(b"sha256")
    }
}

/// The binary header of a copy that begins at this byte of the encrypted part, if one does.
pub fn head(offset: u64, magic: &[u8], read: &mut Read<'_>) -> Option<Head> {
    let bytes = read(offset, BINARY as usize)?;
    let number = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let (size, sequence, own_offset) = (number(8)?, number(16)?, number(256)?);
    let is_one = bytes.starts_with(magic) && SIZES.contains(&size) && own_offset == offset;
    is_one.then_some(Head { sequence, size, bytes })
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
    use serde_json::json;

    /// A header with slots at these places, in bytes behind its copies, and data at this byte.
    fn header(copy: u64, slots: &[(u64, u64)], data: u64) -> Contents {
        let area = |(at, size): &(u64, u64)| json!({"area": {"offset": (2 * copy + at).to_string(), "size": size.to_string()}});
        let slots: serde_json::Map<_, _> =
            slots.iter().enumerate().map(|(number, slot)| (number.to_string(), area(slot))).collect();
        Contents::of_one(json!({
            "segments": {"0": {"offset": data.to_string()}},
            "keyslots": slots,
            "config": {"json_size": (copy - BINARY).to_string(), "keyslots_size": (data - 2 * copy).to_string()},
        }))
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn there_is_room_where_no_key_slot_ever_comes() {
        let row: Vec<_> = (0..8).map(|number| (number * AREA, AREA)).collect();
        for copy in [0x4000, 4 * MIB] {
            for slots in [0, 1, 8] {
                assert_eq!(
                    header(copy, &row[..slots], 16 * MIB).free(),
                    Some(16 * MIB - FREE),
                    "{copy} {slots}"
                );
            }
        }
        // Slot 8 would end where the data begin (`cryptsetup convert`, `luksFormat --offset 4096`).
        for slots in [1, 7, 8] {
            assert_eq!(header(0x4000, &row[..slots], 2 * MIB).free(), None, "{slots}");
        }
        // Larger slots than others have.
        assert_eq!(header(0x4000, &[(0, 2 * AREA)], 16 * MIB).free(), Some(16 * MIB - FREE));
        assert_eq!(header(4 * MIB, &[(0, 2 * AREA)], 16 * MIB).free(), None);
        // In no row: gaps may stay empty.
        for slots in [&[(4096, AREA)][..], &[(0, AREA / 2), (AREA, AREA)]] {
            assert_eq!(header(0x4000, slots, 16 * MIB).free(), Some(16 * MIB - FREE));
            assert_eq!(header(4 * MIB, slots, 16 * MIB).free(), None);
        }
    }

    #[test]
    fn the_room_for_slots_ends_where_the_header_says() {
        let Contents { mut texts, .. } = header(0x4000, &[(0, AREA)], 2 * MIB);
        let mut text = texts.remove(0);
        let mut with = |size: &str| {
            text["config"]["keyslots_size"] = json!(size);
            Contents::of_one(text.clone()).free()
        };
        assert_eq!(with("1048576"), Some(2 * MIB - FREE));
        assert_eq!(with(&(2 * MIB - 0x8000 - FREE).to_string()), Some(2 * MIB - FREE));
        assert_eq!(with(&(2 * MIB - 0x8000).to_string()), None);
        assert_eq!(with("-1"), None);
        text["config"] = json!({});
        assert_eq!(Contents::of_one(text).free(), None, "it does not say");
    }
}
