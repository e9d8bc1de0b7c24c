//! The level `strict`: what the frozen processes have in memory of their own goes to encrypted swap space, whose key
//! goes too.
//!
//! ```text
//! lock:   space made → memory moved out → space filled │ home sealed, memory written over │ space sealed
//! unlock: key made again → space opened │ home unsealed, processes go on │ space taken out, in the background
//! ```
//!
//! Once the space is sealed, whoever needs a page of it waits without end, and the machine cannot sleep. So nothing but
//! the user's own memory may get in: it is filled up with zeros before it is sealed, in a file that is there as long as
//! the lock. And what others read of frozen processes is brought back: command lines and environments.
//!
//! Who settles a lock or unlock that was broken off asks the kernel: a space beside an open home is taken out, one
//! beside a sealed home is sealed.

use super::memory::{self, Changed};
use super::steps::Reporter;
use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::storage::Opened;
use crate::storage::swap::{Space, State};
use crate::sys::bounded::{Deadline, Late, within};
use crate::sys::{holders, reclaim, swap};
use records::{Refusal, UserName};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

mod key;
mod push;

pub use key::publish;

/// Until all of it must be in swap.
const BOUND: Duration = Duration::from_secs(20);
/// Until the space must be sealed.
const SEALING: Duration = Duration::from_secs(5);
/// More than is held: tables, and rounding.
const MARGIN: u64 = 16 << 20;
/// What may stay besides locked memory, in bytes: command lines, and pages the kernel is busy with.
const MAY_STAY: u64 = 4 << 20;

/// The name of the note about the kernel's settings as long as a space is sealed.
const SEALED: &str = "sealed";

/// Notes about swap space, until the next boot.
fn folder() -> PathBuf {
    "/run/homed/swap".into()
}

/// What the key of a lock is made of.
fn note(user: &UserName) -> PathBuf {
    folder().join(format!("{user}.lock"))
}

fn ballast(user: &UserName) -> PathBuf {
    folder().join(format!("{user}.ballast"))
}

/// The memory of processes, in swap space; it comes back when this is dropped, unless it is kept.
pub struct Away {
    user: UserName,
    kept: bool,
}

impl Away {
    /// Moves it there.
    pub fn put<W: Write>(user: &UserName, uid: u32, steps: &mut Reporter<W>) -> Result<Self, Failure> {
        let deadline = Deadline::after(BOUND);
        // One after the other: the space of one is full before that of the next is there.
        let _alone = memory::alone(deadline)?;
        std::fs::create_dir_all(folder()).during("making the folder for notes about swap space")?;
        steps.enter(Step::MakeSwap)?;
        let space = Space::of(user);
        let away = Self { user: user.clone(), kept: false };
        away.make(&space, uid, deadline)?;
        steps.enter(Step::SwapOut)?;
        let elsewhere = push::of_others(uid);
        let settings = Changed::begin("swap", reclaim::FOR_SWAP)?;
        push::out(uid, deadline)?;
        push::fill(&space, &ballast(user), deadline)?;
        push::what_is_listed(uid);
        push::fill(&space, &ballast(user), deadline)?;
        drop(settings);
        memory::hold(SEALED, reclaim::WHILE_SEALED)?;
        if push::of_others(uid) > elsewhere {
            return refuse(
                Refusal::HomeBusy,
                "The home is not locked: memory got short while its processes' memory was moved away. Try again.",
            );
        }
        tell_what_stays(uid, steps)?;
        Ok(away)
    }

    /// It stays there when this is gone.
    pub fn keep(mut self) {
        self.kept = true;
    }

    fn make(&self, space: &Space, uid: u32, deadline: Deadline) -> Result<(), Failure> {
        let held = push::held(uid);
        if let Some(old) = space.state()? {
            stop_taking_out(space);
            let room = space.usage()?.map_or(0, |swap| swap.free());
            if old == State::InUse && room >= held.bytes && push::of_others(uid) == 0 {
                return Ok(());
            }
            space.take_out_now(deadline)?;
        }
        refuse_other_swap(space, push::held(uid).swapped, deadline)?;
        let key = key::fresh(&self.user)?;
        let room = push::room(uid);
        space.make(room + room / 64 + MARGIN, &key)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if !self.kept {
            // What stays is taken out when the daemon settles it.
            let _ = bring_back(&self.user);
        }
    }
}

/// Whose lock is noted.
fn locked() -> Vec<UserName> {
    let notes = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    let user = |name: std::ffi::OsString| UserName::parse(name.to_str()?.strip_suffix(".lock")?).ok();
    notes.filter_map(|entry| user(entry.file_name())).collect()
}

/// Takes the key of the space out of memory: the home is sealed, and free memory written over.
pub fn seal<W: Write>(user: &UserName, steps: &mut Reporter<W>) -> Result<(), Failure> {
    steps.enter(Step::SuspendSwap)?;
    Space::of(user).seal(Deadline::after(SEALING))
}

/// Puts the key back, where there is a space; nothing else is changed.
pub fn open<W: Write>(user: &UserName, opened: &dyn Opened, steps: &mut Reporter<W>) -> Result<(), Failure> {
    let space = Space::of(user);
    match space.state()? {
        None | Some(State::InUse) => Ok(()),
        Some(State::Sealed) => {
            steps.enter(Step::ResumeSwap)?;
            space.open(&key::again(user, opened)?)
        }
        Some(State::Between) => {
            space.seal(Deadline::after(SEALING))?;
            space.open(&key::again(user, opened)?)
        }
    }
}

/// Brings everything back, in the background: the processes may run meanwhile.
pub fn bring_back(user: &UserName) -> Result<(), Failure> {
    // Not there is just as good.
    let _ = std::fs::remove_file(ballast(user));
    let sealed = |user: &UserName| Space::of(user).state().is_ok_and(|state| state == Some(State::Sealed));
    if !locked().iter().any(sealed) {
        memory::restore(SEALED);
    }
    let space = Space::of(user);
    if space.state()?.is_some() { space.take_out() } else { Ok(()) }
}

/// The home is sealed: its space must be, too. What was broken off before that has not written over free memory.
pub fn settle(user: &UserName) -> Result<(), Failure> {
    match Space::of(user).state()? {
        None | Some(State::Sealed) => Ok(()),
        Some(State::InUse | State::Between) => {
            let _ = memory::scrub()?;
            Space::of(user).seal(Deadline::after(SEALING))
        }
    }
}

/// The processes are about to be ended without the key: what they still need of the space is an error, and no wait.
pub fn cut_off(user: &UserName) -> Result<(), Failure> {
    let space = Space::of(user);
    if space.state()?.is_some() { space.cut_off() } else { Ok(()) }
}

/// The home is closed: nothing of its processes is left that would be needed.
pub fn forget(user: &UserName) {
    // What stays of these is in `/run`, and of no use to anybody.
    let _ = bring_back(user);
    let _ = std::fs::remove_file(note(user));
    let _ = std::fs::remove_file(key::published(user));
}

/// Memory that is in other swap space is not ours to move.
fn refuse_other_swap(space: &Space, swapped: u64, deadline: Deadline) -> Result<(), Failure> {
    let own = space.node();
    let all = swap::active().during("reading the table of swap space")?;
    let others: Vec<_> = all.into_iter().filter(|swap| swap.path != own).collect();
    for other in others.iter().filter(|swap| swap.priority >= swap::HIGHEST && swap.free() > 0) {
        let taken = within(deadline, Late::Kill, || swap::take_out(&other.path));
        if taken.is_err() {
            return refuse(
                Refusal::HomeBusy,
                format!(
                    "The home is not locked: {} would take its processes' memory first. Try again later.",
                    other.path.display()
                ),
            );
        }
    }
    if swapped == 0 {
        return Ok(());
    }
    let names: Vec<_> = others.iter().map(|swap| swap.path.display().to_string()).collect();
    refuse(
        Refusal::NotSupported,
        format!(
            "The home is not locked: its level is \"strict\", and {} KiB of its processes' memory are in other swap space \
             ({}). Type \"swapoff\" for it, or choose the level \"cache\".",
            swapped >> 10,
            names.join(", ")
        ),
    )
}

/// Ends a swapoff of ours that goes on in the background; the space is in use again then.
fn stop_taking_out(space: &Space) {
    let node = space.node();
    let ours = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        words.next().is_some_and(|name| name.ends_with(b"swapoff"))
            && words.next() == Some(node.to_string_lossy().as_bytes())
    };
    for pid in holders::all().filter(ours) {
        super::give_up::end(pid);
    }
}

/// Locked memory stays, and is told; anything else that stays means that the level is not reached.
fn tell_what_stays<W: Write>(uid: u32, steps: &mut Reporter<W>) -> Result<(), Failure> {
    let left = push::held(uid);
    let moveable = left.bytes.saturating_sub(left.locked);
    if moveable > MAY_STAY {
        return Err(Failure::fault(format!(
            "{} KiB of the processes' memory cannot be moved to swap",
            moveable >> 10
        )));
    }
    if left.locked > 0 {
        steps.warn(format!(
            "{} KiB that programs have locked in memory stay there; end those programs (ssh and gpg agents often are).",
            left.locked >> 10
        ));
    }
    Ok(())
}
