//! Storage that lies in the home root, `NAME[@REALM].home` files and `NAME[@REALM].homedir` folders, all of which may wait
//! for a file system; and partitions that are homes.

use crate::home::effect::Found;
use crate::storage::kind;
use crate::storage::plugged::{self, Plugged};
use crate::sys::apart::apart;
use records::refusal::Refused;
use records::{FullName, Refusal};
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
/// the administrator's to judge. A name alone makes no home of it: what it lacks to be one is refused.
pub fn named(path: &Path) -> Result<Found, Refused> {
    let is_plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    let path = is_plain.then(|| path.to_owned()).ok_or(Refusal::UnrecognizedHomeFormat)?;
    apart(move || {
        let found = by_content(&path).or_else(|| at(&path)).ok_or(Refusal::UnrecognizedHomeFormat)?;
        match kind::lacks(&path, found.storage) {
            None => Ok(found),
            Some(lacks) => {
                let path = path.display();
                let sentence =
                    format!("{path} is called as a home is, and is none: {lacks}. Nothing was changed.");
                Err(Refused::new(Refusal::UnrecognizedHomeFormat, sentence))
            }
        }
    })
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

    #[test]
    fn a_name_makes_no_home_of_what_somebody_names() {
        let root = tempfile::tempdir().expect("folder");
        let at = |name: &str| root.path().join(name);
        let refused = |name: &str| named(&at(name)).expect_err(name).sentence;
        for (name, bytes) in [("text", &b"a letter to alice"[..]), ("empty", b""), ("sector", &[0; 512])] {
            std::fs::write(at(&format!("{name}.home")), bytes).expect("written");
            let said = refused(&format!("{name}.home"));
            assert!(
                said.contains("no LUKS2 header") && said.contains("Nothing was changed"),
                "{name}: {said}"
            );
        }
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo.home"), 0o600.into()).expect("made");
        std::fs::create_dir_all(at("gina.home")).expect("made");
        for name in ["fifo.home", "gina.home", "none.home", "text.home/x"] {
            assert!(named(&at(name)).is_err(), "{name}");
        }
        std::fs::create_dir_all(at("hans.homedir/.identity")).expect("made");
        assert!(refused("hans.homedir").contains("no record"));
        std::fs::remove_dir(at("hans.homedir/.identity")).expect("removed");
        assert!(refused("hans.homedir").contains("no record"));
        std::fs::write(at("hans.homedir/.identity"), "{}").expect("written");
        assert_eq!(named(&at("hans.homedir")).expect("found").name.to_string(), "hans");
        // One copy of the header is enough: the other is rebuilt.
        let mut image = vec![0; 4 << 20];
        image[(1 << 20) + 0x4000..][..8].copy_from_slice(b"SKUL\xba\xbe\x00\x02");
        std::fs::write(at("ida.home"), image).expect("written");
        assert_eq!(named(&at("ida.home")).expect("found").name.to_string(), "ida");
    }
}
