//! A header with less room for metadata: the library reads all the room there is, twice, and hashes it, whatever is in it,
//! and homes are made with as much as there can be.
//!
//! Only what nobody doubts is copied so: both copies are of the same age, and the first one's checksum holds. All else is
//! the library's to judge, which is given the header as it is.

use super::{Contents, FIRST, Head, Read, SECOND, SIZES, SUM, Sound, head, sound};
use openssl::sha::sha256;
use records::luks2::BINARY;
use serde_json::Value;

/// Most bytes of key slots that the library believes in (LUKS2_MAX_KEYSLOTS_SIZE).
const MOST_SLOTS: u64 = 128 << 20;

/// A header that says what another one does, in less room.
#[derive(Debug)]
pub struct Short {
    /// Both copies, from the beginning of the encrypted part.
    pub bytes: Vec<u8>,
    /// What the other header says.
    pub contents: Contents,
}

impl Short {
    /// Of the header that is read; `None`: it is left to the library.
    pub fn of(read: &mut Read<'_>) -> Option<Self> {
        let Sound { head: first, whole } = sound(0, FIRST, read)?;
        let second = head(first.size, SECOND, read)?;
        if second.sequence != first.sequence || !first.is_sha256() {
            return None;
        }
        let text = whole.get(usize::try_from(BINARY).ok()?..)?.split(|byte| *byte == 0).next()?;
        let text: Value = serde_json::from_slice(text).ok()?;
        let bytes = [(0, FIRST), (1, SECOND)].map(|(place, magic)| copy(&first, &text, place, magic));
        let [Some(one), Some(two)] = bytes else { return None };
        Some(Self { bytes: [one, two].concat(), contents: Contents::of_one(text) })
    }
}

/// One copy: the first or the second.
fn copy(whole: &Head, text: &Value, place: u64, magic: &[u8]) -> Option<Vec<u8>> {
    let binary = usize::try_from(BINARY).ok()?;
    let length = BINARY + serde_json::to_vec(text).ok()?.len() as u64;
    // The numbers below may become longer by some digits; the text ends with a NUL.
    let size = SIZES.into_iter().find(|size| *size > length + 64)?;
    let text = serde_json::to_vec(&smaller(text, whole.size, size)?).ok()?;
    let mut bytes = whole.bytes.clone();
    bytes.get_mut(SUM)?.fill(0);
    bytes.get_mut(..magic.len())?.copy_from_slice(magic);
    bytes.get_mut(8..16)?.copy_from_slice(&size.to_be_bytes());
    bytes.get_mut(256..264)?.copy_from_slice(&(place * size).to_be_bytes());
    bytes.resize(usize::try_from(size).ok()?, 0);
    bytes.get_mut(binary..binary + text.len())?.copy_from_slice(&text);
    let sum = sha256(&bytes);
    bytes.get_mut(SUM.start..SUM.start + sum.len())?.copy_from_slice(&sum);
    Some(bytes)
}

/// The text with other sizes: the room for key slots begins behind the copies, and ends where it did.
fn smaller(text: &Value, from: u64, to: u64) -> Option<Value> {
    let mut text = text.clone();
    let gained = 2 * from.checked_sub(to)?;
    let config = text.get_mut("config")?.as_object_mut()?;
    let slots = config.get("keyslots_size")?.as_str()?.parse::<u64>().ok()?.checked_add(gained)?;
    if gained == 0 || slots > MOST_SLOTS {
        return None;
    }
    config.insert("keyslots_size".into(), slots.to_string().into());
    config.insert("json_size".into(), (to - BINARY).to_string().into());
    Some(text)
}
