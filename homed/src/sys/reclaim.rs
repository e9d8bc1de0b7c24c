//! What is still in memory of files that nobody needs there: dropped, and then written over.
//!
//! Dropping alone does nothing against whoever reads the memory chips: the pages are free, and hold what
//! they held. Only a kernel with `init_on_free=1` writes over them itself.
//!
//! ```text
//! one thread per processor:  what the processor has put aside → claim a piece → the kernel zeroes it ─┐
//!                                                                   └────────── until no room is left ┘
//! ```
//!
//! The kernel zeroes memory as it gives it out, so taking it is writing over it. Nothing is given back until all of it
//! is taken.

use super::bounded::{Deadline, Late, Unfinished, within};
use super::{memory, zones::Zones};
use rustix::thread::CpuSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
/// Asked for at a time by all processors together, and no more than half of what can be had: others need memory in the
/// meantime.
const TOGETHER: u64 = 64 << 20;
/// The least that one processor asks for at a time, as long as there is that much.
const PIECE: u64 = 4 << 20;
/// A page of the largest kernel page size, and a huge page of x86-64, in bytes: pieces are whole ones.
const SMALL: u64 = 64 << 10;
const HUGE: u64 = 2 << 20;
/// Left free, in bytes, over what the kernel keeps for itself.
const MARGIN: u64 = 2 << 20;
/// How often, in a row, free memory may fall by less than half of what was asked for. It does fall less when another
/// program ends just then.
const PATIENCE: usize = 2;
/// How old an answer to what is out of reach may be: it is long on many processors.
const FRESH: Duration = Duration::from_millis(100);
/// The stack of a thread, in bytes.
const STACK: usize = 128 << 10;

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

/// How much was free, and how much of it has been written over, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Free at the beginning (`MemFree`).
    pub free: u64,
    /// Written over.
    pub written: u64,
    /// Why it ended before all that can be had was written over.
    pub cut_short: Option<String>,
}

impl Scrubbed {
    /// The share, in hundredths.
    pub fn percent(&self) -> u64 {
        self.written.saturating_mul(100).checked_div(self.free).unwrap_or(100).min(100)
    }
}

/// Writes over all free memory that can be had without taking from others, or over `most` bytes of it, with all
/// processors, in a process of its own that the kernel ends first if memory gets short. What was written over until a
/// deadline is told all the same.
pub fn scrub(deadline: Deadline, most: u64) -> io::Result<Scrubbed> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let account = File::from(rustix::fs::memfd_create("scrubbed", flags)?);
    let parent = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let cut_short = match within(deadline, Late::Kill, || fill(&account, most, parent)) {
        Ok(()) => None,
        Err(Unfinished::Helper(error)) => return Err(error),
        Err(why) => Some(why.to_string()),
    };
    let mut numbers = [[0; 8]; 2];
    let [free, written] = match account.read_exact_at(numbers.as_flattened_mut(), 0) {
        Ok(()) => numbers.map(u64::from_ne_bytes),
        // It has not come to the first piece.
        Err(_) => [memory_free(), 0],
    };
    Ok(Scrubbed { free, written, cut_short })
}

/// The helper, which has no locked memory: locks do not pass to a child (mlockall(2)).
fn fill(account: &File, most: u64, parent: i32) -> io::Result<()> {
    memory::die_with_parent(parent)?;
    fs::write("/proc/self/oom_score_adj", "1000")?;
    // Whatever limit our own control group has; the first of all has none, and it is not for long.
    let _ = fs::write("/sys/fs/cgroup/cgroup.procs", "0");
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let processors: Vec<usize> =
        (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect();
    let zones = Zones::now()?;
    let progress = Mutex::new(Progress::begin(account, most, processors.len(), &zones)?);
    std::thread::scope(|scope| {
        for processor in processors {
            let (aside, progress) = (zones.aside(processor), &progress);
            let work = move || take_all(processor, aside, progress);
            // Where there is no thread for it, the others do its part.
            let _ = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        }
    });
    let failed = lock(&progress).failed.take();
    failed.map_or(Ok(()), Err)
}

/// One thread.
fn take_all(processor: usize, aside: u64, progress: &Mutex<Progress<'_>>) {
    let mut here = CpuSet::new();
    here.set(processor);
    // Without it, it is slower, and what the processor has put aside may be left.
    let _ = rustix::thread::sched_setaffinity(None, &here);
    let page = rustix::param::page_size() as u64;
    // What is put aside is no part of free memory, and is not counted.
    let room = lock(progress).room();
    let _ = populate(aside.saturating_mul(page).min(room / 4), Pages::Small);
    let mut next = lock(progress).claim();
    let mut ground = Ground::of(room);
    while let Some(length) = next {
        let taken = if length < HUGE { populate(length, Pages::Huge) } else { ground.take(length) };
        let mut progress = lock(progress);
        progress.taken(length, taken);
        next = progress.claim();
    }
}

/// What all threads know.
struct Progress<'a> {
    account: &'a File,
    threads: u64,
    most: u64,
    free: u64,
    written: u64,
    /// Asked for, and not there yet.
    claimed: u64,
    window: Window,
    reserve: (u64, Instant),
    failed: Option<io::Error>,
}

/// Free memory at one time, and what was taken since.
struct Window {
    free: u64,
    taken: u64,
    idle: usize,
}

impl<'a> Progress<'a> {
    fn begin(account: &'a File, most: u64, threads: usize, zones: &Zones) -> io::Result<Self> {
        let free = memory_free();
        let begun = Self {
            account,
            threads: (threads as u64).max(1),
            most,
            free,
            written: 0,
            claimed: 0,
            window: Window { free, taken: 0, idle: 0 },
            reserve: (kept(zones), Instant::now()),
            failed: None,
        };
        begun.note()?;
        Ok(begun)
    }

    /// What can still be asked for.
    fn room(&mut self) -> u64 {
        if self.reserve.1.elapsed() > FRESH {
            let now = Zones::now().map_or(self.reserve.0, |zones| kept(&zones));
            self.reserve = (now, Instant::now());
        }
        memory_free().saturating_sub(self.reserve.0 + self.claimed)
    }

    /// How much is to be taken next; `None`: that was all.
    fn claim(&mut self) -> Option<u64> {
        let left = self.most.saturating_sub(self.written + self.claimed);
        let wanted = (self.room() / 2).min((TOGETHER / self.threads).max(PIECE)).min(left);
        let whole = if wanted >= HUGE { HUGE } else { SMALL };
        let length = wanted / whole * whole;
        if length == 0 || self.failed.is_some() || self.window.idle >= PATIENCE {
            return None;
        }
        self.claimed += length;
        Some(length)
    }

    /// The account is kept as it goes: this process may be ended.
    fn taken(&mut self, length: u64, how: io::Result<()>) {
        self.claimed -= length;
        if let Err(error) = how {
            self.failed = Some(error);
            return;
        }
        self.written += length;
        self.window.add(length, length * self.threads, memory_free());
        if let Err(error) = self.note() {
            self.failed = Some(error);
        }
    }

    fn note(&self) -> io::Result<()> {
        let numbers = [self.free.to_ne_bytes(), self.written.to_ne_bytes()];
        self.account.write_all_at(numbers.as_flattened(), 0)
    }
}

impl Window {
    /// What others are on their way to, `at_work` bytes at most, is gone from free memory before it is counted here, or
    /// after: so it is looked at when four times as much was taken.
    fn add(&mut self, length: u64, at_work: u64, free: u64) {
        self.taken += length;
        if self.taken < 4 * at_work {
            return;
        }
        let fell = self.free.saturating_sub(free);
        let idle = if fell < self.taken / 2 { self.idle + 1 } else { 0 };
        *self = Self { free, taken: 0, idle };
    }
}

fn lock<'a, 'b>(progress: &'a Mutex<Progress<'b>>) -> MutexGuard<'a, Progress<'b>> {
    // Each holder changes it whole.
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How memory is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pages {
    Huge,
    Small,
}

/// Addresses of one thread, beginning where a huge page does. Making a mapping waits until no other thread is being given memory,
/// and has them wait, so it is made once.
struct Ground {
    next: *mut libc::c_void,
    left: usize,
}

impl Ground {
    /// For so many bytes, of which none is memory yet. Where the kernel keeps strict accounts (`vm.overcommit_memory=2`) there may
    /// be none.
    fn of(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(0) / HUGE as usize * HUGE as usize;
        match map(bytes, Pages::Huge) {
            Ok(next) => Self { next, left: bytes },
            Err(_) => Self { next: std::ptr::null_mut(), left: 0 },
        }
    }

    /// Takes that much memory, zeroed, until the process ends.
    fn take(&mut self, length: u64) -> io::Result<()> {
        let bytes = usize::try_from(length).map_err(io::Error::other)?;
        if bytes > self.left {
            return populate(length, Pages::Huge);
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
fn map(length: usize, pages: Pages) -> io::Result<*mut libc::c_void> {
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
fn fill_up(start: *mut libc::c_void, length: usize) -> io::Result<()> {
    // SAFETY: it is a part of a mapping of ours that nothing refers to.
    match unsafe { libc::madvise(start, length, libc::MADV_POPULATE_WRITE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What nobody is given without taking from others, in bytes.
fn kept(zones: &Zones) -> u64 {
    zones.out_of_reach() * rustix::param::page_size() as u64 + MARGIN
}

/// `MemFree`, in bytes.
fn memory_free() -> u64 {
    let info = rustix::system::sysinfo();
    info.freeram * u64::from(info.mem_unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_little_is_written_over_and_told() {
        let done = scrub(Deadline::after(Duration::from_secs(20)), 16 * MIB).expect("done");
        assert_eq!((done.written, done.cut_short), (16 * MIB, None));
    }

    #[test]
    fn what_is_late_tells_how_far_it_came() {
        let done = scrub(Deadline::after(Duration::ZERO), 256 * MIB).expect("told");
        assert!(done.cut_short.is_some() && done.free > 0 && done.written < 256 * MIB, "{done:?}");
    }

    #[test]
    fn it_ends_where_free_memory_does_not_fall() {
        // Two processors, 4 MiB each at a time; every piece comes from what others had.
        let mut window = Window { free: 1000 * MIB, taken: 0, idle: 0 };
        let pieces = (1..).take_while(|_| {
            window.add(4 * MIB, 8 * MIB, 1000 * MIB);
            window.idle < PATIENCE
        });
        assert_eq!(pieces.count() + 1, 16);
    }

    #[test]
    fn it_goes_on_where_free_memory_falls_by_what_is_taken() {
        let mut window = Window { free: 1000 * MIB, taken: 0, idle: 0 };
        for pieces in 1..200 {
            // The other processor is always ahead by a piece, or behind.
            let other = if pieces % 2 == 0 { 4 * MIB } else { 0 };
            window.add(4 * MIB, 8 * MIB, 1000 * MIB - (pieces * 4 * MIB + other));
            assert_eq!(window.idle, 0);
        }
    }
}
