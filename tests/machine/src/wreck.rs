//! A machine's folder on the host: the copy-on-write disk, the shared folder and the logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The folder; it goes with its machine, unless `HOMED_KEEP` is set.
pub struct Wreck {
    path: PathBuf,
}

impl Wreck {
    pub fn new() -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("homed-machine-{}-{number}", std::process::id()));
        // A process of the same number may have been killed before it could clean up.
        crate::cache::remove(&path)?;
        fs::create_dir_all(path.join("exchange"))
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What lies here is seen in the guest under `/run/machine`.
    pub fn exchange(&self) -> PathBuf {
        self.path.join("exchange")
    }

    /// What the kernel, init and the journal said.
    pub fn log(&self) -> PathBuf {
        self.path.join("console.log")
    }

    /// The end of the log, for an error.
    pub fn last_words(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        format!("the machine's log ends:\n{}", crate::image::end_of(&String::from_utf8_lossy(&log)))
    }
}

impl Drop for Wreck {
    fn drop(&mut self) {
        if std::env::var_os("HOMED_KEEP").is_some() {
            eprintln!("machine: kept {}", self.path.display());
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        if let Err(error) = crate::cache::remove(&self.path) {
            eprintln!("machine: {error:#}");
        }
    }
}
