//! Keyboards, mice and screens that a process has open by itself (evdev, hidraw, DRM), seen from another process: what waits in
//! them for the process, and whether it may draw.
//!
//! The kernel gives what is typed to everybody who has the keyboard's device open, whichever terminal is in front, and keeps
//! it for a process that stands still. A screen shows what its master drew last, whether the master goes on or not.

use super::running::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;

// linux/input.h: `EVIOCGKEY(1)`, _IOC(READ, 'E', 0x18, 1).
const KEYS_DOWN: u32 = 2 << 30 | 1 << 16 | 0x45 << 8 | 0x18;
// drm/drm.h: _IO('d', …), and `DRM_IOCTL_AUTH_MAGIC`, _IOW('d', 0x11, u32).
const SET_MASTER: u32 = 0x641e;
const DROP_MASTER: u32 = 0x641f;
const AUTH_MAGIC: u32 = 1 << 30 | 4 << 16 | 0x64 << 8 | 0x11;

/// Where the devices are. A node under another name is root's doing.
const INPUT: [&str; 2] = ["/dev/input/", "/dev/hidraw"];
const SCREEN: &str = "/dev/dri/card";
/// Of all that waits, so much is read at once, in bytes: some hundred events.
const PIECE: usize = 16 * 1024;
/// So often, for somebody may be typing all the time. What waits is a few pieces at most.
const MOST: usize = 64;

/// What such a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keys, clicks, touches come from it.
    Input,
    /// A graphics card.
    Screen,
}

/// A device that a process has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Which process.
    pub process: Process,
    /// The number of its descriptor.
    pub number: u32,
}

impl Opened {
    /// Those of a kind that a process has open.
    pub fn by(process: Process, kind: Kind) -> Vec<Self> {
        let all = process.descriptors().into_iter();
        let wanted = all.filter(|(_, path)| kind_of(path) == Some(kind));
        wanted.map(|(number, _)| Self { process, number }).collect()
    }

    /// Whether the device can be reached through the process: an error where nobody may look into it.
    pub fn is_within_reach(self) -> io::Result<()> {
        self.process.descriptor(self.number).map(drop)
    }

    /// Throws away what waits there for the process, which stands still. It learns that it has missed something, and asks
    /// which keys are down.
    pub fn forget_input(self) -> io::Result<()> {
        let Some(device) = self.process.descriptor(self.number)? else { return Ok(()) };
        let mut device = File::from(device);
        let mut piece = [0; PIECE];
        for round in 0..MOST {
            let mut waiting = [PollFd::new(&device, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut waiting, Some(&now))? == 0 || !waiting[0].revents().contains(PollFlags::IN) {
                if round > 0 {
                    miss_something(&device);
                }
                return Ok(());
            }
            // One that was taken away has nothing.
            if device.read(&mut piece).is_err() {
                return Ok(());
            }
        }
        Err(io::Error::other("more comes all the time"))
    }

    /// Whether the process may draw on this screen, and nobody else.
    pub fn is_master(self) -> io::Result<bool> {
        let Some(device) = self.process.descriptor(self.number)? else { return Ok(false) };
        let mut nobody: u32 = 0;
        // SAFETY: the descriptor is open for the call; the argument is one u32, and 0 is nobody's.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), AUTH_MAGIC as _, &mut nobody) };
        // The master alone may ask; it is told that there is no such client.
        Ok(done == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL))
    }

    /// The process draws there no longer; others may.
    pub fn drop_master(self) -> io::Result<()> {
        self.order(DROP_MASTER)
    }

    /// It may draw again; an error where somebody else does.
    pub fn set_master(self) -> io::Result<()> {
        self.order(SET_MASTER)
    }

    fn order(self, request: u32) -> io::Result<()> {
        let Some(device) = self.process.descriptor(self.number)? else { return Ok(()) };
        // SAFETY: the descriptor is open for the call, which has no argument.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), request as _, 0) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// evdev notes for whoever asks which keys are down, and cannot be told, that it has missed something.
fn miss_something(device: &File) {
    // SAFETY: there is nothing at the address, so the kernel writes nothing; it answers with an error, which is wanted. Other
    // devices than evdev do not know the request.
    let _ = unsafe { libc::ioctl(device.as_raw_fd(), KEYS_DOWN as _, std::ptr::null_mut::<u8>()) };
}

fn kind_of(path: &Path) -> Option<Kind> {
    let path = path.to_str()?;
    if INPUT.iter().any(|start| path.starts_with(start)) {
        return Some(Kind::Input);
    }
    path.starts_with(SCREEN).then_some(Kind::Screen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyboards_and_screens_are_told_by_their_names() {
        let kind = |path: &str| kind_of(Path::new(path));
        assert_eq!(kind("/dev/input/event3"), Some(Kind::Input));
        assert_eq!(kind("/dev/input/mice"), Some(Kind::Input));
        assert_eq!(kind("/dev/hidraw0"), Some(Kind::Input));
        assert_eq!(kind("/dev/dri/card1"), Some(Kind::Screen));
        // What is computed there is shown nowhere.
        assert_eq!(kind("/dev/dri/renderD128"), None);
        assert_eq!(
            (kind("/dev/pts/0"), kind("/home/alice/dev/input/x"), kind("pipe:[1]")),
            (None, None, None)
        );
    }

    #[test]
    fn what_a_process_has_open_otherwise_is_none() {
        let own = Process::of(std::process::id()).expect("runs");
        assert_eq!(Opened::by(own, Kind::Screen), []);
    }
}
