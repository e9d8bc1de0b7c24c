//! Free memory that a program's own pages are not taken from.
//!
//! The page allocator has a list of free memory for each kind of use, and a page goes back to the list of the kind that was at home
//! around it (mm/page_alloc.c, `rmqueue`, `fallbacks`). Programs are given of the others' lists when their own is empty, and
//! then the largest pieces first. So what is left in the end, where nobody is given more, is what the *kernel* had for itself
//! in single pages: buffers of pipes, blocks of a file system's trees.
//!
//! ```text
//! before:  spare memory, while there is plenty of the programs' own, page by page for two ranges of addresses in turn
//! after:   one range given back ─→ the kernel asked for a page of its own for each
//! ```
//!
//! What the kernel needs for itself and zeroes is a page table: one page for each area that a huge page could fill. Free memory is no
//! less at any time than it was. What is given back is every second page: they do not become a larger piece, which the kernel
//! would prefer. It is given back at once: whoever gives back a page has all processors forget where it was, and wait for that.

use super::pages::{Pages, fill_up, map};
use std::io;

/// One thread's memory, part of which is given up in the end.
pub struct Spare {
    given: *mut libc::c_void,
    pages: usize,
    page: usize,
}

/// How much that is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// All of it.
    pub taken: u64,
    /// Half of so much is given up, of what is taken last: what comes first may be what a processor has put aside.
    pub exchanged: u64,
}

// SAFETY: it is a range of addresses that is mapped as long as the process lives, and that nothing refers to.
unsafe impl Send for Spare {}
// SAFETY: the same; what is given up twice is given up once.
unsafe impl Sync for Spare {}

impl Spare {
    /// Takes so much, zeroed: two pages at least, or nothing where it is less.
    pub fn take(amount: Amount, page: u64) -> io::Result<Self> {
        let (bytes, page) = (size(amount.taken)?, size(page)?);
        let all = bytes / page / 2;
        if all == 0 {
            return Ok(Self { given: std::ptr::null_mut(), pages: 0, page });
        }
        let (given, kept) = (map(all * page, Pages::Small)?, map(all * page, Pages::Small)?);
        for number in 0..all {
            fill_up(given.wrapping_byte_add(number * page), page)?;
            fill_up(kept.wrapping_byte_add(number * page), page)?;
        }
        let pages = all.min(size(amount.exchanged)? / page / 2);
        Ok(Self { given: given.wrapping_byte_add((all - pages) * page), pages, page })
    }

    /// Gives it up, and has the kernel take as much for itself. Ends where that fails: it is a matter of how much can
    /// be had.
    pub fn exchange(&self) {
        let area = area(self.page);
        let Ok(areas) = map((self.pages + 1) * area, Pages::Small) else { return };
        let first = areas.wrapping_byte_add(areas.align_offset(area));
        if self.pages > 0 && give_up(self.given, self.pages * self.page) {
            let _ = (0..self.pages).all(|number| look(first.wrapping_byte_add(number * area), self.page));
        }
    }
}

/// What one page table is for, in bytes: it is a page, and an entry has eight bytes.
fn area(page: usize) -> usize {
    page * (page / 8)
}

fn size(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

/// The pages are the kernel's again.
fn give_up(start: *mut libc::c_void, length: usize) -> bool {
    // SAFETY: a mapping of ours that nothing refers to.
    unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) == 0 }
}

/// Reads where nothing was ever written: that takes a page table, and no memory of one's own.
fn look(start: *mut libc::c_void, page: usize) -> bool {
    // SAFETY: a page of a mapping of ours that nothing refers to.
    unsafe { libc::madvise(start, page, libc::MADV_POPULATE_READ) == 0 }
}

#[cfg(test)]
mod tests {
    use super::super::pages::HUGE;
    use super::*;

    #[test]
    fn a_page_table_is_for_what_a_huge_page_fills() {
        assert_eq!(area(4096) as u64, HUGE);
        assert_eq!((area(16 << 10), area(64 << 10)), (32 << 20, 512 << 20));
    }

    #[test]
    fn spare_memory_becomes_page_tables() {
        let page = rustix::param::page_size() as u64;
        let tables = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("status");
            let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:")).expect("VmPTE");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
        };
        let all = Amount { taken: 64 * page, exchanged: 64 * page };
        let (less, none) =
            (Amount { exchanged: 32 * page, ..all }, Amount { taken: page, exchanged: 32 * page });
        for (amount, expected) in [(all, 32), (less, 16), (none, 0)] {
            let before = tables();
            Spare::take(amount, page).expect("taken").exchange();
            // What is taken has page tables as well.
            let (least, most) = (before + expected * page, before + (expected + 8) * page);
            assert!((least..=most).contains(&tables()), "{amount:?}: {before}, then {}", tables());
        }
    }
}
