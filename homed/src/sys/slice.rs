//! A user's processes, as systemd keeps them together: `user-UID.slice`, a control group.
//!
//! Where systemd runs, it does the freezing and thawing, or it would put right what others have written;
//! elsewhere the control group's own files do.

use super::bounded::{Deadline, Late, Unfinished, ask, within};
use super::holders::Holder;
use super::running::Process;
use super::{process, procfs};
use records::visible::visible;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where control groups are, version 2.
const ROOT: &str = "/sys/fs/cgroup";
/// What a process has open that serves a file system, in whichever `/dev` (fuse(4)).
const SERVED_BY: &str = "dev/fuse";
/// How often a freeze without systemd is looked at: its end is an event of a file that cannot be waited for with a bound.
const LOOK: Duration = Duration::from_millis(5);

/// The slice of one user.
pub struct Slice {
    name: String,
    folder: PathBuf,
}

impl Slice {
    /// The slice of a user who has one now.
    pub fn of(uid: u32) -> Option<Self> {
        let name = format!("user-{uid}.slice");
        let folder = Path::new(ROOT).join("user.slice").join(&name);
        folder.is_dir().then_some(Self { name, folder })
    }

    /// Freezes everything in it, and returns when it is frozen.
    pub fn freeze(&self, deadline: Deadline) -> Result<(), Unfinished> {
        if has_systemd() {
            return within(deadline, Late::Kill, || process::run("systemctl", &["freeze", &self.name]));
        }
        fs::write(self.folder.join("cgroup.freeze"), "1")?;
        while !self.is_frozen() {
            if deadline.left().is_zero() {
                return Err(Unfinished::Late);
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Lets it go on, and returns when it does.
    ///
    /// Before a sleep systemd freezes the slice of all users as well. It may then take the units in here for frozen
    /// by somebody's wish, and does so still when the slice is thawed: then they stand still, or they run and can
    /// never be stopped, so that nobody gets logged out. Each is asked for by its own name, until neither the kernel
    /// nor systemd takes any for frozen.
    pub fn thaw(&self, deadline: Deadline) -> Result<(), Unfinished> {
        if !has_systemd() {
            return Ok(fs::write(self.folder.join("cgroup.freeze"), "0")?);
        }
        let thaw = |unit: &str| within(deadline, Late::Kill, || process::run("systemctl", &["thaw", unit]));
        loop {
            // One that goes meanwhile, as a slice does that nothing is in, cannot be thawed, and need not be.
            let thawed = thaw(&self.name);
            let units = self.frozen_units(deadline)?;
            if !self.is_frozen() && units.is_empty() {
                return Ok(());
            }
            // One that has just ended cannot be thawed.
            units.iter().for_each(|unit| drop(thaw(unit)));
            if deadline.left().is_zero() {
                return thawed.and(Err(Unfinished::Late));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The units right in it (sessions, the user manager) that are frozen by themselves, or that systemd takes for
    /// that. Below them the user's own manager rules.
    fn frozen_units(&self, deadline: Deadline) -> Result<Vec<String>, Unfinished> {
        let units = self.units();
        let words = ["show", "--property=Id", "--property=FreezerState", "--"];
        let words: Vec<&str> = words.into_iter().chain(units.iter().map(String::as_str)).collect();
        let taken = match units.is_empty() {
            true => Vec::new(),
            false => taken_for_frozen(&ask(deadline, Late::Kill, || process::output("systemctl", &words))?),
        };
        let frozen = |unit: &String| {
            let kernel = fs::read_to_string(self.folder.join(unit).join("cgroup.freeze"));
            taken.contains(unit) || kernel.is_ok_and(|text| text.trim() == "1")
        };
        Ok(units.into_iter().filter(frozen).collect())
    }

    fn units(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter(|entry| entry.path().is_dir());
        names.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Whether all of it is frozen.
    pub fn is_frozen(&self) -> bool {
        fs::read_to_string(self.folder.join("cgroup.events"))
            .is_ok_and(|text| text.lines().any(|line| line == "frozen 1"))
    }

    /// Ends everything in it, frozen or not.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.kill"), "1")
    }

    /// The ids of all processes in it and below.
    pub fn processes(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            // A group that has just gone has none; those of threads are told one level up.
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(
                entries
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            );
        }
        found
    }

    /// Whether a process is in it.
    pub fn has(&self, pid: u32) -> bool {
        let inside = format!("/user.slice/{}", self.name);
        procfs::text(format!("/proc/{pid}/cgroup")).is_ok_and(|text| {
            text.lines()
                .filter_map(|line| line.strip_prefix("0::"))
                .any(|path| Path::new(path).starts_with(&inside))
        })
    }

    /// Its processes that wait for a device or a server and cannot be frozen, each with what it waits in.
    pub fn stuck(&self) -> Vec<Holder> {
        super::holders::all().filter(|pid| self.has(*pid)).filter_map(stuck).collect()
    }

    /// Its processes that serve file systems (FUSE).
    pub fn servers(&self) -> BTreeSet<u32> {
        let serves = |pid: &u32| {
            let open = Process::of(*pid).map_or_else(Vec::new, Process::descriptors);
            open.iter().any(|(_, path)| path.ends_with(SERVED_BY))
        };
        self.processes().into_iter().filter(serves).collect()
    }

    /// Its folder among the control groups.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Of what `systemctl show` tells of several units: those that do not run. One that cannot be frozen has no state.
fn taken_for_frozen(text: &str) -> Vec<String> {
    let value = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let frozen = |block: &&str| value(block, "FreezerState").is_some_and(|state| state != "running");
    text.split("\n\n").filter(frozen).filter_map(|block| value(block, "Id")).collect()
}

/// Has systemd stop everything that belongs to a user, his run-time directory too.
pub fn stop(uid: u32, deadline: Deadline) -> Result<(), Unfinished> {
    if !has_systemd() {
        return Ok(());
    }
    let units = [
        format!("user-{uid}.slice"),
        format!("user@{uid}.service"),
        format!("user-runtime-dir@{uid}.service"),
    ];
    let words = ["stop", &units[0], &units[1], &units[2]];
    within(deadline, Late::Kill, || process::run("systemctl", &words))
}

/// Throws the pages of files out that belong to a control group and those below it, mapped ones too, as far as
/// they can be read again. `EAGAIN` and less than was asked for are normal.
pub fn drop_file_pages(group: &Path) {
    let file = group.join("memory.reclaim");
    let mut before = u64::MAX;
    while let Some(bytes) = file_bytes(group).filter(|bytes| *bytes > 0 && *bytes < before) {
        before = bytes;
        if fs::write(&file, format!("{bytes} swappiness=0")).is_err_and(|error| is_unknown(&error)) {
            // Kernels before 6.10 know no second word.
            let _ = fs::write(&file, bytes.to_string());
        }
    }
}

fn file_bytes(group: &Path) -> Option<u64> {
    let text = fs::read_to_string(group.join("memory.stat")).ok()?;
    Some(statistic(&text, "active_file ")? + statistic(&text, "inactive_file ")?)
}

/// A value of `memory.stat`, by its name and the blank behind it.
pub(super) fn statistic(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn is_unknown(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

/// Whether the machine was started by systemd, as sd_booted(3) tells.
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// proc_pid_stat(5): the third field is the state, after the name in brackets.
pub fn state(pid: u32) -> Option<char> {
    state_in(Path::new(&format!("/proc/{pid}")))
}

/// The process that it was started by, or that has taken its place: the fourth field.
pub fn parent(pid: u32) -> Option<u32> {
    let text = procfs::text(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether all of its threads are stopped, or have ended.
pub fn is_stopped(pid: u32) -> bool {
    threads(pid).iter().all(|thread| matches!(state_in(thread), None | Some('T' | 't' | 'Z' | 'X')))
}

fn state_in(folder: &Path) -> Option<char> {
    let text = procfs::text(folder.join("stat")).ok()?;
    text.rsplit_once(')')?.1.trim_start().chars().next()
}

fn threads(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// One thread that waits is enough.
fn stuck(pid: u32) -> Option<Holder> {
    let thread = threads(pid).into_iter().find(|thread| state_in(thread) == Some('D'))?;
    let read = |file: &str| fs::read_to_string(thread.join(file)).unwrap_or_default();
    Some(Holder { pid, name: format!("{} in {}", visible(read("comm").trim_end()), read("wchan")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_takes_for_frozen_is_read_unit_by_unit() {
        let text = "Id=session-1.scope\nFreezerState=frozen\n\nFreezerState=running\nId=user@60456.service\n\n\
                    Id=session-2.scope\nFreezerState=frozen-by-parent\n\nId=old.scope\n";
        assert_eq!(taken_for_frozen(text), ["session-1.scope", "session-2.scope"]);
    }
}
