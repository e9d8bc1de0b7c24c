//! The system calls: tty_ioctl(4), ioctl_console(2), ioctl_vt(2).

#![allow(unsafe_code)]

use crate::font::{self, Font};
use crate::keys::character;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

// linux/kd.h and linux/vt.h.
const GIO_UNIMAP: u32 = 0x4B66;
const KDGKBLED: u32 = 0x4B64;
const KDGKBENT: u32 = 0x4B46;
const KDSKBENT: u32 = 0x4B47;
const KDGETMODE: u32 = 0x4B3B;
const KDSETMODE: u32 = 0x4B3A;
const KDGKBMODE: u32 = 0x4B44;
const KDSKBMODE: u32 = 0x4B45;
const TIOCLINUX: u32 = 0x541C;
const KDFONTOP: u32 = 0x4B72;
const KD_FONT_OP_SET: libc::c_uint = 0;
const KD_FONT_OP_GET: libc::c_uint = 1;
const VT_OPENQRY: u32 = 0x5600;
const VT_GETMODE: u32 = 0x5601;
const VT_SETMODE: u32 = 0x5602;
const VT_GETSTATE: u32 = 0x5603;
const VT_RELDISP: u32 = 0x5605;
const VT_ACTIVATE: u32 = 0x5606;
const VT_DISALLOCATE: u32 = 0x5608;

/// The kernel switches such a terminal without asking anybody.
const VT_AUTO: libc::c_char = 0;
/// It asks a process first.
const VT_PROCESS: libc::c_char = 1;
const KD_TEXT: i32 = 0;
const KD_GRAPHICS: i32 = 1;
const K_OFF: i32 = 4;
/// `TIOCL_BLANKEDSCREEN` of linux/tiocl.h.
const BLANKED: u8 = 15;
const K_CAPSLOCK: i32 = 4;

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

/// `vt_mode`: who is asked before another terminal comes to the front, and by which signals: to leave, to come, a third that nothing
/// uses.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Switching {
    mode: libc::c_char,
    wait: libc::c_char,
    signals: [libc::c_short; 3],
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

/// `kbentry`: what one key is mapped to, with which modifiers.
#[repr(C)]
struct Entry {
    modifiers: u8,
    key: u8,
    value: u16,
}

/// `console_font_op`: the pictures of all letters, in the layout of [`Font`].
#[repr(C)]
struct FontCall {
    op: libc::c_uint,
    flags: libc::c_uint,
    width: libc::c_uint,
    height: libc::c_uint,
    count: libc::c_uint,
    data: *mut u8,
}

/// `unipair`: a letter, and where in the font it is.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Glyph {
    letter: u16,
    place: u16,
}

/// `unimapdesc`: room for so many of them.
#[repr(C)]
struct Map {
    count: u16,
    entries: *mut Glyph,
}

impl Terminal {
    /// Opens it by the name of its device. It does not become the controlling terminal, and a line without anybody at its other end
    /// is not waited for.
    pub fn open(device: &Path) -> io::Result<Self> {
        let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
        Ok(Self(File::options().read(true).write(true).custom_flags(flags).open(device)?))
    }

    /// The virtual terminal of this number; 0 is the one in front, an error where there are none.
    pub fn numbered(number: u32) -> io::Result<Self> {
        Self::open(&Self::device(number))
    }

    /// The device of a virtual terminal.
    pub fn device(number: u32) -> PathBuf {
        format!("/dev/tty{number}").into()
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

    /// Has the kernel draw the text of this virtual terminal again; one that is somebody's to draw is left to them.
    pub fn draw_again(&self) -> io::Result<()> {
        if self.get(KDGETMODE)? != KD_TEXT {
            return Ok(());
        }
        self.set(KDSETMODE, KD_GRAPHICS)?;
        self.show_text()
    }

    /// The kernel draws text there, from now on or as it did.
    pub fn show_text(&self) -> io::Result<()> {
        self.set(KDSETMODE, KD_TEXT)
    }

    /// What a key is mapped to in a table of the kernel's keymap, by the kernel's numbers for both (linux/keyboard.h). All virtual
    /// terminals have one keymap. Key 0 is [`crate::NO_TABLE`] where there is no such table.
    pub fn mapped(&self, table: u8, key: u8) -> io::Result<u16> {
        let mut entry = Entry { modifiers: table, key, value: 0 };
        // SAFETY: the file is open for the call; the struct has the layout of `kbentry`.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), KDGKBENT as _, &mut entry) })?;
        Ok(entry.value)
    }

    /// Maps it to something else; [`crate::NO_TABLE`] for key 0 has the kernel forget the table.
    pub fn map(&self, table: u8, key: u8, value: u16) -> io::Result<()> {
        let entry = Entry { modifiers: table, key, value };
        // SAFETY: the file is open for the call; the struct has the layout of `kbentry` and is only read.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), KDSKBENT as _, &entry) })
    }

    /// The character that a key makes by itself, by the kernel's number for the key; `None`: it makes none.
    pub fn character(&self, key: u8) -> io::Result<Option<char>> {
        self.mapped(0, key).map(character)
    }

    /// The terminal's font; an error where the kernel draws no letters, or larger ones than [`Font`] can be.
    pub fn font(&self) -> io::Result<Font> {
        let mut rows = vec![0; font::MOST * font::HIGHEST * font::WIDEST.div_ceil(8)];
        let (width, height, count) = (font::WIDEST, font::HIGHEST, font::MOST);
        let call = self.font_call(KD_FONT_OP_GET, [width, height, count], &mut rows)?;
        let (width, height) = (call.width as usize, call.height as usize);
        rows.truncate(call.count as usize * font::HIGHEST * width.div_ceil(8));
        Ok(Font { width, height, rows })
    }

    /// Has the kernel draw this terminal's letters so. Other terminals keep theirs.
    pub fn set_font(&self, font: &Font) -> io::Result<()> {
        let sizes = [font.width, font.height, font.count()];
        self.font_call(KD_FONT_OP_SET, sizes, &mut font.rows.clone()).map(drop)
    }

    /// Width, height and number of the letters, and place for as many as that.
    fn font_call(&self, op: libc::c_uint, sizes: [usize; 3], rows: &mut [u8]) -> io::Result<FontCall> {
        let [width, height, count] = sizes.map(|size| libc::c_uint::try_from(size).unwrap_or(0));
        if rows.len() < sizes[2] * font::HIGHEST * sizes[0].div_ceil(8) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut call = FontCall { op, flags: 0, width, height, count, data: rows.as_mut_ptr() };
        // SAFETY: the file is open for the call; the struct has the layout of `console_font_op`, and its array at least the room that
        // the sizes say, as was just seen.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), KDFONTOP as _, &mut call) })?;
        Ok(call)
    }

    /// The letters that the terminal's font has, of the first 65,536 (the kernel knows no others).
    pub fn letters(&self) -> io::Result<BTreeSet<char>> {
        let mut entries = vec![Glyph::default(); usize::from(u16::MAX)];
        let mut map = Map { count: u16::MAX, entries: entries.as_mut_ptr() };
        // SAFETY: the file is open for the call; the struct has the layout of `unimapdesc`, and its array the room that it says.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), GIO_UNIMAP as _, &mut map) })?;
        entries.truncate(map.count.into());
        Ok(entries.iter().filter_map(|glyph| char::from_u32(glyph.letter.into())).collect())
    }

    /// Whether Caps Lock is on.
    pub fn caps_lock(&self) -> io::Result<bool> {
        let mut flags: libc::c_char = 0;
        // SAFETY: the file is open for the call, which writes one char.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), KDGKBLED as _, &mut flags) })?;
        Ok(i32::from(flags) & K_CAPSLOCK != 0)
    }

    /// Whether the kernel has turned off the screen that it draws on, since nobody pressed a key.
    pub fn is_dark(&self) -> io::Result<bool> {
        let what = BLANKED;
        // SAFETY: the file is open for the call, which reads one byte.
        let answer = unsafe { libc::ioctl(self.0.as_raw_fd(), TIOCLINUX as _, &what) };
        check(answer).map(|()| answer != 0)
    }

    /// Whether a process has this virtual terminal and is asked before another comes to the front.
    pub fn has_owner(&self) -> io::Result<bool> {
        Ok(self.switching()?.mode != VT_AUTO)
    }

    /// The signal by which a process that has this virtual terminal is told that it has come to the front; 0: by none.
    pub fn told_by(&self) -> io::Result<u32> {
        Ok(u32::try_from(self.switching()?.signals[1]).unwrap_or(0))
    }

    /// Whether the kernel refuses to leave this one: nobody draws there, and nobody can be asked.
    pub fn is_held(&self) -> io::Result<bool> {
        Ok(self.get(KDGETMODE)? == KD_GRAPHICS && !self.has_owner()?)
    }

    /// We are asked before another comes to the front in this one's place, from now on; or nobody is.
    pub fn ask_us(&self, asked: bool) -> io::Result<()> {
        let switching = Switching { mode: if asked { VT_PROCESS } else { VT_AUTO }, ..Switching::default() };
        // SAFETY: the struct has the layout of `vt_mode` and is only read.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_SETMODE as _, &switching) })
    }

    /// Agrees that another comes to the front in this one's place, for whoever should; an error where nobody asks.
    pub fn agree(&self) -> io::Result<()> {
        self.set(VT_RELDISP, 1)
    }

    /// What is open and in front.
    pub fn state(&self) -> io::Result<State> {
        let mut state = State::default();
        // SAFETY: the struct has the layout of `vt_stat`.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_GETSTATE as _, &mut state) })?;
        Ok(state)
    }

    /// The lowest virtual terminal that nobody has open; `NotFound`: all are. This must be one, too.
    pub fn free(&self) -> io::Result<u32> {
        u32::try_from(self.get(VT_OPENQRY)?).map_err(|_| io::ErrorKind::NotFound.into())
    }

    /// Brings a virtual terminal to the front, and does not wait for it. This must be one, too.
    pub fn activate(&self, number: u32) -> io::Result<()> {
        self.set(VT_ACTIVATE, i32::try_from(number).map_err(io::Error::other)?)
    }

    /// Has what was on a virtual terminal forgotten; `EBUSY` while somebody has it open. This must be one, too.
    pub fn forget(&self, number: u32) -> io::Result<()> {
        self.set(VT_DISALLOCATE, i32::try_from(number).map_err(io::Error::other)?)
    }

    fn switching(&self) -> io::Result<Switching> {
        let mut switching = Switching::default();
        // SAFETY: the file is open for the call; the struct has the layout of `vt_mode`.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), VT_GETMODE as _, &mut switching) })?;
        Ok(switching)
    }

    fn get(&self, request: u32) -> io::Result<i32> {
        let mut value: libc::c_int = -1;
        // SAFETY: the file is open for the call; all requests of this kind write one int.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, &mut value) })?;
        Ok(value)
    }

    fn set(&self, request: u32, value: i32) -> io::Result<()> {
        // SAFETY: the file is open for the call, whose argument is a number.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, libc::c_long::from(value)) })
    }
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
