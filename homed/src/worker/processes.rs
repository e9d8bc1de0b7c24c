//! The user's processes: frozen together, and let go on together.
//!
//! Those of the sessions are in the user's slice. Others that run as the user (a shell of `su`, a service) are stopped one
//! by one; which, is remembered in `/run/homed/locked/USER`, which nobody could tell afterwards.

use super::{asked, notes, terminals, waiters};
use crate::job::{Context, Failure, refuse};
use crate::sys::bounded::{Deadline, Unfinished};
use crate::sys::holders::{self, Holder};
use crate::sys::running::{Process, Signal};
use crate::sys::slice::{self, Slice};
use records::{Refusal, UserName};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked for new processes. Each round stops all there are, and one that is stopped starts none.
const ROUNDS: usize = 50;
/// A freeze that has failed is tried again after this.
const AGAIN: Duration = Duration::from_millis(50);
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
    /// Those outside of the slice.
    stopped: BTreeSet<Process>,
    /// Those that a lock before this one has stopped, and that nobody has let go on since.
    earlier: BTreeSet<Process>,
    kept: bool,
}

impl Processes {
    /// Stops all of them.
    pub fn freeze(user: &UserName, uid: u32, deadline: Deadline) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder()).during("making the folder for notes about locked homes")?;
        let note = folder().join(user.as_str());
        let mut processes = Self::begin(note, uid)?;
        super::front::clear(user, uid, || {
            // Without it an empty terminal comes.
            let _ = asked::ask(user);
        });
        processes.freeze_slice(deadline)?;
        processes.again(deadline)?;
        Ok(processes)
    }

    /// Whom the note names stays in it: a lock that was broken off may have stopped them, and settling may not have let them go on.
    fn begin(note: PathBuf, uid: u32) -> Result<Self, Failure> {
        let earlier = match noted(&note).during("reading which processes are stopped")? {
            Some(processes) => processes,
            None => {
                std::fs::write(&note, "").during("noting that the home is locked")?;
                BTreeSet::new()
            }
        };
        Ok(Self { note, uid, stopped: BTreeSet::new(), earlier, kept: false })
    }

    /// Stops those outside of the slice that run: who came into being since. Others come into being as long as one of
    /// them runs, so this ends when none is found that was not told to stop before. A slice that has come since is frozen, too.
    pub fn again(&mut self, deadline: Deadline) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            if Slice::of(self.uid).is_some_and(|slice| !slice.is_frozen() && !slice.processes().is_empty()) {
                self.freeze_slice(deadline)?;
            }
            let new: BTreeSet<_> = others(self.uid).difference(&self.stopped).copied().collect();
            if new.is_empty() {
                return Ok(());
            }
            if deadline.left().is_zero() {
                break;
            }
            // Before they are stopped: nobody could tell afterwards who had been stopped by whom.
            self.stopped.extend(&new);
            self.remember()?;
            for process in new {
                process.signal(Signal::STOP).during(format!("stopping process {}", process.pid))?;
            }
        }
        refuse(
            Refusal::HomeBusy,
            "The home is not locked: its user's processes outside of her sessions start new ones faster than they can be \
             stopped. End them and try again.",
        )
    }

    /// They stay as they are when this is gone.
    pub fn keep(mut self) {
        self.kept = true;
    }

    /// Freezes the user's slice, if there is one. systemd stops a slice when the last session in it has ended, some time after that,
    /// and makes another for the next session: one that goes while it is to be frozen has nothing in it that could run, and the one
    /// that takes its place is frozen instead.
    fn freeze_slice(&self, deadline: Deadline) -> Result<(), Failure> {
        let mut failed = None;
        while let Some(slice) = Slice::of(self.uid) {
            match waiters::freeze(&slice, deadline, &mut |stopped| self.remember_with(stopped)) {
                Ok(()) => break,
                Err(_) if slice.processes().is_empty() => break,
                Err(why @ Unfinished::Failed(_)) if !deadline.left().is_zero() => failed = Some(why),
                // What it said before it was too late tells more.
                Err(Unfinished::Late) => return not_frozen(&slice, failed.unwrap_or(Unfinished::Late)),
                Err(why) => return not_frozen(&slice, why),
            }
            std::thread::sleep(AGAIN);
        }
        Ok(())
    }

    fn remember(&self) -> Result<(), Failure> {
        self.remember_with(&BTreeSet::new())
    }

    fn remember_with(&self, more: &BTreeSet<Process>) -> Result<(), Failure> {
        notes::put(&self.note, &self.text(more)).during("noting which processes are stopped")
    }

    fn text(&self, more: &BTreeSet<Process>) -> String {
        let all: BTreeSet<&Process> = self.earlier.iter().chain(&self.stopped).chain(more).collect();
        all.into_iter().map(Process::to_line).collect()
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

/// Who has files of the home open and is not stopped: somebody else, whoever it is.
pub fn strangers(uid: u32, device: &str) -> Vec<Holder> {
    let slice = Slice::of(uid);
    let own = holders::of_user(uid);
    let is_stranger = |pid: u32| {
        pid != std::process::id() && !own.contains(&pid) && slice.as_ref().is_none_or(|slice| !slice.has(pid))
    };
    holders::with_files_of(device).into_iter().filter(|holder| is_stranger(holder.pid)).collect()
}

/// Thaws what they were in, and forgets about them: they are gone.
pub fn thaw_for_good(user: &UserName, uid: u32) {
    if thaw(user, uid).is_err() {
        // It went away while it was thawed. Not there is just as good for the note.
        let note = folder().join(user.as_str());
        let _ = std::fs::remove_file(&note);
        asked::no_more(&note);
    }
}

fn thaw_noted(note: &Path, uid: u32) -> Result<(), Failure> {
    let Some(stopped) = noted(note).during("reading which processes are stopped")? else {
        asked::no_more(note);
        return Ok(());
    };
    terminals::forget_typed(note, uid);
    terminals::give_screens_back(note);
    let fronts = terminals::forget_visits(uid, || asked::no_more(note));
    if let Some(slice) = Slice::of(uid) {
        slice.thaw(Deadline::after(THAWING)).during("letting the user's processes go on")?;
    }
    // Who is in her way there now has agreed before.
    fronts.into_iter().for_each(|vt| drop(super::front::bring(vt)));
    terminals::give_back(note);
    let inside = Slice::of(uid).map_or_else(Vec::new, |slice| slice.processes());
    let own: BTreeSet<_> = holders::of_user(uid).into_iter().chain(inside).filter_map(Process::of).collect();
    for process in stopped.intersection(&own) {
        process.signal(Signal::CONT).during(format!("letting process {} go on", process.pid))?;
    }
    std::fs::remove_file(note).during("forgetting which processes were stopped")?;
    asked::no_more(note);
    Ok(())
}

/// The processes that a note names; `None`: there is no note, so nobody is locked.
fn noted(note: &Path) -> io::Result<Option<BTreeSet<Process>>> {
    match std::fs::read(note) {
        Ok(bytes) => {
            Ok(Some(String::from_utf8_lossy(&bytes).lines().filter_map(Process::from_line).collect()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Those outside of the slice, as far as they run.
fn others(uid: u32) -> BTreeSet<Process> {
    let slice = Slice::of(uid);
    let outside = |pid: &u32| slice.as_ref().is_none_or(|slice| !slice.has(*pid));
    let runs = |pid: &u32| !matches!(slice::state(*pid), None | Some('T' | 't' | 'Z' | 'X'));
    holders::of_user(uid).into_iter().filter(outside).filter(runs).filter_map(Process::of).collect()
}

fn not_frozen(slice: &Slice, why: Unfinished) -> Result<(), Failure> {
    // What is frozen already is thawed with the rest, by whoever gives up.
    let stuck = slice.stuck();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A UID that no process has.
    const NOBODYS: u32 = 4_000_000_007;

    #[test]
    fn a_lock_over_one_that_was_broken_off_still_knows_whom_that_one_has_stopped() {
        let folder = tempfile::tempdir().expect("folder");
        let note = folder.path().join("alice");
        let own = Process::of(std::process::id()).expect("runs");
        std::fs::write(&note, own.to_line()).expect("written");
        let mut again = Processes::begin(note.clone(), NOBODYS).expect("begun");
        assert_eq!(noted(&note).expect("read"), Some(BTreeSet::from([own])));
        let other = Process::of(1).expect("runs");
        again.stopped.insert(other);
        assert_eq!(
            again.text(&BTreeSet::new()),
            BTreeSet::from([other, own]).iter().map(Process::to_line).collect::<String>()
        );
        // Who has gone on meanwhile is stopped like everybody else.
        assert!(!again.stopped.contains(&own));
        again.keep();
    }

    #[test]
    fn a_first_lock_begins_with_a_note_that_names_nobody() {
        let folder = tempfile::tempdir().expect("folder");
        let note = folder.path().join("alice");
        Processes::begin(note.clone(), NOBODYS).expect("begun").keep();
        assert_eq!(noted(&note).expect("read"), Some(BTreeSet::new()));
    }

    #[test]
    fn a_note_that_cannot_be_read_does_not_say_that_nobody_is_stopped() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(noted(&folder.path().join("none")).expect("looked"), None);
        assert!(thaw_noted(folder.path(), NOBODYS).is_err());
        // What is no text hides nobody.
        let note = folder.path().join("alice");
        std::fs::write(&note, b"\xff\n17 4711\n").expect("written");
        assert_eq!(noted(&note).expect("read").map(|all| all.len()), Some(1));
    }
}
