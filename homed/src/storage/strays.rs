//! What was left of homes that nobody knows: a home that was being made has no record yet, so when its worker is killed
//! together with the daemon, the kernel and the folder are all that tells of it.
//!
//! A device that was to be a home's, never got its key, and is open nowhere; an image without its name that this machine
//! began; what has arrived of a home whose rest does not come. It is looked for before the first job of a daemon starts, so no worker of ours is at it; what others work on
//! is open or locked, or has another machine's name.

use super::folder::temporary;
use super::parts::{image, mapped};
use super::swap::{self, Space};
use crate::sys::devmapper::{self, Device};
use records::MachineId;
use std::path::Path;
use std::time::SystemTime;

/// Takes away the devices that are left; what was done, in words. No file system is asked.
pub fn devices() -> Vec<String> {
    // Without device-mapper there is nothing of it.
    let devices = devmapper::named(is_ours).unwrap_or_default();
    let mut done = Vec::new();
    for device in devices.iter().filter(|device| was_left(device)) {
        if devmapper::remove(&device.name).is_ok() {
            mapped::forget_node(&device.name);
            done.push(format!(
                "{}, which a killed run has left, was removed",
                mapped::node(&device.name).display()
            ));
        }
    }
    forget_nodes();
    done
}

/// Deletes the images that are left in a folder; what was done, in words. It may wait for the folder's file system.
pub fn images(folder: &Path, machine: &MachineId) -> Vec<String> {
    let images = image::sweep(folder, machine);
    let told = images.iter().map(|name| {
        format!(
            "the unfinished image {}, which a killed run has left, was deleted",
            folder.join(name).display()
        )
    });
    let arriving = image::sweep_arriving(folder, SystemTime::now());
    let arrived = arriving.iter().map(|name| {
        format!("{}, of which nothing has arrived for a month, was deleted", folder.join(name).display())
    });
    let keys = match temporary::forget_keys(folder) {
        0 => None,
        count => Some(format!(
            "the keys of {count} encrypted folders in {} that killed runs have left were taken out of the kernel",
            folder.display()
        )),
    };
    told.chain(arrived).chain(keys).collect()
}

/// Nodes of devices that are gone, where no udev takes them away: their number may become another device's.
fn forget_nodes() {
    let nodes = std::fs::read_dir(mapped::NODES).into_iter().flatten().flatten();
    for name in nodes.filter_map(|node| node.file_name().into_string().ok()).filter(|name| is_ours(name)) {
        mapped::forget_node(&name);
    }
}

/// The name alone says nothing: a logical volume `data` of a volume group `home` is called `home-data`, and has no key either.
fn was_left(device: &Device) -> bool {
    let made_here = device.luks_uuid.is_some() || Space::is_one(device);
    made_here && device.key.is_none() && device.open_count == 0
}

fn is_ours(name: &str) -> bool {
    name.starts_with("home-") || name.starts_with(swap::NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mount::Number;

    fn device(name: &str, luks_uuid: Option<uuid::Uuid>) -> Device {
        Device {
            name: name.into(),
            uuid: String::new(),
            luks_uuid,
            number: Number { major: 253, minor: 0 },
            suspended: false,
            sectors: 8,
            key: None,
            key_name: None,
            inactive: false,
            open_count: 0,
        }
    }

    #[test]
    fn a_volume_of_a_group_called_home_is_nobody_s_home() {
        assert!(!was_left(&device("home-data", None)));
        let home = device("home-alice", Some(uuid::Uuid::nil()));
        assert!(was_left(&home) && !was_left(&device("homed-swap-alice", None)));
        let swap = Device { uuid: Space::uuid_of("alice"), ..device("any", None) };
        assert!(was_left(&swap));
        assert!(!was_left(&Device { open_count: 1, ..home.clone() }));
        assert!(!was_left(&Device { key: Some(devmapper::Key::Plain), ..home }));
    }
}
