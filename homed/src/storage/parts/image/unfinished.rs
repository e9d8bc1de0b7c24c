//! Images that are not whole yet, where a file system cannot make files without a name.
//!
//! Their names say which machine makes them: a folder may be shared, and its server need not share locks. What has no
//! such name was begun by an earlier version, or by the original. `homectl` keeps what has arrived of a home under a name of
//! its own, for whoever sends the rest.

use crate::job::{Context, Failure};
use crate::sys::{durable, file};
use records::MachineId;
use rustix::fs::AtFlags;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What their names begin with; the original's do, too.
const BEGIN: &str = ".#homework";
/// Around the name of a home that has not arrived whole (`homectl receive`).
const ARRIVING: (&str, &str) = (".#carried-", ".home");
/// How long that is kept from when something came last.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Whether a file of that name is one that is not whole yet, or would be swept away as one whatever it has become.
pub fn is_named_unfinished(name: &str) -> bool {
    name.starts_with(BEGIN) || name.starts_with(ARRIVING.0)
}

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
    /// Those that were to arrive, and of which nothing has come for as long as they are kept; it is that time now.
    Arriving(SystemTime),
}

impl Of<'_> {
    fn has(self, found: &str) -> bool {
        if let Of::Arriving(_) = self {
            return found.starts_with(ARRIVING.0) && found.ends_with(ARRIVING.1);
        }
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
            Of::Arriving(_) => false,
        }
    }

    /// Whether it is one by its age, too. A time that is yet to come is none.
    fn is_old(self, file: &File) -> bool {
        let Of::Arriving(now) = self else { return true };
        let age = file.metadata().and_then(|facts| facts.modified()).map(|last| now.duration_since(last));
        matches!(age, Ok(Ok(age)) if age >= KEPT)
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

/// Removes what has arrived of homes whose rest nobody has sent for a month; what was removed.
pub fn sweep_arriving(path: &Path, now: SystemTime) -> Vec<String> {
    durable::folder(path).map_or_else(|_| Vec::new(), |folder| remove(&folder, path, Of::Arriving(now)))
}

/// Removes what killed runs of this machine have left of one home.
pub(super) fn collect(folder: impl AsFd, path: &Path, name: &str, machine: &MachineId) {
    remove(folder, path, Of::Home(name, machine));
}

fn name(target: &Path) -> Option<&str> {
    target.file_name().and_then(|name| name.to_str())
}

fn remove(folder: impl AsFd, path: &Path, of: Of<'_>) -> Vec<String> {
    // Under their locks: nobody begins to work on what goes.
    let mut removed = locked(&folder, path, of);
    removed.retain(|(found, _lock)| rustix::fs::unlinkat(&folder, found, AtFlags::empty()).is_ok());
    removed.into_iter().map(|(found, _lock)| found).collect()
}

fn list(folder: impl AsFd, path: &Path, of: Of<'_>) -> Vec<String> {
    locked(folder, path, of).into_iter().map(|(found, _lock)| found).collect()
}

/// Those that nobody has locked: locked now.
fn locked(folder: impl AsFd, path: &Path, of: Of<'_>) -> Vec<(String, File)> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
    let locked = |found: String| {
        let file = durable::open_foreign_to_lock(&folder, &found).ok()?;
        let is_ours = matches!(file::lock(&file), Ok(file::Lock::Taken)) && of.is_old(&file);
        is_ours.then_some((found, file))
    };
    names.filter(|found| of.has(found)).filter_map(locked).collect()
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

    #[test]
    fn what_arrives_is_kept_for_a_month_and_while_somebody_is_at_it() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let names = [".#carried-alice.home", ".#carried-bob.home", ".#carried-x", "carried-eve.home"];
        for name in names {
            std::fs::write(folder.path().join(name), "x").expect("written");
        }
        let arriving = File::open(folder.path().join(names[1])).expect("opened");
        file::lock(&arriving).expect("locked");
        let now = SystemTime::now();
        let swept = |now| sweep_arriving(folder.path(), now);
        assert!(swept(now).is_empty() && swept(now - 2 * KEPT).is_empty());
        assert!(swept(now + KEPT - Duration::from_secs(3600)).is_empty());
        assert_eq!(swept(now + KEPT + Duration::from_secs(3600)), [names[0]]);
    }
}
