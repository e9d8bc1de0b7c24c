//! Memory of processes, moved out to swap.
//!
//! By control group (all that is charged to it, tmpfs too) and by process: who is not in the user's own group, or
//! where there is none. Pages that several processes share are left out by the latter.

use super::slice::statistic;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use zeroize::Zeroize;

const PAGE: usize = 4096;
/// Pages that are looked at together: as many as process_vm_readv(2) takes.
const TOGETHER: usize = 1024;
/// proc_pid_pagemap(5), bit 62, in the last byte of an entry: the page is in swap.
const SWAPPED: u8 = 1 << 6;

/// What a group's processes have in memory of their own, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Memory without a file, tmpfs and shared memory, and copies of what is in swap already.
    pub bytes: u64,
    /// What can go nowhere: locked memory.
    pub locked: u64,
    /// What is in swap.
    pub swapped: u64,
}

/// What a control group and those below it hold.
pub fn of_group(group: &Path) -> Option<Held> {
    let text = fs::read_to_string(group.join("memory.stat")).ok()?;
    let value = |name| statistic(&text, name).unwrap_or(0);
    let swapped = fs::read_to_string(group.join("memory.swap.current")).ok()?.trim().parse().ok()?;
    let bytes = value("anon ") + value("shmem ") + value("swapcached ");
    Some(Held { bytes, locked: value("unevictable "), swapped })
}

/// What a process holds that no other account tells (proc_pid_status(5)).
pub fn of_process(pid: u32) -> Option<Held> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |name: &str| {
        let kib = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Some(Held {
        bytes: value("RssAnon:") + value("RssShmem:"),
        locked: value("VmLck:"),
        swapped: value("VmSwap:"),
    })
}

/// What is in swap and in memory, of all processes, in bytes.
pub fn copies() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("SwapCached:")?.trim().strip_suffix(" kB"));
    let kib = kib.and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no SwapCached in /proc/meminfo"))
}

/// Gives a process back what is on its way to swap. The kernel keeps what it has written until somebody is short of
/// memory; what is given back and moved out once more, it drops at once.
pub fn take_back(pid: u32) -> io::Result<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
    let mut entries = vec![0; TOGETHER * 8];
    for (start, end) in maps.lines().filter_map(range) {
        for piece in (start..end).step_by(TOGETHER * PAGE) {
            let count = (end - piece).div_ceil(PAGE).min(TOGETHER);
            let read = pagemap.read_at(&mut entries[..count * 8], (piece / PAGE * 8) as u64)?;
            let swapped = |entry: &[u8]| entry[7] & SWAPPED != 0;
            let pages = entries[..read].chunks_exact(8).enumerate().filter(|(_, entry)| swapped(entry));
            touch(pid, &pages.map(|(number, _)| piece + number * PAGE).collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Has the kernel fetch what a file of a process shows of its memory (`cmdline`, `environ`).
pub fn fetch(pid: u32, file: &str) -> io::Result<()> {
    fs::read(format!("/proc/{pid}/{file}")).map(|mut text| text.zeroize())
}

/// Reads a byte of each page, for the kernel to fetch it.
fn touch(pid: u32, pages: &[usize]) {
    let Ok(pid) = i32::try_from(pid) else { return };
    let mut bytes = vec![0u8; pages.len()];
    let own = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote: Vec<_> =
        pages.iter().map(|page| libc::iovec { iov_base: *page as *mut _, iov_len: 1 }).collect();
    let count = remote.len() as libc::c_ulong;
    // SAFETY: both vectors and our buffer live for the call; the other process's addresses are numbers to us. Pages
    // that are gone meanwhile are an error, which is as good.
    unsafe { libc::process_vm_readv(pid, &own, 1, remote.as_ptr(), count, 0) };
    bytes.zeroize();
}

/// Asks the kernel once to move a group's memory out. `EAGAIN` and less than was asked for are normal.
pub fn group(group: &Path, bytes: u64) {
    let file = group.join("memory.reclaim");
    // The first is known from 6.16 on, the second from 6.10, the last from 5.19; where file pages are gone, all
    // of them mean the same.
    for words in [" swappiness=max", " swappiness=200", ""] {
        match fs::write(&file, format!("{bytes}{words}")) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            _ => return,
        }
    }
}

/// Asks the kernel to move a process's memory out, piece by piece; what cannot go stays.
pub fn process(pid: u32) -> io::Result<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let handle = open(pid)?;
    for (start, end) in maps.lines().filter_map(range) {
        let piece = libc::iovec { iov_base: start as *mut _, iov_len: end - start };
        let (handle, advice, flags) = (handle.as_raw_fd(), libc::MADV_PAGEOUT, 0);
        // SAFETY: the handle is open and the vector lives for the call; the kernel takes the range, which is another
        // process's, as numbers.
        unsafe { libc::syscall(libc::SYS_process_madvise, handle, &piece, 1usize, advice, flags) };
    }
    Ok(())
}

/// Adds zeros to a file in a tmpfs and moves them out to swap, where each page takes the place of one.
pub fn add_ballast(file: &File, bytes: u64) -> io::Result<()> {
    let old = file.metadata()?.len();
    file.set_len(old + bytes)?;
    let length = usize::try_from(bytes).map_err(io::Error::other)?;
    let offset = i64::try_from(old).map_err(io::Error::other)?;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping where the kernel likes it, of a file that is open.
    let start =
        unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, file.as_raw_fd(), offset) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both advise about the mapping just made, and the last takes it away; nothing refers to it.
    let done = unsafe {
        let done = libc::madvise(start, length, libc::MADV_POPULATE_WRITE);
        libc::madvise(start, length, libc::MADV_PAGEOUT);
        libc::munmap(start, length);
        done
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes integers and gives a new fd.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the fd is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// proc_pid_maps(5): the addresses from and to. The kernel's own pages in every process are left out.
fn range(line: &str) -> Option<(usize, usize)> {
    if line.ends_with("[vdso]") || line.ends_with("[vsyscall]") || line.contains("[vvar") {
        return None;
    }
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_process_are_read() {
        assert_eq!(range("1000-3000 rw-p 00000000 00:00 0   [heap]"), Some((0x1000, 0x3000)));
        assert_eq!(range("7ffd1000-7ffd3000 r-xp 00000000 00:00 0   [vdso]"), None);
        assert_eq!(range(""), None);
    }

    #[test]
    fn what_we_hold_ourselves_is_told() {
        assert!(of_process(std::process::id()).is_some_and(|held| held.bytes > 0));
    }
}
