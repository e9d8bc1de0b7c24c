//! Memory of processes, moved out to swap.
//!
//! By control group (all that is charged to it, tmpfs too) and by process: who is not in the user's own group, or
//! where there is none. Pages that several processes share are left out by the latter.

use super::shared;
use super::slice::statistic;
use rustix::param::page_size;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::{AddAssign, Range};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use zeroize::Zeroize;

/// Pages that are looked at together: as many as process_vm_readv(2) takes.
const TOGETHER: usize = 1024;
/// proc_pid_pagemap(5), bit 62, in the last byte of an entry: the page is in swap.
const SWAPPED: u8 = 1 << 6;

/// What a group's processes have in memory of their own, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Memory without a file, tmpfs and shared memory, and copies of what is in swap already.
    pub bytes: u64,
    /// What can go nowhere: locked memory.
    pub locked: u64,
    /// What is in swap.
    pub swapped: u64,
}

impl AddAssign for Footprint {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.locked += other.locked;
        self.swapped += other.swapped;
    }
}

/// The account that the kernel keeps of a control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// As [`Footprint`].
    pub bytes: u64,
    /// As [`Footprint`].
    pub locked: u64,
    /// As [`Footprint`]; `None`: it counts no swap (`swapaccount=0`).
    pub swapped: Option<u64>,
}

/// What a control group and those below it hold. `None`: no account is kept of its memory (no memory controller, or not for
/// this group), or it is gone.
pub fn of_group(group: &Path) -> io::Result<Option<Account>> {
    let Some(text) = read_if_there(&group.join("memory.stat"))? else { return Ok(None) };
    let value = |name: &str| {
        statistic(&text, name).ok_or_else(|| io::Error::other(format!("no \"{name}\" in memory.stat")))
    };
    // What is in swap and in memory is told where swap is accounted for.
    let copies = statistic(&text, "swapcached ").unwrap_or(0);
    let swapped = read_if_there(&group.join("memory.swap.current"))?;
    Ok(Some(Account {
        bytes: value("anon ")? + value("shmem ")? + copies,
        locked: value("unevictable ")?,
        swapped: swapped.map(|text| text.trim().parse().map_err(io::Error::other)).transpose()?,
    }))
}

/// What a process holds that no other account tells. `None`: it has ended.
pub fn of_process(pid: u32) -> io::Result<Option<Footprint>> {
    match read_if_there(Path::new(&format!("/proc/{pid}/status")))? {
        None => Ok(None),
        Some(text) => held_as_told(&text).map(Some).ok_or_else(|| {
            io::Error::other("this kernel does not tell what a process has in memory (RssAnon)")
        }),
    }
}

/// proc_pid_status(5). One that has no memory of its own (it is about to end, or is the kernel's) has no such lines; `None`:
/// it has memory, and the kernel does not tell what kind.
fn held_as_told(text: &str) -> Option<Footprint> {
    let value = |name: &str| {
        let kib = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok()).map(|kib| kib * 1024)
    };
    if value("VmSize:").is_none() {
        return Some(Footprint::default());
    }
    Some(Footprint {
        bytes: value("RssAnon:")? + value("RssShmem:")?,
        locked: value("VmLck:")?,
        // Without any swap in this kernel there is nothing in it.
        swapped: value("VmSwap:").unwrap_or(0),
    })
}

/// Bytes in files in memory alone that belong to a user: in the run-time directory and /dev/shm, and what these processes
/// have open without a name. What is in swap is counted, too.
pub fn in_files(uid: u32, pids: &[u32]) -> io::Result<u64> {
    let runtime = format!("/run/user/{uid}");
    let mut files: BTreeMap<shared::Id, u64> = BTreeMap::new();
    files.extend(
        shared::of_user(uid).into_iter().filter(|entry| entry.is_file).map(|entry| (entry.id, entry.bytes)),
    );
    for pid in pids {
        for open in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            // By its name: other files would be asked of servers that may be frozen.
            let name = fs::read_link(open.path()).unwrap_or_default();
            if name.starts_with("/dev/shm") || name.to_string_lossy().starts_with("/memfd:") {
                files.extend(shared::behind(&open.path()).map(|entry| (entry.id, entry.bytes)));
            }
        }
    }
    let inside: u64 = files.values().sum();
    match File::open(runtime) {
        Ok(folder) => {
            let facts = rustix::fs::fstatvfs(folder)?;
            Ok(inside + facts.f_blocks.saturating_sub(facts.f_bfree).saturating_mul(facts.f_frsize))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(inside),
        Err(error) => Err(error),
    }
}

fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        // The group or the process is gone, before it is opened or after.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENODEV)) => Ok(None),
        Err(error) => Err(error),
    }
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
    let page = page_size();
    // What nobody may read is reserved most often, by the terabyte, and cannot be fetched this way.
    let readable = |line: &&str| !line.split_whitespace().nth(1).is_some_and(|mode| mode.starts_with("---"));
    for (start, end) in maps.lines().filter(readable).filter_map(range) {
        for piece in (start..end).step_by(TOGETHER * page) {
            let count = (end - piece).div_ceil(page).min(TOGETHER);
            let read = pagemap.read_at(&mut entries[..count * 8], (piece / page * 8) as u64)?;
            let swapped = |entry: &[u8]| entry[7] & SWAPPED != 0;
            let pages = entries[..read].chunks_exact(8).enumerate().filter(|(_, entry)| swapped(entry));
            touch(pid, &pages.map(|(number, _)| piece + number * page).collect::<Vec<_>>());
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
        in_pieces(start, end, |piece| advise_out(&handle, piece));
    }
    Ok(())
}

/// The same for these addresses alone, as proc_pid_maps(5) has them. Of files, what no other process has mapped goes.
pub fn areas(pid: u32, areas: &[Range<usize>]) -> io::Result<()> {
    let handle = open(pid)?;
    for area in areas {
        in_pieces(area.start, area.end, |piece| advise_out(&handle, piece));
    }
    Ok(())
}

/// The kernel takes 2 GiB at a time, and tells how much it took: none is the end.
fn in_pieces(mut start: usize, end: usize, mut take: impl FnMut(Range<usize>) -> usize) {
    while start < end {
        match take(start..end) {
            0 => return,
            taken => start += taken,
        }
    }
}

fn advise_out(handle: &OwnedFd, range: Range<usize>) -> usize {
    let piece = libc::iovec { iov_base: range.start as *mut _, iov_len: range.len() };
    let (handle, advice, flags) = (handle.as_raw_fd(), libc::MADV_PAGEOUT, 0);
    // SAFETY: the handle is open and the vector lives for the call; the kernel takes the range, which is another
    // process's, as numbers.
    let taken = unsafe { libc::syscall(libc::SYS_process_madvise, handle, &piece, 1usize, advice, flags) };
    usize::try_from(taken).unwrap_or(0)
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
        let held = of_process(std::process::id()).expect("told").expect("runs");
        assert!(held.bytes > 0);
    }

    #[test]
    fn what_is_not_told_is_not_nothing() {
        let told = "VmSize: 9 kB\nVmLck: 0 kB\nRssAnon: 5 kB\nRssShmem: 1 kB\nVmSwap: 3 kB\n";
        assert_eq!(held_as_told(told), Some(Footprint { bytes: 6144, locked: 0, swapped: 3072 }));
        assert_eq!(held_as_told("VmSize: 9 kB\nVmLck: 0 kB\n"), None);
        assert_eq!(held_as_told("Name: kworker\n"), Some(Footprint::default()));
        let folder = tempfile::tempdir().expect("scratch folder");
        assert_eq!(of_group(folder.path()).expect("told"), None);
        fs::write(folder.path().join("memory.stat"), "anon 4096\nshmem 1\nunevictable 2\n").expect("written");
        let account = Account { bytes: 4097, locked: 2, swapped: None };
        assert_eq!(of_group(folder.path()).expect("told"), Some(account));
        fs::write(folder.path().join("memory.swap.current"), "x").expect("written");
        assert!(of_group(folder.path()).is_err());
        fs::write(folder.path().join("memory.stat"), "anon 4096\n").expect("written");
        assert!(of_group(folder.path()).is_err());
    }

    #[test]
    fn a_large_area_is_moved_to_its_end() {
        // As Linux takes it: MAX_RW_COUNT.
        let most = 0x7fff_f000;
        let mut taken = Vec::new();
        in_pieces(0x1000, 0x1000 + 5 * (1 << 30), |piece| {
            taken.push(piece.start);
            piece.len().min(most)
        });
        assert_eq!(taken, [0x1000, 0x1000 + most, 0x1000 + 2 * most]);
        in_pieces(0, 1, |_| 0);
    }

    #[test]
    fn files_in_memory_alone_are_counted() {
        use std::io::Write;
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::memfd_create("counted", flags).expect("made"));
        let before = in_files(u32::MAX, &[std::process::id()]).expect("counted");
        file.write_all(&[1; 1 << 20]).expect("written");
        let after = in_files(u32::MAX, &[std::process::id()]).expect("counted");
        assert_eq!(after - before, 1 << 20);
    }
}
