//! The ioctl interface of linux/dm-ioctl.h: one request and its answer. A buffer may hold a key: it is wiped.

use crate::sys::mount::Number;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use zeroize::Zeroize;

// linux/dm-ioctl.h: commands, flags, offsets in struct dm_ioctl.
pub const LIST_DEVICES: u8 = 2;
pub const DEV_CREATE: u8 = 3;
pub const DEV_REMOVE: u8 = 4;
pub const DEV_SUSPEND: u8 = 6;
pub const DEV_STATUS: u8 = 7;
pub const TABLE_LOAD: u8 = 9;
pub const TABLE_CLEAR: u8 = 10;
pub const TABLE_STATUS: u8 = 12;
pub const TARGET_MSG: u8 = 14;
pub const READ_ONLY: u32 = 1;
pub const SUSPEND: u32 = 1 << 1;
pub const STATUS_TABLE: u32 = 1 << 4;
pub const INACTIVE_PRESENT: u32 = 1 << 6;
pub const BUFFER_FULL: u32 = 1 << 8;
pub const SKIP_LOCK_FS: u32 = 1 << 10;
pub const NO_FLUSH: u32 = 1 << 11;
pub const UEVENT_GENERATED: u32 = 1 << 13;
pub const SECURE_DATA: u32 = 1 << 15;
pub const DEFERRED_REMOVE: u32 = 1 << 17;
pub const SIZE: usize = 312;
pub const DATA_SIZE: usize = 12;
pub const DATA_START: usize = 16;
pub const TARGET_COUNT: usize = 20;
pub const OPEN_COUNT: usize = 24;
pub const FLAGS: usize = 28;
pub const EVENT: usize = 32;
pub const DEVICE: usize = 40;
pub const NAME: usize = 48;
pub const NAME_ROOM: usize = 128;
pub const UUID: usize = 176;
pub const UUID_ROOM: usize = 129;
/// Room for the table of a device that libcryptsetup made.
pub const ROOM: usize = 4096;

/// A struct dm_ioctl and what follows it.
#[repr(C, align(8))]
pub struct Request<const SPACE: usize = ROOM> {
    pub header: [u8; SIZE],
    pub data: [u8; SPACE],
}

impl Request {
    pub fn new(name: &str, flags: u32) -> io::Result<Box<Self>> {
        Self::with_room(name, flags)
    }
}

impl<const SPACE: usize> Request<SPACE> {
    pub fn with_room(name: &str, flags: u32) -> io::Result<Box<Self>> {
        if name.len() >= NAME_ROOM || name.contains('\0') {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        let mut request = Box::new(Self { header: [0; SIZE], data: [0; SPACE] });
        let total = u32::try_from(SIZE + SPACE).map_err(io::Error::other)?;
        let start = u32::try_from(SIZE).map_err(io::Error::other)?;
        // Version 4.0.0 of the interface, which every kernel speaks.
        request.word(0, 4);
        request.word(DATA_SIZE, total);
        request.word(DATA_START, start);
        request.word(FLAGS, flags);
        request.header[NAME..NAME + name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }

    pub fn word(&mut self, at: usize, value: u32) {
        self.header[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    pub fn put(&mut self, data: &[u8]) -> io::Result<()> {
        self.data.get_mut(..data.len()).ok_or_else(malformed)?.copy_from_slice(data);
        Ok(())
    }

    /// The one target of a table: struct dm_target_spec (start, length, status, next, type), then its parameters.
    pub fn put_target(&mut self, sectors: u64, kind: &str, parameters: &[u8]) -> io::Result<()> {
        const TYPE: usize = 24;
        const PARAMETERS: usize = 40;
        let length = (PARAMETERS + parameters.len() + 1).next_multiple_of(8);
        self.word(TARGET_COUNT, 1);
        let target = self.data.get_mut(..length).ok_or_else(malformed)?;
        target[8..16].copy_from_slice(&sectors.to_ne_bytes());
        target[20..24].copy_from_slice(&u32::try_from(length).map_err(io::Error::other)?.to_ne_bytes());
        target[TYPE..TYPE + kind.len()].copy_from_slice(kind.as_bytes());
        target[PARAMETERS..PARAMETERS + parameters.len()].copy_from_slice(parameters);
        Ok(())
    }

    /// The number of the device that the answer is about.
    pub fn device(&self) -> Number {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.header[DEVICE..DEVICE + 8]);
        Number::of(u64::from_ne_bytes(bytes))
    }

    pub fn read_word(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.header[at..at + 4]);
        u32::from_ne_bytes(bytes)
    }

    pub fn text(&self, at: usize, room: usize) -> String {
        let text = &self.header[at..at + room];
        String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
    }

    pub fn flags(&self) -> u32 {
        self.read_word(FLAGS)
    }

    pub fn data(&self) -> Option<&[u8]> {
        let start = usize::try_from(self.read_word(DATA_START)).ok()?.checked_sub(SIZE)?;
        self.data.get(start..)
    }

    pub fn send(&mut self, command: u8) -> io::Result<()> {
        let control = control()?;
        // _IOWR(0xfd, command, struct dm_ioctl).
        let number = (3u32 << 30) | (312 << 16) | (0xfd << 8) | u32::from(command);
        // SAFETY: the fd is open for the call; the struct has the layout and the true size that its header says.
        let answer = unsafe { libc::ioctl(control.as_raw_fd(), number as _, std::ptr::from_mut(self)) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl<const SPACE: usize> Drop for Request<SPACE> {
    fn drop(&mut self) {
        self.data.zeroize();
    }
}

/// Opened once: whoever locks or unlocks asks a hundred times.
fn control() -> io::Result<&'static File> {
    static CONTROL: OnceLock<File> = OnceLock::new();
    if let Some(control) = CONTROL.get() {
        return Ok(control);
    }
    // Where the kernel has no device-mapper now, it may have one later.
    let opened = File::options().read(true).write(true).open("/dev/mapper/control")?;
    Ok(CONTROL.get_or_init(|| opened))
}

pub fn malformed() -> io::Error {
    io::Error::other("the kernel's answer about a device-mapper device cannot be read")
}
