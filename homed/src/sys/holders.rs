//! Which processes hold a directory: as working directory, root, program or open file, or by a
//! mount of their own.

use super::bounded::{Deadline, Late, ask};
use super::file::{Identity, is_of_a_server};
use super::procfs;
use records::visible::visible;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A process that holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
}

/// The same in words (`" by vim (1234)"`; empty: nobody), until then at most: whoever changes the mappings of his process all
/// the time keeps who reads them waiting for as long as he likes. The process that asks must have one thread only.
pub fn told_of_directory(directory: &Path, until: Deadline) -> String {
    let look = || {
        let holding = of_directory(directory);
        Ok::<String, Infallible>(if holding.is_empty() {
            String::new()
        } else {
            format!(" by {}", names(&holding))
        })
    };
    ask(until, Late::Kill, look)
        .unwrap_or_else(|_| " by a process that did not tell in time what it uses".into())
}

/// Processes with something open below a directory. Processes that end meanwhile are left out.
fn of_directory(directory: &Path) -> Vec<Holder> {
    processes()
        .filter(|(_, folder)| uses(folder, directory))
        .map(|(pid, folder)| holder(pid, &folder))
        .collect()
}

/// Processes in mount namespaces other than ours and the machine's that have a file system of this device
/// (`/dev/mapper/…`) mounted. (In ours everybody has it.)
pub fn of_device(source: &Path) -> Vec<Holder> {
    let namespace = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let common = ["/proc/self", "/proc/1"].map(|process| namespace(Path::new(process)));
    let mounts_it = |pid: u32| {
        super::mount::table(&pid.to_string())
            .is_ok_and(|table| table.iter().any(|mount| mount.source == source))
    };
    let has_it = |(pid, folder): &(u32, PathBuf)| !common.contains(&namespace(folder)) && mounts_it(*pid);
    processes().filter(has_it).map(|(pid, folder)| holder(pid, &folder)).collect()
}

/// Processes with files of a file system open, in whichever mount namespace: of the one with this number, as the table of mounts has it.
/// No file system is asked.
pub fn with_files_of(device: &str) -> Vec<Holder> {
    let namespace = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let own = namespace(Path::new("/proc/self"));
    let mut tables = BTreeMap::new();
    let mut holds = |(pid, folder): &(u32, PathBuf)| {
        let there = namespace(folder);
        if !tables.contains_key(&there) {
            // One that has ended tells nothing of others there.
            let Ok(table) = super::mount::table(&pid.to_string()) else { return false };
            let mounts = table.into_iter().filter(|mount| mount.device == device);
            let mounts: Vec<_> = mounts.map(|mount| (mount.id, mount.target)).collect();
            tables.insert(there.clone(), mounts);
        }
        let mounts = tables.get(&there).map(Vec::as_slice).unwrap_or_default();
        let is_ours = there == own;
        !mounts.is_empty() && descriptors(folder).any(|name| is_on(folder, &name, mounts, is_ours))
    };
    processes().filter(|process| holds(process)).map(|(pid, folder)| holder(pid, &folder)).collect()
}

/// Whether a descriptor of a process is of a file on one of these mounts. By its path, which costs less, where that is one of ours.
fn is_on(process: &Path, descriptor: &OsStr, mounts: &[(u64, PathBuf)], is_ours: bool) -> bool {
    if is_ours {
        let path = fs::read_link(process.join("fd").join(descriptor));
        return path.is_ok_and(|path| mounts.iter().any(|(_, target)| path.starts_with(target)));
    }
    let text = procfs::text(process.join("fdinfo").join(descriptor)).unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    mounts.iter().any(|(mount, _)| Some(*mount) == id)
}

fn descriptors(process: &Path) -> impl Iterator<Item = OsString> {
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    open.map(|entry| entry.file_name())
}

/// Processes that have this very file open, under whatever name. No file system is asked: what others have open may be
/// on one whose server never answers.
pub fn with_open(file: &Identity) -> io::Result<Vec<Holder>> {
    let mounts = super::mount::table("self")?;
    let of_a_server = is_of_a_server(&mounts, &file.path);
    let has_it = |folder: &Path| descriptors(folder).any(|name| shows(folder, &name, file, of_a_server));
    Ok(processes().filter(|(_, folder)| has_it(folder)).map(|(pid, folder)| holder(pid, &folder)).collect())
}

/// Whether a descriptor of a process shows this file. What its link says is the kernel's own word; only of who has the
/// same inode number the file system's number is wanted.
fn shows(process: &Path, descriptor: &OsStr, file: &Identity, of_a_server: bool) -> bool {
    let link = process.join("fd").join(descriptor);
    // Sockets and the like have no path.
    let Some(path) = fs::read_link(&link).ok().filter(|path| path.has_root()) else { return false };
    let text = procfs::text(process.join("fdinfo").join(descriptor)).unwrap_or_default();
    match text.lines().find_map(|line| line.strip_prefix("ino:")) {
        Some(inode) if inode.trim().parse() != Ok(file.inode) => false,
        Some(_) if of_a_server => true,
        Some(_) => Identity::behind(&link).is_ok_and(|found| found == file.device),
        // Before Linux 5.14.
        None => path == file.path,
    }
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

/// Processes of a user, by their real UID or by the one that counts for what they may do.
pub fn of_user(uid: u32) -> Vec<u32> {
    let is_theirs = |folder: &Path| procfs::text(folder.join("status")).is_ok_and(|text| has_uid(&text, uid));
    processes().filter(|(_, folder)| is_theirs(folder)).map(|(pid, _)| pid).collect()
}

/// As whom a process runs: the real UID.
pub fn real_uid(pid: u32) -> Option<u32> {
    let status = procfs::text(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// These processes by their names, as far as they still run.
pub fn named(pids: &BTreeSet<u32>) -> Vec<Holder> {
    let running = |pid: &&u32| Path::new("/proc").join(pid.to_string()).exists();
    pids.iter().filter(running).map(|pid| holder(*pid, &Path::new("/proc").join(pid.to_string()))).collect()
}

/// proc_pid_status(5): the real, effective, saved and file system's UID.
fn has_uid(status: &str, uid: u32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    line.split_whitespace().take(2).any(|one| one.parse() == Ok(uid))
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
    let Ok(text) = procfs::text(process.join("maps")) else { return false };
    text.lines().any(|line| line.find('/').is_some_and(|at| Path::new(&line[at..]).starts_with(directory)))
}

fn holder(pid: u32, process: &Path) -> Holder {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    Holder { pid, name: visible(String::from_utf8_lossy(&name).trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_of_whom_it_runs_as_and_of_whom_it_was_started_by() {
        let status = "Name:\tsudo\nUid:\t60001\t0\t7\t8\nGid:\t9\t9\t9\t9\n";
        assert!(has_uid(status, 60001) && has_uid(status, 0));
        assert!(!has_uid(status, 7) && !has_uid(status, 9) && !has_uid("", 0));
        assert!(of_user(rustix::process::getuid().as_raw()).contains(&std::process::id()));
    }

    #[test]
    fn who_does_not_tell_in_time_is_somebody() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let told = |seconds| {
            told_of_directory(folder.path(), Deadline::after(std::time::Duration::from_secs(seconds)))
        };
        assert_eq!(told(60), "");
        let _open = fs::File::create(folder.path().join("x")).expect("created");
        assert!(told(60).contains(&format!("({})", std::process::id())), "{}", told(60));
        assert_eq!(told(0), " by a process that did not tell in time what it uses");
    }

    #[test]
    fn an_open_file_makes_a_holder() {
        let folder = tempfile::tempdir().expect("scratch folder");
        assert_eq!(of_directory(folder.path()), []);
        let _open = fs::File::create(folder.path().join("x")).expect("created");
        let holders = of_directory(folder.path());
        assert_eq!(holders.iter().map(|h| h.pid).collect::<Vec<_>>(), [std::process::id()]);
        assert!(names(&holders).contains(&format!("({})", std::process::id())));
        let file = Identity::of(&folder.path().join("x")).expect("looked at");
        assert_eq!(with_open(&file).expect("looked for"), holders);
        fs::hard_link(folder.path().join("x"), folder.path().join("y")).expect("linked");
        let other_name = Identity::of(&folder.path().join("y")).expect("looked at");
        assert_eq!(with_open(&other_name).expect("looked for"), holders);
        let another = Identity::of(folder.path()).expect("looked at");
        assert_eq!(with_open(&another).expect("looked for"), []);
    }
}
