//! What the kernel does with virtual terminals, ioctl_vt(2).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

// linux/vt.h.
const VT_OPENQRY: u32 = 0x5600;
const VT_GETSTATE: u32 = 0x5603;
const VT_ACTIVATE: u32 = 0x5606;
const VT_DISALLOCATE: u32 = 0x5608;

/// The way to all of them.
pub struct Console(File);

/// Which is in front, and which of the first 15 are open, a bit each.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// The number of the one in front.
    pub active: u16,
    signal: u16,
    /// Bit n: number n is open.
    pub open: u16,
}

impl Console {
    /// Opens it; an error where there are none at all.
    pub fn open() -> io::Result<Self> {
        let file = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/tty0")?;
        Ok(Self(file))
    }

    /// What is open and in front.
    pub fn state(&self) -> io::Result<State> {
        let mut state = State::default();
        // SAFETY: the struct has the layout of `vt_stat`.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_GETSTATE as _, &mut state) })?;
        Ok(state)
    }

    /// The lowest that nobody has open; `NotFound`: all are.
    pub fn free(&self) -> io::Result<u32> {
        let mut free: libc::c_int = -1;
        // SAFETY: the fd is open for the call, which writes one int.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_OPENQRY as _, &mut free) })?;
        u32::try_from(free).map_err(|_| io::ErrorKind::NotFound.into())
    }

    /// Brings one to the front, and does not wait for it.
    pub fn activate(&self, number: u32) -> io::Result<()> {
        // SAFETY: the fd is open for the call, whose argument is a number.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_ACTIVATE as _, libc::c_ulong::from(number)) })
    }

    /// Has what was on it forgotten; `EBUSY` while somebody has it open.
    pub fn forget(&self, number: u32) -> io::Result<()> {
        // SAFETY: the fd is open for the call, whose argument is a number.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_DISALLOCATE as _, libc::c_ulong::from(number)) })
    }
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
