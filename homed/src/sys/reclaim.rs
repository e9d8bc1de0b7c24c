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
//! is taken. Huge pages are taken as long as they lie there. For one that does not, the kernel would move what others have
//! in memory: that takes as long as writing, has them wait, and leaves a copy of each page that was moved.

mod kept_apart;
mod pages;
mod progress;

use super::bounded::{Deadline, Late, Unfinished, within};
use super::{memory, zones::Zones};
use kept_apart::Spare;
use pages::{Ground, Pages};
use progress::Progress;
use rustix::thread::CpuSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Where the kernel shows its caches of small things: a folder for each, besides other names of them.
const SLABS: &str = "/sys/kernel/slab";
/// The stack of a thread, in bytes.
const STACK: usize = 128 << 10;

/// Throws out all file pages, names and inodes that no process uses, of all file systems: the kernel knows
/// no smaller unit.
pub fn drop_caches() -> io::Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3")
}

/// Has the kernel let go of all memory that its caches of small things (names, inodes, buffers) keep for later, and that holds none
/// now. What they hold, they keep as it is, and what was there before, beside it. Not every kernel shows them.
pub fn shrink_slabs() {
    let caches = fs::read_dir(SLABS).into_iter().flatten().flatten();
    // A cache may have more than one name: the others are links.
    let own = caches.filter(|cache| cache.file_type().is_ok_and(|kind| kind.is_dir()));
    for cache in own {
        let _ = fs::write(cache.path().join("shrink"), "1");
    }
}

/// Whether this kernel was told to write over memory as it is freed.
pub fn is_overwritten_when_freed() -> bool {
    fs::read_to_string("/proc/cmdline").is_ok_and(|text| is_told_to_overwrite(&text) == Some(true))
}

/// What a kernel's command line says of that; `None`: nothing. The last word counts, and what comes behind `--` is not for the kernel
/// (kernel-parameters.txt).
pub fn is_told_to_overwrite(line: &str) -> Option<bool> {
    let words = line.split_whitespace().take_while(|word| *word != "--");
    let value = words.filter_map(|word| word.strip_prefix("init_on_free=")).last()?;
    Some(matches!(value, "1" | "on" | "y" | "yes"))
}

/// How much was free, and how much of it has been written over, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Free at the beginning: `MemFree`, and what processors have put aside.
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
    let progress = Mutex::new(Progress::begin(account, most, &processors, &zones)?);
    let spares: Vec<OnceLock<Spare>> = processors.iter().map(|_| OnceLock::new()).collect();
    on_each(&processors, |number, processor| take_all(zones.aside(processor), &spares[number], &progress));
    // When all is taken that programs are given.
    on_each(&processors, |number, _| spares[number].get().into_iter().for_each(Spare::exchange));
    let failed = lock(&progress).failed.take();
    failed.map_or(Ok(()), Err)
}

/// One thread for each processor, which it stays on; returns when all are done. It is told the how manieth it is.
fn on_each(processors: &[usize], work: impl Fn(usize, usize) + Sync) {
    std::thread::scope(|scope| {
        for (number, processor) in processors.iter().enumerate() {
            let work = &work;
            let pinned = move || {
                let mut here = CpuSet::new();
                here.set(*processor);
                // Without it, it is slower, and what the processor has put aside may be left.
                let _ = rustix::thread::sched_setaffinity(None, &here);
                work(number, *processor);
            };
            // Where there is no thread for it, the others do its part.
            let _ = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, pinned);
        }
    });
}

/// One thread.
fn take_all(aside: u64, spare: &OnceLock<Spare>, progress: &Mutex<Progress<'_>>) {
    let page = rustix::param::page_size() as u64;
    let room = lock(progress).room();
    let first = lock(progress).claim_first(room, aside.saturating_mul(page));
    // Without it all the rest is written over.
    let is_taken = Spare::take(first.amount, page).map(|taken| spare.set(taken)).is_ok();
    lock(progress).taken_first(&first, is_taken);
    let mut next = lock(progress).claim();
    let (mut huge, mut small) = (Ground::of(room, Pages::Huge), Ground::of(room, Pages::Small));
    while let Some((length, pages)) = next {
        let taken = match pages {
            Pages::Huge => huge.take(length),
            Pages::Small => small.take(length),
        };
        let mut progress = lock(progress);
        progress.taken(length, taken);
        next = progress.claim();
    }
}

fn lock<'a, 'b>(progress: &'a Mutex<Progress<'b>>) -> MutexGuard<'a, Progress<'b>> {
    // Each holder changes it whole.
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `MemFree`, in bytes.
fn memory_free() -> u64 {
    let info = rustix::system::sysinfo();
    info.freeram * u64::from(info.mem_unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_last_word_on_the_command_line_counts() {
        for (line, said) in [
            ("quiet init_on_free=1", Some(true)),
            ("init_on_free=1 quiet init_on_free=0", Some(false)),
            ("init_on_free=0 init_on_free=on\n", Some(true)),
            ("quiet -- init_on_free=1", None),
            ("init_on_alloc=1", None),
            ("init_on_free", None),
        ] {
            assert_eq!(is_told_to_overwrite(line), said, "{line}");
        }
    }

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
}
