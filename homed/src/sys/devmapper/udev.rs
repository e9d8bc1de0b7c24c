//! udev, which makes the links below `/dev/mapper`: told what a device is, and waited for.
//!
//! The protocol is that of libdevmapper (libdevmapper.h, `dm_task_set_cookie`) and of its rules for udev: the event of a
//! device carries a number, the rules end with `dmsetup udevcomplete`, which counts down the System V semaphore of
//! that number.

use std::io;
use std::path::Path;
use std::time::Duration;

/// `DM_COOKIE_MAGIC`: the upper half of the semaphore's key.
const MAGIC: i32 = 0x0d4d << 16;
/// `DM_UDEV_PRIMARY_SOURCE_FLAG`: the event comes from who makes or removes the device.
const PRIMARY: u32 = 0x40 << 16;
/// How often another number is drawn where one is taken.
const TRIES: u32 = 16;

// SAFETY: semtimedop(2), as sys/sem.h has it; libc has no declaration of it for every C library.
unsafe extern "C" {
    fn semtimedop(
        semaphore: libc::c_int,
        operations: *mut libc::sembuf,
        count: libc::size_t,
        bound: *const libc::timespec,
    ) -> libc::c_int;
}

/// Something that udev is to finish. It goes with this value.
pub struct Cookie {
    semaphore: i32,
    number: u16,
}

impl Cookie {
    /// For one event; `None`: no udev runs, or the kernel has no semaphore for us. Whoever waits looks for the node itself.
    pub fn new() -> io::Result<Option<Self>> {
        if !Path::new("/run/udev/control").exists() {
            return Ok(None);
        }
        for _ in 0..TRIES {
            let mut bytes = [0; 2];
            rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
            let number = u16::from_ne_bytes(bytes).max(1);
            let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
            // SAFETY: takes numbers alone.
            let semaphore = unsafe { libc::semget(MAGIC | i32::from(number), 1, flags) };
            if semaphore >= 0 {
                return Self { semaphore, number }.count_one().map(Some);
            }
            match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EEXIST) => {}
                // All that there may be are in use (sysctl kernel.sem): no full disk, and no reason not to go on.
                error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::ENOSPC)) => {
                    return Ok(None);
                }
                error => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn count_one(self) -> io::Result<Self> {
        let one: libc::c_int = 1;
        // SAFETY: the semaphore is ours, and this command reads one integer (semctl(2): `val` of union semun).
        let answer = unsafe { libc::semctl(self.semaphore, 0, libc::SETVAL, one) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(self) }
    }

    /// What the request has to carry.
    pub fn word(&self) -> u32 {
        PRIMARY | u32::from(self.number)
    }

    /// Waits until udev is done, but no longer than that: it may have been stopped.
    pub fn wait(self, bound: Duration) {
        let mut zero = libc::sembuf { sem_num: 0, sem_op: 0, sem_flg: 0 };
        let bound = libc::timespec {
            tv_sec: libc::time_t::try_from(bound.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: 0,
        };
        // SAFETY: one operation and a length of time, both of which live for the call. However it ends, who waits looks
        // for the node itself afterwards.
        let _ = unsafe { semtimedop(self.semaphore, &mut zero, 1, &bound) };
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        // SAFETY: the semaphore is ours; this command takes no argument.
        let _ = unsafe { libc::semctl(self.semaphore, 0, libc::IPC_RMID) };
    }
}
