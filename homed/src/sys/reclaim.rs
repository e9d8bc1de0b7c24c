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

use super::bounded::{Deadline, Late, Unfinished, within};
use super::{buddy, memory, zones::Zones};
use kept_apart::Spare;
use pages::{Ground, HUGE, Pages, has_huge, populate};
use rustix::thread::CpuSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Where the kernel shows its caches of small things: a folder for each, besides other names of them.
const SLABS: &str = "/sys/kernel/slab";
/// Asked for at a time by all processors together, and no more than half of what can be had: others need memory in the
/// meantime.
const TOGETHER: u64 = 64 << 20;
/// The least that one processor asks for at a time, as long as there is that much.
const PIECE: u64 = 4 << 20;
/// A page of the largest kernel page size, in bytes: pieces are whole ones.
const SMALL: u64 = 64 << 10;
/// Left free, in bytes, over what the kernel keeps for itself.
const MARGIN: u64 = 2 << 20;
/// The most that is taken in the beginning to be exchanged in the end, by all processors together: a quarter of it is for what
/// is left, which on machines with 16 GiB is about as much.
const SPARE: u64 = 256 << 20;
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
    // What is put aside is no part of free memory, and is not counted.
    let room = lock(progress).room();
    let _ = populate(aside.saturating_mul(page).min(room / 4), Pages::Small);
    let length = lock(progress).claim_spare();
    match Spare::take(length, page) {
        Ok(taken) => {
            drop(spare.set(taken));
            lock(progress).taken(length, Ok(()));
        }
        // Without it all the rest is written over.
        Err(_) => lock(progress).claimed -= length,
    }
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
    look: Look,
    failed: Option<io::Error>,
}

/// What was seen of free memory, and when, in bytes.
struct Look {
    when: Instant,
    /// Nobody is given it.
    reserve: u64,
    /// Lies there in huge pages.
    huge: u64,
}

impl Look {
    fn at(zones: &Zones) -> Self {
        let reserve = kept(zones);
        // Which pages the reserve is of, nobody knows. A kernel that does not tell has none.
        let huge = match has_huge() {
            true => buddy::free_in_pieces_of(HUGE).unwrap_or(0).saturating_sub(reserve),
            false => 0,
        };
        Self { when: Instant::now(), reserve, huge }
    }
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
            look: Look::at(zones),
            failed: None,
        };
        begun.note()?;
        Ok(begun)
    }

    /// What a thread takes first of all, to be exchanged in the end for what nobody is given. Twice as much as that, for among it
    /// is what was just given back; and twice that again, for only every second page is given back.
    fn claim_spare(&mut self) -> u64 {
        let left = self.most.saturating_sub(self.written + self.claimed);
        let all = (4 * self.look.reserve).min(SPARE).min(self.room() / 4);
        let length = (all / self.threads).min(left) / SMALL * SMALL;
        self.claimed += length;
        length
    }

    /// What can still be asked for.
    fn room(&mut self) -> u64 {
        if self.look.when.elapsed() > FRESH
            && let Ok(zones) = Zones::now()
        {
            self.look = Look::at(&zones);
            // Some of it is on its way to others, and is there no more, or will not be.
            self.look.huge = self.look.huge.saturating_sub(self.claimed);
        }
        memory_free().saturating_sub(self.look.reserve + self.claimed)
    }

    /// How much is to be taken next, and how; `None`: that was all.
    fn claim(&mut self) -> Option<(u64, Pages)> {
        let left = self.most.saturating_sub(self.written + self.claimed);
        let wanted = (self.room() / 2).min((TOGETHER / self.threads).max(PIECE)).min(left);
        let (length, pages) = piece(wanted, self.look.huge);
        if length == 0 || self.failed.is_some() || self.window.idle >= PATIENCE {
            return None;
        }
        if pages == Pages::Huge {
            self.look.huge -= length;
        }
        self.claimed += length;
        Some((length, pages))
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

/// What is taken of so many bytes that are wanted, where so many lie there in huge pages.
fn piece(wanted: u64, huge: u64) -> (u64, Pages) {
    match wanted.min(huge) / HUGE * HUGE {
        0 => (wanted / SMALL * SMALL, Pages::Small),
        length => (length, Pages::Huge),
    }
}

fn lock<'a, 'b>(progress: &'a Mutex<Progress<'b>>) -> MutexGuard<'a, Progress<'b>> {
    // Each holder changes it whole.
    progress.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn huge_pages_are_taken_where_they_lie_there_and_none_is_made() {
        assert_eq!(piece(64 * MIB, 1 << 30), (64 * MIB, Pages::Huge));
        assert_eq!(piece(64 * MIB, 7 * MIB), (6 * MIB, Pages::Huge));
        assert_eq!(piece(64 * MIB, MIB), (64 * MIB, Pages::Small));
        assert_eq!(piece(MIB + 1, 64 * MIB), (MIB, Pages::Small));
        assert_eq!(piece(SMALL - 1, 64 * MIB).0, 0);
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
