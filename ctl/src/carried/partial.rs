//! What has arrived of homes whose line broke: kept for the next try, shown until then.

use records::FullName;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Around the name of the home.
const NAMED: (&str, &str) = (".#carried-", ".home");
/// Bytes of what a file system counts blocks in.
const SECTOR: u64 = 512;

/// A part of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// `NAME[@REALM]`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes take room on disk.
    pub arrived: u64,
    /// How many the image will have.
    pub size: u64,
    /// When something came last: microseconds since 1970.
    pub last_usec: u64,
}

/// What a home arrives in.
pub fn beside(root: &Path, name: &FullName) -> PathBuf {
    root.join(format!("{}{name}{}", NAMED.0, NAMED.1))
}

/// How much of it is there, in bytes.
pub fn arrived(beside: &Path) -> u64 {
    beside.symlink_metadata().ok().filter(|facts| facts.is_file()).map_or(0, |facts| facts.blocks() * SECTOR)
}

/// All that are there.
pub fn list(root: &Path) -> Vec<Partial> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut all: Vec<Partial> = entries.filter_map(|entry| of(&entry.path())).collect();
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}

fn of(path: &Path) -> Option<Partial> {
    let name = path.file_name()?.to_str()?.strip_prefix(NAMED.0)?.strip_suffix(NAMED.1)?;
    let name = FullName::parse(name).ok()?.to_string();
    let facts = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    let last = facts.modified().ok().and_then(|last| last.duration_since(UNIX_EPOCH).ok());
    let last_usec = last.and_then(|last| u64::try_from(last.as_micros()).ok()).unwrap_or(0);
    Some(Partial { name, path: path.to_owned(), arrived: arrived(path), size: facts.len(), last_usec })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_home_arrives_in_is_a_part_of_one() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        for name in
            ["alice.home", ".#carried-root/x", ".#carried-.home", ".#carried-a b.home", ".#carried-bob.home"]
        {
            // (One of them cannot be.)
            let _ = std::fs::write(root.join(name), "xyz");
        }
        std::os::unix::fs::symlink(root.join("alice.home"), root.join(".#carried-eve.home")).expect("linked");
        let found = list(root);
        let shown: Vec<_> = found.iter().map(|part| (part.name.as_str(), part.size)).collect();
        assert_eq!(shown, [("bob", 3)]);
        assert!(found[0].arrived > 0 && found[0].last_usec > 0);
    }
}
