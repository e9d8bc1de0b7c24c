//! What is to be seen of the key of such a home: the kernel has it as long as the folder is mounted anywhere.
//!
//! The table of mounts tells that alone: no file system is asked, and so no symlink is followed. Where one is on the way to the
//! home directory, the mount is known by the folder that it shows.

use crate::storage::parts::bound;
use crate::storage::traces::{Trace, Traces};
use crate::storage::whereabouts::{Clues, Kernel, Walk};
use crate::sys::mount::Entry;

/// Looks.
pub fn look(clues: &Clues<'_>) -> Traces {
    Traces { keyring: trace(clues), ..Traces::none() }
}

/// The same: nobody else is asked in either case.
pub fn key(clues: &Clues<'_>) -> Vec<Trace> {
    vec![trace(clues)]
}

fn trace(clues: &Clues<'_>) -> Trace {
    let kernel = Kernel::default();
    match kernel.mounts().and_then(|mounts| is_shown(clues, mounts)) {
        Ok(false) => Trace::Clear,
        Ok(true) => Trace::Found("the folder of the home is mounted, and the kernel has its key".into()),
        Err(error) => Trace::Unseen(format!("what is mounted cannot be looked at: {error}")),
    }
}

/// Whether these mounts show the home, at its home directory or anywhere.
fn is_shown(clues: &Clues<'_>, mounts: &[Entry]) -> std::io::Result<bool> {
    let by_name = Clues { walk: Walk::Before(None), ..*clues };
    let is_there = by_name.spots(mounts)?.iter().any(|spot| bound::is_at(spot, mounts));
    let folder = clues.image.file_name();
    Ok(is_there || mounts.iter().any(|mount| bound::is_mapped(mount) && mount.root.file_name() == folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Storage;
    use std::path::Path;

    fn mounted(id: u64, root: &str, target: &str, attributes: &str) -> Entry {
        Entry {
            id,
            parent: if id == 1 { 0 } else { 1 },
            root: root.into(),
            target: target.into(),
            attributes: attributes.into(),
            device: "8:1".into(),
            kind: "ext4".into(),
            source: "/dev/sda1".into(),
            options: "rw".into(),
        }
    }

    /// Nobody asked the kernel about such homes: with a daemon that did not answer "no home is open" was said of them.
    #[test]
    fn the_key_is_there_while_the_folder_is_mounted_anywhere() {
        let clues = Clues {
            kind: Storage::Fscrypt,
            user: "alice",
            image: Path::new("/home/alice.homedir"),
            home_directory: Path::new("/home/alice"),
            luks: None,
            walk: Walk::Now,
        };
        for (root, target, attributes, shown) in [
            ("/home/alice.homedir", "/home/alice", "rw,nosuid,idmapped", true),
            // It was moved meanwhile; /home is a symlink.
            ("/old/alice.was", "/home/alice", "rw,idmapped", true),
            ("/alice.homedir", "/var/home/alice", "rw,idmapped", true),
            ("/home/alice.homedir", "/home/alice", "rw", false),
            ("/home/bob.homedir", "/home/bob", "rw,idmapped", false),
        ] {
            let mounts = [mounted(1, "/", "/", "rw"), mounted(2, root, target, attributes)];
            assert_eq!(is_shown(&clues, &mounts).expect("told"), shown, "{root} {target} {attributes}");
        }
        assert!(!is_shown(&clues, &[mounted(1, "/", "/", "rw")]).expect("told"));
    }
}
