//! Steps that are more than one request to the kernel.

use super::{AT_ONCE, Machine, WASHING, WRITING};
use crate::job::{Context, Failure, Force, Steps};
use crate::storage::luks::perform::give_key::give_key;
use crate::storage::luks::plan::lock::{Frozen, Prepared, Which};
use crate::storage::parts::{barrier, cover, mapped, unmount, wash};
use crate::sys::bounded::{Deadline, Late, Unfinished, within};
use crate::sys::mount::{self, Found, Number};
use crate::sys::{devmapper, durable, file};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

impl Machine<'_, '_> {
    pub(super) fn cover(&mut self) -> Result<(), Failure> {
        self.change_covers(cover::put_over, |found| !cover::is_one(found.top()))?;
        self.covered_elsewhere = Some(true);
        Ok(())
    }

    pub(super) fn uncover(&mut self) -> Result<(), Failure> {
        self.change_covers(cover::take_from, |found| cover::is_one(found.top()))?;
        self.covered_elsewhere = Some(false);
        let place = &self.spec.home_directory;
        while mount::at(place).during("reading the table of mounts")?.is_some_and(|top| cover::is_one(&top)) {
            cover::take(place)?;
        }
        Ok(())
    }

    /// Here, and in every other namespace, as far as that can be: whoever works there would wait without end, too. Those that
    /// follow ours (services of systemd with a folder of their own) have done so by themselves.
    fn change_covers(
        &self,
        change: fn(Number) -> Result<(), Failure>,
        is_left: fn(&Found) -> bool,
    ) -> Result<(), Failure> {
        let Some(number) = self.number()? else { return Ok(()) };
        change(number)?;
        let elsewhere = mount::elsewhere(number).during("looking into other mount namespaces")?;
        for there in elsewhere.iter().filter(|there| there.mounts.iter().any(is_left)) {
            let text = |failure: Failure| failure.text().to_owned();
            let _ = there.inside(Deadline::after(AT_ONCE), || change(number).map_err(text));
        }
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        let root = self.root()?;
        in_time(Deadline::after(WRITING), Late::Leave, "writing the home to disk", || {
            durable::sync_file_system(&root)
        })?;
        self.prepared = Prepared::Synced;
        Ok(())
    }

    /// A full file system has no room for it; what stays then is told. Who is late must not go on: the process would
    /// wait for what is sealed by then, where no signal reaches it, and the machine could not sleep.
    pub(super) fn wash(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        let (root, mounted) = (self.root()?, self.mounted());
        self.prepared = Prepared::Washed;
        let Some(options) = mounted.map(|mounted| mounted.options) else { return Ok(()) };
        if !wash::is_needed(&root, &options) {
            return Ok(());
        }
        let washed = within(Deadline::after(WASHING), Late::Kill, || wash::compressor(&root, &options));
        if let Err(error) = washed {
            steps.warn(format!("Fragments of compressed files may be left in memory: {error}."));
        }
        Ok(())
    }

    pub(super) fn evict(&mut self) -> Result<(), Failure> {
        let device = self.mounted().map(|mounted| mounted.device);
        self.prepared = Prepared::Evicted;
        match (&mut self.means.seal, device) {
            (Some(seal), Some(device)) => (seal.evict)(&device),
            (Some(_) | None, _) => Ok(()),
        }
    }

    pub(super) fn leave_out_barriers(&mut self) -> Result<(), Failure> {
        let (root, deadline) = (self.root()?, self.deadline());
        let Some(mounted) = self.mounted() else { return Ok(()) };
        in_time(deadline, Late::Leave, "having the file system ask its device for nothing", || {
            // Frozen and thawed it is clean on disk.
            file::freeze(&root)?;
            file::thaw(&root)?;
            barrier::leave_out(&root, &mounted)
        })
    }

    pub(super) fn freeze(&mut self) -> Result<(), Failure> {
        let (root, deadline) = (self.root()?, self.deadline());
        in_time(deadline, Late::Leave, "freezing the file system of the home", || {
            match file::freeze(&root) {
                // An earlier run has frozen it, and was killed.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                other => other?,
            }
            // Nobody waits any more: nobody would thaw it.
            if deadline.left().is_zero() { file::thaw(&root) } else { Ok(()) }
        })?;
        self.frozen = Frozen::Yes;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let (node, deadline) = (mapped::node(&self.name(Which::Home)), self.deadline());
        in_time(deadline, Late::Leave, "flushing the encrypted device", || {
            File::open(&node).and_then(|device| device.sync_all())
        })?;
        self.prepared = Prepared::Flushed;
        Ok(())
    }

    pub(super) fn suspend(&mut self, which: Which) -> Result<(), Failure> {
        let (name, deadline) = (self.name(which), self.deadline());
        in_time(deadline, Late::Kill, "suspending the encrypted device", || {
            match which {
                Which::Home => devmapper::suspend(&name)?,
                // This run has frozen nothing of it: somebody else may have mounted it.
                Which::Other(_) => devmapper::suspend_with_file_system(&name)?,
            }
            // Nobody waits any more: nobody would wipe the key.
            if deadline.left().is_zero() { devmapper::go_on(&name) } else { Ok(()) }
        })
    }

    pub(super) fn give_key(&mut self) -> Result<(), Failure> {
        let Some(key) = self.means.key else { return Err(Failure::fault("there is no key")) };
        give_key(self.spec, &self.name(Which::Home), key)
    }

    pub(super) fn thaw(&mut self) -> Result<(), Failure> {
        let (root, mounted) = (self.root()?, self.mounted());
        let wished = &self.spec.extra;
        // ext4 and xfs write when they are thawed: on a device that does not answer they never come back.
        in_time(Deadline::after(AT_ONCE), Late::Leave, "thawing the file system of the home", || {
            thaw(&root)?;
            // Else it compresses more slowly at worst.
            let _ = mounted.as_ref().map(|mounted| wash::settle(&root, &mounted.options, wished));
            Ok::<(), io::Error>(())
        })?;
        self.frozen = Frozen::No;
        Ok(())
    }

    pub(super) fn ask_barriers(&mut self) -> Result<(), Failure> {
        let (root, mounted) = (self.root()?, self.mounted());
        let Some(mounted) = mounted else { return Ok(()) };
        let restored = within(Deadline::after(AT_ONCE), Late::Leave, || {
            barrier::restore(&root, &mounted, &self.spec.extra)
        });
        restored.during("until it is closed, the home does without barriers, which keep it whole")
    }

    pub(super) fn unmount(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        // It would keep the file system from going.
        self.root = None;
        let Some(number) = self.number()? else { return Ok(()) };
        let force = if self.means.by_force { Force::Yes } else { Force::No };
        self.seen.read_only = unmount::all(number, force, steps)?.read_only;
        // What is used in other namespaces stays there, and keeps the device.
        self.elsewhere = Some(Vec::new());
        Ok(())
    }
}

/// One that is not frozen is thawed already.
fn thaw(directory: impl AsFd) -> io::Result<()> {
    match file::thaw(directory) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Something bounded, with its name in the error.
pub(super) fn in_time<E: std::fmt::Display>(
    deadline: Deadline,
    late: Late,
    what: &str,
    act: impl FnOnce() -> Result<(), E>,
) -> Result<(), Failure> {
    match within(deadline, late, act) {
        Err(Unfinished::Late) => Err(Failure::fault(format!("{what} takes too long"))),
        other => other.during(what),
    }
}
