//! Swap space that is in use: what the kernel's table says, and putting a device in or out.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The highest priority there is: the kernel takes from this space first (swapon(2)).
pub const HIGHEST: i32 = 32767;

/// One line of /proc/swaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Device or file, as it was given to the kernel.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// What is taken of it, in bytes.
    pub used: u64,
    /// The higher, the sooner it is taken from.
    pub priority: i32,
}

impl Swap {
    /// What is not taken, in bytes.
    pub fn free(&self) -> u64 {
        self.size.saturating_sub(self.used)
    }
}

/// All that is in use.
pub fn active() -> io::Result<Vec<Swap>> {
    Ok(fs::read_to_string("/proc/swaps")?.lines().skip(1).filter_map(line).collect())
}

/// The one that lies on this device, under whatever name.
pub fn on_device(node: &Path) -> io::Result<Option<Swap>> {
    let Ok(device) = fs::metadata(node).map(|facts| facts.rdev()) else { return Ok(None) };
    let same = |swap: &Swap| fs::metadata(&swap.path).is_ok_and(|facts| facts.rdev() == device);
    Ok(active()?.into_iter().find(same))
}

/// Has the kernel use a device that mkswap(8) has written to, before any other.
pub fn put_in(device: &Path) -> io::Result<()> {
    /// linux/swap.h: the lower bits are the priority.
    const PREFER: i32 = 0x8000;
    let path = CString::new(device.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string that lives for the call.
    check(unsafe { libc::swapon(path.as_ptr(), PREFER | HIGHEST) })
}

/// Has the kernel bring everything back to memory and let go of the device. A signal ends it early; then the
/// device stays in use.
pub fn take_out(device: &Path) -> io::Result<()> {
    let path = CString::new(device.as_os_str().as_bytes())?;
    // SAFETY: as above.
    check(unsafe { libc::swapoff(path.as_ptr()) })
}

fn check(answer: i32) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// proc_swaps(5): name, type, size and used in KiB, priority; blanks in the name are written as `\040`.
fn line(line: &str) -> Option<Swap> {
    let mut fields = line.split_whitespace();
    let path = fields.next()?.replace("\\040", " ").into();
    let mut number = |skip: usize| fields.nth(skip)?.parse::<i64>().ok();
    let (size, used, priority) = (number(1)?, number(0)?, number(0)?);
    let bytes = |kib: i64| u64::try_from(kib).ok()?.checked_mul(1024);
    Some(Swap { path, size: bytes(size)?, used: bytes(used)?, priority: i32::try_from(priority).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let text = "/dev/mapper/my\\040swap                  partition\t65532\t\t1024\t\t-2";
        let swap = line(text).expect("read");
        assert_eq!(swap.path, Path::new("/dev/mapper/my swap"));
        assert_eq!((swap.size, swap.used, swap.priority), (65532 * 1024, 1 << 20, -2));
        assert_eq!(swap.free(), 64508 * 1024);
        assert_eq!(line("Filename"), None);
    }
}
