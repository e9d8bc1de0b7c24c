//! How much free memory lies together in large pieces: `/proc/buddyinfo` (proc_buddyinfo(5)).
//!
//! A line is a zone; its numbers are how many pieces of one page are free there, of two, of four, and so on.

use std::fs;
use std::io;

/// Bytes that are free in pieces of at least so many bytes.
pub fn free_in_pieces_of(piece: u64) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/buddyinfo")?;
    Ok(read(&text, rustix::param::page_size() as u64, piece))
}

/// The same as the kernel's text says it, with pages of so many bytes. What is not understood is not free.
fn read(text: &str, page: u64, piece: u64) -> u64 {
    text.lines().map(|line| zone(line, page, piece)).sum()
}

fn zone(line: &str, page: u64, piece: u64) -> u64 {
    let counts = line.split_whitespace().skip_while(|word| *word != "zone").skip(2);
    let sizes = std::iter::successors(Some(page), |size| size.checked_mul(2));
    let free = counts.zip(sizes).filter(|(_, size)| *size >= piece);
    free.map(|(count, size)| count.parse::<u64>().unwrap_or(0).saturating_mul(size)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const TEXT: &str = "\
Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      2      3
Node 0, zone   Normal   6040   4712   1200    700     90     70     60     50      4      5      6
";

    #[test]
    fn what_is_too_small_does_not_count() {
        assert_eq!(read(TEXT, 4096, 2 * MIB), (2 + 5) * 2 * MIB + (3 + 6) * 4 * MIB);
        assert_eq!(read(TEXT, 4096, 4 * MIB), (3 + 6) * 4 * MIB);
        assert_eq!(read(TEXT, 4096, 8 * MIB), 0);
        assert_eq!((read("", 4096, MIB), read("no table\nNode 0, zone Normal x\n", 4096, 4096)), (0, 0));
    }

    #[test]
    fn pieces_are_as_large_as_the_kernel_s_pages_have_it() {
        // 16 KiB: 2 MiB are 2^7 pages. 64 KiB: 2^5.
        let large = |from: usize, page: u64| {
            let counts =
                [[0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3], [6040, 4712, 1200, 700, 90, 70, 60, 50, 4, 5, 6]];
            let zones = counts.iter().flat_map(|zone: &[u64; 11]| zone.iter().enumerate().skip(from));
            zones.map(|(order, count)| count * (page << order)).sum::<u64>()
        };
        assert_eq!(read(TEXT, 16 << 10, 2 * MIB), large(7, 16 << 10));
        assert_eq!(read(TEXT, 64 << 10, 2 * MIB), large(5, 64 << 10));
    }
}
