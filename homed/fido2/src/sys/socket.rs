//! Keys of tests: a program at a socket of this folder plays one, and speaks CTAP without USB. Not in what ships.
//!
//! A message is one byte (the CTAPHID command), its length in four (little endian), and its content.

use super::device::Found;
use super::symbols::{Object, symbols};
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::Duration;

/// Where they are plugged in.
const FOLDER: &str = "/run/homed/test-fido2";
const PREFIX: &str = "unix:";

symbols! {
    Hooks:
    fido_dev_io_handle(Object) -> *mut c_void;
    fido_dev_set_io_functions(Object, *const Io) -> c_int;
    fido_dev_set_transport_functions(Object, *const Transport) -> c_int;
}

// SAFETY: of types: libfido2 alone calls these, with what its header promises.
type Open = unsafe extern "C" fn(*const c_char) -> *mut c_void;
// SAFETY: the same.
type Close = unsafe extern "C" fn(*mut c_void);
// SAFETY: the same.
type Read = unsafe extern "C" fn(*mut c_void, *mut u8, usize, c_int) -> c_int;
// SAFETY: the same.
type Write = unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int;
// SAFETY: the same.
type Receive = unsafe extern "C" fn(Object, u8, *mut u8, usize, c_int) -> c_int;
// SAFETY: the same.
type Send = unsafe extern "C" fn(Object, u8, *const u8, usize) -> c_int;
// SAFETY: of a type: it is called for open devices.
type HandleOf = unsafe extern "C" fn(Object) -> *mut c_void;

/// `fido_dev_io_t`.
#[repr(C)]
pub struct Io {
    open: Open,
    close: Close,
    read: Read,
    write: Write,
}

/// `fido_dev_transport_t`.
#[repr(C)]
pub struct Transport {
    rx: Receive,
    tx: Send,
}

/// `fido_dev_io_handle`, for functions that libfido2 calls.
static HANDLE: OnceLock<HandleOf> = OnceLock::new();

/// What is plugged in, by the names of the sockets.
pub fn list() -> Vec<Found> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.map(|name| Found { path: format!("{PREFIX}{FOLDER}/{name}"), name }).collect()
}

/// Whether a path is that of one of these.
pub fn is_one(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Has a new device speak to the program.
pub fn hook(device: Object) {
    // Without them the device cannot be opened, which is told then.
    let Ok(hooks) = Hooks::load() else { return };
    HANDLE.get_or_init(|| hooks.fido_dev_io_handle);
    let io = Io { open, close, read: no_read, write: no_write };
    let transport = Transport { rx: receive, tx: send };
    // SAFETY: a new device that is not open; the library copies both tables.
    unsafe {
        (hooks.fido_dev_set_io_functions)(device, &raw const io);
        (hooks.fido_dev_set_transport_functions)(device, &raw const transport);
    }
}

/// # Safety
/// For libfido2: `path` ends with NUL.
unsafe extern "C" fn open(path: *const c_char) -> *mut c_void {
    // SAFETY: as promised.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    let path = OsStr::from_bytes(path.strip_prefix(PREFIX.as_bytes()).unwrap_or(path));
    UnixStream::connect(path).map_or(std::ptr::null_mut(), |line| Box::into_raw(Box::new(line)).cast())
}

/// # Safety
/// For libfido2: what [`open`] gave, once.
unsafe extern "C" fn close(handle: *mut c_void) {
    // SAFETY: as promised.
    drop(unsafe { Box::from_raw(handle.cast::<UnixStream>()) });
}

/// # Safety
/// For libfido2, which never calls it: the transport is ours.
unsafe extern "C" fn no_read(_: *mut c_void, _: *mut u8, _: usize, _: c_int) -> c_int {
    -1
}

/// # Safety
/// The same.
unsafe extern "C" fn no_write(_: *mut c_void, _: *const u8, _: usize) -> c_int {
    -1
}

/// # Safety
/// For libfido2: an open device, and that many bytes to be sent.
unsafe extern "C" fn send(device: Object, command: u8, content: *const u8, length: usize) -> c_int {
    // SAFETY: as promised; there may be none.
    let content = if length == 0 { &[][..] } else { unsafe { std::slice::from_raw_parts(content, length) } };
    let line = line(device);
    let Ok(size) = u32::try_from(length) else { return -1 };
    let head = [&[command][..], &size.to_le_bytes()].concat();
    if line.is_some_and(|mut line| line.write_all(&head).and_then(|()| line.write_all(content)).is_ok()) {
        0
    } else {
        -1
    }
}

/// # Safety
/// For libfido2: an open device, and room for that many bytes.
unsafe extern "C" fn receive(device: Object, _: u8, room: *mut u8, length: usize, patience: c_int) -> c_int {
    let answer = line(device).and_then(|line| answer(line, patience).ok());
    let Some(answer) = answer.filter(|answer| answer.len() <= length) else { return -1 };
    // SAFETY: it has been seen to fit.
    unsafe { std::ptr::copy_nonoverlapping(answer.as_ptr(), room, answer.len()) };
    c_int::try_from(answer.len()).unwrap_or(-1)
}

fn answer(mut line: &UnixStream, patience: c_int) -> std::io::Result<Vec<u8>> {
    // A negative number: for ever.
    line.set_read_timeout(u64::try_from(patience).ok().map(|ms| Duration::from_millis(ms.max(1))))?;
    let mut head = [0; 5];
    line.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    let mut content = vec![0; usize::try_from(length).unwrap_or(0)];
    line.read_exact(&mut content)?;
    Ok(content)
}

/// The connection behind a device.
fn line<'a>(device: Object) -> Option<&'a UnixStream> {
    let handle = HANDLE.get()?;
    // SAFETY: an open device of the library, which gives what [`open`] gave; it lives until [`close`].
    unsafe { handle(device).cast::<UnixStream>().as_ref() }
}
