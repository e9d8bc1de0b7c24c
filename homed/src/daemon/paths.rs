//! Where the daemon's files are; tests put them elsewhere.

use std::path::PathBuf;

/// There while the machine is going to sleep; whoever has it sleep takes it away, too.
pub const HOLD: &str = "/run/homed/hold";

/// Folders and files.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Images and home directories.
    pub home_root: PathBuf,
    /// FIFOs of references, as in the original.
    pub references: PathBuf,
    /// One file per running job: what is there at the start was interrupted.
    pub jobs: PathBuf,
    /// Who has homes left out of locks.
    pub inhibitors: PathBuf,
    /// There while the machine is going to sleep.
    pub hold: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            home_root: "/home".into(),
            references: "/run/systemd/home".into(),
            jobs: "/run/homed/jobs".into(),
            inhibitors: "/run/homed/inhibitors".into(),
            hold: HOLD.into(),
        }
    }
}
