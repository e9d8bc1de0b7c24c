//! Memory that is taken from the kernel, zeroed, until the process ends.

use std::io;

/// A huge page where pages have 4 KiB, in bytes: pieces are whole ones.
pub const HUGE: u64 = 2 << 20;
/// What this kernel's huge pages have, in bytes (admin-guide/mm/transhuge). Not there: it has none.
const HUGE_HERE: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

/// Whether this kernel has huge pages of that size. Where pages have 16 or 64 KiB they are larger (32, 512 MiB), and are not
/// asked for: there is hardly one to be had without moving what others have in memory.
pub fn has_huge() -> bool {
    std::fs::read_to_string(HUGE_HERE).is_ok_and(|text| is_huge(&text))
}

fn is_huge(text: &str) -> bool {
    text.trim().parse() == Ok(HUGE)
}

/// How memory is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Huge ones.
    Huge,
    /// The kernel's smallest.
    Small,
}

/// Addresses of one thread, all for one kind of pages, beginning where a huge page does. Making a mapping waits until no other thread is being given memory,
/// and has them wait, so it is made once.
pub struct Ground {
    next: *mut libc::c_void,
    left: usize,
    pages: Pages,
}

impl Ground {
    /// For so many bytes, of which none is memory yet. Where the kernel keeps strict accounts (`vm.overcommit_memory=2`) there may
    /// be none.
    pub fn of(bytes: u64, pages: Pages) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(0) / HUGE as usize * HUGE as usize;
        match map(bytes, pages) {
            Ok(next) => Self { next, left: bytes, pages },
            Err(_) => Self { next: std::ptr::null_mut(), left: 0, pages },
        }
    }

    /// Takes that much memory, zeroed, until the process ends.
    pub fn take(&mut self, length: u64) -> io::Result<()> {
        let bytes = usize::try_from(length).map_err(io::Error::other)?;
        if bytes > self.left {
            return populate(length, self.pages);
        }
        let start = self.next;
        (self.next, self.left) = (start.wrapping_byte_add(bytes), self.left - bytes);
        fill_up(start, bytes)
    }
}

/// The same for a mapping of its own.
fn populate(length: u64, pages: Pages) -> io::Result<()> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    if length == 0 {
        return Ok(());
    }
    fill_up(map(length, pages)?, length)
}

/// New addresses, of which none is memory yet.
pub fn map(length: usize, pages: Pages) -> io::Result<*mut libc::c_void> {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // Room to begin where a huge page does; what is not touched costs nothing.
    let whole = length + HUGE as usize;
    // SAFETY: a new mapping where the kernel likes it; nothing refers to it.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), whole, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = start.wrapping_byte_add(start.align_offset(HUGE as usize));
    let advice = match pages {
        Pages::Huge => libc::MADV_HUGEPAGE,
        Pages::Small => libc::MADV_NOHUGEPAGE,
    };
    // SAFETY: advises about a part of the mapping just made. Without huge pages it takes longer.
    unsafe { libc::madvise(start, length, advice) };
    Ok(start)
}

/// Has the kernel put zeroed memory behind addresses that [`map`] gave.
pub fn fill_up(start: *mut libc::c_void, length: usize) -> io::Result<()> {
    // SAFETY: it is a part of a mapping of ours that nothing refers to.
    match unsafe { libc::madvise(start, length, libc::MADV_POPULATE_WRITE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_huge;

    #[test]
    fn huge_pages_of_another_size_are_not_asked_for() {
        for (text, is) in [("2097152\n", true), ("33554432\n", false), ("536870912\n", false), ("", false)] {
            assert_eq!(is_huge(text), is, "{text:?}");
        }
    }
}
