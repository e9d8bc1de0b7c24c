//! Which kind of storage new homes have where neither a record nor `homed.conf` says: an encrypted image; in a container,
//! which has no block devices of its own, a folder, as in the original.

use records::Storage;
use std::path::Path;

/// Files that are there in a container: systemd's own note (systemd-detect-virt(1)), that of container managers
/// (<https://systemd.io/CONTAINER_INTERFACE>), podman's and Docker's.
const SIGNS: [&str; 4] =
    ["/run/systemd/container", "/run/host/container-manager", "/run/.containerenv", "/.dockerenv"];

/// The usual kind here, for homes below this folder.
pub fn here(home_root: &str) -> Storage {
    if !SIGNS.iter().any(|sign| Path::new(sign).exists()) {
        return Storage::MADE;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if on_btrfs(&mounts, home_root) { Storage::Subvolume } else { Storage::Directory }
}

/// Whether that folder is on btrfs, by proc_pid_mountinfo(5): no file system is asked.
fn on_btrfs(mounts: &str, folder: &str) -> bool {
    let kind = |line: &str| -> Option<(usize, bool)> {
        let (place, kind) = line.split_once(" - ")?;
        let target = place.split(' ').nth(4)?;
        Path::new(folder).starts_with(target).then(|| (target.len(), kind.starts_with("btrfs ")))
    };
    // Of those that are as near, the last one is on top.
    mounts.lines().filter_map(kind).max_by_key(|(length, _)| *length).is_some_and(|(_, is)| is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_nearest_to_the_folder_counts() {
        let root = "22 1 0:20 / / rw - btrfs /dev/vda rw\n";
        let home = "23 22 0:21 / /home rw shared:1 - ext4 /dev/vdb rw\n";
        let other = "24 22 0:22 / /homes rw - ext4 /dev/vdc rw\n";
        assert!(on_btrfs(root, "/home") && on_btrfs(&format!("{root}{other}"), "/home"));
        assert!(!on_btrfs(&format!("{root}{home}"), "/home"));
        assert!(on_btrfs(&format!("{root}{home}23 22 0:23 / /home rw - btrfs x rw\n"), "/home"));
        assert!(!on_btrfs("", "/home"));
    }
}
