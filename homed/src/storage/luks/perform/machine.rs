//! The lock's steps on this machine. What may never come back has a bound.

use super::super::plan::lock::{
    Barriers, Device, FileSystem, Frozen, Kept, Key, Marks, Mounts, Prepared, Situation, Step, Which,
};
use super::super::{resize, wait_until_closed};
use super::lock::Locks;
use crate::job::{Context, Failure, Steps};
use crate::storage::Seal;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::{barrier, cover, mapped};
use crate::sys::bounded::{Deadline, Late};
use crate::sys::devmapper;
use crate::sys::mount::{self, Elsewhere, Entry, Found, Number};
use records::Secret;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The longest that the disk may take for what is not written yet. How much that is, the user's programs have decided;
/// without a lock the kernel would wait for it before a sleep, too.
const WRITING: Duration = Duration::from_secs(20);
/// The longest that compressors are washed: there must be time for what comes after.
const WASHING: Duration = Duration::from_secs(8);
/// The longest for what the kernel does at once, or never.
const AT_ONCE: Duration = Duration::from_secs(5);

mod marks;
mod steps;

use steps::in_time;

/// What a run has at hand.
#[derive(Default)]
pub struct Means<'a> {
    /// How the home is sealed.
    pub seal: Option<Seal<'a>>,
    /// The volume key.
    pub key: Option<&'a Secret>,
    /// What is still used is closed all the same.
    pub by_force: bool,
    /// What is in the image is whole once it is closed.
    pub whole: bool,
    /// The image, where the run has it open, and so its lock.
    pub image: Option<&'a File>,
}

/// What a close has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// All of it was mounted for reading only: nothing of the home has been changed.
    pub read_only: bool,
    /// Its device was cut off: what was not written is lost.
    pub cut_off: bool,
    /// The kernel has taken down what was below.
    pub closed: bool,
}

/// The home of a spec on this machine.
pub struct Machine<'a, 'm> {
    spec: &'a Spec,
    means: Means<'m>,
    /// Until when the key must be out of memory, from the first step that keeps programs waiting.
    deadline: Option<Deadline>,
    root: Option<OwnedFd>,
    /// The home's mounts here, as they were at the last look.
    here: Vec<Found>,
    /// Mounts in other namespaces, as they were when the run began.
    elsewhere: Option<Vec<Elsewhere>>,
    frozen: Frozen,
    kept: Kept,
    prepared: Prepared,
    others: Vec<String>,
    /// The home's device, as it was when it was last there: it goes with its last mount, and its key in the keyring does not.
    last: Option<devmapper::Device>,
    /// Whether this run has covered the mounts in other namespaces, as far as that can be, or uncovered them.
    covered_elsewhere: Option<bool>,
    /// What this run has seen of a close.
    pub seen: Seen,
}

impl<'a, 'm> Machine<'a, 'm> {
    /// Nothing is looked at yet.
    pub fn new(spec: &'a Spec, means: Means<'m>) -> Self {
        Self {
            spec,
            means,
            deadline: None,
            root: None,
            here: Vec::new(),
            elsewhere: None,
            frozen: Frozen::Unknown,
            kept: Kept::Unknown,
            prepared: Prepared::Nothing,
            others: Vec::new(),
            last: None,
            covered_elsewhere: None,
            seen: Seen::default(),
        }
    }

    fn name(&self, which: Which) -> String {
        match which {
            Which::Home => self.spec.mapper_name(),
            Which::Other(place) => self.others.get(place).cloned().unwrap_or_default(),
        }
    }

    fn number(&self) -> Result<Option<Number>, Failure> {
        mapped::number(&self.spec.mapper_name()).during("looking for the encrypted device")
    }

    fn elsewhere(&self) -> impl Iterator<Item = &Elsewhere> {
        self.elsewhere.iter().flatten()
    }

    /// One of its mounts, to be asked for options, as it was at the last look.
    fn mounted(&self) -> Option<Entry> {
        let there = self.elsewhere().flat_map(|found| &found.mounts);
        self.here.iter().chain(there).next().map(|found| found.mount.clone())
    }

    fn mounts(&self, table: &[Entry]) -> Result<Mounts, Failure> {
        let is_covered = |found: &&Found| cover::is_one(found.top());
        let of_here = || self.here.iter().filter(|found| found.reachable);
        let of_others = || self.elsewhere().flat_map(|there| &there.mounts);
        // They are as this run has left them, where it has come to them: more than that cannot be had.
        let (open, covered) = match self.covered_elsewhere {
            Some(covered) => (false, covered && of_others().next().is_some()),
            None => {
                (of_others().any(|found| !is_covered(&found)), of_others().any(|found| is_covered(&found)))
            }
        };
        let at = mount::at_in(table, &self.spec.home_directory).during("looking at the home directory")?;
        Ok(Mounts {
            any: self.mounted().is_some(),
            open: open || of_here().any(|found| !is_covered(&found)),
            covered: covered
                || of_here().any(|found| is_covered(&found))
                || at.is_some_and(|top| cover::is_one(&top)),
        })
    }

    /// A directory of the home's file system, wherever that is mounted and whatever lies over it.
    fn root(&mut self) -> Result<OwnedFd, Failure> {
        if self.root.is_none() {
            let mut opened = Err(io::Error::from(io::ErrorKind::NotFound));
            for found in &self.here {
                opened = opened.or_else(|_| found.open());
            }
            for found in self.elsewhere() {
                opened = opened.or_else(|_| found.open());
            }
            self.root = Some(opened.during("opening the home directory")?);
        }
        let root = self.root.as_ref().ok_or_else(|| Failure::fault("the home directory was not opened"))?;
        root.try_clone().during("opening the home directory again")
    }

    /// Whether the home is mounted here.
    pub fn is_mounted(&self) -> bool {
        let mounts = |number| mount::of_device(number).ok();
        self.number().ok().flatten().and_then(mounts).is_some_and(|here| !here.is_empty())
    }

    fn deadline(&mut self) -> Deadline {
        let bound = self.means.seal.as_ref().map_or(AT_ONCE, |seal| seal.bound);
        *self.deadline.get_or_insert_with(|| Deadline::after(bound))
    }
}

impl Locks for Machine<'_, '_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        let name = self.spec.mapper_name();
        let own = mapped::device(&name).during("looking at the encrypted device")?;
        let number = own.as_ref().map(|own| own.number);
        if self.elsewhere.is_none() {
            self.elsewhere = Some(match number {
                Some(number) => mount::elsewhere(number).during("looking into other mount namespaces")?,
                None => Vec::new(),
            });
        }
        let luks = own.as_ref().and_then(|own| own.luks_uuid).or(self.spec.uuids.luks);
        let others = luks.map_or(Ok(Vec::new()), |luks| devmapper::others_of_uuid(luks, &name));
        let others = others.during("looking for the home's devices")?;
        self.others = others.iter().map(|device| device.name.clone()).collect();
        let home = own.as_ref().map(device);
        self.last = own.or(self.last.take());
        self.seen.cut_off |= home.is_some_and(|home| home.key == Key::CutOff);
        let table = mount::table("self").during("reading the table of mounts")?;
        self.here = number.map(|number| mount::of_device_in(&table, number)).unwrap_or_default();
        let mounted = self.mounted();
        let read_only = mounted.as_ref().is_some_and(Entry::has_read_only_file_system);
        Ok(Situation {
            home,
            others: others.iter().map(device).collect(),
            mounts: self.mounts(&table)?,
            file_system: match &mounted {
                None => FileSystem::Unmounted,
                Some(_) if read_only => FileSystem::ReadOnly,
                Some(_) => FileSystem::Writable,
            },
            frozen: self.frozen,
            barriers: mounted.map_or(Barriers::Never, |mounted| barriers(&mounted, self.spec)),
            prepared: self.prepared,
            kept: self.kept,
            seen_closed: self.seen.closed,
            marks: if home.is_none() && others.is_empty() { self.marks() } else { Marks::default() },
            ended: self.ended(),
        })
    }

    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure> {
        match step {
            Step::Cover => self.cover(),
            Step::Sync => self.sync(),
            Step::Wash => self.wash(steps),
            Step::Evict => self.evict(),
            Step::LeaveOutBarriers => self.leave_out_barriers(),
            Step::Freeze => self.freeze(),
            Step::Flush => self.flush(),
            Step::ClearTable(which) => {
                devmapper::clear_inactive(&self.name(which)).during("clearing the device's second table")
            }
            Step::Suspend(which) => self.suspend(which),
            Step::Wipe(which) => {
                let name = self.name(which);
                in_time(Deadline::after(AT_ONCE), Late::Kill, "taking the key out of memory", || {
                    devmapper::wipe_key(&name)
                })
            }
            Step::Revoke => resize::key::revoke(self.spec, self.last.as_ref()).map(|()| self.kept = Kept::No),
            Step::Resume => {
                devmapper::go_on(&self.name(Which::Home)).during("letting the encrypted device go on")
            }
            Step::GiveKey => self.give_key(),
            Step::Uncover => self.uncover(),
            Step::Thaw => self.thaw(),
            Step::AskBarriers => self.ask_barriers(),
            Step::KeepKey => {
                if let Some(key) = self.means.key {
                    resize::key::keep(self.spec, key, steps);
                }
                self.kept = Kept::Yes;
                Ok(())
            }
            Step::Remove(which) => mapped::remove_stale(&self.name(which)),
            Step::CutOff => {
                let name = self.name(Which::Home);
                in_time(Deadline::after(AT_ONCE), Late::Kill, "cutting the encrypted device off", || {
                    devmapper::cut_off(&name)
                })
            }
            Step::Unmount => self.unmount(steps),
            Step::AwaitClosed => {
                wait_until_closed(self.spec, self.last.as_ref()).map(|()| self.seen.closed = true)
            }
            Step::Unmark => self.unmark(),
        }
    }
}

fn barriers(mounted: &Entry, spec: &Spec) -> Barriers {
    match barrier::asking(mounted, &spec.extra) {
        barrier::Asking::Never => Barriers::Never,
        barrier::Asking::Yes => Barriers::Asked,
        barrier::Asking::LeftOut => Barriers::LeftOut,
    }
}

fn device(device: &devmapper::Device) -> Device {
    Device {
        suspended: device.suspended,
        key: match device.key {
            Some(devmapper::Key::Wiped) => Key::Wiped,
            Some(devmapper::Key::InKeyring | devmapper::Key::Plain) => Key::Present,
            None => Key::CutOff,
        },
        second_table: device.inactive,
    }
}
