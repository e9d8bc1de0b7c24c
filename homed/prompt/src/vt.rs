//! Virtual terminals: one of our own, in front of whatever was there.
//!
//! `/run/homed/prompt` says which is ours and which was in front before, a line each: for a worker that waits for us
//! before it freezes what is in front now, and for ourselves when we were killed.

use console::{BEFORE, EMPTY, FRONT, OURS, Terminal, number};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Between two looks at it.
const GLANCE: Duration = Duration::from_millis(20);
/// Those that a person reaches with Ctrl-Alt-F7 to F12, above those where logind starts logins.
const REACHED: std::ops::RangeInclusive<u32> = 7..=12;

/// A virtual terminal that was free.
pub struct Vt {
    number: u32,
    before: u32,
    /// Held open, so that nobody else finds it free.
    held: Option<File>,
    front: File,
}

impl Vt {
    /// Takes a free one, or the one that was ours; an error where there are none at all.
    pub fn take() -> io::Result<Self> {
        let console = Terminal::numbered(0)?;
        let state = console.state()?;
        let active = u32::from(state.active);
        let (number, before) = match noted() {
            // We were killed in front.
            Some((ours, before)) if ours == active => (ours, before),
            _ => (free(&console, state.open)?, left().filter(|_| active == EMPTY).unwrap_or(active)),
        };
        let held = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC)
            .open(Terminal::device(number))?;
        let mut vt = Self { number, before, held: Some(held), front: File::open(FRONT)? };
        if let Some(Err(why)) = vt.held.as_mut().map(crate::dark::begin) {
            tell!("the screen stays bright: {why}");
        }
        std::fs::write(OURS, format!("tty{number}\ntty{before}\n"))?;
        Ok(vt)
    }

    /// Its device.
    pub fn device(&self) -> PathBuf {
        Terminal::device(self.number)
    }

    /// The number of the terminal that was in front before it.
    pub fn before(&self) -> u32 {
        self.before
    }

    /// Brings it to the front. Who is there now may have to agree: waited for, but not for longer than that.
    pub fn show(&mut self, patience: Duration) -> io::Result<()> {
        activate(self.number)?;
        self.await_front(patience, || {})
    }

    /// The same where a session is in front that is frozen, or will be: who should agree may be frozen, too, and where its text is
    /// not to be seen the kernel does not leave it. We agree then. `by_itself` is how long whoever is there may take before: an X
    /// server in whose place we agree while it is about to leave does not find the screen again.
    pub fn take_over(&mut self, by_itself: Duration, patience: Duration) -> io::Result<()> {
        let front = Terminal::numbered(self.in_front()?)?;
        let held = front.is_held()?;
        if held {
            front.ask_us(true)?;
        } else if self.show(by_itself).is_ok() {
            return Ok(());
        }
        activate(self.number)?;
        // The kernel asks a moment after that.
        let done = self.await_front(patience, || drop(front.agree()));
        if held {
            front.ask_us(false)?;
        }
        done
    }

    fn await_front(&mut self, patience: Duration, meanwhile: impl Fn()) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        while self.in_front()? != self.number {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            meanwhile();
            let left = i64::from(left.min(GLANCE).subsec_nanos());
            // A change that came between the look and this shows at once: the file is read above.
            poll(&mut [self.changes()], Some(&Timespec { tv_sec: 0, tv_nsec: left }))?;
        }
        Ok(())
    }

    /// Tells that another terminal has come to the front, until [`Self::in_front`] is asked.
    pub fn changes(&self) -> PollFd<'_> {
        // sysfs tells by an urgent condition.
        PollFd::new(&self.front, PollFlags::PRI)
    }

    /// The number of the terminal in front.
    pub fn in_front(&mut self) -> io::Result<u32> {
        let mut text = String::new();
        self.front.rewind()?;
        self.front.read_to_string(&mut text)?;
        number(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Whether that is ours, as far as the kernel tells.
    pub fn is_in_front(&mut self) -> bool {
        self.in_front().is_ok_and(|front| front == self.number)
    }
}

impl Drop for Vt {
    fn drop(&mut self) {
        if self.in_front().ok() == Some(self.number) {
            // Nobody has brought another to the front.
            let _ = activate(self.before);
        }
        if let Some(Err(why)) = self.held.as_mut().map(crate::dark::end) {
            tell!("the screen goes on to be turned off after a minute: {why}");
        }
        // The dialog has done so, unless it was killed.
        if let Err(why) = Terminal::numbered(self.number).and_then(|own| crate::keymap::put_back(&own)) {
            tell!("the keyboard's layout stays as it was chosen at the prompt: {why}");
        }
        // It is forgotten as soon as nobody is in front of it.
        drop(self.held.take());
        if let Ok(console) = Terminal::numbered(0) {
            // Whoever has it open now keeps it.
            let _ = console.forget(self.number);
        }
        let _ = std::fs::remove_file(OURS);
    }
}

/// Whether a terminal is in front, and when that changes.
pub struct Front {
    own: Option<u32>,
    file: File,
}

impl Front {
    /// Of the terminal with this device.
    pub fn of(device: &str) -> io::Result<Self> {
        Ok(Self { own: device.strip_prefix("/dev/").and_then(number), file: File::open(FRONT)? })
    }

    /// Tells that another has come to the front, until [`Self::is_ours`] is asked.
    pub fn changes(&self) -> PollFd<'_> {
        // sysfs tells by an urgent condition.
        PollFd::new(&self.file, PollFlags::PRI)
    }

    /// Whether it is in front.
    pub fn is_ours(&mut self) -> bool {
        let mut text = String::new();
        let read = self.file.rewind().and_then(|()| self.file.read_to_string(&mut text));
        read.is_ok() && number(&text) == self.own
    }
}

/// Brings a terminal to the front, and does not wait for it.
pub fn activate(number: u32) -> io::Result<()> {
    Terminal::numbered(0)?.activate(number)
}

/// Returns when another terminal than this one is in front, or it is too late.
pub fn await_other(device: &str, patience: Duration) {
    let deadline = Instant::now() + patience;
    let own = device.strip_prefix("/dev/").and_then(number);
    while own.is_some() && console::in_front() == own && Instant::now() < deadline {
        std::thread::sleep(GLANCE);
    }
}

/// Puts back what a prompt has changed of the console that was ended from outside: the keymap, and when the screen is turned off.
pub fn settle() -> io::Result<()> {
    // Any that draws text and takes keys will do.
    let own = noted().map_or(*REACHED.end(), |(ours, _)| ours);
    crate::keymap::put_back(&Terminal::numbered(own)?)?;
    crate::dark::end(
        &mut File::options().write(true).custom_flags(libc::O_NOCTTY).open(Terminal::device(own))?,
    )
}

/// The highest of ours that nobody has open; else whichever the kernel finds.
fn free(console: &Terminal, taken: u16) -> io::Result<u32> {
    if let Some(number) = REACHED.rev().find(|number| taken & 1 << number == 0) {
        return Ok(number);
    }
    console.free()
}

fn left() -> Option<u32> {
    number(&std::fs::read_to_string(BEFORE).ok()?)
}

fn noted() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string(OURS).ok()?;
    let mut lines = text.lines().map(number);
    Some((lines.next()??, lines.next()??))
}
