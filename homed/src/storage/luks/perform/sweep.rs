//! Taking away what killed workers have left, and naming what others have open.

use crate::job::{Context, Failure, refuse};
use crate::storage::luks::plan::sweep::{self, Device, Loop, Reach, Situation, Step};
use crate::storage::luks::spec::Spec;
use crate::storage::luks::traces;
use crate::storage::parts::mapped;
use crate::storage::whereabouts::Clues;
use crate::sys::{devmapper, holders, keyring, loopdev, mount};
use records::Refusal;
use std::io;
use uuid::Uuid;

/// Takes away what nobody uses; what was done, in words. What cannot be taken away is left to whoever needs it gone.
pub fn sweep(spec: &Spec) -> Result<Vec<String>, Failure> {
    sweep_all(spec, Reach::OwnDevices)
}

/// The same, as far as `reach` says.
pub fn sweep_all(spec: &Spec, reach: Reach) -> Result<Vec<String>, Failure> {
    let (mut tried, mut done) = (Vec::new(), Vec::new());
    let look = || look(&spec.clues()).during("looking for what is open");
    while let Some(step) = sweep::next(&look()?, reach, &tried) {
        if let Ok(words) = perform(&step) {
            done.push(words);
        }
        tried.push(step);
    }
    Ok(done)
}

fn look(clues: &Clues<'_>) -> io::Result<Situation> {
    let devices = clues.devices()?;
    let keys = traces::key_names(clues.luks, &devices)?;
    let device = |one: devmapper::Device| Device {
        name: one.name,
        open_count: one.open_count,
        second_table: one.inactive,
        key: one.key_name,
    };
    let attached = |one: loopdev::Attached| Loop {
        name: one.name,
        goes_by_itself: one.goes_by_itself,
        carries: one.carries,
    };
    Ok(Situation {
        user: clues.user.to_owned(),
        devices: devices.into_iter().map(device).collect(),
        loops: loopdev::at(clues.image)?.into_iter().map(attached).collect(),
        keys,
    })
}

fn perform(step: &Step) -> io::Result<String> {
    match step {
        Step::ClearTable(name) => {
            devmapper::clear_inactive(name)?;
            Ok(format!(
                "A table of {} that a killed change of size has left was thrown away.",
                mapped::node(name).display()
            ))
        }
        Step::RemoveDevice(name) => {
            // Where another table waits, it goes with the device.
            devmapper::remove(name)?;
            mapped::forget_node(name);
            Ok(format!("The device {} of a killed run was closed.", mapped::node(name).display()))
        }
        Step::Detach(name) => {
            loopdev::detach(name)?;
            Ok(format!("The loop device /dev/{name}, which nothing used, was detached."))
        }
        Step::ForgetKey(name) => {
            keyring::revoke(name)?;
            Ok("A key that a killed run has left in the keyring was made void.".into())
        }
    }
}

/// Refuses, in words, where the content of this header or this image is open already: whoever opens it a second time
/// destroys it.
pub fn refuse_what_is_open(
    spec: &Spec,
    luks: Uuid,
    taken_over: Option<&devmapper::Device>,
) -> Result<(), Failure> {
    let devices = devmapper::of_uuid(luks).during("looking for encrypted devices")?;
    if let Some(device) = devices.iter().find(|device| taken_over.is_none_or(|ours| ours.name != device.name))
    {
        return open_as(device);
    }
    if taken_over.is_some() {
        return Ok(());
    }
    let loops = loopdev::at(&spec.image).during("looking for loop devices")?;
    match loops.first() {
        None => Ok(()),
        Some(attached) => refuse(
            Refusal::HomeInUse,
            format!(
                "The home's image is attached already, as {}, and not by homed: opened twice it would be destroyed. \
                 Close what is open of it, detach it (losetup -d {}), and try again.",
                attached.node().display(),
                attached.node().display()
            ),
        ),
    }
}

pub(super) fn open_as<T>(device: &devmapper::Device) -> Result<T, Failure> {
    let node = mapped::node(&device.name);
    let here = mount::of_device(device.number).during("reading the table of mounts")?;
    let at = here.iter().map(|found| format!("mounted at {}", found.mount.target.display()));
    let holding = holders::of_device(&node);
    let by = if holding.is_empty() { None } else { Some(format!("held by {}", holders::names(&holding))) };
    let how: Vec<String> = at.chain(by).collect();
    let how = if how.is_empty() { String::new() } else { format!(", {}", how.join(", ")) };
    refuse(
        Refusal::HomeInUse,
        format!(
            "The home is open already, as {}{how}: opened twice it would be destroyed. Unmount it, close it \
             (cryptsetup close {}), and try again.",
            node.display(),
            device.name
        ),
    )
}
