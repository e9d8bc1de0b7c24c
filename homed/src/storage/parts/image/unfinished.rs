//! Images that are not whole yet, where a file system cannot make files without a name.
//!
//! Their names say which machine makes them: a folder may be shared, and its server need not share locks. What has no
//! such name was begun by an earlier version, or by the original.

use crate::job::{Context, Failure};
use crate::sys::{durable, file};
use records::MachineId;
use rustix::fs::AtFlags;
use std::os::fd::AsFd;
use std::path::Path;

/// What their names begin with; the original's do, too.
const BEGIN: &str = ".#homework";

/// A name that nothing has yet.
pub fn temporary(name: &str, machine: &MachineId) -> String {
    format!("{BEGIN}{name}.{}.{}", machine.as_str(), uuid::Uuid::new_v4().simple())
}

/// Which unfinished images are meant. (None that somebody has locked.)
#[derive(Debug, Clone, Copy)]
enum Of<'a> {
    /// Those of any home that this machine began.
    Machine(&'a MachineId),
    /// Those of one home that this machine began.
    Home(&'a str, &'a MachineId),
    /// Those, and those of it that do not say who began them.
    HomeOrUnknown(&'a str, &'a MachineId),
}

impl Of<'_> {
    fn has(self, found: &str) -> bool {
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(rest) = found.strip_prefix(BEGIN) else { return false };
        let begun_by = |rest: &str, machine: &MachineId| {
            let mut parts = rest.rsplitn(3, '.');
            let (random, by) = (parts.next().unwrap_or_default(), parts.next());
            (is_hex(random) && by == Some(machine.as_str()))
                .then(|| parts.next().unwrap_or_default().to_owned())
        };
        match self {
            Of::Machine(machine) => begun_by(rest, machine).is_some_and(|name| !name.is_empty()),
            Of::Home(name, machine) => begun_by(rest, machine).is_some_and(|of| of == name),
            Of::HomeOrUnknown(name, machine) => {
                let unknown = rest.strip_prefix(name).is_some_and(is_hex);
                unknown || Of::Home(name, machine).has(found)
            }
        }
    }
}

/// Unfinished images of a home that nobody works on.
pub fn unfinished(target: &Path, machine: &MachineId) -> Vec<String> {
    match (target.parent(), name(target)) {
        (Some(path), Some(name)) => match durable::folder(path) {
            Ok(folder) => list(&folder, path, Of::HomeOrUnknown(name, machine)),
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Removes them, durably.
pub fn remove_unfinished(target: &Path, machine: &MachineId) -> Result<(), Failure> {
    if let (Some(path), Some(name)) = (target.parent(), name(target)) {
        let folder = durable::folder(path).during(format!("opening {}", path.display()))?;
        if !remove(&folder, path, Of::HomeOrUnknown(name, machine)).is_empty() {
            durable::sync_directory(&folder).during("writing the deletion to disk")?;
        }
    }
    Ok(())
}

/// Removes what killed runs of this machine have left in a folder, of whatever home; what was removed.
pub fn sweep(path: &Path, machine: &MachineId) -> Vec<String> {
    durable::folder(path).map_or_else(|_| Vec::new(), |folder| remove(&folder, path, Of::Machine(machine)))
}

/// Removes what killed runs of this machine have left of one home.
pub(super) fn collect(folder: impl AsFd, path: &Path, name: &str, machine: &MachineId) {
    remove(folder, path, Of::Home(name, machine));
}

fn name(target: &Path) -> Option<&str> {
    target.file_name().and_then(|name| name.to_str())
}

fn remove(folder: impl AsFd, path: &Path, of: Of<'_>) -> Vec<String> {
    let mut removed = list(&folder, path, of);
    removed.retain(|found| rustix::fs::unlinkat(&folder, found, AtFlags::empty()).is_ok());
    removed
}

fn list(folder: impl AsFd, path: &Path, of: Of<'_>) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
    names
        .filter(|found| of.has(found))
        .filter(|found| {
            let lock = durable::open_foreign(&folder, found).and_then(file::lock);
            matches!(lock, Ok(file::Lock::Taken))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_s_and_another_home_s_are_left_alone() {
        let [own, other] = ["1", "2"].map(|digit| MachineId::parse(&digit.repeat(32)).expect("an id"));
        let ours = temporary("alice.home", &own);
        let theirs = temporary("alice.home", &other);
        let (old, original) = (".#homeworkalice.home0123456789abcdef", ".#homeworkalice.homez");
        let table = [
            (Of::Machine(&own), vec![ours.as_str()]),
            (Of::Home("alice.home", &own), vec![ours.as_str()]),
            (Of::Home("bob.home", &own), vec![]),
            (Of::HomeOrUnknown("alice.home", &own), vec![ours.as_str(), old]),
            (Of::HomeOrUnknown("bob.home", &own), vec![]),
            (Of::Home("alice.home", &other), vec![theirs.as_str()]),
        ];
        for (of, expected) in table {
            let all = [ours.as_str(), theirs.as_str(), old, original, "alice.home", ".#homework"];
            let meant: Vec<&str> = all.into_iter().filter(|name| of.has(name)).collect();
            assert_eq!(meant, expected, "{of:?}");
        }
    }

    #[test]
    fn a_sweep_takes_what_this_machine_left_and_nobody_has_locked() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let [own, other] = ["1", "2"].map(|digit| MachineId::parse(&digit.repeat(32)).expect("an id"));
        let names =
            [temporary("alice.home", &own), temporary("bob.home", &own), temporary("alice.home", &other)];
        for name in &names {
            std::fs::write(folder.path().join(name), "x").expect("written");
        }
        let running = std::fs::File::open(folder.path().join(&names[1])).expect("opened");
        file::lock(&running).expect("locked");
        assert_eq!(sweep(folder.path(), &own), [names[0].clone()]);
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 2);
    }
}
