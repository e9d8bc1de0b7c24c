//! Descriptors of other libraries in tokio's reactor.
#![allow(unsafe_code)]

use nix::sys::inotify::{Inotify, InotifyEvent};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink, socket_with};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Gives tokio the raw descriptor it asks for.
struct Raw(Inotify);

impl AsRawFd for Raw {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// An inotify instance that is waited for without blocking the loop.
pub struct AsyncInotify(AsyncFd<Raw>);

impl AsyncInotify {
    /// Takes over an instance that does not block. Only within the tokio runtime.
    pub fn new(inotify: Inotify) -> io::Result<Self> {
        // SAFETY: `Raw` owns the descriptor, never changes it and is dropped only after `AsyncFd` has
        // taken it out of the reactor.
        let registered = unsafe { AsyncFd::register_with_interest(Raw(inotify), Interest::READABLE) };
        registered.map(Self).map_err(|failed| io::Error::other(failed.to_string()))
    }

    /// The next events; waits until there are some.
    pub async fn events(&self) -> io::Result<Vec<InotifyEvent>> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(events) = ready.try_io(|raw| Ok(raw.get_ref().0.read_events()?)) {
                return events;
            }
        }
    }
}

/// Tells when something is mounted or unmounted (proc_pid_mountinfo(5): `POLLPRI`).
pub struct MountTable(AsyncFd<File>);

impl MountTable {
    /// Listens from now on. Only within the tokio runtime.
    pub fn new() -> io::Result<Self> {
        let table = File::open("/proc/self/mountinfo")?;
        // SAFETY: the descriptor is owned by what is registered, never changed, and dropped only after `AsyncFd`
        // has taken it out of the reactor.
        let registered = unsafe { AsyncFd::register_with_interest(table, Interest::PRIORITY) };
        registered.map(Self).map_err(|failed| io::Error::other(failed.to_string()))
    }

    /// Returns when it has changed.
    pub async fn until_changed(&self) -> io::Result<()> {
        self.0.ready(Interest::PRIORITY).await.map(|mut ready| ready.clear_ready())
    }
}

/// libudev's messages, which come when udev is done with a device: `UDEV_MONITOR_UDEV`. Only root can send them.
const UDEV_GROUP: u32 = 2;
/// Messages that are thrown away at a time.
const MOST_NEWS: usize = 1024;

/// Tells when udev has learned something of a device. What the messages say is not read: its database says it, too.
pub struct Udev(AsyncFd<OwnedFd>);

impl Udev {
    /// Listens from now on. Only within the tokio runtime.
    pub fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::KOBJECT_UEVENT);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, UDEV_GROUP))?;
        // SAFETY: the descriptor is owned by what is registered, never changed, and dropped only after `AsyncFd`
        // has taken it out of the reactor.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        registered.map(Self).map_err(|failed| io::Error::other(failed.to_string()))
    }

    /// Returns when there is something new; what came together counts once.
    pub async fn until_changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|socket| Ok(drained(socket.get_ref())?)) {
                Err(_would_block) => {}
                Ok(done) => return done,
            }
        }
    }
}

/// Throws away what has come. `WOULDBLOCK`: nothing has.
fn drained(socket: &OwnedFd) -> rustix::io::Result<()> {
    let mut buffer = [0; 64];
    for count in 0..MOST_NEWS {
        match rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Err(Errno::WOULDBLOCK) if count > 0 => return Ok(()),
            // More came than there was room for: something is new.
            Ok(_) | Err(Errno::NOBUFS) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Far enough in the future to never ring by itself: the year 2100, in seconds since 1970.
const NEVER: i64 = 4_102_444_800;

/// Tells when the wall clock is set anew, as it is when the machine wakes (timerfd_create(2),
/// `TFD_TIMER_CANCEL_ON_SET`).
pub struct WallClock(AsyncFd<OwnedFd>);

impl WallClock {
    /// Listens from now on. Only within the tokio runtime.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        arm(&timer)?;
        // SAFETY: the descriptor is owned by what is registered, never changed, and dropped only after `AsyncFd`
        // has taken it out of the reactor.
        let registered = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        registered.map(Self).map_err(|failed| io::Error::other(failed.to_string()))
    }

    /// Returns when it is set.
    pub async fn until_set(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            match read {
                Err(_would_block) => {}
                Ok(Err(error)) if error.raw_os_error() != Some(libc::ECANCELED) => return Err(error),
                // Set; or it rang, in the year 2100.
                Ok(_) => return arm(self.0.get_ref()),
            }
        }
    }
}

fn arm(timer: &OwnedFd) -> io::Result<()> {
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    let at = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
    timerfd_settime(timer, flags, &Itimerspec { it_interval: at(0), it_value: at(NEVER) })?;
    Ok(())
}
