//! What is still in memory of files that nobody needs there: dropped, and then written over.
//!
//! Dropping alone does nothing against whoever reads the memory chips: the pages are free, and hold what
//! they held. Only a kernel with `init_on_free=1` writes over them itself.

use super::bounded::{Deadline, Late, Unfinished, within};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Slab caches in which names and small files leave their traces.
const SLABS: [&str; 8] = [
    "dentry",
    "inode_cache",
    "btrfs_inode",
    "ext4_inode_cache",
    "xfs_inode",
    "names_cache",
    "btrfs_extent_buffer",
    "buffer_head",
];
/// Asked for at a time while free memory is written over, and no more than half of what can be had: others need memory
/// in the meantime.
const PIECE: usize = 64 << 20;
/// Left free, in bytes, over what the kernel keeps for itself.
const MARGIN: u64 = 2 << 20;

/// Throws out all file pages, names and inodes that no process uses, of all file systems: the kernel knows
/// no smaller unit.
pub fn drop_caches() -> io::Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    for slab in SLABS {
        // Not every kernel has every cache, or shows them.
        let _ = fs::write(format!("/sys/kernel/slab/{slab}/shrink"), "1");
    }
    Ok(())
}

/// Whether this kernel writes over memory as it is freed.
pub fn is_overwritten_when_freed() -> bool {
    fs::read_to_string("/proc/cmdline")
        .is_ok_and(|text| text.split_whitespace().any(|word| word == "init_on_free=1"))
}

/// A file of the kernel, and what is written to it.
type Setting = (&'static str, &'static str);

/// What the kernel keeps free is out of reach otherwise, and it must not begin to keep more while we are at it: for more,
/// others are driven into swap, and with that little free, swap that needs memory itself (a file, a loop device) may never
/// come to an end.
pub const FOR_SCRUB: &[Setting] = &[
    ("/proc/sys/vm/swappiness", "0"),
    ("/proc/sys/vm/watermark_boost_factor", "0"),
    ("/proc/sys/vm/min_free_kbytes", "1024"),
    ("/proc/sys/vm/watermark_scale_factor", "10"),
];
/// Nothing is kept compressed in memory instead of being swapped, and nothing is read back but what is asked for.
pub const FOR_SWAP: &[Setting] =
    &[("/proc/sys/vm/page-cluster", "0"), ("/sys/module/zswap/parameters/enabled", "N")];
/// The kernel does not fetch swapped memory to make larger pages of it.
pub const WHILE_SEALED: &[Setting] = &[("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_swap", "0")];

/// Settings of the kernel that are others while this lives.
pub struct Settings(Vec<(&'static str, String)>);

impl Settings {
    /// Changes them; what this kernel does not have is left out.
    pub fn change(settings: &[Setting]) -> Self {
        let change = |(path, value): &Setting| {
            let before = fs::read_to_string(path).ok()?;
            fs::write(path, value).ok().map(|()| (*path, before.trim().to_owned()))
        };
        Self(settings.iter().filter_map(change).collect())
    }

    /// The values to be restored, as `path value` lines.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(path, value)| format!("{path} {value}\n")).collect()
    }

    /// They stay.
    pub fn keep(mut self) {
        self.0.clear();
    }

    /// Restores values that were written down. Lines that name anything else are passed over.
    pub fn restore(text: &str) {
        let known: Vec<_> = [FOR_SCRUB, FOR_SWAP, WHILE_SEALED].concat();
        for (path, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if plain && known.iter().any(|setting| setting.0 == path) {
                // They are a matter of speed only.
                let _ = fs::write(path, value);
            }
        }
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        Self::restore(&self.to_text());
    }
}

/// How much was free, and how much of it has been written over, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Free at the beginning (`MemFree`).
    pub free: u64,
    /// Written over.
    pub written: u64,
}

impl Scrubbed {
    /// The share, in hundredths.
    pub fn percent(self) -> u64 {
        self.written.saturating_mul(100).checked_div(self.free).unwrap_or(100).min(100)
    }
}

/// Writes over all free memory that can be had, in a process of its own that the kernel ends first if memory
/// gets short.
pub fn scrub(bound: Duration) -> Result<Scrubbed, Unfinished> {
    // Fewer and larger pieces are free afterwards; without it, it goes slower.
    let _ = fs::write("/proc/sys/vm/compact_memory", "1");
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let account = File::from(rustix::fs::memfd_create("scrubbed", flags).map_err(io::Error::from)?);
    match within(Deadline::after(bound), Late::Kill, || fill(&account)) {
        // Memory got short: all that was free has been written over.
        Err(Unfinished::Failed(text)) if text.contains("signal 9") => {}
        other => other?,
    }
    let mut numbers = [[0; 8]; 2];
    account.read_exact_at(numbers.as_flattened_mut(), 0)?;
    Ok(Scrubbed { free: u64::from_ne_bytes(numbers[0]), written: u64::from_ne_bytes(numbers[1]) })
}

/// The account is kept as it goes: this process may be ended.
fn fill(account: &File) -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", "1000")?;
    // Whatever limit our own control group has; the first of all has none, and it is not for long.
    let _ = fs::write("/sys/fs/cgroup/cgroup.procs", "0");
    let mut done = Scrubbed { free: field("MemFree:")?, written: 0 };
    loop {
        let numbers = [done.free.to_ne_bytes(), done.written.to_ne_bytes()];
        account.write_all_at(numbers.as_flattened(), 0)?;
        let free = field("MemFree:")?;
        let kept = kept_free()? + MARGIN;
        let Some(room) = free.checked_sub(kept).and_then(|room| usize::try_from(room).ok()) else {
            return Ok(());
        };
        let length = (room / 2).min(PIECE) & !0xffff;
        if length == 0 || populate(length).is_err() {
            return Ok(());
        }
        done.written += length as u64;
    }
}

/// Takes that much memory, zeroed, until the process ends.
fn populate(length: usize) -> io::Result<()> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping where the kernel likes it; nothing refers to it.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both advise about the mapping just made. Without huge pages it takes longer.
    unsafe { libc::madvise(start, length, libc::MADV_HUGEPAGE) };
    // SAFETY: as above.
    match unsafe { libc::madvise(start, length, libc::MADV_POPULATE_WRITE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the kernel gives to nobody without taking from others: the sum of the zones' high watermarks, in bytes. They rise
/// by themselves where memory is in many pieces (`watermark_boost_factor`).
fn kept_free() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/zoneinfo")?;
    let high = |line: &str| line.trim().strip_prefix("high ")?.trim().parse::<u64>().ok();
    Ok(text.lines().filter_map(high).sum::<u64>() * 4096)
}

fn field(name: &str) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let value = |line: &str| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok();
    text.lines()
        .find_map(value)
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other("no free memory is told"))
}
