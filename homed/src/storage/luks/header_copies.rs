//! The copies of a LUKS2 header as bytes: which are sound, and which is newer. What is in them reads `records::luks2`, as it does for
//! whoever carries images; nobody else does before the library. No IO.
//!
//! LUKS2 on-disk format 1.1.3, chapter 2: the checksum covers the binary header and the JSON area, with its own field zeroed.

use crate::storage::examined::Headers;
use openssl::sha::sha256;
pub use records::luks2::{Contents, Read};
use records::luks2::{FIRST, Head, SECOND, SIZES, head};
use std::ops::Range;

/// How a header begins, whatever its version: `LUKS`, and two bytes that are no text.
pub const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// Where the checksum is in it.
const SUM: Range<usize> = 448..512;
mod short;

pub use short::Short;

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
