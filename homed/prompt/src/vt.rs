//! Virtual terminals: one of our own, in front of whatever was there.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

// linux/vt.h.
const VT_OPENQRY: u32 = 0x5600;
const VT_GETSTATE: u32 = 0x5603;
const VT_ACTIVATE: u32 = 0x5606;

/// A virtual terminal that was free.
pub struct Vt {
    console: File,
    number: u32,
    before: u32,
}

#[repr(C)]
#[derive(Default)]
struct State {
    active: u16,
    signal: u16,
    state: u16,
}

impl Vt {
    /// Takes a free one; an error where there are none at all.
    pub fn take() -> io::Result<Self> {
        let console = File::options().read(true).write(true).open("/dev/tty0")?;
        let mut free: libc::c_int = -1;
        // SAFETY: the fd is open for the call, which writes one int.
        check(unsafe { libc::ioctl(console.as_raw_fd(), VT_OPENQRY as _, &mut free) })?;
        let mut state = State::default();
        // SAFETY: the struct has the layout of `vt_stat`.
        check(unsafe { libc::ioctl(console.as_raw_fd(), VT_GETSTATE as _, &mut state) })?;
        let number = u32::try_from(free).map_err(|_| io::ErrorKind::NotFound)?;
        Ok(Self { console, number, before: state.active.into() })
    }

    /// Its device.
    pub fn device(&self) -> PathBuf {
        format!("/dev/tty{}", self.number).into()
    }

    /// Brings it to the front. Who is there now may have to agree, and is not waited for.
    pub fn show(&self) -> io::Result<()> {
        self.activate(self.number)
    }

    fn activate(&self, number: u32) -> io::Result<()> {
        // SAFETY: the fd is open for the call, whose argument is a number.
        check(unsafe { libc::ioctl(self.console.as_raw_fd(), VT_ACTIVATE as _, libc::c_ulong::from(number)) })
    }
}

impl Drop for Vt {
    fn drop(&mut self) {
        let front = std::fs::read_to_string("/sys/class/tty/tty0/active").unwrap_or_default();
        if front.trim() == format!("tty{}", self.number) {
            // Nobody has brought another to the front.
            let _ = self.activate(self.before);
        }
    }
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
