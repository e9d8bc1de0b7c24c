//! What is still in memory of files that nobody needs there: dropped, and then written over.
//!
//! Dropping alone does nothing against whoever reads the memory chips: the pages are free, and hold what
//! they held. Only a kernel with `init_on_free=1` writes over them itself.

use super::bounded::{Deadline, Late, Unfinished, within};
use std::fs;
use std::io;
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
/// Asked for at a time while free memory is written over.
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

/// What the kernel keeps free, which is out of reach otherwise: lowered while this lives.
pub struct Watermarks(Vec<(&'static str, String)>);

impl Watermarks {
    /// Lowers them.
    pub fn lower() -> Self {
        let lowest =
            [("/proc/sys/vm/min_free_kbytes", "1024"), ("/proc/sys/vm/watermark_scale_factor", "10")];
        let lower = |(path, value)| {
            let before = fs::read_to_string(path).ok()?;
            fs::write(path, value).ok().map(|()| (path, before.trim().to_owned()))
        };
        Self(lowest.into_iter().filter_map(lower).collect())
    }

    /// The values to be restored, as `path value` lines.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(path, value)| format!("{path} {value}\n")).collect()
    }

    /// Restores values that a killed process has left written down. Lines that name anything else are passed over.
    pub fn restore(text: &str) {
        for (path, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            if path.starts_with("/proc/sys/vm/") && value.bytes().all(|byte| byte.is_ascii_digit()) {
                // They are a matter of speed only.
                let _ = fs::write(path, value);
            }
        }
    }
}

impl Drop for Watermarks {
    fn drop(&mut self) {
        Self::restore(&self.to_text());
    }
}

/// Writes over all free memory that can be had, in a process of its own that the kernel ends first if memory
/// gets short.
pub fn scrub(bound: Duration) -> Result<(), Unfinished> {
    // Fewer and larger pieces are free afterwards; without it, it goes slower.
    let _ = fs::write("/proc/sys/vm/compact_memory", "1");
    match within(Deadline::after(bound), Late::Kill, fill) {
        // Memory got short: all that was free has been written over.
        Err(Unfinished::Failed(text)) if text.contains("signal 9") => Ok(()),
        other => other,
    }
}

fn fill() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", "1000")?;
    let kept = kept_free()? + MARGIN;
    loop {
        let free = field("MemFree:")?;
        let Some(room) = free.checked_sub(kept).and_then(|room| usize::try_from(room).ok()) else {
            return Ok(());
        };
        let length = room.min(PIECE) & !0xffff;
        if length == 0 || populate(length).is_err() {
            return Ok(());
        }
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

/// What the kernel gives to nobody without taking from others: the sum of the zones' high watermarks, in bytes.
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
