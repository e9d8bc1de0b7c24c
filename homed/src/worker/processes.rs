//! The user's processes: frozen together, and let go on together.
//!
//! Those of his sessions are in his slice. Others that run as he (a shell of `su`, a service) are stopped one by
//! one; which, is remembered in `/run/homed/locked/USER`, which nobody could tell afterwards.

use super::terminals;
use crate::job::{Context, Failure, refuse};
use crate::sys::bounded::{Deadline, Unfinished};
use crate::sys::holders;
use crate::sys::slice::{self, Slice};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use records::{Refusal, UserName};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long thawing may take.
const THAWING: Duration = Duration::from_secs(20);

/// Notes about homes that are locked, and being locked.
pub fn folder() -> PathBuf {
    "/run/homed/locked".into()
}

/// Processes that stand still; they go on when this is dropped, unless it is kept.
pub struct Processes {
    note: PathBuf,
    uid: u32,
    kept: bool,
}

impl Processes {
    /// Stops all of them.
    pub fn freeze(user: &UserName, uid: u32, deadline: Deadline) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder()).during("making the folder for notes about locked homes")?;
        let processes = Self { note: folder().join(user.as_str()), uid, kept: false };
        processes.remember(&[])?;
        super::front::clear(uid);
        if let Some(slice) = Slice::of(uid) {
            slice.freeze(deadline).or_else(|why| not_frozen(&slice, why))?;
        }
        let others = others(uid);
        processes.remember(&others)?;
        for pid in others {
            stop(pid, Signal::SIGSTOP).during(format!("stopping process {pid}"))?;
        }
        Ok(processes)
    }

    /// They stay as they are when this is gone.
    pub fn keep(mut self) {
        self.kept = true;
    }

    fn remember(&self, stopped: &[u32]) -> Result<(), Failure> {
        let text: String = stopped.iter().map(|pid| format!("{pid}\n")).collect();
        std::fs::write(&self.note, text).during("noting which processes are stopped")
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if !self.kept {
            // What stays frozen is let go when the daemon settles it.
            let _ = thaw_noted(&self.note, self.uid);
        }
    }
}

/// Lets the processes of a home that was locked go on.
pub fn thaw(user: &UserName, uid: u32) -> Result<(), Failure> {
    thaw_noted(&folder().join(user.as_str()), uid)
}

/// Thaws what they were in, and forgets about them: they are gone.
pub fn thaw_for_good(user: &UserName, uid: u32) {
    if thaw(user, uid).is_err() {
        // It went away while it was thawed. Not there is just as good for the note.
        let _ = std::fs::remove_file(folder().join(user.as_str()));
    }
}

fn thaw_noted(note: &Path, uid: u32) -> Result<(), Failure> {
    let Ok(text) = std::fs::read_to_string(note) else { return Ok(()) };
    terminals::forget_typed(uid);
    if let Some(slice) = Slice::of(uid) {
        slice.thaw(Deadline::after(THAWING)).during("letting the user's processes go on")?;
    }
    terminals::give_back(note);
    let own = holders::of_user(uid);
    for pid in text.lines().filter_map(|line| line.parse().ok()).filter(|pid| own.contains(pid)) {
        stop(pid, Signal::SIGCONT).during(format!("letting process {pid} go on"))?;
    }
    std::fs::remove_file(note).during("forgetting which processes were stopped")
}

/// Those outside of his slice, as far as they run.
fn others(uid: u32) -> Vec<u32> {
    let slice = Slice::of(uid);
    let outside = |pid: &u32| slice.as_ref().is_none_or(|slice| !slice.has(*pid));
    let runs = |pid: &u32| !matches!(slice::state(*pid), None | Some('T' | 't' | 'Z' | 'X'));
    holders::of_user(uid).into_iter().filter(outside).filter(runs).collect()
}

/// A process that has ended meanwhile is fine.
fn stop(pid: u32, signal: Signal) -> std::io::Result<()> {
    let pid = i32::try_from(pid).map_err(std::io::Error::other)?;
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn not_frozen(slice: &Slice, why: Unfinished) -> Result<(), Failure> {
    let stuck = slice.stuck();
    // Half frozen is worse than not at all.
    let _ = slice.thaw(Deadline::after(THAWING));
    match why {
        Unfinished::Late if !stuck.is_empty() => refuse(
            Refusal::HomeBusy,
            format!(
                "The home is not locked: these of its user's processes cannot be stopped: {}. End them and try again.",
                holders::names(&stuck)
            ),
        ),
        why => Err(why).during("freezing the user's processes"),
    }
}
