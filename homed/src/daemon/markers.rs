//! One file per running job, in memory: what is there when a daemon starts was interrupted.

use records::UserName;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

/// The folder of markers, on a file system in memory.
pub struct Markers(PathBuf);

impl Markers {
    /// Those in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Makes the folder.
    pub fn make(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.0)
    }

    /// Such a job runs.
    pub fn set(&self, user: &UserName, what: &str) {
        if let Err(error) = std::fs::write(self.of(user), what) {
            tracing::warn!(home = %user, "an interruption could not be recognized later: {error}");
        }
    }

    /// None runs any more.
    pub fn clear(&self, user: &UserName) {
        // Not there is just as good.
        let _ = std::fs::remove_file(self.of(user));
    }

    /// The job that never ended; it is told once.
    pub fn take(&self, user: &UserName) -> Option<String> {
        let what = std::fs::read_to_string(self.of(user)).ok();
        self.clear(user);
        what
    }

    /// Takes all away that are accepted by what they say, and gives their names.
    pub fn take_all(&self, accept: impl Fn(&str) -> bool) -> Vec<String> {
        let all = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let wanted =
            |marker: &DirEntry| std::fs::read_to_string(marker.path()).is_ok_and(|what| accept(&what));
        let taken = all.filter(wanted).map(|marker| {
            // Not there is just as good.
            let _ = std::fs::remove_file(marker.path());
            marker.file_name().to_string_lossy().into_owned()
        });
        taken.collect()
    }

    fn of(&self, user: &UserName) -> PathBuf {
        Path::new(&self.0).join(user.as_str())
    }
}
