//! Terminals of others: what was typed and not read, and on virtual terminals the keyboard and the picture (tty_ioctl(4),
//! ioctl_console(2), ioctl_vt(2)).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

// linux/kd.h and linux/vt.h.
const KDGETMODE: u32 = 0x4B3B;
const KDSETMODE: u32 = 0x4B3A;
const KDGKBMODE: u32 = 0x4B44;
const KDSKBMODE: u32 = 0x4B45;
const VT_GETMODE: u32 = 0x5601;
const VT_ACTIVATE: u32 = 0x5606;
/// The kernel switches such a terminal without asking anybody.
const VT_AUTO: libc::c_char = 0;
const KD_TEXT: i32 = 0;
const KD_GRAPHICS: i32 = 1;
const K_OFF: i32 = 4;

/// devices.txt in the kernel's documentation: the major numbers of pseudo-terminals, of both kinds.
const PSEUDO: [std::ops::RangeInclusive<u64>; 3] = [2..=3, 128..=135, 136..=143];
/// A terminal, opened beside whoever uses it.
pub struct Terminal(File);

/// Whether anything was typed that nobody had read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// Yes.
    Something,
    /// No.
    Nothing,
}

/// Keyboard and picture of a virtual terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// What keys become: `K_…`.
    pub keyboard: i32,
    /// Who draws: `KD_…`.
    pub picture: i32,
}

impl Modes {
    /// Keys go nowhere, and the kernel draws nothing; nobody gets away from there by the keyboard either.
    pub const DEAF_AND_BLANK: Self = Self { keyboard: K_OFF, picture: KD_GRAPHICS };

    /// Whether the kernel draws text there.
    pub fn is_text(self) -> bool {
        self.picture == KD_TEXT
    }
}

/// `vt_mode` of linux/vt.h.
#[repr(C)]
#[derive(Default)]
struct Switching {
    mode: libc::c_char,
    wait: libc::c_char,
    signals: [libc::c_short; 3],
}

impl Terminal {
    /// Opens it by the name of its device. It does not become the controlling terminal, and a line without anybody at its other end
    /// is not waited for.
    pub fn open(device: &Path) -> io::Result<Self> {
        let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
        Ok(Self(File::options().read(true).write(true).custom_flags(flags).open(device)?))
    }

    /// Throws away what was typed and nobody has read; whether there was something. What a full terminal had no room for comes
    /// only after that.
    pub fn forget_input(&self) -> io::Result<Typed> {
        let bytes = rustix::io::ioctl_fionread(&self.0)?;
        rustix::termios::tcflush(&self.0, rustix::termios::QueueSelector::IFlush)?;
        Ok(if bytes == 0 { Typed::Nothing } else { Typed::Something })
    }

    /// Keyboard and picture; an error where this is no virtual terminal.
    pub fn modes(&self) -> io::Result<Modes> {
        Ok(Modes { keyboard: self.get(KDGKBMODE)?, picture: self.get(KDGETMODE)? })
    }

    /// Changes both.
    pub fn set_modes(&self, modes: Modes) -> io::Result<()> {
        self.set(KDSKBMODE, modes.keyboard)?;
        self.set(KDSETMODE, modes.picture)
    }

    /// Whether a process has this virtual terminal and is asked before another comes to the front.
    pub fn has_owner(&self) -> io::Result<bool> {
        let mut switching = Switching::default();
        // SAFETY: the file is open for the call; the struct has the layout of `vt_mode`.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_GETMODE as _, &mut switching) })?;
        Ok(switching.mode != VT_AUTO)
    }

    /// Brings a virtual terminal to the front, and does not wait for it. This must be one, too.
    pub fn activate(&self, number: u32) -> io::Result<()> {
        self.set(VT_ACTIVATE, i32::try_from(number).map_err(io::Error::other)?)
    }

    fn get(&self, request: u32) -> io::Result<i32> {
        let mut value: libc::c_int = 0;
        // SAFETY: the file is open for the call; all requests of this kind write one int.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, &mut value) })?;
        Ok(value)
    }

    fn set(&self, request: u32, value: i32) -> io::Result<()> {
        // SAFETY: the file is open for the call, whose argument is a number.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, libc::c_long::from(value)) })
    }
}

/// The name in `/dev` of a process's controlling terminal, if that is a true line or screen: nobody is before a
/// pseudo-terminal.
pub fn controlling(pid: u32) -> Option<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (major, minor) = numbers(&text)?;
    let real = major != 0 && !PSEUDO.iter().any(|pseudo| pseudo.contains(&major));
    let text =
        real.then(|| std::fs::read_to_string(format!("/sys/dev/char/{major}:{minor}/uevent")).ok())??;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name.trim_start_matches("/dev/")))
}

/// The device's numbers, proc_pid_stat(5): field 7, after the name in brackets.
fn numbers(stat: &str) -> Option<(u64, u64)> {
    let device: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(4)?.parse().ok()?;
    Some((device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00))
}

/// The device of a virtual terminal.
pub fn of_number(number: u32) -> PathBuf {
    format!("/dev/tty{number}").into()
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controlling_terminal_is_read_behind_any_name() {
        let stat = "17 (a) b (c)) S 1 17 17 1026 17 4194304 0 0";
        assert_eq!(numbers(stat), Some((4, 2)));
        assert_eq!(numbers("17 (sh) S 1 17 17 34817 17"), Some((136, 1)));
        assert_eq!(numbers("17 (sh) S 1 17 17 0 -1"), Some((0, 0)));
    }

    #[test]
    fn what_was_typed_is_gone_and_what_comes_later_is_not() {
        use std::io::{Read, Write};
        use std::os::fd::AsFd;
        let pair = nix::pty::openpty(None, None).expect("a pseudo-terminal");
        let (mut keys, line) = (File::from(pair.master), Terminal(File::from(pair.slave)));
        keys.write_all(b"before\n").expect("written");
        // What is written there comes to the other side a moment later.
        let there = nix::poll::PollFd::new(line.0.as_fd(), nix::poll::PollFlags::POLLIN);
        nix::poll::poll(&mut [there], nix::poll::PollTimeout::NONE).expect("waited");
        assert_eq!(line.forget_input().expect("forgotten"), Typed::Something);
        assert_eq!(line.forget_input().expect("forgotten"), Typed::Nothing);
        keys.write_all(b"after\n").expect("written");
        let mut text = [0; 100];
        let count = (&line.0).read(&mut text).expect("read");
        assert_eq!(&text[..count], b"after\n");
    }
}
