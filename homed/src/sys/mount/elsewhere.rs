//! Mounts in mount namespaces other than ours: of containers, services and `unshare -m`.
//!
//! A namespace begins with a copy of all mounts. Where it is cut off from the machine's (`MS_PRIVATE`), what is unmounted
//! on the machine stays mounted there, and keeps its device open.

use super::table::{directory, id};
use super::{Entry, Found, Number, Unmount, find, table, unmount};
use crate::sys::bounded::{Deadline, Late, Unfinished, within};
use nix::sched::{CloneFlags, setns};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A namespace in which a file system is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// One of its processes.
    pub process: u32,
    /// Where the file system is mounted there, and what lies on it; the mount that was made last comes last.
    pub mounts: Vec<Found>,
}

/// The namespaces other than ours in which the file system on this device is mounted. What ends meanwhile is left out.
pub fn elsewhere(device: Number) -> io::Result<Vec<Elsewhere>> {
    let namespace =
        |process: &str| Ok::<_, io::Error>(std::fs::metadata(format!("/proc/{process}/ns/mnt"))?.ino());
    let own = namespace("self")?;
    let mut one_of_each = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        match namespace(&process.to_string()) {
            Ok(namespace) if namespace != own => drop(one_of_each.entry(namespace).or_insert(process)),
            Ok(_) | Err(_) => {}
        }
    }
    let found = one_of_each.into_values().map(|process| {
        let mounts = table(&process.to_string()).unwrap_or_default();
        Elsewhere { process, mounts: find(&mounts, |mount| mount.is_of(device)) }
    });
    Ok(found.filter(|found| !found.mounts.is_empty()).collect())
}

impl Elsewhere {
    /// Opens the directory that is mounted there.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let mut error = io::Error::from(io::ErrorKind::NotFound);
        for (_, directory) in self.roots() {
            match directory {
                Ok(opened) => return Ok(opened),
                Err(why) => error = why,
            }
        }
        Err(error)
    }

    /// Each mount of it there, with the directory that is mounted; `NotFound` for one that something lies over.
    pub fn roots(&self) -> impl Iterator<Item = (&Entry, io::Result<OwnedFd>)> {
        self.mounts.iter().map(|Found { mount, .. }| (mount, self.root_of(mount)))
    }

    /// Through the root of a process that is there. What its user has put in the way has another id.
    fn root_of(&self, mount: &Entry) -> io::Result<OwnedFd> {
        let there = mount.target.strip_prefix("/").unwrap_or(&mount.target);
        let opened = directory(&Path::new(&format!("/proc/{}/root", self.process)).join(there))?;
        if id(&opened)? == mount.id { Ok(opened) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Does something in that namespace, in a copy of this process, which must have one thread.
    pub fn inside<E: Display>(
        &self,
        deadline: Deadline,
        act: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), Unfinished> {
        within(deadline, Late::Leave, || {
            let namespace =
                File::open(format!("/proc/{}/ns/mnt", self.process)).map_err(|e| e.to_string())?;
            setns(&namespace, CloneFlags::CLONE_NEWNS).map_err(|error| error.to_string())?;
            act().map_err(|error| error.to_string())
        })
    }

    /// Unmounts it there, as far as nobody uses it.
    pub fn unmount(&self, deadline: Deadline) -> Result<(), Unfinished> {
        self.inside(deadline, || {
            self.mounts.iter().rev().try_for_each(|found| unmount(&found.mount.target, Unmount::Idle))
        })
    }
}
