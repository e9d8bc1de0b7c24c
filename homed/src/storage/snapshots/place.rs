//! The subvolumes of a home on a disk: the [plan's](super::plan) steps done.
//!
//! ```text
//! top of the file system, mounted for this process alone
//! ├── alice         the home
//! └── .snapshots    root's, closed to all
//!     └── 20261127T043350Z.made   read-only
//! ```

use super::name::Name;
use super::plan::{Other, Place, Standing, Step};
use crate::job::{Context, Failure, refuse};
use crate::storage::parts::erase::erase;
use crate::storage::{HomeDirectory, parts::tree::Ids};
use crate::sys::snapshot::{self, Access};
use crate::sys::{beneath, durable, filesystem, subvolume};
use records::Refusal;
use rustix::fs::Mode;
use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

/// The folder that snapshots lie in, at the top of the file system.
pub const FOLDER: &str = ".snapshots";

/// Where the subvolumes of a home are.
pub struct Subvolumes {
    /// The top of the file system, as it is on disk.
    pub top: OwnedFd,
    /// The folder of snapshots.
    folder: OwnedFd,
    /// What the home is called there.
    name: String,
    /// The home as it is open.
    shown: OwnedFd,
}

impl Subvolumes {
    /// Opens them; the folder of snapshots is made where it is missing.
    pub fn open(top: OwnedFd, name: &str, shown: OwnedFd) -> Result<Self, Failure> {
        if !subvolume::is_one(&shown).during("looking at the home")? {
            return refuse(
                Refusal::NotSupported,
                "The home is an ordinary folder in its file system, and no subvolume of btrfs: there are no snapshots of it. \
                 Nothing was changed.",
            );
        }
        let folder = match durable::directory_at(&top, FOLDER) {
            Err(error)
                if error.kind() == ErrorKind::NotFound && filesystem::is_read_only(&top).unwrap_or(false) =>
            {
                return refuse(
                    Refusal::NoDiskSpace,
                    "The home can only be read at the moment, and there are no snapshots of it. Nothing was changed.",
                );
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make_folder(&top),
            other => other,
        };
        let folder = folder.during("opening the folder of snapshots")?;
        let opened = Self { top, folder, name: name.to_owned(), shown };
        let standing = opened.standing()?;
        if standing.waits_for_reopening() && standing.others.iter().all(|other| other.uuid != standing.shown)
        {
            return Err(Failure::fault(
                "what is mounted at the home directory is not in the home's file system",
            ));
        }
        Ok(opened)
    }

    /// Whose the files are: on disk, and as the home shows them.
    pub fn ids(&self) -> Result<Ids, Failure> {
        let owner = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|facts| facts.st_uid).map_err(io::Error::from);
        let stored = self.home().and_then(|home| owner(&home)).during("looking at the home")?;
        Ok(Ids { stored, exposed: owner(&self.shown).during("looking at the home")? })
    }

    /// Whether nothing can be changed in it.
    pub fn is_read_only(&self) -> bool {
        filesystem::is_read_only(&self.top).unwrap_or(false)
    }

    /// Bytes that are free, and all there are.
    pub fn space(&self) -> Result<(u64, u64), Failure> {
        let facts = rustix::fs::fstatvfs(&self.top)
            .map_err(io::Error::from)
            .during("looking at the space of the home")?;
        Ok((facts.f_bavail.saturating_mul(facts.f_frsize), facts.f_blocks.saturating_mul(facts.f_frsize)))
    }

    /// The home that opens the next time.
    pub fn home(&self) -> io::Result<OwnedFd> {
        durable::directory_at(&self.top, &self.name)
    }

    /// The same in another mount of the file system.
    pub fn seen_in(&self, view: &OwnedFd) -> io::Result<OwnedFd> {
        durable::directory_at(view, &self.name)
    }

    /// Opens a snapshot.
    pub fn snapshot(&self, name: &Name) -> io::Result<OwnedFd> {
        durable::directory_at(&self.folder, &name.to_string())
    }

    /// Takes snapshots away, and waits until their space is free; `false`: that takes longer.
    pub fn delete(&mut self, name: &Name) -> Result<bool, Failure> {
        let number = self.snapshot(name).and_then(snapshot::facts).during("looking at the snapshot")?.number;
        self.perform(&Step::Delete(name.to_string()))?;
        snapshot::settle_space(&self.top).during("freeing the space of the snapshot")?;
        let is_free = || snapshot::is_there(&self.top, number).map(|there| !there);
        let is_free = crate::sys::waiting::wait_until(FREEING, is_free)
            .during("waiting for the space of the snapshot")?;
        // What was in it can be used once the next transaction is on disk.
        self.sync()?;
        Ok(is_free)
    }

    fn standing(&self) -> Result<Standing, Failure> {
        let uuid = |fd: io::Result<OwnedFd>| fd.and_then(snapshot::facts).map(|facts| facts.uuid);
        let home = uuid(self.home()).during("looking at the home")?;
        let shown = snapshot::facts(&self.shown).during("looking at the open home")?.uuid;
        let others = self.others().during("looking at the snapshots")?;
        Ok(Standing { home, shown, others })
    }

    fn others(&self) -> io::Result<Vec<Other>> {
        let mut others = Vec::new();
        // A descriptor that has been read through is at its end.
        for name in beneath::names(durable::directory_at(&self.folder, ".")?)? {
            let Ok(name) = name.into_string() else { continue };
            let Ok(directory) = durable::directory_at(&self.folder, &name) else { continue };
            if subvolume::is_one(&directory)? {
                let facts = snapshot::facts(&directory)?;
                others.push(Other { name, uuid: facts.uuid, writable: facts.access == Access::Write });
            }
        }
        Ok(others)
    }

    /// The record that is in force is in the home, and goes with whatever takes its place.
    fn write_record(&self, copy: OwnedFd) -> Result<(), Failure> {
        let home = HomeDirectory::new(self.home().during("opening the home")?)?;
        let record = home.read_record()?;
        HomeDirectory::new(copy)?.write_record(&record)
    }

    fn sync(&self) -> Result<(), Failure> {
        durable::sync_file_system(&self.folder).during("writing the snapshots to disk")
    }
}

/// How long it is waited until the space of a snapshot is free.
const FREEING: std::time::Duration = std::time::Duration::from_secs(10);

fn make_folder(top: &OwnedFd) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(top, FOLDER, Mode::RWXU)?;
    durable::directory_at(top, FOLDER)
}

impl Place for Subvolumes {
    type Error = Failure;

    fn look(&mut self) -> Result<Standing, Failure> {
        self.standing()
    }

    fn perform(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Keep(name) => {
                snapshot::make(&self.shown, &self.folder, &name.to_string(), Access::Read)
                    .during("making the snapshot")?;
            }
            Step::Copy(name, working) => {
                let source = self.snapshot(name).during("opening the snapshot")?;
                snapshot::make(source, &self.folder, &working.to_string(), Access::Write)
                    .during("copying the snapshot")?;
            }
            Step::WriteRecord(working) => {
                let copy = durable::directory_at(&self.folder, &working.to_string());
                self.write_record(copy.during("opening the copy")?)?;
            }
            Step::Exchange(working) => {
                let (one, other) = ((&self.folder, &*working.to_string()), (&self.top, &*self.name));
                snapshot::exchange(one, other).during("putting the snapshot in the place of the home")?;
            }
            Step::Rename(working, name) => {
                let (from, to) = (working.to_string(), name.to_string());
                rustix::fs::renameat(&self.folder, from, &self.folder, to)
                    .map_err(io::Error::from)
                    .during("keeping the former home")?;
            }
            Step::Seal(name) => {
                let former = durable::directory_at(&self.folder, name).during("opening the former home")?;
                snapshot::seal(former).during("closing the former home to changes")?;
            }
            Step::Delete(name) => {
                let name = CString::new(name.as_str()).map_err(Failure::fault)?;
                erase(&self.folder, &name).during("deleting the snapshot")?;
            }
        }
        self.sync()
    }
}
