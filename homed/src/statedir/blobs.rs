//! The users' blobs, such as their pictures: `/var/cache/systemd/home/NAME`, readable for all.

use super::Folders;
use crate::sys::passed::Content;
use records::UserName;
use records::blobs::{MAX_TOTAL, is_name};
use records::refusal::{Refusal, Refused};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long all blobs of a call may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Folders of blobs that no record names yet begin so.
const STAGED: &str = ".#";

/// Name → SHA-256 in lower-case hex: a record's `blobManifest`.
pub type Manifest = BTreeMap<String, String>;

/// Why blobs were not stored; the old ones stay.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The caller can act on it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The disk does not play along.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn refused(why: String) -> BlobError {
    Refused::new(Refusal::InvalidArgs, why).into()
}

impl Folders {
    /// A user's folder.
    pub fn blob_folder(&self, user: &UserName) -> PathBuf {
        self.blobs.join(user.as_str())
    }

    /// Makes a user's folder: the original's clients want one, be it empty.
    pub fn make_blob_folder(&self, user: &UserName) -> io::Result<()> {
        let folder = self.blob_folder(user);
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
    }

    /// Takes blobs in, into a folder of their own that [`Folders::publish_blobs`] puts in place. What stands for their files
    /// is what `sys::passed` gives: waiting for one of a stranger's ends.
    pub fn stage_blobs(
        &self,
        user: &UserName,
        blobs: Vec<(String, OwnedFd)>,
    ) -> Result<(PathBuf, Manifest), BlobError> {
        let fresh = self.blobs.join(format!("{STAGED}{user}-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&fresh)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755))?;
        let staged = copy_all(&fresh, blobs).and_then(|manifest| {
            File::open(&fresh)?.sync_all()?;
            Ok(manifest)
        });
        match staged {
            Ok(manifest) => Ok((fresh, manifest)),
            Err(error) => {
                // Already failing: what matters is the first error.
                let _ = std::fs::remove_dir_all(&fresh);
                Err(error)
            }
        }
    }

    /// Takes a staged folder on: from here on who staged it does not remove it any more.
    pub fn claim_blobs(&self, staged: &Path) -> io::Result<PathBuf> {
        let name = staged.file_name().unwrap_or_default().to_string_lossy();
        let claimed = self.blobs.join(format!("{name}-claimed"));
        std::fs::rename(staged, &claimed)?;
        Ok(claimed)
    }

    /// Replaces all blobs of a user by those of a claimed folder, durably; a record that a killed run has written, and not
    /// waited for, is on disk before: there are no pictures that nobody knows of.
    pub fn publish_blobs(&self, user: &UserName, claimed: &Path) -> io::Result<()> {
        self.flush()?;
        self.swap_in(user, claimed)?;
        // What is there now is the old folder; left, it goes when the daemon starts.
        let _ = std::fs::remove_dir_all(claimed);
        Ok(())
    }

    /// Removes what was staged and is waited for by nobody any more: for a daemon that starts.
    pub fn collect_staged(&self) {
        for entry in std::fs::read_dir(&self.blobs).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(STAGED)) {
                // Tried again at the next start.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Whether a user has a folder of blobs.
    pub fn has_blobs(&self, user: &UserName) -> io::Result<bool> {
        self.blob_folder(user).try_exists()
    }

    /// Removes all blobs of a user, durably: a home of the same name that is made later has none of them.
    pub fn remove_blobs(&self, user: &UserName) -> io::Result<()> {
        match std::fs::remove_dir_all(self.blob_folder(user)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        File::open(&self.blobs)?.sync_all()
    }

    fn swap_in(&self, user: &UserName, fresh: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags};
        let place = self.blob_folder(user);
        match rustix::fs::renameat_with(CWD, fresh, CWD, &place, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::NOENT) => std::fs::rename(fresh, &place)?,
            other => other?,
        }
        File::open(&self.blobs)?.sync_all()
    }
}

fn copy_all(folder: &Path, blobs: Vec<(String, OwnedFd)>) -> Result<Manifest, BlobError> {
    let mut left = MAX_TOTAL;
    let mut manifest = Manifest::new();
    let coming = blobs.into_iter().map(|(name, pipe)| (name, Content::new(pipe, PATIENCE)));
    // All of them have the same time, however many they are.
    for (name, content) in coming.collect::<Vec<_>>() {
        if !is_name(&name) {
            return Err(refused(format!("{name:?} cannot be the name of a blob.")));
        }
        manifest.insert(name.clone(), copy_one(content, (&name, &folder.join(&name)), &mut left)?);
    }
    Ok(manifest)
}

/// Copies what comes, as long as it fits in what is `left`; gives its hash.
fn copy_one(mut content: Content, (name, path): (&str, &Path), left: &mut u64) -> Result<String, BlobError> {
    let mut target = File::create_new(path)?;
    target.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    let mut hash = Sha256::new();
    loop {
        let bytes = content.more().map_err(|why| refused(format!("The blob {name:?} {why}.")))?;
        if bytes.is_empty() {
            break;
        }
        let rest = left.checked_sub(bytes.len() as u64);
        *left = rest.ok_or_else(|| refused("The blobs are larger than 64 MiB.".into()))?;
        hash.update(&bytes);
        target.write_all(&bytes)?;
    }
    target.sync_all()?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_replaced_as_a_whole_or_not_at_all() {
        let scratch = tempfile::tempdir().expect("made");
        let folders = Folders { blobs: scratch.path().join("blobs"), ..Folders::default() };
        let user = UserName::parse("alice").expect("valid");
        let file = |text: &str| {
            let path = scratch.path().join("source");
            std::fs::write(&path, text).expect("written");
            OwnedFd::from(File::open(path).expect("opens"))
        };
        let store = |name: &str, fd| {
            let fd = crate::sys::passed::standing_for(fd);
            let (staged, manifest) = folders.stage_blobs(&user, vec![(name.to_owned(), fd)])?;
            let claimed = folders.claim_blobs(&staged).expect("claimed");
            folders.publish_blobs(&user, &claimed).expect("published");
            Ok::<_, BlobError>(manifest)
        };
        let manifest = store("avatar", file("abc")).expect("stored");
        assert_eq!(manifest["avatar"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        // Read to its end already.
        let read = file("abc");
        let mut gone = File::from(read.try_clone().expect("cloned"));
        io::Read::read_to_end(&mut gone, &mut Vec::new()).expect("read");
        assert_eq!(store("avatar", read).expect("stored"), manifest);
        let (pipe, _writer) = rustix::pipe::pipe().expect("made");
        for (name, fd) in [("avatar", pipe), (".x", file("x")), ("a/b", file("x"))] {
            assert!(matches!(store(name, fd), Err(BlobError::Refused(_))));
        }
        assert_eq!(std::fs::read(folders.blob_folder(&user).join("avatar")).expect("still there"), b"abc");
        store("other", file("x")).expect("stored");
        assert!(!folders.blob_folder(&user).join("avatar").exists());
        assert_eq!(std::fs::read_dir(&folders.blobs).expect("reads").count(), 1);
        folders
            .stage_blobs(&user, vec![("lost".into(), crate::sys::passed::standing_for(file("x")))])
            .expect("staged");
        folders.collect_staged();
        assert_eq!(std::fs::read_dir(&folders.blobs).expect("reads").count(), 1);
    }
}
