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

use super::memory::{self, Alone};
use super::settings::{self, Changed};
use super::steps::Reporter;
use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::storage::Vault;
use crate::storage::swap::{Space, State};
use crate::sys::bounded::{Deadline, Late, within};
use crate::sys::{holders, swap};
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

/// A count that cannot be had is not 0: the lock is refused.
const COUNTING: &str = "counting what the processes have in memory";

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
        let alone = memory::alone(deadline)?;
        std::fs::create_dir_all(folder()).during("making the folder for notes about swap space")?;
        steps.enter(Step::MakeSwap)?;
        refuse_what_no_account_tells(uid)?;
        let space = Space::of(user);
        let away = Self { user: user.clone(), kept: false };
        away.make(&space, uid, deadline, steps)?;
        steps.enter(Step::SwapOut)?;
        let elsewhere = push::of_others(uid).during(COUNTING)?;
        let changed = Changed::begin(settings::FOR_SWAP, &alone)?;
        push::out(uid, deadline)?;
        push::fill(&space, &ballast(user), deadline)?;
        push::what_is_listed(uid);
        push::fill(&space, &ballast(user), deadline)?;
        drop(changed);
        settings::hold(settings::WHILE_SEALED, &alone)?;
        if push::of_others(uid).during(COUNTING)? > elsewhere {
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

    fn make(
        &self,
        space: &Space,
        uid: u32,
        deadline: Deadline,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure> {
        let held = push::held(uid).during(COUNTING)?;
        if let Some(old) = space.state()? {
            stop_taking_out(space);
            let room = space.usage()?.map_or(0, |swap| swap.free());
            if old == State::InUse && room >= held.bytes && push::of_others(uid).during(COUNTING)? == 0 {
                return Ok(());
            }
            space.take_out_now(deadline)?;
        }
        let swapped = push::held(uid).during(COUNTING)?.swapped;
        refuse_other_swap(space, swapped, deadline)?;
        let key = key::fresh(&self.user)?;
        let room = push::room(uid).during(COUNTING)?;
        space.make(room + room / 64 + MARGIN, &key, steps)
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

/// Whether anybody's space is filled: sealed, or on the way to be.
fn is_any_filled() -> bool {
    let notes = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    notes.into_iter().any(|note| note.path().extension().is_some_and(|kind| kind == "ballast"))
}

/// Takes the key of the space out of memory: the home is sealed, and free memory written over.
pub fn seal<W: Write>(user: &UserName, steps: &mut Reporter<W>) -> Result<(), Failure> {
    steps.enter(Step::SuspendSwap)?;
    Space::of(user).seal(Deadline::after(SEALING))
}

/// Puts the key back, where there is a space; nothing else is changed.
pub fn open<W: Write>(user: &UserName, opened: &dyn Vault, steps: &mut Reporter<W>) -> Result<(), Failure> {
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
    settle_settings();
    let space = Space::of(user);
    if space.state()?.is_some() { space.take_out() } else { Ok(()) }
}

/// Puts back what is another setting of the kernel's while somebody's space is filled, if nobody's is. Where another home is
/// at work it stays: that one needs it, or puts it back itself when it goes on, as a settle does.
pub fn settle_settings() {
    if let Some(alone) = Alone::at_once().filter(|_| !is_any_filled()) {
        settings::restore(settings::WHILE_SEALED, &alone);
    }
}

/// The home is sealed: its space must be, too. What was broken off before that has not written over free memory.
pub fn settle(user: &UserName) -> Result<(), Failure> {
    match Space::of(user).state()? {
        None | Some(State::Sealed) => Ok(()),
        Some(State::InUse | State::Between) => {
            memory::sweep(memory::Turn::take(), Deadline::after(memory::SWEEP_SETTLING))?;
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

/// Without an account of the slice (no memory controller), processes can be moved one by one; a file in memory alone cannot.
fn refuse_what_no_account_tells(uid: u32) -> Result<(), Failure> {
    let bytes = push::unaccounted(uid).during(COUNTING)?;
    if bytes <= MAY_STAY {
        return Ok(());
    }
    refuse(
        Refusal::NotSupported,
        format!(
            "The home is not locked: its level is \"strict\", and {} KiB of its processes' memory are in files in memory alone \
             (/run/user/{uid}, /dev/shm, memfd), which cannot be moved here: no account is kept of the memory of user-{uid}.slice. \
             Start the kernel with cgroup_enable=memory, or without cgroup_disable=memory, set MemoryAccounting=yes, or choose the level \"cache\".",
            bytes >> 10
        ),
    )
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
    let left = push::held(uid).during(COUNTING)?;
    let moveable = left.bytes.saturating_sub(left.locked);
    if moveable > MAY_STAY {
        return refuse(
            Refusal::HomeBusy,
            format!(
                "The home is not locked: its level is \"strict\", and {} KiB of its processes' memory cannot be moved to swap \
                 space. Nothing was changed. Try again, end some programs, or choose the level \"cache\".",
                moveable >> 10
            ),
        );
    }
    if left.locked > 0 {
        steps.warn(format!(
            "{} KiB that programs have locked in memory stay there; end those programs (ssh and gpg agents often are).",
            left.locked >> 10
        ));
    }
    Ok(())
}
