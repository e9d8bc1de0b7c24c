//! What is in memory of a home besides its key: thrown out, and written over.
//!
//! Once per sleep, however many homes are locked together: who has its key out of memory waits until no other home is on
//! its way there (its [`Turn`]), and the first then drops the caches and writes over free memory for all of them.

use super::notes;
use super::settings::{self, Changed};
use crate::job::{Context, Failure};
use crate::sys::bounded::{Deadline, Late, Unfinished, ask, within};
use crate::sys::clock::since_boot;
use crate::sys::holders;
use crate::sys::mapped_files::{self, Lookout};
use crate::sys::pageout;
use crate::sys::reclaim::{self, Scrubbed};
use crate::sys::slice::{self, Slice};
use crate::sys::unwiped::{self, Marks};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

/// The kernel spares pages that were used a moment ago, the first time.
const ROUNDS: usize = 3;
/// The longest that pages are thrown out which processes have mapped. What comes after, takes the key out of memory, and
/// that must not wait because a cache is large.
const EVICTING: Duration = Duration::from_secs(4);
/// The longest that caches are dropped: a machine with ten million names in memory takes some seconds.
const DROPPING: Duration = Duration::from_secs(10);
/// The longest that free memory is written over: this, and that much for each GiB of the machine's memory, but no more
/// than the last in all. One slow processor alone does 2 GiB a second.
const SCRUB: Duration = Duration::from_secs(5);
const SCRUB_GIB: Duration = Duration::from_millis(500);
const SCRUB_MOST: Duration = Duration::from_secs(20);
/// All of it, waiting for others too.
pub const SWEEP: Duration = Duration::from_secs(35);
/// The same for who settles a lock that was broken off, who has less time.
pub const SWEEP_SETTLING: Duration = Duration::from_secs(20);
/// How long homes that are on their way are waited for.
const WAITING: Duration = Duration::from_secs(15);
/// How long somebody who settles waits for another that is at it.
const SETTLING: Duration = Duration::from_secs(5);
/// How long somebody who begins waits for who only looks whether anybody is on the way.
const LOOKING: Duration = Duration::from_secs(1);

/// What is left in memory of a home's files that processes have mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evicted {
    /// So many pages.
    Left(usize),
    /// Nobody knows, and why: it took too long, most likely, and was left at that.
    Unknown(String),
}

/// Throws out what anybody has mapped of a home's files. Never takes longer than its own bound, and never keeps a key
/// in memory by failing. What nobody uses goes with [`sweep`], when the key is out of memory.
pub fn evict(uid: u32, device: &str) -> Evicted {
    let evict = || evict_mapped(uid, device).map(|pages| pages.to_string());
    let pages = ask(Deadline::after(EVICTING), Late::Kill, evict).map_err(|error| error.to_string());
    let pages = pages.and_then(|pages| pages.parse().map_err(|_| format!("what is {pages:?}?")));
    pages.map_or_else(Evicted::Unknown, Evicted::Left)
}

/// How many pages are left, or who did not tell what they have mapped: what all others have is thrown out before that is said.
fn evict_mapped(uid: u32, device: &str) -> Result<usize, String> {
    if let Some(slice) = Slice::of(uid) {
        slice::drop_file_pages(slice.folder());
    }
    let mut lookout = Lookout::new(device, uid);
    let mut mapped = lookout.look();
    for _ in 0..ROUNDS {
        if mapped.pages == 0 {
            break;
        }
        // Process by process, what nobody else has mapped; then by groups, which may be other people's.
        mapped.areas.iter().for_each(|(pid, areas)| drop(pageout::areas(*pid, areas)));
        mapped = lookout.look();
        mapped_files::folders(&mapped.groups).iter().for_each(|group| slice::drop_file_pages(group));
        mapped = lookout.look();
    }
    let late = holders::named(lookout.late());
    if late.is_empty() {
        return Ok(mapped.pages);
    }
    Err(format!("these processes did not tell in time what they have mapped: {}", holders::names(&late)))
}

/// A home that is on its way to be locked: as long as this lives, no other's memory is swept. It is gone with its
/// process. Without it (it never keeps a home from being locked) there may be more sweeps than one.
pub struct Turn(Option<File>);

impl Turn {
    /// From the beginning of a lock.
    pub fn take() -> Self {
        let file = open("locking").ok();
        let shared = |file: &File| flock(file, FlockOperation::LockShared, Deadline::after(LOOKING)).is_ok();
        Self(file.filter(shared))
    }

    /// Waits until no home is on its way any more; who is late is not waited for.
    fn pass(self, deadline: Deadline) {
        if let Some(file) = self.0 {
            // The shared lock is given up first, and the file closed afterwards.
            let _ = flock(&file, FlockOperation::LockExclusive, deadline);
        }
    }
}

/// What a sweep came to.
#[derive(Debug, Default)]
pub struct Swept {
    /// Not all caches were dropped, and why.
    pub kept: Option<String>,
    /// How much was written over; `None`: the kernel did it already, or another home's sweep did it for this one too.
    pub scrubbed: Option<Scrubbed>,
}

/// Less than so many hundredths of the free memory are told.
const ENOUGH: u64 = 90;

impl Swept {
    /// What is told of it; nothing: all of it was written over.
    pub fn warnings(&self) -> Vec<String> {
        let kept = self.kept.as_ref().map(|why| {
            format!("What was in memory of files may be left there: dropping the caches failed ({why}).")
        });
        let scrubbed = self.scrubbed.as_ref().filter(|done| done.percent() < ENOUGH).map(|done| {
            let why = done.cut_short.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
            format!(
                "Only {} % of the free memory could be written over ({} of {} MiB{why}); what was deleted may be left in the rest.",
                done.percent(),
                done.written >> 20,
                done.free >> 20
            )
        });
        kept.into_iter().chain(scrubbed).collect()
    }
}

/// Drops all caches and writes over free memory, unless that was begun by another after this home's key was gone. Has
/// bounds of its own throughout, and the deadline for all of it: what is late is told, and not done again by the next.
pub fn sweep(turn: Turn, deadline: Deadline) -> Result<Swept, Failure> {
    let asked = since_boot().as_nanos();
    let bound = bound(rustix::system::sysinfo());
    turn.pass(deadline.at_most(WAITING));
    let mut alone = alone(deadline)?;
    if alone.last_sweep().is_some_and(|begun| begun > asked) {
        return Ok(Swept::default());
    }
    let begun = since_boot().as_nanos();
    // Who is killed from now on has its memory freed too late.
    let marks = Marks::look(Path::new(unwiped::FOLDER)).during("looking for processes that were killed")?;
    // A name that was looked up since the last time only loses its mark of being in use; the second time it goes.
    let drop_all = || {
        reclaim::drop_caches()?;
        reclaim::drop_caches()
    };
    let dropped = within(deadline.at_most(DROPPING), Late::Kill, drop_all);
    // However that ended: what was dropped lies in slabs.
    let shrunk = within(deadline.at_most(DROPPING), Late::Kill, || {
        reclaim::shrink_slabs();
        io::Result::Ok(())
    });
    let kept = dropped.and(shrunk).err();
    let mut swept = Swept { kept: kept.map(|error| error.to_string()), scrubbed: None };
    if !reclaim::is_overwritten_when_freed() {
        let settings = Changed::begin(settings::FOR_SCRUB, &alone)?;
        let done = reclaim::scrub(deadline.at_most(bound), u64::MAX);
        drop(settings);
        swept.scrubbed = Some(done.during("writing over free memory")?);
    }
    alone.note_sweep(begun).during("noting the scrub")?;
    if swept.warnings().is_empty() {
        marks.are_written_over().during("forgetting about processes that were killed")?;
    }
    Ok(swept)
}

fn bound(info: rustix::system::Sysinfo) -> Duration {
    let gib = (info.totalram * u64::from(info.mem_unit)).div_ceil(1 << 30);
    let more = SCRUB_GIB.saturating_mul(u32::try_from(gib).unwrap_or(u32::MAX));
    SCRUB.saturating_add(more).min(SCRUB_MOST)
}

/// Nobody else sweeps, moves memory to swap, or changes the kernel's settings, as long as this is open. A worker's
/// helpers have it open, too.
pub struct Alone(File);

/// Waits until nobody else is at it: a sweep makes memory short, and what is short of memory goes to swap.
pub fn alone(deadline: Deadline) -> Result<Alone, Failure> {
    let file = open("scrub").during("opening the note about the last scrub")?;
    flock(&file, FlockOperation::LockExclusive, deadline)
        .during("waiting for another home that is being locked")?;
    Ok(Alone(file))
}

impl Alone {
    /// The same, where nobody is at it now.
    pub fn at_once() -> Option<Self> {
        let file = open("scrub").ok()?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self(file))
    }

    /// When the last sweep began, since the boot, in nanoseconds.
    fn last_sweep(&mut self) -> Option<u128> {
        let mut begun = String::new();
        self.0.rewind().and_then(|()| self.0.read_to_string(&mut begun)).ok()?;
        begun.trim().parse().ok()
    }

    /// Cut in two it is a smaller number, and one that was long before.
    fn note_sweep(&mut self, begun: u128) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        write!(self.0, "{begun}")
    }
}

/// Puts back what a killed worker has left changed. Who lives and is at it does so himself.
pub fn settle() {
    if let Ok(alone) = alone(Deadline::after(SETTLING)) {
        [settings::FOR_SCRUB, settings::FOR_SWAP].into_iter().for_each(|set| settings::restore(set, &alone));
    }
}

fn open(name: &str) -> io::Result<File> {
    let path = Path::new(notes::FOLDER).join(name);
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

/// Locks the file, which is most often free.
fn flock(file: &File, operation: FlockOperation, deadline: Deadline) -> Result<(), Unfinished> {
    let at_once = match operation {
        FlockOperation::LockShared => FlockOperation::NonBlockingLockShared,
        _ => FlockOperation::NonBlockingLockExclusive,
    };
    match rustix::fs::flock(file, at_once) {
        Ok(()) => Ok(()),
        // A copy of this process waits: the lock is the open file's, which both have.
        Err(_) => within(deadline, Late::Kill, || rustix::fs::flock(file, operation)),
    }
}
