//! Two folders for a test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;

use copytree::{Continue, Copied, Copy, Difference, Error, Progress, copy, differences};
use tempfile::TempDir;

/// A folder for a test, with a tree and what is to become its copy. They may be deeper than the longest path.
pub struct Scratch(Option<TempDir>);

impl Scratch {
    pub fn new() -> io::Result<Self> {
        // In memory: writing out a disk takes as long as everybody else has written to it.
        let scratch = Self(Some(TempDir::new_in("/dev/shm").or_else(|_| TempDir::new())?));
        fs::create_dir(scratch.at("a"))?;
        fs::create_dir(scratch.at("b"))?;
        Ok(scratch)
    }

    pub fn at(&self, path: &str) -> std::path::PathBuf {
        self.0.as_ref().map(|folder| folder.path().join(path)).unwrap_or_default()
    }

    pub fn copy(&self) -> Result<Copied, Error> {
        self.watched(&mut |_| Continue::Yes)
    }

    pub fn watched(&self, progress: &mut dyn FnMut(Progress) -> Continue) -> Result<Copied, Error> {
        let (from, to) = self.both();
        copy(Copy {
            from: from.as_fd(),
            to: to.as_fd(),
            except: &[OsStr::new(".identity")],
            cross_mounts: false,
            terms: copytree::Terms::default(),
            progress,
        })
    }

    pub fn differences(&self) -> Result<Vec<Difference>, Error> {
        let (from, to) = self.both();
        differences(from.as_fd(), to.as_fd(), 100)
    }

    pub fn both(&self) -> (File, File) {
        let open = |name| File::open(self.at(name)).expect("the folders of the test are there");
        (open("a"), open("b"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take() {
            let _ = std::process::Command::new("chmod").args(["-R", "u+rwx"]).arg(folder.path()).output();
            let _ = std::process::Command::new("rm").arg("-rf").arg(folder.path()).output();
        }
    }
}
