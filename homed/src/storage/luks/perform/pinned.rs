//! A home that is not mounted at its directory, and open all the same.
//!
//! ```text
//! shown elsewhere (a rescue)                    lock: closed, or named      login: named
//! mounted in another mount namespace alone      lock: sealed from here      login: taken over, and mounted here again
//! mounted where no table of mounts shows it     the same
//! opened by somebody else                       lock: named                 login: named
//! another block device lies on it               lock: named                 login: taken over
//! ```
//!
//! The file system on a device is one, however often it is mounted: frozen through a mount of our own, it stands still in
//! the other namespaces, too.

use super::sweep::open_as;
use crate::job::{self, Context, Failure, Force, Steps, refuse};
use crate::storage::Seal;
use crate::storage::luks::plan::lock::{Device as Planned, Frozen, Kept, Key as Has};
use crate::storage::luks::plan::pinned::{Next, Situation, Step, Why, Wish, next};
use crate::storage::luks::plan::without::{Mend, has};
use crate::storage::luks::resize;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::mapped::{Mapped, is_held_elsewhere};
use crate::storage::parts::{barrier, unmount};
use crate::sys::bounded::{Deadline, Late, within};
use crate::sys::devmapper::{self, Device, Key};
use crate::sys::mount;
use crate::sys::waiting::wait_until;
use crate::sys::{cryptsetup, durable, file};
use records::{Refusal, Secret};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

mod running;

use running::{carries, open_root, running};

/// How long the kernel may take to close what was unmounted, and what it takes as a rule.
const CLOSING: Duration = Duration::from_secs(5);
const AT_ONCE: Duration = Duration::from_secs(1);
/// So many steps lead anywhere.
const MOST: usize = 32;

/// A home that is open, and not mounted at its directory: on a machine, or in tests on a model of one.
pub trait Pins {
    /// What stands.
    fn look(&mut self) -> Result<Situation, Failure>;
    /// Does one step.
    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure>;
    /// What stands in the way, in words.
    fn named(&mut self, why: Why) -> Failure;
}

/// Closes it, or takes its key out of memory, step by step. What can be neither is named; what has failed is taken back.
pub fn reach(pins: &mut dyn Pins, steps: &mut dyn Steps) -> Result<(), Failure> {
    let (mut wish, mut failed, mut first) = (Wish::Locked, Vec::new(), None);
    // Whether this run may have stopped something.
    let mut stops = false;
    for _ in 0..MOST {
        let step = match pins.look().map(|stands| next(&stands, wish, &failed)) {
            Ok(Next::Do(step)) => step,
            Ok(Next::Done) => return first.map_or(Ok(()), Err),
            Ok(Next::Refuse(why)) if !stops => return Err(pins.named(why)),
            // Somebody came between two steps.
            Ok(Next::Refuse(why)) => {
                (wish, first) = (Wish::TakenBack, Some(pins.named(why)));
                continue;
            }
            Err(failure) if wish == Wish::Locked && stops => {
                (wish, first) = (Wish::TakenBack, Some(failure));
                continue;
            }
            Err(failure) => return Err(first.unwrap_or(failure)),
        };
        stops |= matches!(step, Step::Freeze | Step::Suspend);
        let entered = if wish == Wish::Locked { steps.enter(name(step)) } else { Ok(()) };
        let Err(failure) = entered.and_then(|()| pins.perform(step, steps)) else { continue };
        failed.push(step);
        match step {
            Step::Evict => steps.warn(format!("The home is locked, but: {}.", failure.text())),
            Step::Unmount if !has(Mend::UsedHere) => {}
            // What was late may have happened.
            Step::Suspend | Step::Wipe if pins.look().is_ok_and(|stands| stands.open.is_none()) => {}
            _ if wish == Wish::Locked => (wish, first) = (Wish::TakenBack, Some(failure)),
            _ => return Err(first.unwrap_or(failure)),
        }
    }
    Err(first.unwrap_or_else(|| Failure::fault("the lock comes to no end")))
}

/// What progress bars and fault points call it.
fn name(step: Step) -> job::Step {
    match step {
        Step::Unmount => job::Step::Unmount,
        Step::AwaitClosed => job::Step::Detach,
        Step::ClearTable => job::Step::ClearTable,
        Step::Freeze => job::Step::FreezeFileSystem,
        Step::Suspend => job::Step::SuspendDevice,
        Step::Wipe => job::Step::WipeKey,
        Step::Evict => job::Step::Evict,
        Step::Revoke => job::Step::RevokeKey,
        Step::Resume => job::Step::ResumeDevice,
        Step::Thaw => job::Step::ThawFileSystem,
    }
}

/// Closes what is open of the home, or takes its key out of memory. What can be neither is named.
pub fn lock(spec: &Spec, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Failure> {
    let deadline = Deadline::after(seal.bound);
    let (frozen, kept) = (Frozen::Unknown, Kept::Unknown);
    let (unmounted, waited, evicts) = (false, false, false);
    reach(
        &mut Here { spec, seal, deadline, unmounted, waited, evicts, frozen, kept, device: None, root: None },
        steps,
    )
}

/// The home of a spec on this machine.
struct Here<'a, 's> {
    spec: &'a Spec,
    seal: Seal<'s>,
    deadline: Deadline,
    unmounted: bool,
    waited: bool,
    evicts: bool,
    frozen: Frozen,
    kept: Kept,
    /// The home's device, as it was when it was last looked at and open.
    device: Option<Device>,
    /// A folder of its file system, which is mounted nowhere in the tree.
    root: Option<OwnedFd>,
}

impl Pins for Here<'_, '_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        let open = self.open()?;
        let name = self.spec.mapper_name();
        let (ours, others): (Vec<_>, Vec<_>) = open.into_iter().partition(|device| device.name == name);
        let ours = ours.into_iter().next();
        let (elsewhere, carries) = match &ours {
            // What this run has mounted of it is one, too.
            Some(device) if self.waited => {
                (self.root.is_some() || running(device)?.is_some(), carries(device)?)
            }
            Some(_) | None => (false, false),
        };
        let stands = Situation {
            by_another: !others.is_empty(),
            open: ours.as_ref().map(planned),
            unmounted: self.unmounted,
            waited: self.waited,
            elsewhere,
            carries,
            frozen: self.frozen,
            evicts: self.evicts,
            kept: self.kept,
        };
        self.device = ours.or(self.device.take());
        Ok(stands)
    }

    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure> {
        let Some(device) = self.device.clone().filter(|_| step != Step::Revoke) else {
            self.kept = Kept::No;
            return resize::key::revoke(self.spec, self.device.as_ref());
        };
        let (name, deadline) = (device.name.as_str(), self.deadline);
        match step {
            Step::Unmount => {
                self.unmounted = true;
                unmount_unused(&device, steps)
            }
            Step::AwaitClosed => self.await_closed(name),
            Step::ClearTable => devmapper::clear_inactive(name).during("throwing a second table away"),
            Step::Freeze => self.freeze(&device),
            Step::Suspend => within(deadline, Late::Kill, || {
                match self.frozen {
                    Frozen::Yes => devmapper::suspend(name)?,
                    Frozen::No | Frozen::Unknown => devmapper::suspend_with_file_system(name)?,
                }
                // Nobody waits any more: nobody would wipe the key.
                if deadline.left().is_zero() { devmapper::go_on(name) } else { Ok(()) }
            })
            .during("suspending the encrypted device"),
            Step::Wipe => {
                // One that is late may have happened.
                self.evicts = true;
                within(deadline, Late::Kill, || devmapper::wipe_key(name)).during("wiping the key")
            }
            Step::Evict => {
                self.evicts = false;
                self.evict(&device)
            }
            Step::Revoke => Ok(()),
            Step::Resume => devmapper::go_on(name).during("letting the encrypted device go on"),
            Step::Thaw => self.thaw(&device),
        }
    }

    fn named(&mut self, why: Why) -> Failure {
        let by_another = |device: &&Device| device.name != self.spec.mapper_name();
        let found = self.open().map(|open| match why {
            Why::ByAnother => open.iter().find(by_another).cloned(),
            Why::CutOff | Why::Carries => open.into_iter().next(),
        });
        let named = |device: Device| match why {
            Why::Carries => Err(running::named_for_carrying(&device)),
            Why::ByAnother | Why::CutOff => open_as(&device),
        };
        match found.and_then(|device| device.map_or(Ok(()), named)) {
            Err(failure) => failure,
            Ok(()) => Refusal::HomeInUse.into(),
        }
    }
}

impl Here<'_, '_> {
    fn open(&self) -> Result<Vec<Device>, Failure> {
        let devices = self.spec.clues().devices().during("looking for what is open")?;
        Ok(devices.into_iter().filter(|device| !is_sealed(device)).collect())
    }

    fn await_closed(&mut self, name: &str) -> Result<(), Failure> {
        self.waited = true;
        let is_closed = || self.open().map(|devices| devices.is_empty());
        // What another mount namespace has mounted does not go by itself, however long one waits.
        if !wait_until(AT_ONCE, is_closed)? && !is_held_elsewhere(name)? {
            wait_until(CLOSING, is_closed)?;
        }
        Ok(())
    }

    /// Throws what is in memory of its files out: mapped by whoever works in the other mount namespaces. Its programs run on:
    /// what they would fetch again now, they get no more.
    fn evict(&mut self, device: &Device) -> Result<(), Failure> {
        match running(device)? {
            Some(mounted) if mounted.device.is_empty() => Err(Failure::fault(
                "its file system is mounted where nothing shows it, and what processes have mapped of it stays in memory",
            )),
            Some(mounted) => (self.seal.evict)(&mounted.device),
            None => Ok(()),
        }
    }

    /// Freezes what runs on it.
    fn freeze(&mut self, device: &Device) -> Result<(), Failure> {
        let Some(mounted) = running(device)? else { return Ok(()) };
        let root = open_root(device, &mounted)?;
        let mapped = Mapped::adopt(&device.name)?;
        let deadline = self.deadline;
        let asks = barrier::asking(&mounted, &[]) == barrier::Asking::Yes;
        // Nobody waits any more: nobody would thaw it, nor have it ask for barriers again.
        let unless_late = || match deadline.left().is_zero() {
            true => file::thaw(&root).and_then(|()| if asks { barrier::ask_again(&root) } else { Ok(()) }),
            false => Ok(()),
        };
        let frozen = within(deadline, Late::Leave, || {
            durable::sync_file_system(&root)?;
            match file::freeze(&root) {
                // An earlier run has, and was killed.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                other => other?,
            }
            if asks {
                file::thaw(&root)?;
                barrier::leave_out(&root, &mounted)?;
                file::freeze(&root)?;
            }
            unless_late()?;
            mapped.sync().map_err(|failure| io::Error::other(failure.text().to_owned()))?;
            unless_late()
        });
        self.root = Some(root);
        frozen.during("freezing the file system of the home")?;
        self.frozen = Frozen::Yes;
        Ok(())
    }

    /// Lets it go on, if it is frozen.
    fn thaw(&mut self, device: &Device) -> Result<(), Failure> {
        let mounted = running(device)?;
        let root = match (self.root.take(), &mounted) {
            (Some(root), _) => root,
            (None, Some(mounted)) => open_root(device, mounted)?,
            (None, None) => return Ok(()),
        };
        self.frozen = Frozen::No;
        let thawed = within(Deadline::after(CLOSING), Late::Leave, || {
            match file::thaw(&root) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                other => other?,
            }
            // It goes on as before, and a power cut must cost it as little as before.
            mounted.as_ref().map_or(Ok(()), |mounted| barrier::restore(&root, mounted, &self.spec.extra))
        });
        thawed.during("thawing the file system of the home")
    }
}

/// The device as the plan sees it.
fn planned(device: &Device) -> Planned {
    let key = match device.key {
        None => Has::CutOff,
        Some(Key::Wiped) => Has::Wiped,
        Some(_) => Has::Present,
    };
    Planned { suspended: device.suspended, key, second_table: device.inactive }
}

/// Whether no key is in it, and none comes back by itself.
fn is_sealed(device: &Device) -> bool {
    device.suspended && device.key == Some(Key::Wiped) && !device.inactive
}

/// Unmounts what is shown of it, here and in other mount namespaces, as far as nobody uses it.
fn unmount_unused(device: &Device, steps: &mut dyn Steps) -> Result<(), Failure> {
    let here = mount::of_device(device.number).during("reading the table of mounts")?;
    let Err(failure) = unmount::all(device.number, Force::No, steps) else { return Ok(()) };
    match here.last() {
        None => Ok(()),
        Some(found) => refuse(
            Refusal::HomeBusy,
            format!(
                "The home is open at {}, and its key stays in memory: {}",
                found.mount.target.display(),
                failure.text()
            ),
        ),
    }
}

/// The device of a home that is mounted in other mount namespaces alone: whoever may open the home gets it back.
pub fn pinned(spec: &Spec) -> Result<Option<Device>, Failure> {
    let devices = spec.clues().devices().during("looking for what is open")?;
    let [device] = devices.as_slice() else { return Ok(None) };
    let here = mount::of_device(device.number).during("reading the table of mounts")?;
    let is_ours = device.name == spec.mapper_name() && device.luks_uuid.is_some() && device.key.is_some();
    let is_elsewhere = device.open_count > 0 && here.is_empty();
    Ok((is_ours && is_elsewhere).then(|| device.clone()))
}

/// Takes it over, with its key.
pub fn take_over(device: &Device, volume_key: &Secret) -> Result<Mapped, Failure> {
    devmapper::clear_inactive(&device.name).during("throwing a second table away")?;
    if device.suspended {
        cryptsetup::resume(&device.name, volume_key).during("giving the encrypted device its key back")?;
    }
    Mapped::adopt(&device.name)
}
