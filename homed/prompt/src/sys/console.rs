//! What the kernel does with virtual terminals, ioctl_vt(2).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

// linux/kd.h and linux/vt.h.
const KDSETMODE: u32 = 0x4B3A;
const KDGETMODE: u32 = 0x4B3B;
const KDSKBMODE: u32 = 0x4B45;
const VT_OPENQRY: u32 = 0x5600;
const VT_GETMODE: u32 = 0x5601;
const VT_SETMODE: u32 = 0x5602;
const VT_GETSTATE: u32 = 0x5603;
const VT_RELDISP: u32 = 0x5605;
const VT_ACTIVATE: u32 = 0x5606;
const VT_DISALLOCATE: u32 = 0x5608;

/// The kernel switches such a terminal by itself.
const VT_AUTO: libc::c_char = 0;
/// It asks a process first.
const VT_PROCESS: libc::c_char = 1;
/// The kernel draws no text.
const KD_GRAPHICS: libc::c_int = 1;
/// Keys go nowhere.
const K_OFF: libc::c_int = 4;

/// The way to all of them, or one of them.
pub struct Console(File);

/// `vt_mode`: who is asked before another terminal comes to the front, and by which signals (none).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Switching {
    mode: libc::c_char,
    wait: libc::c_char,
    signals: [libc::c_short; 3],
}

/// What a text terminal does with its keys (`K_…`) and its text (`KD_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// Keys.
    pub keyboard: i32,
    /// Text.
    pub picture: i32,
}

impl Modes {
    /// Nothing with either.
    pub const DEAF_AND_BLANK: Self = Self { keyboard: K_OFF, picture: KD_GRAPHICS };
}

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
        Self::at("/dev/tty0")
    }

    /// One of them, by its number.
    pub fn one(number: u32) -> io::Result<Self> {
        Self::at(&format!("/dev/tty{number}"))
    }

    /// One of them, by its device.
    pub fn at(device: &str) -> io::Result<Self> {
        Ok(Self(File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(device)?))
    }

    /// Whether the kernel refuses to leave this one: nobody draws there, and nobody can be asked.
    pub fn is_held(&self) -> io::Result<bool> {
        let mut picture: libc::c_int = 0;
        // SAFETY: the fd is open for the call, which writes one int.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), KDGETMODE as _, &mut picture) })?;
        Ok(picture == KD_GRAPHICS && self.switching()?.mode == VT_AUTO)
    }

    /// We are asked before another comes to the front in this one's place, from now on; or nobody is.
    pub fn ask_us(&self, asked: bool) -> io::Result<()> {
        let switching = Switching { mode: if asked { VT_PROCESS } else { VT_AUTO }, ..Switching::default() };
        // SAFETY: the struct has the layout of `vt_mode` and is only read.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_SETMODE as _, &switching) })
    }

    /// Agrees that another comes to the front in this one's place, for whoever should; an error where nobody asks.
    pub fn agree(&self) -> io::Result<()> {
        // SAFETY: the fd is open for the call, whose argument is a number.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_RELDISP as _, 1 as libc::c_long) })
    }

    /// Changes what a text terminal does with keys and text.
    pub fn set_modes(&self, modes: Modes) -> io::Result<()> {
        for (request, mode) in [(KDSKBMODE, modes.keyboard), (KDSETMODE, modes.picture)] {
            // SAFETY: the fd is open for the call, whose argument is a number.
            check(unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, libc::c_long::from(mode)) })?;
        }
        Ok(())
    }

    fn switching(&self) -> io::Result<Switching> {
        let mut switching = Switching::default();
        // SAFETY: the struct has the layout of `vt_mode`.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_GETMODE as _, &mut switching) })?;
        Ok(switching)
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
