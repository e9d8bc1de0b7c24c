//! What was kept twice, because both ends had changed it: found by its name, and chosen from.

use crate::decide::kept;
use crate::home::{Home, look};
use crate::node::{LONGEST_PATH, Path, is_reserved, split};
use crate::pair::Id;
use crate::store::Store;
use crate::talk::apart;
use crate::wire::{Failure, failed};
use rustix::fs::{AtFlags, FileType, RawDir, StatxTimestamp, renameat, unlinkat};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// A copy that was kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copy {
    /// Where it is, within the home.
    pub path: Vec<u8>,
    /// Beside which it was kept.
    pub beside: Vec<u8>,
    /// The host it is from.
    pub host: String,
}

/// What this machine had, or what the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This machine.
    Here,
    /// The other.
    There,
}

/// All copies below a path of the home (empty: all of it).
pub fn copies(home: OwnedFd, below: &[u8]) -> Result<Vec<Copy>, Failure> {
    let home = Home::new(home).map_err(failed("opening the home"))?;
    let mut folders: Vec<Path> = vec![below.into()];
    let mut found = Vec::new();
    while let Some(path) = folders.pop() {
        let folder = match home.folder(&path) {
            Ok(folder) => folder,
            Err(errno) if *path == *below => return Err(failed("opening the folder")(errno)),
            // Nobody can look into it.
            Err(_) => continue,
        };
        for (name, is_folder) in names(&folder).unwrap_or_default() {
            let inside = if path.is_empty() { name.to_vec() } else { [&*path, b"/", &*name].concat() };
            if (path.is_empty() && is_reserved(&name)) || inside.len() > LONGEST_PATH {
                continue;
            }
            if is_folder {
                folders.push(inside.into());
            } else if let Some((of, host)) = kept(&name) {
                let (folder, _) = split(&inside);
                let beside = if folder.is_empty() { of.to_vec() } else { [folder, b"/", of].concat() };
                found.push(Copy { host: host.to_owned(), beside, path: inside });
            }
        }
    }
    found.sort();
    Ok(found)
}

fn names(folder: &OwnedFd) -> Result<Vec<(Path, bool)>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => look(folder.as_fd(), name)
                .is_ok_and(|look| FileType::from_raw_mode(look.stx_mode.into()) == FileType::Directory),
            _ => false,
        };
        names.push((name.into(), is_folder));
    }
    Ok(names)
}

/// What became of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// What that side had is under the name, and nothing beside it any more.
    Done,
    /// A folder is there, which is not removed for a file.
    Folder,
    /// What is there was written after the copy was kept: it is no side's any more.
    Newer,
}

/// Has what a side had under its name, and nothing beside it any more.
pub fn choose(home: OwnedFd, copy: &Copy, side: Side, (host, id): (&str, &Id)) -> Result<Chosen, Failure> {
    let failed = |errno| failed("taking one of the two")(errno);
    let home = Home::new(home).map_err(failed)?;
    let _alone = Store::open(&home)?;
    let (folder, name) = split(&copy.path);
    let (_, beside) = split(&copy.beside);
    let folder = home.folder(folder).map_err(failed)?;
    let is_from_here = copy.host == host || copy.host == apart(host, id);
    if is_from_here != (side == Side::Here) {
        return unlinkat(&folder, name, AtFlags::empty()).map(|()| Chosen::Done).map_err(failed);
    }
    let kept = look(folder.as_fd(), name).map_err(failed)?;
    if let Ok(there) = look(folder.as_fd(), beside)
        && FileType::from_raw_mode(there.stx_mode.into()) != FileType::Directory
        && is_later(&there.stx_mtime, &kept.stx_ctime)
    {
        return Ok(Chosen::Newer);
    }
    match renameat(&folder, name, &folder, beside) {
        Ok(()) => Ok(Chosen::Done),
        Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => Ok(Chosen::Folder),
        Err(errno) => Err(failed(errno)),
    }
}

/// The copy got its name at the second of these, as nothing was done to it since.
fn is_later(written: &StatxTimestamp, kept: &StatxTimestamp) -> bool {
    (written.tv_sec, written.tv_nsec) > (kept.tv_sec, kept.tv_nsec)
}
