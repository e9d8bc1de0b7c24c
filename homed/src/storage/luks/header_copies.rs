//! The two copies of a LUKS2 header as bytes: which are sound, and which is newer. No IO.
//!
//! LUKS2 on-disk format 1.1.3, chapter 2: a binary header of 4096 bytes (big endian), and the JSON area. The
//! checksum covers both, with its own field zeroed.

use crate::storage::examined::Headers;
use openssl::sha::sha256;

const FIRST: &[u8] = b"LUKS\xba\xbe\x00\x02";
const SECOND: &[u8] = b"SKUL\xba\xbe\x00\x02";
/// Where the second copy may begin: after each size that the format allows the first.
const SIZES: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

/// Looks at both copies; `read` gives bytes of the encrypted part, or `None` beyond its end.
pub fn look(read: &mut dyn FnMut(u64, usize) -> Option<Vec<u8>>) -> Headers {
    let first = copy(0, FIRST, read);
    let second = match first {
        // The second copy follows the first.
        Some((_, size)) => copy(size, SECOND, read),
        None => SIZES.into_iter().find_map(|size| copy(size, SECOND, read)),
    };
    Headers { first: first.map(|copy| copy.0), second: second.map(|copy| copy.0) }
}

/// Sequence number and size of a sound copy at an offset.
fn copy(
    offset: u64,
    magic: &[u8],
    read: &mut dyn FnMut(u64, usize) -> Option<Vec<u8>>,
) -> Option<(u64, u64)> {
    let head = read(offset, 4096)?;
    let number = |at: usize| head[at..].first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let (size, sequence, own_offset) = (number(8)?, number(16)?, number(256)?);
    if !head.starts_with(magic) || !SIZES.contains(&size) || own_offset != offset {
        return None;
    }
    let mut whole = read(offset, usize::try_from(size).ok()?)?;
    let algorithm = head.get(72..104)?.split(|byte| *byte == 0).next()?;
    let sum = whole.get(448..512)?.to_vec();
    whole.get_mut(448..512)?.fill(0);
    // Homes are made with SHA-256; another algorithm is left to the library, and believed here.
    let sound = algorithm != b"sha256" || sum.starts_with(&sha256(&whole));
    sound.then_some((sequence, size))
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
        bytes[4096..4098].copy_from_slice(b"{}");
        let sum = sha256(&bytes);
        bytes[448..480].copy_from_slice(&sum);
        bytes
    }

    fn looked(image: &[u8]) -> (Option<u64>, Option<u64>) {
        let found = look(&mut |at, length| {
            let at = usize::try_from(at).ok()?;
            Some(image.get(at..at + length)?.to_vec())
        });
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
}
