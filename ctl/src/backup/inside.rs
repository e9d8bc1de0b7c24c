//! homectl once more, between homectl and restic, and with the rights that restic gets: it goes where restic is to be, holds the view that is
//! there, and becomes restic. For root it is twice between them: it leaves root's terminal first, and only then takes the user's
//! rights, for from that moment the user can do with it what debuggers do.
//!
//! So root opens nothing in a folder that somebody else changes, and restic gets no descriptor of root's: a path that was made to lead
//! elsewhere leads its user where the user may go, and nobody further.

use super::program::{PROGRAM, not_started};
use crate::bus::Failure;
use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::FdFlags;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The first word of that call of homectl. No command is called so, and it gives nobody anything that they have not.
pub const WORD: &str = "--inside";

/// Where restic is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// In a folder.
    Folder(&'a Path),
    /// In a view of a home, which it holds a lock on for as long as it runs.
    View(&'a Path),
}

impl Start<'_> {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::View(_) => "view",
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::View(path) => path,
        }
    }
}

/// Whose terminal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Its user's own: Ctrl-C reaches it there, and ssh asks there.
    Shared,
    /// Root's: it is left before the rights of the user with this UID are taken. Who shares a terminal reads what is typed there, and
    /// may type into it on some kernels (TIOCSTI, ioctl_tty(2)).
    Left(u32),
}

/// What begins the word for a terminal that is left.
const LEFT: &str = "left-";

impl Terminal {
    /// The word for it.
    pub fn word(self) -> String {
        match self {
            Self::Shared => "shared".to_owned(),
            Self::Left(uid) => format!("{LEFT}{uid}"),
        }
    }
}

/// Becomes restic; comes back where that cannot be.
pub fn run(words: &[&str]) -> Result<u8, Failure> {
    let [terminal, kind, path, rest @ ..] = words else {
        return Err(Failure::say(format!("{WORD} is for homectl itself. Nothing was changed.")));
    };
    if let Some(uid) = terminal.strip_prefix(LEFT).and_then(|uid| uid.parse::<u32>().ok()) {
        rustix::process::setsid().map_err(|error| not_started(&error.into()))?;
        // What root's shell or service has started homectl with is not all closed when programs begin, and a process of the user's
        // gets every descriptor of another (pidfd_getfd).
        handoff::keep_descriptors().map_err(|error| not_started(&error))?;
        let mut again = Command::new("/proc/self/exe");
        again.arg0("homectl").args([WORD, "--", &Terminal::Shared.word(), kind, path]).args(rest);
        // Nobody's further groups: Command gives root's up with that.
        return Err(not_started(&again.uid(uid).gid(uid).exec()));
    }
    let path = Path::new(path);
    // It stays open until this is another program, and in that.
    let held = match *kind == Start::View(path).word() {
        true => hold(path).map(Some),
        false => std::env::set_current_dir(path).map(|()| None),
    };
    let _held =
        held.map_err(|error| Failure::say(format!("{}: {error}. Nothing was changed.", path.display())))?;
    Err(not_started(&Command::new(PROGRAM).args(rest).exec()))
}

/// Goes into a view and locks it, through no link and into no mount below the home.
fn hold(path: &Path) -> io::Result<File> {
    let home = path.parent().and_then(Path::parent).ok_or(io::ErrorKind::InvalidInput)?;
    let inner = path.strip_prefix(home).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let folder = rustix::fs::openat2(File::open(home)?, inner, flags, Mode::empty(), resolve)?;
    rustix::fs::flock(&folder, FlockOperation::NonBlockingLockShared)?;
    rustix::process::fchdir(&folder)?;
    rustix::io::fcntl_setfd(&folder, FdFlags::empty())?;
    Ok(File::from(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_leads_out_of_the_home() {
        let top = tempfile::tempdir().expect("folder");
        let (home, away) = (top.path().join("alice"), top.path().join("bob"));
        std::fs::create_dir_all(home.join("real/home")).expect("made");
        std::fs::create_dir_all(away.join("home")).expect("made");
        for (name, target) in [("folder", "../bob"), ("whole", "/etc"), ("inside", "real")] {
            std::os::unix::fs::symlink(target, home.join(name)).expect("linked");
            assert!(hold(&home.join(name).join("home")).is_err(), "{name}");
        }
        std::os::unix::fs::symlink("../../bob/home", home.join("real/last")).expect("linked");
        assert!(hold(&home.join("real/last")).is_err());
        std::fs::write(home.join("real/file"), "x").expect("written");
        assert!(hold(&home.join("real/file")).is_err());
        assert!(run(&["shared"]).is_err());
    }
}
