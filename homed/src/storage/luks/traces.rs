//! What is to be seen of a home's volume key in the kernel: the proof after a lock.
//!
//! Every device with the content of the home's LUKS header counts, and every device on a loop device of its image, what
//! it is called and who made it notwithstanding. The home's own file system is not asked for anything: it is frozen by the
//! very lock, and would never answer.

use crate::storage::parts::below;
use crate::storage::swap::Space;
use crate::storage::traces::{Trace, Traces};
use crate::storage::whereabouts::Clues;
use crate::sys::apart::apart;
use crate::sys::devmapper::{self, Device, Key};
use crate::sys::file::Identity;
use crate::sys::{holders, keyring, loopdev};
use std::io;
use uuid::Uuid;

/// Looks.
pub fn look(clues: &Clues<'_>) -> Traces {
    let image = clues.image.to_owned();
    let attached = apart(move || below::showing(&image));
    let [device, table, keyring, swap] = of_devices(clues, attached);
    Traces { device, table, keyring, swap, holders: holding(clues) }
}

/// What the kernel alone shows: of loop devices, those that were attached by the image's own path.
pub fn key(clues: &Clues<'_>) -> Vec<Trace> {
    let attached = loopdev::by_path(clues.image);
    of_devices(clues, attached.map(|all| all.into_iter().chain(below::itself(clues.image)).collect()))
        .to_vec()
}

/// Devices, tables, keyrings, swap space.
fn of_devices(clues: &Clues<'_>, attached: io::Result<Vec<String>>) -> [Trace; 4] {
    let swap = swap(&Space::uuid_of(clues.user));
    match attached.and_then(|attached| devices(clues, &attached)) {
        Ok(devices) => [stopped(&devices), without_key(&devices), keys(clues, &devices), swap],
        Err(error) => {
            let unseen = Trace::Unseen(format!("the devices of the home cannot be looked at: {error}"));
            [unseen.clone(), unseen, keys(clues, &[]), swap]
        }
    }
}

/// By UUID, and those that lie on the image: a table that was copied by hand has no UUID.
fn devices(clues: &Clues<'_>, attached: &[String]) -> io::Result<Vec<Device>> {
    let mut devices = clues.devices()?;
    for attached in attached {
        for device in devmapper::above(attached)? {
            let is_known = devices.iter().any(|known| known.number == device.number);
            // What is stacked on an image without encryption has no key.
            if !is_known && device.key.is_some() {
                devices.push(device);
            }
        }
    }
    Ok(devices)
}

fn stopped(devices: &[Device]) -> Trace {
    let running = devices.iter().filter(|device| !device.suspended);
    match names(running).as_str() {
        "" => Trace::Clear,
        names => Trace::Found(format!("the encrypted device is not suspended ({names})")),
    }
}

fn without_key(devices: &[Device]) -> Trace {
    let having = |wanted: fn(&Device) -> bool| names(devices.iter().filter(|device| wanted(device)));
    let found = [
        (having(|device| device.inactive), "a second table with a key of its own waits to be swapped in"),
        (having(|device| device.key == Some(Key::InKeyring)), "the device still refers to its key"),
        (having(|device| device.key == Some(Key::Plain)), "the key is in the device's table"),
    ];
    if let Some((names, words)) = found.iter().find(|(names, _)| !names.is_empty()) {
        return Trace::Found(format!("{words} ({names})"));
    }
    match having(|device| device.key.is_none()).as_str() {
        "" => Trace::Clear,
        names => Trace::Unseen(format!("the device's table is not that of an encrypted device ({names})")),
    }
}

fn names<'d>(devices: impl Iterator<Item = &'d Device>) -> String {
    devices.map(|device| format!("/dev/mapper/{}", device.name)).collect::<Vec<_>>().join(", ")
}

/// Keys that libcryptsetup, or we, have named after the header, and those that the tables speak of.
fn keys(clues: &Clues<'_>, devices: &[Device]) -> Trace {
    let found = key_names(clues.luks, devices);
    match found {
        Ok(names) if names.is_empty() => Trace::Clear,
        Ok(_) => Trace::Found("the key is in a keyring of the kernel".into()),
        Err(error) => Trace::Unseen(format!("the keyrings cannot be looked at: {error}")),
    }
}

/// The keys of these devices, and of the header with this UUID, that keyrings have: libcryptsetup calls its keys
/// `cryptsetup:UUID-dN`.
pub fn key_names(luks: Option<Uuid>, devices: &[Device]) -> io::Result<Vec<String>> {
    let uuids: Vec<Uuid> = luks.into_iter().chain(devices.iter().filter_map(|one| one.luks_uuid)).collect();
    let is_ours = |name: &str| {
        let of_header = uuids.iter().any(|uuid| name.starts_with(&format!("cryptsetup:{uuid}")));
        of_header || devices.iter().any(|device| device.key_name.as_deref() == Some(name))
    };
    keyring::names(is_ours)
}

/// At other levels there is none, or one that is still being taken out: what is in it is in memory, too.
fn swap(uuid: &str) -> Trace {
    match devmapper::with_uuid(uuid) {
        Ok(None) => Trace::Clear,
        Ok(Some(device)) if device.suspended && device.key == Some(Key::Wiped) && !device.inactive => {
            Trace::Clear
        }
        Ok(Some(_)) => {
            Trace::Found("the key of the swap space with the processes' memory is in the kernel".into())
        }
        Err(error) => Trace::Unseen(format!("the encrypted swap space cannot be looked at: {error}")),
    }
}

/// Who has the image open may have a key of it: a worker that did not end, or a program of somebody else.
fn holding(clues: &Clues<'_>) -> Trace {
    let image = clues.image.to_owned();
    let found = match apart(move || Identity::of(&image)) {
        // A disk that was pulled out has nobody who could read it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Trace::Clear,
        found => found.and_then(|image| holders::with_open(&image)),
    };
    match found {
        Ok(holding) if holding.is_empty() => Trace::Clear,
        Ok(holding) => Trace::Unseen(format!("the image is held open by {}", holders::names(&holding))),
        Err(error) => Trace::Unseen(format!("who has the image open cannot be told: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, key: Option<Key>) -> Device {
        Device {
            name: name.into(),
            uuid: String::new(),
            luks_uuid: None,
            number: crate::sys::mount::Number { major: 253, minor: 0 },
            suspended: true,
            sectors: 8,
            key,
            key_name: None,
            inactive: false,
            open_count: 1,
        }
    }

    fn found(trace: &Trace) -> &str {
        let Trace::Found(text) = trace else { panic!("{trace:?}") };
        text
    }

    #[test]
    fn every_device_must_be_suspended_and_wiped() {
        let sealed = device("home-alice", Some(Key::Wiped));
        assert_eq!(stopped(std::slice::from_ref(&sealed)), Trace::Clear);
        assert_eq!(without_key(std::slice::from_ref(&sealed)), Trace::Clear);

        let left = Device { suspended: false, ..device("home-alice+check", Some(Key::InKeyring)) };
        let both = [sealed.clone(), left];
        assert!(found(&stopped(&both)).contains("home-alice+check"));
        assert!(found(&without_key(&both)).contains("home-alice+check"));
        let by_hand = [sealed.clone(), device("by-hand", Some(Key::Plain))];
        assert!(found(&without_key(&by_hand)).contains("by-hand"));
        let cut_off = [sealed, device("home-alice", None)];
        assert!(matches!(without_key(&cut_off), Trace::Unseen(_)));
    }

    #[test]
    fn a_second_table_is_found() {
        let two = Device { inactive: true, ..device("home-alice", Some(Key::Wiped)) };
        assert!(found(&without_key(&[two])).contains("second table"));
    }
}
