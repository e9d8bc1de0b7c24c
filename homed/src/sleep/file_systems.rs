//! Whether the kernel freezes file systems for the sleep (`/sys/power/freeze_filesystems`, Linux 6.16).
//!
//! A kernel that does knows of those that are frozen already, and does not wait for somebody who writes to one. What
//! was set before is kept in a note, and put back after the sleep; a note that is there already is the true one.

use std::path::Path;

const SETTING: &str = "/sys/power/freeze_filesystems";
const NOTE: &str = "/run/homed/freeze_filesystems";

/// Has it freeze them.
pub fn freeze_them() {
    let Ok(before) = std::fs::read_to_string(SETTING) else { return };
    let kept = match Path::new(NOTE).exists() {
        true => Ok(()),
        false => std::fs::write(NOTE, before),
    };
    if let Err(error) = kept.and_then(|()| std::fs::write(SETTING, "1")) {
        tracing::warn!("{SETTING} cannot be set: {error}");
    }
}

/// Puts back what was set before.
pub fn leave_them() {
    let Ok(before) = std::fs::read_to_string(NOTE) else { return };
    match std::fs::write(SETTING, before.trim()) {
        // Not there is just as good.
        Ok(()) => drop(std::fs::remove_file(NOTE)),
        Err(error) => tracing::warn!("{SETTING} cannot be put back: {error}"),
    }
}
