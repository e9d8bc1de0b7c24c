//! Giving a suspended device its key back.
//!
//! The key was just taken from a slot of the header, which knows a wrong one. Where the device lies on that very image,
//! nothing is left to be proved, and the kernel is given the key at once. Else the library reads the header below the device
//! first: another key would turn the home into noise.

use crate::job::{Context, Failure};
use crate::storage::parts::below;
use crate::storage::spec::Spec;
use crate::sys::devmapper::{self, Device};
use crate::sys::{cryptsetup, keyring};
use records::Secret;
use std::io;

/// Gives the key back and lets the device go on. Cut in two it is suspended with its key.
pub fn give_key(spec: &Spec, name: &str, key: &Secret) -> Result<(), Failure> {
    let at_once = on_its_image(spec, name)
        .and_then(|device| device.map_or(Ok(false), |device| set(&device, key).map(|()| true)));
    match at_once {
        Ok(true) => devmapper::go_on(name).during("letting the encrypted device go on"),
        Ok(false) | Err(_) => {
            cryptsetup::resume(name, key).during("giving the encrypted device its key back")
        }
    }
}

/// The suspended device, if it lies on the image whose header the key is from.
fn on_its_image(spec: &Spec, name: &str) -> io::Result<Option<Device>> {
    for shown in below::showing(&spec.image)? {
        let mut above = devmapper::above(&shown)?.into_iter();
        if let Some(device) = above.find(|device| device.name == name && device.suspended) {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

/// By the name that libcryptsetup would give it, as all looks for traces know it.
fn set(device: &Device, key: &Secret) -> io::Result<()> {
    if !keyring::is_usable() {
        return devmapper::set_key(&device.name, key);
    }
    let uuid = device.luks_uuid.ok_or(io::ErrorKind::NotFound)?;
    let name = format!("cryptsetup:{uuid}-d0");
    keyring::lend(&name, key.open())?;
    let done = devmapper::set_key_by_name(&device.name, key.open().len(), &name);
    // The device has a copy of its own.
    keyring::give_back()?;
    done
}
