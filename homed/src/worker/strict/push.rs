//! Moving the memory of frozen processes out to swap, and filling the rest of the space.

use crate::job::{Context, Failure};
use crate::storage::swap::Space;
use crate::sys::bounded::{Deadline, Late, within};
use crate::sys::holders;
use crate::sys::pageout::{self, Account, Footprint};
use crate::sys::slice::Slice;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Pages that are being written are given up the next time round.
const ROUNDS: usize = 12;
/// Rounds without any success, after which what is left stays.
const IDLE: usize = 5;
/// How long what is moved out may be on its way before it is looked at again.
const WRITING: Duration = Duration::from_millis(20);
/// Zeros that are added at a time.
const PIECE: u64 = 4 << 20;

/// What the user's processes hold: those of the slice, whoever they are charged to, and others that run as the user. By the
/// account of the slice, and what that does not tell, by process.
pub fn held(uid: u32) -> io::Result<Footprint> {
    let mut all = sum(&others(uid))?;
    let Some(slice) = Slice::of(uid) else { return Ok(all) };
    match pageout::of_group(slice.folder())? {
        Some(Account { bytes, locked, swapped: Some(swapped) }) => {
            all += Footprint { bytes, locked, swapped }
        }
        Some(Account { bytes, locked, swapped: None }) => {
            all += Footprint { bytes, locked, swapped: sum(&inside(&slice))?.swapped };
        }
        None => all += sum(&inside(&slice))?,
    }
    Ok(all)
}

/// Bytes that belong to no process and that no account tells: files in memory alone, where the slice has no account.
pub fn unaccounted(uid: u32) -> io::Result<u64> {
    let account = Slice::of(uid).map(|slice| pageout::of_group(slice.folder())).transpose()?.flatten();
    if account.is_some() { Ok(0) } else { pageout::in_files(uid, &frozen(uid)) }
}

/// What swap space must have room for. The kernel gives up the place in swap of what it fetches when more than half is
/// taken, and [`one_by_one`] has some fetched.
pub fn room(uid: u32) -> io::Result<u64> {
    let one_by_one = if accounted(uid).is_some() { others(uid) } else { frozen(uid) };
    Ok(held(uid)?.bytes + sum(&one_by_one)?.bytes)
}

/// The slice, where an account is kept of its memory: it can be moved as a whole.
fn accounted(uid: u32) -> Option<Slice> {
    Slice::of(uid).filter(|slice| matches!(pageout::of_group(slice.folder()), Ok(Some(_))))
}

fn sum(pids: &[u32]) -> io::Result<Footprint> {
    let mut all = Footprint::default();
    for pid in pids {
        all += pageout::of_process(*pid)?.unwrap_or_default();
    }
    Ok(all)
}

/// Moves out what can go. How much is left is for the caller to see.
pub fn out(uid: u32, deadline: Deadline) -> Result<(), Failure> {
    let push = || match accounted(uid) {
        Some(slice) => {
            one_by_one(&others(uid), deadline)?;
            slice_out(&slice, uid, deadline)
        }
        // No group that could be told to.
        None => one_by_one(&frozen(uid), deadline),
    };
    within(deadline, Late::Kill, push).during("moving the processes' memory to swap")
}

/// Processes outside of the slice: their groups hold other people's memory, too.
fn one_by_one(others: &[u32], deadline: Deadline) -> io::Result<()> {
    let before = pageout::copies()?;
    for _ in 0..ROUNDS {
        for pid in others {
            // One that ends meanwhile holds nothing.
            let _ = pageout::process(*pid);
        }
        if pageout::copies()? <= before || deadline.left().is_zero() {
            break;
        }
        std::thread::sleep(WRITING);
        for pid in others {
            let _ = pageout::take_back(*pid);
        }
    }
    Ok(())
}

/// The slice as a whole, with what is in a tmpfs and mapped by nobody; then what its processes have of other groups'.
fn slice_out(slice: &Slice, uid: u32, deadline: Deadline) -> io::Result<()> {
    let (mut least, mut idle) = (u64::MAX, 0);
    while idle < IDLE && !deadline.left().is_zero() {
        pageout::group(slice.folder(), held(uid)?.bytes);
        for pid in holders::of_user(uid) {
            let _ = pageout::process(pid);
        }
        let now = held(uid)?;
        if now.bytes <= now.locked {
            break;
        }
        idle = if now.bytes < least { 0 } else { idle + 1 };
        least = least.min(now.bytes);
        // What is being written is let go of afterwards only.
        std::thread::sleep(WRITING);
    }
    Ok(())
}

/// Swap that is in use by anybody else, in bytes: what grows meanwhile must not be in a space that is sealed.
pub fn of_others(uid: u32) -> io::Result<u64> {
    let frozen = frozen(uid);
    let others: Vec<_> = holders::all().filter(|pid| !frozen.contains(pid)).collect();
    Ok(sum(&others)?.swapped)
}

/// Brings command lines and environments back: whoever lists processes (ps(1), pgrep(1)) reads them, and would wait
/// where no signal reaches him, and keep the machine from sleeping.
pub fn what_is_listed(uid: u32) {
    for pid in frozen(uid) {
        for file in ["cmdline", "environ"] {
            // One that ends meanwhile has none.
            let _ = pageout::fetch(pid, file);
        }
    }
}

/// All that stand still: his own, and what else is in his slice (login(1) runs as root there).
fn frozen(uid: u32) -> Vec<u32> {
    let slice = Slice::of(uid);
    let own = holders::of_user(uid);
    let stands = |pid: &u32| own.contains(pid) || slice.as_ref().is_some_and(|slice| slice.has(*pid));
    holders::all().filter(stands).collect()
}

/// Fills what is left of the space, so that nothing else ever gets in. Zeros cost next to no time and no disk.
pub fn fill(space: &Space, ballast: &Path, deadline: Deadline) -> Result<(), Failure> {
    let free = || space.usage().map(|usage| usage.map_or(0, |swap| swap.free()));
    let file = File::options().create(true).append(true).read(true).open(ballast);
    let file = file.during("making the ballast of the swap space")?;
    let mut idle = 0;
    while free()? > 0 && idle < ROUNDS {
        let before = free()?;
        let add = || pageout::add_ballast(&file, before.min(PIECE));
        within(deadline, Late::Kill, add).during("filling the swap space")?;
        idle = if free()? < before { 0 } else { idle + 1 };
    }
    match free()? {
        0 => Ok(()),
        left => Err(Failure::fault(format!("{left} bytes of the swap space cannot be filled"))),
    }
}

fn inside(slice: &Slice) -> Vec<u32> {
    holders::all().filter(|pid| slice.has(*pid)).collect()
}

fn others(uid: u32) -> Vec<u32> {
    let slice = Slice::of(uid);
    let outside = |pid: &u32| slice.as_ref().is_none_or(|slice| !slice.has(*pid));
    holders::of_user(uid).into_iter().filter(outside).collect()
}
