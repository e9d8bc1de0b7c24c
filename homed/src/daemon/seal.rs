//! Looks for the volume key after a lock, wherever the kernel lets anybody look.

use crate::home::facts::Place;
use crate::home::seal::{Looked, Seal, kernel_keeps_a_copy};
use crate::sys::devmapper::{self, Key};
use crate::sys::holders;
use std::path::Path;

/// What is to be seen now.
pub fn look(place: &Place) -> Seal {
    let (device, table) = device(&format!("home-{}", place.user));
    let release = rustix::system::uname();
    Seal {
        device,
        table,
        keyring: keyring(place),
        swap: swap(&format!("homed-swap-{}", place.user)),
        holders: holders(place),
        kernel: kernel_keeps_a_copy(&release.release().to_string_lossy()),
    }
}

fn device(name: &str) -> (Looked, Looked) {
    let device = match devmapper::device(name) {
        Ok(Some(device)) => device,
        Ok(None) => return (Looked::Clear, Looked::Clear),
        Err(error) => {
            let unseen = Looked::Unseen(format!("the device cannot be looked at: {error}"));
            return (unseen.clone(), unseen);
        }
    };
    let stopped = if device.suspended {
        Looked::Clear
    } else {
        Looked::Found("the encrypted device is not suspended".into())
    };
    let table = match device.key {
        Some(Key::Wiped) => Looked::Clear,
        Some(Key::InKeyring) => Looked::Found("the device still refers to its key".into()),
        Some(Key::Plain) => Looked::Found("the key is in the device's table".into()),
        None => Looked::Unseen("the device's table is not that of an encrypted device".into()),
    };
    (stopped, table)
}

/// At other levels there is none, or one that is still being taken out: what is in it is in memory, too.
fn swap(name: &str) -> Looked {
    match devmapper::device(name) {
        Ok(None) => Looked::Clear,
        Ok(Some(device)) if device.suspended && device.key == Some(Key::Wiped) => Looked::Clear,
        Ok(Some(_)) => {
            Looked::Found("the key of the swap space with the processes' memory is in the kernel".into())
        }
        Err(error) => Looked::Unseen(format!("the encrypted swap space cannot be looked at: {error}")),
    }
}

/// Who has the image open may have a key of it: a worker that did not end, or a program of somebody else.
fn holders(place: &Place) -> Looked {
    match holders::with_open(Path::new(&place.image)) {
        holding if holding.is_empty() => Looked::Clear,
        holding => Looked::Unseen(format!("the image is held open by {}", holders::names(&holding))),
    }
}

/// proc_keys(5): libcryptsetup calls its keys `cryptsetup:UUID-dN`.
fn keyring(place: &Place) -> Looked {
    let text = match std::fs::read_to_string("/proc/keys") {
        Ok(text) => text,
        Err(error) => return Looked::Unseen(format!("the keyrings cannot be looked at: {error}")),
    };
    let wanted = format!("cryptsetup:{}", place.luks_uuid.as_deref().unwrap_or_default());
    if text.lines().any(|line| line.contains(&wanted)) {
        return Looked::Found("the key is in a keyring of the kernel".into());
    }
    Looked::Clear
}
