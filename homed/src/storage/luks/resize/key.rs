//! The key with which the encrypted device of an open home gets another length without a password.
//!
//! dm-crypt takes no new table without its key. So the kernel keeps it a second time, in a keyring, from the moment
//! the home is mounted until it is locked or closed: as a `logon` key, which can be used and not read. A lock makes
//! it void, which wipes it, and looks afterwards whether it is gone. Where there are no keyrings the device's table has it, until
//! the same moment.

use crate::job::{Context, Failure, Steps, refuse};
use crate::storage::luks::spec::Spec;
use crate::storage::luks::{header, traces};
use crate::sys::devmapper::{self, Crypt, Device};
use crate::sys::keyring::{self, Borrowed};
use crate::sys::waiting::wait_until;
use records::{Refusal, Secret};
use std::io;
use std::time::Duration;

/// How long the kernel may take to collect a key.
const COLLECTING: Duration = Duration::from_secs(2);

/// Keeps the key of a mounted home.
pub fn keep(spec: &Spec, key: &Secret, steps: &mut dyn Steps) {
    let kept = devmapper::crypt(&spec.mapper_name()).and_then(|crypt| {
        match crypt.ok_or(io::ErrorKind::NotFound)?.key_name {
            Some(name) => keyring::keep(&name, key.open()),
            // The device's own table has it.
            None => Ok(()),
        }
    });
    if let Err(error) = kept {
        steps.warn(format!("The home can be resized only with its password: keeping the key: {error}."));
    }
}

/// Makes it void, and returns when the kernel has wiped it. `seen` is the home's device as it was last seen: it may have gone
/// with its last mount, and no record may tell its UUID.
pub fn revoke(spec: &Spec, seen: Option<&Device>) -> Result<(), Failure> {
    let clues = spec.clues();
    let mut devices = clues.devices().during("looking for the encrypted device")?;
    devices.extend(seen.cloned());
    // A run that was killed before may have seen it alone.
    let is_unknown = clues.luks.is_none() && devices.is_empty();
    let luks = if is_unknown { header::uuid(spec) } else { clues.luks };
    let kept = || traces::key_names(luks, &devices).during("looking at the keyrings");
    // Else it would be there for as long as we are.
    keyring::give_back().during("giving the key back")?;
    for name in kept()? {
        keyring::revoke(&name).during("taking the key out of the keyring")?;
    }
    // The kernel collects what nobody holds in its own time.
    wait_until(COLLECTING, || kept().map(|names| names.is_empty())).map(drop)
}

/// The encrypted device, its key at hand of this thread: what somebody has opened, or what the kernel keeps.
pub fn ready(spec: &Spec, key: Option<&Secret>) -> Result<Crypt, Failure> {
    let found = devmapper::crypt(&spec.mapper_name()).during("looking at the encrypted device")?;
    let Some(crypt) = found else {
        return refuse(Refusal::HomeNotActive, "The home is not mounted from its encrypted device.");
    };
    let Some(name) = crypt.key_name.as_deref() else { return Ok(crypt) };
    let lent = match key {
        Some(key) => keyring::lend(name, key.open()).map(|()| Borrowed::Yes),
        None => keyring::borrow(name),
    };
    match lent.during("having the key at hand")? {
        Borrowed::Yes => Ok(crypt),
        Borrowed::NotKept => {
            refuse(Refusal::BadPassword, "To change the size of this home now its password is needed.")
        }
    }
}
