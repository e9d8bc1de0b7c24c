//! The time of day where the machine is.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in parts, localtime_r(3).
pub fn local(moment: SystemTime) -> libc::tm {
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = libc::time_t::try_from(seconds).unwrap_or_default();
    // SAFETY: numbers and a pointer that is not looked at; all zeroes are a valid value.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to values that live for the call.
    unsafe { libc::localtime_r(&seconds, &mut parts) };
    parts
}
