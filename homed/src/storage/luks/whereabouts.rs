//! Whether a home is open, and how, by its devices.
//!
//! A home is known by the UUID of its LUKS header, which the kernel keeps with every device-mapper device that has its
//! content, whatever that is called and whoever made it. Only where nobody knows that UUID, the names of ours count, of
//! devices that have the content of some header.
//!
//! ```text
//! /dev/mapper/home-alice            the home                +check     a check's
//!                                                           +smaller   the copy that a change of size works on
//! ```

use crate::storage::whereabouts::{Clues, Kernel, Standing};
use crate::sys::devmapper::{Device, Key};
use std::io;

impl Clues<'_> {
    /// All devices of the home that there are.
    pub fn devices(&self) -> io::Result<Vec<Device>> {
        self.devices_in(&Kernel::default())
    }

    /// All devices of the home among those that the kernel has shown.
    pub fn devices_in(&self, kernel: &Kernel) -> io::Result<Vec<Device>> {
        match self.luks {
            Some(luks) => kernel.devices(|listed| listed.luks_uuid() == Some(luks)),
            None => Ok(encrypted(kernel.devices(|listed| is_own(&listed.name, self.user))?)),
        }
    }
}

/// Those with the content of some LUKS header: the name alone may be that of a logical volume.
fn encrypted(mut devices: Vec<Device>) -> Vec<Device> {
    devices.retain(|device| device.luks_uuid.is_some());
    devices
}

/// The name of the device-mapper device of a user's home.
pub fn mapper_name(user: &str) -> String {
    format!("home-{user}")
}

/// The name of a second device of the same content. No user's name has that sign, so it is no other home's.
pub fn helper_name(user: &str, purpose: &str) -> String {
    format!("home-{user}+{purpose}")
}

/// Whether a device of that name is made here for the home of this user.
pub fn is_own(name: &str, user: &str) -> bool {
    let rest = name.strip_prefix("home-").and_then(|rest| rest.strip_prefix(user));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

/// How far it is open.
pub fn standing(clues: &Clues<'_>, kernel: &Kernel) -> io::Result<Standing> {
    let devices = clues.devices_in(kernel)?;
    let mounted = if devices.is_empty() { None } else { mounted(clues, &devices, kernel)? };
    Ok(judged(mounted, &devices))
}

fn judged(mounted: Option<&Device>, devices: &[Device]) -> Standing {
    match mounted {
        // One that has its key is not locked, however it stands: a lock was broken off, and is about to be settled.
        Some(device) if device.suspended && device.key == Some(Key::Wiped) => Standing::Suspended,
        Some(_) => Standing::Mounted,
        None if devices.is_empty() => Standing::Closed,
        None => Standing::Open,
    }
}

/// Which of the devices is mounted at the home directory.
fn mounted<'d>(clues: &Clues<'_>, devices: &'d [Device], kernel: &Kernel) -> io::Result<Option<&'d Device>> {
    let mounts = kernel.mounts()?;
    let spots = clues.spots(mounts)?;
    let is_there = |device: &&Device| spots.iter().any(|spot| spot.shows(device.number, mounts));
    Ok(devices.iter().find(is_there))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mount;

    fn device(name: &str, suspended: bool) -> Device {
        Device {
            name: name.into(),
            uuid: String::new(),
            luks_uuid: None,
            number: mount::Number { major: 253, minor: 0 },
            suspended,
            sectors: 8,
            key: None,
            key_name: None,
            inactive: false,
            open_count: 0,
        }
    }

    #[test]
    fn what_is_not_mounted_is_open_as_long_as_a_device_is_there() {
        let halfway = Device { key: Some(Key::InKeyring), ..device("home-alice", true) };
        let sealed = Device { key: Some(Key::Wiped), ..device("home-alice", true) };
        let usable = device("home-alice", false);
        let left = device("home-alice+check", false);
        let table = [
            (None, vec![], Standing::Closed),
            (Some(&usable), vec![usable.clone()], Standing::Mounted),
            (Some(&halfway), vec![halfway.clone()], Standing::Mounted),
            (Some(&sealed), vec![left.clone(), sealed.clone()], Standing::Suspended),
            (None, vec![left], Standing::Open),
            (None, vec![sealed.clone()], Standing::Open),
        ];
        for (mounted, devices, standing) in table {
            assert_eq!(judged(mounted, &devices), standing, "{devices:?}");
        }
    }

    #[test]
    fn a_volume_of_a_group_called_home_opens_no_home() {
        let home = Device { luks_uuid: Some(uuid::Uuid::nil()), ..device("home-data", false) };
        assert_eq!(encrypted(vec![device("home-data", false)]), []);
        assert_eq!(encrypted(vec![home.clone()]), [home]);
    }

    #[test]
    fn names_of_ours_are_those_of_one_user() {
        for name in ["home-alice", "home-alice+check", "home-alice+smaller"] {
            assert!(is_own(name, "alice"), "{name}");
        }
        for name in ["home-alice-check", "home-alicea", "alice", "home-ali", "xhome-alice"] {
            assert!(!is_own(name, "alice"), "{name}");
        }
        assert!(is_own(&helper_name("bob", "check"), "bob") && is_own(&mapper_name("bob"), "bob"));
    }
}
