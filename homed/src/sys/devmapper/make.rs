//! Making a device, step by step, and taking it away.
//!
//! ```text
//! create → blank → (somebody opens it) → remove when unused → table with a key → start
//! ```
//!
//! The kernel shows the block device of one that has, or had, a table (Linux 5.15 and newer), and marks for removal
//! what is open: what is not open it removes at once. So a table without a key comes first.

use super::keys::with_digits;
use super::request::{
    DEFERRED_REMOVE, DEV_CREATE, DEV_REMOVE, DEV_SUSPEND, EVENT, NAME_ROOM, READ_ONLY, Request, SECURE_DATA,
    TABLE_LOAD, UEVENT_GENERATED, UUID, UUID_ROOM,
};
use super::udev::Cookie;
use crate::sys::mount::Number;
use crate::sys::{keyring, waiting::wait_until};
use records::Secret;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// How long udev may take with a device.
const UDEV: Duration = Duration::from_secs(10);
/// How long somebody who only looks at a device (udev does) may keep it from going.
const LOOKED_AT: Duration = Duration::from_secs(5);

/// Whether a device can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It can be read only.
    Read,
    /// It can be written to.
    Write,
}

/// How the kernel is given a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<'a> {
    /// Under this name, in a keyring: nobody reads it back from the table. A kernel without keyrings gets it in the table.
    Named(&'a str),
    /// In the table.
    Plain,
}

/// The one target of a dm-crypt device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Size in sectors of 512 bytes.
    pub sectors: u64,
    /// Cipher and mode, as `aes-xts-plain64`.
    pub cipher: String,
    /// What is added to the numbers of sectors before they are encrypted.
    pub iv_offset: u64,
    /// The device below.
    pub below: Number,
    /// Its first sector of 512 bytes that belongs to the device.
    pub start: u64,
    /// Optional parameters (the kernel's dm-crypt.rst), such as `allow_discards`.
    pub options: Vec<String>,
    /// Whether it can be written to.
    pub access: Access,
}

/// A target, and the key that goes with it.
pub struct Volume<'a> {
    /// The target.
    pub target: &'a Target,
    /// Its key.
    pub key: &'a Secret,
    /// How the kernel is given it.
    pub given: Given<'a>,
}

/// Makes a device without any table.
pub fn create(name: &str, uuid: &str) -> io::Result<()> {
    let mut request = Request::new(name, 0)?;
    if uuid.len() >= UUID_ROOM || name.len() >= NAME_ROOM {
        return Err(ErrorKind::InvalidFilename.into());
    }
    request.header[UUID..UUID + uuid.len()].copy_from_slice(uuid.as_bytes());
    request.send(DEV_CREATE)
}

/// Gives it a table that answers everything with an error, and does not start it: what can be opened now.
pub fn make_blank(name: &str) -> io::Result<Number> {
    let mut request = Request::new(name, 0)?;
    request.put_target(1, "error", &[])?;
    request.send(TABLE_LOAD).map(|()| request.device())
}

/// Has a device go when nobody has it open any more. One that nobody has open goes at once.
pub fn remove_when_unused(name: &str) -> io::Result<()> {
    Request::new(name, DEFERRED_REMOVE)?.send(DEV_REMOVE)
}

/// Gives it the table it is made for, in the place of the blank one, with its key.
pub fn give_table(name: &str, volume: &Volume<'_>) -> io::Result<()> {
    let lent = match volume.given {
        Given::Named(key) if keyring::is_usable() => {
            keyring::lend(key, volume.key.open())?;
            Some(key)
        }
        Given::Named(_) | Given::Plain => None,
    };
    let loaded = load(name, volume, lent);
    // The device has a copy; else the key would be there for as long as this process is.
    let given_back = if lent.is_some() { keyring::give_back() } else { Ok(()) };
    loaded.and(given_back)
}

fn load(name: &str, volume: &Volume<'_>, key: Option<&str>) -> io::Result<()> {
    let Target { sectors, cipher, iv_offset, below, start, options, access } = volume.target;
    let mut after = format!(" {iv_offset} {}:{} {start}", below.major, below.minor);
    if !options.is_empty() {
        after.push_str(&format!(" {} {}", options.len(), options.join(" ")));
    }
    let before = format!("{cipher} ");
    let text = match key {
        Some(key) => {
            Secret::new(format!("{before}:{}:logon:{key}{after}", volume.key.open().len()).into_bytes())
        }
        None => with_digits(before.as_bytes(), volume.key, after.as_bytes()),
    };
    let read_only = if *access == Access::Read { READ_ONLY } else { 0 };
    let mut request = Request::new(name, SECURE_DATA | read_only)?;
    request.put_target(*sectors, "crypt", text.open())?;
    request.send(TABLE_LOAD)
}

/// Has it take requests; where udev runs, it has made its links when this returns.
pub fn start(name: &str) -> io::Result<()> {
    with_udev(|event| {
        let mut request = Request::new(name, 0)?;
        request.word(EVENT, event);
        request.send(DEV_SUSPEND).map(|()| request.flags())
    })
}

/// Removes a device now, its key with it. One that is not there is removed already; `EBUSY`: somebody has it open.
pub fn remove(name: &str) -> io::Result<()> {
    wait_until(LOOKED_AT, || {
        let removed = with_udev(|event| {
            let mut request = Request::new(name, 0)?;
            request.word(EVENT, event);
            request.send(DEV_REMOVE).map(|()| request.flags())
        });
        match removed {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(true),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(false),
            other => other.map(|()| true),
        }
    })
    .and_then(|gone| if gone { Ok(()) } else { Err(ErrorKind::ResourceBusy.into()) })
}

/// A request that makes an event, as the flags of the answer say, and what udev does about it.
fn with_udev(ask: impl FnOnce(u32) -> io::Result<u32>) -> io::Result<()> {
    let cookie = Cookie::new()?;
    let flags = ask(cookie.as_ref().map_or(0, Cookie::word))?;
    if let Some(cookie) = cookie.filter(|_| flags & UEVENT_GENERATED != 0) {
        cookie.wait(UDEV);
    }
    Ok(())
}
