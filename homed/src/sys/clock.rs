//! The clock that nobody sets.

use std::time::Duration;

/// Since the machine was started, its sleeps among it (`CLOCK_BOOTTIME`).
pub fn since_boot() -> Duration {
    // Not by rustix, which ends the program where the kernel has no such clock in its vDSO (User-Mode Linux).
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    // Kernels without it are older than any that is supported.
    now.map_or(Duration::ZERO, Duration::from)
}
