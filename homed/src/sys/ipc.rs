//! What processes leave in memory for others: objects of System V (sysvipc(7)) and of POSIX (shm_overview(7),
//! mq_overview(7)). They stay when their user's last process has gone, and belong to whoever gets the UID next.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Tables of proc_sysvipc(5): the first line names the columns.
const TABLES: [&str; 3] = ["/proc/sysvipc/msg", "/proc/sysvipc/sem", "/proc/sysvipc/shm"];
/// Where the objects of POSIX are files.
const FOLDERS: [&str; 2] = ["/dev/shm", "/dev/mqueue"];

/// Whether an object belongs to that user, or to the group of that number.
pub fn has_objects(id: u32) -> bool {
    let in_table = |path: &&str| std::fs::read_to_string(path).is_ok_and(|text| names(&text, id));
    TABLES.iter().any(in_table) || FOLDERS.iter().any(|folder| holds(Path::new(folder), id))
}

fn names(table: &str, id: u32) -> bool {
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(head) = lines.next() else { return false };
    let owners = ["uid", "gid", "cuid", "cgid"];
    let columns: Vec<usize> = (0..head.len()).filter(|at| owners.contains(&head[*at])).collect();
    let is_its = |line: &Vec<&str>| {
        columns.iter().any(|at| line.get(*at).and_then(|text| text.parse().ok()) == Some(id))
    };
    lines.any(|line| is_its(&line))
}

fn holds(folder: &Path, id: u32) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).any(|about| about.uid() == id || about.gid() == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_makers_of_objects_are_found_by_column() {
        let table = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime\n\
                     1234 60001 644 60005 0 0 0 60002 100 60003 60004 0\n";
        let found: Vec<u32> = (60000..60006).filter(|id| names(table, *id)).collect();
        assert_eq!(found, [60002, 60003, 60004]);
        assert!(!names("", 0));
    }

    #[test]
    fn files_count_for_user_and_group() {
        let folder = tempfile::tempdir().expect("folder");
        let own = rustix::process::geteuid().as_raw();
        assert!(!holds(folder.path(), own));
        std::fs::write(folder.path().join("object"), "").expect("written");
        assert!(holds(folder.path(), own) && !holds(folder.path(), own + 1));
    }
}
