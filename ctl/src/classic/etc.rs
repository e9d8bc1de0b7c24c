//! The account files on disk: locked as lckpwdf(3) says, each written whole, what it was before kept with a `-` behind its name.

use super::lines::{File, Lines, Texts};
use rustix::fs::{FlockOperation, Gid, Mode, Uid};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The lock that all who change these files take: lckpwdf(3).
const LOCK: &str = ".pwd.lock";
/// How often, and after which pauses, it is tried: lckpwdf(3) gives up after 15 s, too.
const TRIES: u32 = 150;
const PAUSE: Duration = Duration::from_millis(100);
/// Where a file's label is, where the machine has them.
const LABEL: &str = "security.selinux";

/// The folder with the files.
pub struct Etc {
    folder: PathBuf,
}

impl Default for Etc {
    fn default() -> Self {
        Self { folder: "/etc".into() }
    }
}

/// Nobody else changes the files while it lives.
pub struct Locked<'a> {
    etc: &'a Etc,
    _lock: fs::File,
}

impl Etc {
    /// All four; one that is not there is empty.
    pub fn read(&self) -> io::Result<Texts> {
        Texts::read(|file| match fs::read(self.folder.join(file.name())) {
            Err(error) if error.kind() == ErrorKind::NotFound && file != File::Passwd => Ok(Vec::new()),
            other => other,
        })
    }

    /// Waits until nobody else changes them, for a quarter of a minute.
    pub fn lock(&self, pause: &dyn Fn(Duration)) -> io::Result<Locked<'_>> {
        let path = self.folder.join(LOCK);
        let lock = fs::File::options().write(true).create(true).truncate(false).open(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        for _ in 0..TRIES {
            match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Locked { etc: self, _lock: lock }),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => pause(PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(
            ErrorKind::WouldBlock,
            "another program changes the accounts (/etc/.pwd.lock is held)",
        ))
    }
}

impl Locked<'_> {
    /// Takes an account out.
    pub fn take_out(&self, lines: &Lines) -> io::Result<()> {
        File::ALL.into_iter().try_for_each(|file| self.change(file, |text| lines.taken_out(file, text)))
    }

    /// Puts it back. Its line of /etc/passwd comes last: with it all of the account is there.
    pub fn put_back(&self, lines: &Lines) -> io::Result<()> {
        File::ALL.into_iter().rev().try_for_each(|file| self.change(file, |text| lines.put_back(file, text)))
    }

    fn change(&self, file: File, change: impl FnOnce(&[u8]) -> Vec<u8>) -> io::Result<()> {
        let path = self.etc.folder.join(file.name());
        let before = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let after = change(&before);
        if after == before {
            return Ok(());
        }
        replace(&path, &path.with_file_name(format!("{}-", file.name())), &before)?;
        replace(&path, &path, &after)
    }
}

/// Writes a file whole, and has it on disk; owner, mode and label are those of `like`.
fn replace(like: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let facts = fs::metadata(like)?;
    let mut new = tempfile::Builder::new().prefix(".homectl-").tempfile_in(folder)?;
    new.write_all(text)?;
    let file = new.as_file();
    rustix::fs::fchown(file, Some(Uid::from_raw(facts.uid())), Some(Gid::from_raw(facts.gid())))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(facts.mode() & 0o7777))?;
    let mut label = [0; 256];
    if let Ok(length) = rustix::fs::getxattr(like, LABEL, &mut label[..]) {
        rustix::fs::fsetxattr(file, LABEL, &label[..length], rustix::fs::XattrFlags::empty())?;
    }
    file.sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etc() -> (tempfile::TempDir, Etc) {
        let folder = tempfile::tempdir().expect("scratch");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("passwd", "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n");
        write("shadow", "root:*:1::::::\nbob:$y$h:1::::::\n");
        write("group", "bob:x:1000:\nwheel:x:10:bob\n");
        fs::set_permissions(folder.path().join("shadow"), fs::Permissions::from_mode(0o640)).expect("mode");
        let etc = Etc { folder: folder.path().to_owned() };
        (folder, etc)
    }

    #[test]
    fn an_account_goes_and_comes_back_and_the_files_keep_their_modes() {
        let (folder, etc) = etc();
        let before = etc.read().expect("read");
        let bob = Lines::of(&before, "bob").expect("text").expect("known");
        let locked = etc.lock(&|_| ()).expect("locked");
        locked.take_out(&bob).expect("out");
        assert_eq!(Lines::of(&etc.read().expect("read"), "bob"), Ok(None));
        let mode = |name: &str| fs::metadata(folder.path().join(name)).expect("there").mode() & 0o7777;
        assert_eq!((mode("shadow"), mode("shadow-")), (0o640, 0o640));
        assert_eq!(fs::read(folder.path().join("passwd-")).expect("kept"), before.of(File::Passwd));
        locked.put_back(&bob).expect("back");
        // (The user's own lines come last.)
        assert_eq!(Lines::of(&etc.read().expect("read"), "bob"), Ok(Some(bob)));
        assert!(!folder.path().join("gshadow").exists(), "a file that is not there is not made");
        let left = fs::read_dir(folder.path()).expect("listed").flatten();
        assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".homectl-")));
    }
}
