//! What the kernel itself reads and writes in a home, without regard to a frozen user: swap files, and images that loop
//! devices show. While there is some, the home cannot do without its key.
//!
//! The kernel tells the paths of such files as they are in somebody's namespace, and what is mounted below a home is not in
//! it. So a file counts if a walk within one of the home's own mounts, which crosses into no other, comes to it, by device
//! and inode. Nested btrfs subvolumes are no mounts, and have devices of their own.

use crate::job::{Context, Failure, refuse};
use crate::sys::file::{Id, beneath};
use crate::sys::mount::{self, Number};
use crate::sys::{loopdev, swap};
use records::Refusal;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A mount of the home: where it is in its namespace, and its directory.
struct Root {
    target: PathBuf,
    directory: OwnedFd,
}

/// Refuses, in words, where there is some.
pub fn refuse_if_any(device: Number) -> Result<(), Failure> {
    let found = any(device).during("looking for swap space and images in the home")?;
    match found {
        None => Ok(()),
        Some(path) => refuse(
            Refusal::HomeBusy,
            format!(
                "The home cannot be locked: {} is swap space or an attached image. Detach it and try again.",
                path.display()
            ),
        ),
    }
}

fn any(device: Number) -> io::Result<Option<PathBuf>> {
    let (swaps, loops) = (swap::active()?, loopdev::attached()?);
    if swaps.is_empty() && loops.is_empty() {
        return Ok(None);
    }
    let roots = roots(device)?;
    let walks = |path: &Path| -> io::Result<Vec<Walked>> {
        roots.iter().filter_map(|root| walked(root, path)).collect()
    };
    for swap in swaps {
        if !walks(&swap.path)?.is_empty() {
            return Ok(Some(swap.path));
        }
    }
    for (name, path) in loops {
        let walks = walks(&path)?;
        // The kernel asks the file's file system which one it is: only where it may be that of the home.
        let shown = if walks.is_empty() { None } else { loopdev::backing(&name)? };
        if shown.is_some_and(|shown| walks.iter().any(|walked| walked.is(shown))) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn roots(device: Number) -> io::Result<Vec<Root>> {
    let mut roots = Vec::new();
    for found in mount::of_device(device)? {
        roots.push(Root { directory: found.open()?, target: found.mount.target });
    }
    // A namespace may end while it is looked at.
    for there in mount::elsewhere(device)? {
        let opened = there.roots().filter_map(|(mount, directory)| Some((mount, directory.ok()?)));
        roots.extend(opened.map(|(mount, directory)| Root { target: mount.target.clone(), directory }));
    }
    Ok(roots)
}

/// What a walk within a mount has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walked {
    /// The file.
    File(Id),
    /// Its folder: its name was deleted.
    Folder(Id),
}

impl Walked {
    /// Whether it is this file, as far as a folder tells.
    fn is(self, file: Id) -> bool {
        match self {
            Self::File(id) => id == file,
            Self::Folder(id) => id.device == file.device,
        }
    }
}

/// `None`: it is not within this mount.
fn walked(root: &Root, path: &Path) -> Option<io::Result<Walked>> {
    let within = path.strip_prefix(&root.target).ok()?;
    let walk = || {
        if let Some(id) = beneath(&root.directory, within)? {
            return Ok(Some(Walked::File(id)));
        }
        let folder = within.parent().filter(|folder| *folder != Path::new(""));
        Ok(beneath(&root.directory, folder.unwrap_or(Path::new(".")))?.map(Walked::Folder))
    };
    walk().transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::durable;
    use std::fs;

    #[test]
    fn a_file_is_in_a_home_by_what_the_kernel_knows_it_by() {
        let file = Id { device: 40, inode: 257 };
        let of_a_nested_subvolume = Id { device: 41, inode: 257 };
        assert!(Walked::File(file).is(file));
        assert!(!Walked::File(file).is(of_a_nested_subvolume), "another file of the same number");
        assert!(Walked::Folder(file).is(Id { device: 40, inode: 300 }), "deleted, and still used");
        assert!(!Walked::Folder(file).is(of_a_nested_subvolume));
    }

    #[test]
    fn a_walk_ends_in_the_file_or_its_folder() {
        let folder = tempfile::tempdir().expect("made");
        fs::create_dir(folder.path().join("sub")).expect("made");
        fs::write(folder.path().join("sub/x.img"), "x").expect("written");
        let root = Root {
            target: "/home/alice".into(),
            directory: durable::directory(folder.path()).expect("opened"),
        };
        let at = |path: &str| walked(&root, Path::new(path)).map(|found| found.expect("walked"));
        assert!(matches!(at("/home/alice/sub/x.img"), Some(Walked::File(_))));
        assert!(matches!(at("/home/alice/sub/gone (deleted)"), Some(Walked::Folder(_))));
        assert!(matches!(at("/home/alice/gone (deleted)"), Some(Walked::Folder(_))));
        assert_eq!(at("/home/alice2/x.img"), None);
        assert_eq!(at("/home/alice/no/folder/x.img"), None);
    }
}
