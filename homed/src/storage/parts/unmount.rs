//! Taking all mounts of a home's device away: here, and in namespaces that have copies of them.
//!
//! ```text
//! what lies over it → what is below it → the mount itself … → the copies in other mount namespaces
//! ```
//!
//! What a user has mounted there (FUSE) goes along, and so do our covers. What an administrator has mounted there is
//! named, and stays.

use super::cover;
use crate::job::{Context, Failure, Force, Steps, refuse};
use crate::sys::bounded::Deadline;
use crate::sys::holders;
use crate::sys::mount::{self, Entry, Found, Number, Unmount};
use crate::sys::waiting::wait_until;
use records::Refusal;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// How long unmounting in another namespace may take: nobody uses it there, so nothing is left to be written.
const ELSEWHERE: Duration = Duration::from_secs(5);
/// How long whoever asks about the home directory (stat(2)), or has just let go of it, may keep it busy.
const A_LOOK: Duration = Duration::from_millis(200);
/// How long processes may take to tell whether they use a busy home.
const TOLD: Duration = Duration::from_secs(2);
/// So many mounts of one home are taken away.
const MOST: usize = 256;

/// What was mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Was {
    /// All of it for reading only: nothing of the home has been changed.
    pub read_only: bool,
}

/// Unmounts the file system on this device wherever it is mounted. With force, what somebody uses, and whatever is
/// mounted on it, is taken out of the tree all the same.
pub fn all(device: Number, force: Force, steps: &mut dyn Steps) -> Result<Was, Failure> {
    let was = those(&|| mount::of_device(device), force, steps)?;
    copies(device)?;
    Ok(was)
}

/// The same for the mounts that are found so, of which each goes away when it is unmounted.
pub fn those(
    find: &dyn Fn() -> io::Result<Vec<Found>>,
    force: Force,
    steps: &mut dyn Steps,
) -> Result<Was, Failure> {
    let looked = || find().during("reading the table of mounts");
    let mut left = looked()?;
    let was = Was { read_only: !left.is_empty() && left.iter().all(|found| found.mount.is_read_only()) };
    for _ in 0..MOST {
        let ours: Vec<u64> = left.iter().map(|found| found.mount.id).collect();
        // Of several at one place the topmost goes first. One that is hidden may be a copy, and go with another.
        let is_free = |found: &&Found| {
            let on_it = || found.over.iter().chain(&found.below);
            found.reachable && !on_it().any(|mount| ours.contains(&mount.id))
        };
        let Some(found) = left.iter().rev().find(is_free).or(left.last()) else { break };
        one(found, force, steps)?;
        left = looked()?;
    }
    Ok(was)
}

fn one(found: &Found, force: Force, steps: &mut dyn Steps) -> Result<(), Failure> {
    if !found.reachable {
        return hidden(&found.mount);
    }
    let goes = |mount: &&Entry| cover::is_one(mount) || mount.mounted_by().is_some_and(|by| by != 0);
    let on_it = || found.over.iter().chain(&found.below);
    if let Some(stays) = on_it().find(|mount| !goes(mount)) {
        if force == Force::No {
            return in_the_way(stays);
        }
        steps.warn(format!("What was mounted on the home was taken away: {stays}."));
    }
    let lazily = |mount: &Entry| {
        mount::unmount(&mount.target, Unmount::Lazy).during(format!("unmounting {}", mount.target.display()))
    };
    // A mount goes with all that is on it.
    found.over.iter().rev().try_for_each(lazily)?;
    let of_ours = |child: &&Entry| child.parent == found.mount.id;
    found.below.iter().rev().filter(of_ours).try_for_each(lazily)?;
    unmount(&found.mount, force)
}

fn unmount(mount: &Entry, force: Force) -> Result<(), Failure> {
    let target = &mount.target;
    let how = if force == Force::Yes { Unmount::Lazy } else { Unmount::Idle };
    let is_busy = |done: &io::Result<()>| done.as_ref().is_err_and(|e| e.kind() == ErrorKind::ResourceBusy);
    let mut done = Ok(());
    wait_until(A_LOOK, || {
        done = mount::unmount(target, how);
        Ok::<bool, Failure>(!is_busy(&done))
    })?;
    match done {
        Err(_) if is_busy(&done) => {
            let by = holders::told_of_directory(target, Deadline::after(TOLD));
            refuse(Refusal::HomeBusy, format!("The home is still in use{by}. End that and try again."))
        }
        other => other.during(format!("unmounting {}", target.display())),
    }
}

fn in_the_way<T>(what: &Entry) -> Result<T, Failure> {
    refuse(
        Refusal::HomeBusy,
        format!(
            "The home cannot be closed: something else is mounted on it ({what}). Unmount that (umount {}) and try again.",
            what.target.display()
        ),
    )
}

fn hidden<T>(ours: &Entry) -> Result<T, Failure> {
    let target = &ours.target;
    let hides = mount::id_of(target).and_then(|id| {
        Ok(mount::table("self")?.into_iter().find(|mount| mount.id == id && mount.target != *target))
    });
    match hides.during("reading the table of mounts")? {
        Some(what) => in_the_way(&what),
        None => refuse(
            Refusal::HomeBusy,
            format!(
                "The home cannot be closed: something is mounted over {}. Unmount that and try again.",
                target.display()
            ),
        ),
    }
}

/// What is used there stays, and is told by who waits for the device to go.
fn copies(device: Number) -> Result<(), Failure> {
    let deadline = Deadline::after(ELSEWHERE);
    for found in mount::elsewhere(device).during("looking into other mount namespaces")? {
        let _ = found.unmount(deadline);
    }
    Ok(())
}
