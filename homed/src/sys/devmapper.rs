//! Device-mapper devices: what is in their table, and taking the ground from under one.
//!
//! The ioctl interface of linux/dm-ioctl.h. Buffers may hold a key: the kernel is told to wipe its own, and
//! ours is wiped here.

use super::mount::Number;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

mod found;
mod keys;

pub use found::{above, is_below, named, of_uuid};
pub use keys::{set_key, set_key_by_name, wipe_key};

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
    let dev = u64::from_ne_bytes(request.header[DEVICE..DEVICE + 8].try_into().ok()?);
    Some(Device {
        name: request.text(NAME, NAME_ROOM),
        luks_uuid: found::luks_uuid(&request.text(UUID, UUID_ROOM)),
        number: Number::of(dev),
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

/// The number of the block device of a name; `None`: there is none.
pub fn number(name: &str) -> io::Result<Option<Number>> {
    let mut request = Request::new(name, NO_FLUSH)?;
    match request.send(DEV_STATUS) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
        Ok(()) => {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&request.header[DEVICE..DEVICE + 8]);
            Ok(Some(Number::of(u64::from_ne_bytes(bytes))))
        }
    }
}

/// A dm-crypt device: what it lies on, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypt {
    /// Its size in sectors of 512 bytes.
    pub sectors: u64,
    /// Major and minor number of the device below.
    pub below: (u32, u32),
    /// Where the data begin on the device below, in sectors of 512 bytes.
    pub start: u64,
    /// The name of its key, which is in a keyring; `None`: the key itself was given.
    pub key_name: Option<String>,
}

/// The dm-crypt device of a name; `None`: there is none.
pub fn crypt(name: &str) -> io::Result<Option<Crypt>> {
    let Some((sectors, parameters)) = crypt_table(name)? else { return Ok(None) };
    read_crypt(sectors, &parameters).map(Some).ok_or_else(malformed)
}

/// The length of a dm-crypt device and its parameters; the key is among them where it is in no keyring.
fn crypt_table(name: &str) -> io::Result<Option<(u64, Zeroizing<String>)>> {
    let mut request = Request::new(name, STATUS_TABLE | NO_FLUSH | SECURE_DATA)?;
    match request.send(TABLE_STATUS) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
        other => other?,
    }
    let target = request.data().ok_or_else(malformed)?;
    let sectors = target.get(8..16).and_then(|b| b.try_into().ok()).map(u64::from_ne_bytes);
    let parameters = target.get(40..).ok_or_else(malformed)?;
    if !target.get(24..40).is_some_and(|kind| kind.starts_with(b"crypt\0"))
        || place_of_key(parameters) == Key::Wiped
    {
        return Err(io::Error::other("the device has no key to encrypt with"));
    }
    let end = parameters.iter().position(|byte| *byte == 0).unwrap_or(parameters.len());
    let text = std::str::from_utf8(&parameters[..end]).map_err(|_| malformed())?;
    Ok(Some((sectors.ok_or_else(malformed)?, Zeroizing::new(text.to_owned()))))
}

fn read_crypt(sectors: u64, parameters: &str) -> Option<Crypt> {
    let words: Vec<&str> = parameters.split(' ').collect();
    let (major, minor) = words.get(3)?.split_once(':')?;
    Some(Crypt {
        sectors,
        below: (major.parse().ok()?, minor.parse().ok()?),
        start: words.get(4)?.parse().ok()?,
        // `:SIZE:TYPE:NAME`; the name may have colons.
        key_name: words
            .get(1)?
            .strip_prefix(':')
            .and_then(|key| key.splitn(3, ':').nth(2))
            .map(str::to_owned),
    })
}

fn name_of_key(parameters: &[u8]) -> Option<String> {
    let key = parameters.split(|byte| matches!(byte, 0 | b' ')).nth(1)?.strip_prefix(b":")?;
    std::str::from_utf8(key).ok()?.splitn(3, ':').nth(2).map(str::to_owned)
}

/// Gives a dm-crypt device another length. A key that is in a keyring has to be in one of this thread. Requests wait for a
/// moment; killed on the way, the device goes on with either length.
pub fn resize(name: &str, sectors: u64) -> io::Result<()> {
    let Some((_, parameters)) = crypt_table(name)? else {
        return Err(io::Error::from_raw_os_error(libc::ENXIO));
    };
    let length = (48 + parameters.len() + 1).next_multiple_of(8);
    let mut target = Zeroizing::new(vec![0; length]);
    target[8..16].copy_from_slice(&sectors.to_ne_bytes());
    target[20..24].copy_from_slice(&u32::try_from(length).map_err(io::Error::other)?.to_ne_bytes());
    target[24..29].copy_from_slice(b"crypt");
    // The parameters begin after the type's 16 bytes.
    target[40..40 + parameters.len()].copy_from_slice(parameters.as_bytes());
    let mut load = Request::new(name, SECURE_DATA)?;
    load.header[TARGET_COUNT..TARGET_COUNT + 4].copy_from_slice(&1u32.to_ne_bytes());
    load.put(&target)?;
    // What an earlier change has left, which was killed on its way.
    clear_inactive(name)?;
    load.send(TABLE_LOAD)?;
    // With a new table at hand this stops the device, changes it, and lets it go on: one request, so that nobody
    // can be killed in between. The file system need not be frozen for it. Broken off while it waits for requests that
    // are under way, the kernel keeps the new table, and its key with it.
    let changed = Request::new(name, SKIP_LOCK_FS)?.send(DEV_SUSPEND);
    if changed.is_err() {
        clear_inactive(name)?;
    }
    changed
}

/// Has a dm-crypt device wait: what is under way is finished, what comes later is kept back. Its file system, if it
/// has one, is not frozen.
pub fn suspend(name: &str) -> io::Result<()> {
    Request::new(name, SUSPEND | SKIP_LOCK_FS)?.send(DEV_SUSPEND)
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
    load.header[TARGET_COUNT..TARGET_COUNT + 4].copy_from_slice(&1u32.to_ne_bytes());
    // struct dm_target_spec: start, length, status, next, type; then its parameters, none.
    let mut target = [0; 48];
    target[8..16].copy_from_slice(&device.sectors.to_ne_bytes());
    target[20..24].copy_from_slice(&48u32.to_ne_bytes());
    target[24..29].copy_from_slice(b"error");
    load.put(&target)?;
    load.send(TABLE_LOAD)?;
    if !device.suspended {
        Request::new(name, SUSPEND | NO_FLUSH | SKIP_LOCK_FS)?.send(DEV_SUSPEND)?;
    }
    Request::new(name, 0)?.send(DEV_SUSPEND)
}

// linux/dm-ioctl.h: commands, flags, offsets in struct dm_ioctl.
const DEV_SUSPEND: u8 = 6;
const DEV_STATUS: u8 = 7;
const TABLE_LOAD: u8 = 9;
const TABLE_CLEAR: u8 = 10;
const TABLE_STATUS: u8 = 12;
const TARGET_MSG: u8 = 14;
const SUSPEND: u32 = 1 << 1;
const STATUS_TABLE: u32 = 1 << 4;
const INACTIVE_PRESENT: u32 = 1 << 6;
const BUFFER_FULL: u32 = 1 << 8;
const SKIP_LOCK_FS: u32 = 1 << 10;
const NO_FLUSH: u32 = 1 << 11;
const SECURE_DATA: u32 = 1 << 15;
const SIZE: usize = 312;
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const OPEN_COUNT: usize = 24;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;
const NAME_ROOM: usize = 128;
const UUID: usize = 176;
const UUID_ROOM: usize = 129;
/// Room for the table of a device that libcryptsetup made.
const ROOM: usize = 4096;

/// A struct dm_ioctl and what follows it.
#[repr(C, align(8))]
struct Request {
    header: [u8; SIZE],
    data: [u8; ROOM],
}

impl Request {
    fn new(name: &str, flags: u32) -> io::Result<Box<Self>> {
        if name.len() >= NAME_ROOM || name.contains('\0') {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        let mut request = Box::new(Self { header: [0; SIZE], data: [0; ROOM] });
        let total = u32::try_from(SIZE + ROOM).map_err(io::Error::other)?;
        let start = u32::try_from(SIZE).map_err(io::Error::other)?;
        // Version 4.0.0 of the interface, which every kernel speaks.
        request.word(0, 4);
        request.word(DATA_SIZE, total);
        request.word(DATA_START, start);
        request.word(FLAGS, flags);
        request.header[NAME..NAME + name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }

    fn word(&mut self, at: usize, value: u32) {
        self.header[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn put(&mut self, data: &[u8]) -> io::Result<()> {
        self.data.get_mut(..data.len()).ok_or_else(malformed)?.copy_from_slice(data);
        Ok(())
    }

    fn read_word(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.header[at..at + 4]);
        u32::from_ne_bytes(bytes)
    }

    fn text(&self, at: usize, room: usize) -> String {
        let text = &self.header[at..at + room];
        String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
    }

    fn flags(&self) -> u32 {
        self.read_word(FLAGS)
    }

    fn data(&self) -> Option<&[u8]> {
        let start = usize::try_from(self.read_word(DATA_START)).ok()?.checked_sub(SIZE)?;
        self.data.get(start..)
    }

    fn send(&mut self, command: u8) -> io::Result<()> {
        let control = File::options().read(true).write(true).open("/dev/mapper/control")?;
        // _IOWR(0xfd, command, struct dm_ioctl).
        let number = (3u32 << 30) | (312 << 16) | (0xfd << 8) | u32::from(command);
        // SAFETY: the fd is open for the call; the struct has the layout and the true size that its header says.
        let answer = unsafe { libc::ioctl(control.as_raw_fd(), number as _, std::ptr::from_mut(self)) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.data.zeroize();
    }
}

/// dm-crypt's parameters: `cipher key iv-offset device start …`.
fn place_of_key(parameters: &[u8]) -> Key {
    let end = parameters.iter().position(|byte| *byte == 0).unwrap_or(parameters.len());
    let key = parameters[..end].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match key {
        [b':', ..] => Key::InKeyring,
        digits if digits.iter().all(|digit| matches!(digit, b'0' | b'-')) => Key::Wiped,
        _ => Key::Plain,
    }
}

fn malformed() -> io::Error {
    io::Error::other("the kernel's answer about a device-mapper device cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let read = |text| read_crypt(100, text);
        assert_eq!(
            read("aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 7:3 32768 1 sector_size:4096"),
            Some(Crypt {
                sectors: 100,
                below: (7, 3),
                start: 32768,
                key_name: Some("cryptsetup:x-d0".into())
            })
        );
        let plain = Crypt { sectors: 100, below: (7, 3), start: 32768, key_name: None };
        assert_eq!(read("aes-xts-plain64 00a0 0 7:3 32768 1 sector_size:4096"), Some(plain));
        assert_eq!(read(""), None);
    }

    #[test]
    fn the_place_of_the_key_is_read() {
        assert_eq!(place_of_key(b"aes-xts-plain64 0000 0 7:0 32768 1 sector_size:4096\0xx"), Key::Wiped);
        assert_eq!(place_of_key(b"aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 7:0 0\0"), Key::InKeyring);
        assert_eq!(place_of_key(b"aes-xts-plain64 00a0 0 7:0 0\0"), Key::Plain);
        let name = name_of_key(b"aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 7:0 0\0xx");
        assert_eq!(name.as_deref(), Some("cryptsetup:x-d0"));
        assert_eq!(name_of_key(b"aes-xts-plain64 00a0 0 7:0 0\0"), None);
    }
}
