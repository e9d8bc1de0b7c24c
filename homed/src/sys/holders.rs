//! Which processes hold a directory: as working directory, root, program or open file, or by a
//! mount of their own.

use std::fs;
use std::path::{Path, PathBuf};

/// A process that holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
}

/// Processes with something open below a directory. Processes that end meanwhile are left out.
pub fn of_directory(directory: &Path) -> Vec<Holder> {
    processes()
        .filter(|(_, folder)| uses(folder, directory))
        .map(|(pid, folder)| holder(pid, &folder))
        .collect()
}

/// Processes whose mount namespace has a file system of this device (`/dev/mapper/…`) mounted.
pub fn of_device(source: &Path) -> Vec<Holder> {
    let mounts_it = |pid: u32| {
        super::mount::table(&pid.to_string())
            .is_ok_and(|table| table.iter().any(|mount| mount.source == source))
    };
    processes().filter(|(pid, _)| mounts_it(*pid)).map(|(pid, folder)| holder(pid, &folder)).collect()
}

/// Processes that have this very file open, under whatever name.
pub fn with_open(file: &Path) -> Vec<Holder> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| fs::metadata(path).map(|facts| (facts.dev(), facts.ino())).ok();
    let Some(wanted) = identity(file) else { return Vec::new() };
    let has_it = |folder: &Path| {
        let mut open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        open.any(|entry| identity(&entry.path()) == Some(wanted))
    };
    processes().filter(|(_, folder)| has_it(folder)).map(|(pid, folder)| holder(pid, &folder)).collect()
}

/// "vim (1234), bash (1200)", at most five of them.
pub fn names(holders: &[Holder]) -> String {
    let named: Vec<_> = holders.iter().take(5).map(|h| format!("{} ({})", h.name, h.pid)).collect();
    let more = if holders.len() > 5 { format!(" and {} more", holders.len() - 5) } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// The ids of all processes.
pub fn all() -> impl Iterator<Item = u32> {
    processes().map(|(pid, _)| pid)
}

/// Processes of a user, by their real UID.
pub fn of_user(uid: u32) -> Vec<u32> {
    use std::os::unix::fs::MetadataExt;
    // proc(5): the folder belongs to the effective UID; the status file tells the real one.
    let real = |folder: &Path| {
        let text = fs::read_to_string(folder.join("status")).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse::<u32>().ok())
    };
    let owned = |folder: &Path| fs::metadata(folder).is_ok_and(|facts| facts.uid() == uid);
    processes().filter(|(_, folder)| owned(folder) || real(folder) == Some(uid)).map(|(pid, _)| pid).collect()
}

fn processes() -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

fn uses(process: &Path, directory: &Path) -> bool {
    let inside = |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(directory));
    if ["cwd", "root", "exe"].iter().any(|link| inside(process.join(link))) {
        return true;
    }
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    open.into_iter().any(|entry| inside(entry.path())) || maps(process, directory)
}

/// proc(5), maps: the path is the sixth field.
fn maps(process: &Path, directory: &Path) -> bool {
    let Ok(text) = fs::read_to_string(process.join("maps")) else { return false };
    text.lines().any(|line| line.find('/').is_some_and(|at| Path::new(&line[at..]).starts_with(directory)))
}

fn holder(pid: u32, process: &Path) -> Holder {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    Holder { pid, name: name.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_makes_a_holder() {
        let folder = tempfile::tempdir().expect("scratch folder");
        assert_eq!(of_directory(folder.path()), []);
        let _open = fs::File::create(folder.path().join("x")).expect("created");
        let holders = of_directory(folder.path());
        assert_eq!(holders.iter().map(|h| h.pid).collect::<Vec<_>>(), [std::process::id()]);
        assert!(names(&holders).contains(&format!("({})", std::process::id())));
        assert_eq!(with_open(&folder.path().join("x")), holders);
    }
}
