//! Device-mapper devices: what is in their table, and taking the ground from under one.
//!
//! The ioctl interface of linux/dm-ioctl.h. Buffers may hold a key: the kernel is told to wipe its own, and
//! ours is wiped here.

use super::mount::Number;
use crypt::{name_of_key, place_of_key};
use request::{
    BUFFER_FULL, DEV_STATUS, DEV_SUSPEND, INACTIVE_PRESENT, NAME, NAME_ROOM, NO_FLUSH, OPEN_COUNT, Request,
    SECURE_DATA, SKIP_LOCK_FS, STATUS_TABLE, SUSPEND, TABLE_CLEAR, TABLE_LOAD, TABLE_STATUS, TARGET_COUNT,
    UUID, UUID_ROOM, malformed,
};
use std::io;
use uuid::Uuid;

mod crypt;
mod found;
mod keys;
mod make;
mod request;
mod udev;

pub use crypt::{Crypt, crypt, resize};
pub use found::{
    Listed, above, chosen, is_below, listed, luks_uuid, named, of_uuid, others_of_uuid, with_uuid,
};
pub use keys::{set_key, set_key_by_name, wipe_key};
pub use make::{
    Access, Given, Target, Volume, create, give_table, make_blank, remove, remove_when_unused, start,
};

/// What the table of a dm-crypt device says in the place of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Nothing but zeros: it was wiped.
    Wiped,
    /// The name of a key in a keyring.
    InKeyring,
    /// The key itself.
    Plain,
}

/// A device, as the kernel has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name, below `/dev/mapper`.
    pub name: String,
    /// Its UUID, any text: which program made it, and of what. Empty: that program gave none.
    pub uuid: String,
    /// The UUID of the LUKS header whose content it has, where it is of one.
    pub luks_uuid: Option<Uuid>,
    /// The number of its block device.
    pub number: Number,
    /// It takes no requests.
    pub suspended: bool,
    /// A second table waits to be swapped in. It has a key of its own, which a suspension does not wipe.
    pub inactive: bool,
    /// Its size in sectors of 512 bytes.
    pub sectors: u64,
    /// Where its one target is `crypt`: the place of the key.
    pub key: Option<Key>,
    /// The name of that key, where it is in a keyring.
    pub key_name: Option<String>,
    /// How often it is open: each mount and each device on it counts once.
    pub open_count: u32,
}

/// The device of a name; `None`: there is none.
pub fn device(name: &str) -> io::Result<Option<Device>> {
    let mut request = Request::new(name, STATUS_TABLE | NO_FLUSH | SECURE_DATA)?;
    match request.send(TABLE_STATUS) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        other => other.and_then(|()| read(&request).ok_or_else(malformed)).map(Some),
    }
}

/// The answer to a request for the table.
fn read(request: &Request) -> Option<Device> {
    if request.flags() & BUFFER_FULL != 0 {
        return None;
    }
    // One that has no table yet has no target either.
    let target = match request.read_word(TARGET_COUNT) {
        0 => None,
        _ => Some(request.data()?),
    };
    let parameters =
        target.filter(|target| target.get(24..).is_some_and(|kind| kind.starts_with(b"crypt\0")));
    let parameters = parameters.and_then(|target| target.get(40..));
    let sectors = match target {
        Some(target) => u64::from_ne_bytes(target.get(8..16)?.try_into().ok()?),
        None => 0,
    };
    Some(Device {
        name: request.text(NAME, NAME_ROOM),
        uuid: request.text(UUID, UUID_ROOM),
        luks_uuid: found::luks_uuid(&request.text(UUID, UUID_ROOM)),
        number: request.device(),
        suspended: request.flags() & SUSPEND != 0,
        sectors,
        key: parameters.map(place_of_key),
        key_name: parameters.and_then(name_of_key),
        inactive: request.flags() & INACTIVE_PRESENT != 0,
        open_count: request.read_word(OPEN_COUNT),
    })
}

/// Throws away a table that was loaded and not swapped in, with its key; one that is not there is gone already.
pub fn clear_inactive(name: &str) -> io::Result<()> {
    Request::new(name, 0)?.send(TABLE_CLEAR)
}

/// What a device is known by, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The number of its block device.
    pub number: Number,
    /// Its UUID, as in [`Device::uuid`].
    pub uuid: String,
}

/// What has a name; `None`: nothing.
pub fn identity(name: &str) -> io::Result<Option<Identity>> {
    let mut request = Request::new(name, NO_FLUSH)?;
    match request.send(DEV_STATUS) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(Some(Identity { number: request.device(), uuid: request.text(UUID, UUID_ROOM) })),
    }
}

/// Has a dm-crypt device wait: what is under way is finished, what comes later is kept back. Its file system, if it
/// has one, is not frozen.
pub fn suspend(name: &str) -> io::Result<()> {
    Request::new(name, SUSPEND | SKIP_LOCK_FS)?.send(DEV_SUSPEND)
}

/// The same; before, the kernel freezes the file system that it knows on the device, if it knows one, and writes out what is
/// in memory of the device itself. Whoever lets it go on thaws it. `ResourceBusy`, from some kernels: it was frozen already.
pub fn suspend_with_file_system(name: &str) -> io::Result<()> {
    Request::new(name, SUSPEND)?.send(DEV_SUSPEND)
}

/// Lets a suspended device go on.
pub fn go_on(name: &str) -> io::Result<()> {
    Request::new(name, 0)?.send(DEV_SUSPEND)
}

/// Puts a device in the place of this one that answers everything with an error, and lets go of all that
/// waits for it. Nothing that was not written before is written any more.
pub fn cut_off(name: &str) -> io::Result<()> {
    let Some(device) = device(name)? else { return Ok(()) };
    let mut load = Request::new(name, 0)?;
    load.put_target(device.sectors, "error", &[])?;
    load.send(TABLE_LOAD)?;
    if !device.suspended {
        Request::new(name, SUSPEND | NO_FLUSH | SKIP_LOCK_FS)?.send(DEV_SUSPEND)?;
    }
    Request::new(name, 0)?.send(DEV_SUSPEND)
}
