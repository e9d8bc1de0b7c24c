//! A home that is not mounted at its directory, and open all the same.
//!
//! ```text
//! shown elsewhere (a rescue)                    lock: closed, or named      login: named
//! mounted in another mount namespace alone      lock: sealed from here      login: taken over, and mounted here again
//! opened by somebody else                       lock: named                 login: named
//! ```
//!
//! The file system on a device is one, however often it is mounted: frozen through a mount of our own, it stands still in
//! the other namespaces, too.

use super::sweep::open_as;
use crate::job::{Context, Failure, Force, Step, Steps, refuse};
use crate::storage::Seal;
use crate::storage::luks::resize;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::mapped::{Mapped, is_held_elsewhere};
use crate::storage::parts::{barrier, unmount};
use crate::sys::bounded::{Deadline, Late, within};
use crate::sys::devmapper::{self, Device, Key};
use crate::sys::mount::{self, Attributes, Setting};
use crate::sys::waiting::wait_until;
use crate::sys::{cryptsetup, durable, file};
use records::{Refusal, Secret};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long the kernel may take to close what was unmounted, and what it takes as a rule.
const CLOSING: Duration = Duration::from_secs(5);
const AT_ONCE: Duration = Duration::from_secs(1);

/// Closes what is open of the home, or takes its key out of memory. What can be neither is named.
pub fn lock(spec: &Spec, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Failure> {
    let deadline = Deadline::after(seal.bound);
    let open = || -> Result<Vec<Device>, Failure> {
        let devices = spec.clues().devices().during("looking for what is open")?;
        Ok(devices.into_iter().filter(|device| !is_sealed(device)).collect())
    };
    let name = spec.mapper_name();
    if let Some(other) = open()?.iter().find(|device| device.name != name) {
        return open_as(other);
    }
    steps.enter(Step::Unmount)?;
    for device in open()? {
        unmount_unused(&device, steps)?;
    }
    steps.enter(Step::Detach)?;
    let is_closed = || open().map(|devices| devices.is_empty());
    // What another mount namespace has mounted does not go by itself, however long one waits.
    if !wait_until(AT_ONCE, is_closed)? && !is_held_elsewhere(&name)? {
        wait_until(CLOSING, is_closed)?;
    }
    if let Some(device) = open()?.first() {
        // It was cut off: frozen over it, a file system would never be thawed again.
        if device.key.is_none() {
            return open_as(device);
        }
        steps.enter(Step::SuspendDevice)?;
        stop(device, deadline)?;
        steps.enter(Step::Evict)?;
        // Its programs run on: what they would fetch again now, they get no more.
        if let Err(failure) = evict(device, seal.evict) {
            steps.warn(format!("The home is locked, but: {}.", failure.text()));
        }
    }
    resize::key::revoke(spec)
}

/// Throws what is in memory of its files out: mapped by whoever works in the other mount namespaces.
fn evict(device: &Device, evict: &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let elsewhere = mount::elsewhere(device.number).during("looking into other mount namespaces")?;
    match elsewhere.iter().flat_map(|one| &one.mounts).next() {
        Some(found) => evict(&found.mount.device),
        None => Ok(()),
    }
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

/// Freezes what is mounted of it elsewhere, and takes its key.
fn stop(device: &Device, deadline: Deadline) -> Result<(), Failure> {
    let name = device.name.as_str();
    devmapper::clear_inactive(name).during("throwing a second table away")?;
    let frozen = if device.suspended { None } else { freeze(device, deadline)? };
    let sealed = within(deadline, Late::Kill, || {
        devmapper::suspend(name)?;
        devmapper::wipe_key(name)
    });
    let now = devmapper::device(name).during("looking at the encrypted device")?;
    if now.as_ref().is_none_or(is_sealed) {
        return Ok(());
    }
    // Nobody may stand still over a device that has its key.
    let _ = devmapper::go_on(name);
    if let Some(root) = frozen {
        let _ = file::thaw(root);
    }
    sealed.during("suspending the encrypted device")
}

/// A folder of the file system that is mounted elsewhere, which is frozen; `None`: none is.
fn freeze(device: &Device, deadline: Deadline) -> Result<Option<OwnedFd>, Failure> {
    let elsewhere = mount::elsewhere(device.number).during("looking into other mount namespaces")?;
    let Some(mounted) = elsewhere.into_iter().flat_map(|one| one.mounts).map(|found| found.mount).next()
    else {
        return Ok(None);
    };
    let mapped = Mapped::adopt(&device.name)?;
    let attributes = Attributes::HARMLESS;
    let settings: &[Setting] = if mounted.is_read_only() { &[("ro".to_owned(), None)] } else { &[] };
    // A second mount of the same file system; it is nowhere in the tree.
    let mount = mount::open_file_system(&mounted.kind, mapped.path(), settings, attributes);
    let root =
        mount.and_then(|mount| durable::directory_at(&mount, ".")).during("opening the file system")?;
    within(deadline, Late::Leave, || {
        durable::sync_file_system(&root)?;
        match file::freeze(&root) {
            // An earlier run has, and was killed.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            other => other?,
        }
        if barrier::asking(&mounted, &[]) == barrier::Asking::Yes {
            file::thaw(&root)?;
            barrier::leave_out(&root, &mounted)?;
            file::freeze(&root)?;
        }
        mapped.sync().map_err(|failure| io::Error::other(failure.text().to_owned()))
    })
    .during("freezing the file system of the home")?;
    Ok(Some(root))
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
