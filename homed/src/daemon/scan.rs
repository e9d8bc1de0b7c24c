//! Storage that lies in the home root, `NAME[@REALM].home` files and `NAME[@REALM].homedir` folders, all of which may wait
//! for a file system; and partitions that are homes.

use crate::home::effect::Found;
use crate::storage::kind;
use crate::storage::plugged::{self, Plugged};
use crate::sys::apart::apart;
use records::FullName;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

/// All storage in the folder.
pub fn folder(root: &Path) -> Vec<Found> {
    let root = root.to_owned();
    apart(move || {
        let Ok(entries) = std::fs::read_dir(&root) else { return Vec::new() };
        entries.flatten().filter_map(|entry| at(&entry.path())).collect()
    })
}

/// All storage that is plugged in.
pub fn plugged() -> Vec<Found> {
    plugged::seen().homes.iter().filter_map(of_plugged).collect()
}

/// A partition, as storage.
pub fn of_plugged(home: &Plugged) -> Option<Found> {
    let name = FullName::parse(&home.name).ok()?;
    Some(Found { name, image: home.path.to_str()?.to_owned(), storage: home.storage })
}

/// The storage at this path, if it is one.
pub fn file(path: &Path) -> Option<Found> {
    let path = path.to_owned();
    apart(move || at(&path))
}

fn at(path: &Path) -> Option<Found> {
    let name = path.file_name()?.to_str()?;
    // Not followed: whoever may write here could point it anywhere.
    let facts = std::fs::symlink_metadata(path).ok()?;
    let storage = kind::found(path, &facts)?;
    let (stem, _ending) = name.rsplit_once('.')?;
    let name = FullName::parse(stem).ok()?;
    Some(Found { name, image: path.to_str()?.to_owned(), storage })
}

/// The storage at a path that an administrator has named: absolute, without `..`, and no link itself. Folders on the way are
/// the administrator's to judge.
pub fn named(path: &Path) -> Option<Found> {
    let is_plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    let path = is_plain.then(|| path.to_owned())?;
    apart(move || by_content(&path).or_else(|| at(&path)))
}

/// A home that says itself whose it is, whatever it is called: a copy, or one from a backup.
fn by_content(path: &Path) -> Option<Found> {
    let facts = std::fs::symlink_metadata(path).ok()?;
    let called = at(path).map(|found| found.name);
    let (name, storage) = kind::says(path, &facts, called.as_ref())?;
    Some(Found { name, image: path.to_str()?.to_owned(), storage })
}

/// Device and inode of a folder: another one of the same name is another one.
pub fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    let folder = folder.to_owned();
    let facts = apart(move || folder.metadata())?;
    Ok((facts.dev(), facts.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_and_folders_with_valid_names_are_storage() {
        let root = tempfile::tempdir().expect("folder");
        let at = |name: &str| root.path().join(name);
        for name in ["alice.home", "bob@example.com.home", "root.home", ".#x.home", "carol.txt", "9.home"] {
            std::fs::write(at(name), "").expect("written");
        }
        std::fs::create_dir(at("dave.homedir")).expect("made");
        std::fs::create_dir(at("eve.home")).expect("made");
        std::os::unix::fs::symlink(at("alice.home"), at("mallory.home")).expect("linked");
        let mut found: Vec<String> = folder(root.path())
            .into_iter()
            .map(|found| format!("{} {}", found.name, found.storage.as_str()))
            .collect();
        found.sort();
        assert_eq!(found, ["alice luks", "bob@example.com luks", "dave directory"]);
    }
}
