//! A file that a home is exported to: whole, or not there.

use super::image::sync_folder;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// A file beside its place, under a random name that nothing had: nobody's file is written to, no link is followed, and it
/// belongs to who exports, for whom alone it is. Dropped, it is removed.
pub struct Export {
    file: NamedTempFile,
    place: PathBuf,
}

impl Export {
    /// Begins. What is at the place stays until [`Self::put_in_place`]; it is a file, if it is anything.
    pub fn begin(place: &Path) -> io::Result<Self> {
        let (Some(name), folder) = (place.file_name(), place.parent().unwrap_or(Path::new(""))) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        if place.symlink_metadata().is_ok_and(|there| !there.is_file()) {
            return Err(io::Error::other("not a file. To write into something else, use a pipe"));
        }
        let mut prefix = std::ffi::OsString::from(".#");
        prefix.push(name);
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // Made with O_EXCL and mode 0600.
        let file = Builder::new().prefix(&prefix).tempfile_in(folder)?;
        Ok(Self { file, place: place.to_owned() })
    }

    /// Where to write.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// On disk, then under its name.
    pub fn put_in_place(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.place).map_err(|failure| failure.error)?;
        sync_folder(&self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn nothing_that_lies_there_is_written_to() {
        let folder = tempfile::tempdir().expect("folder");
        let [victim, place, part] = ["shadow", "alice", "alice.part"].map(|name| folder.path().join(name));
        std::fs::write(&victim, "precious").expect("written");
        symlink(&victim, &part).expect("linked");
        symlink(&victim, &place).expect("linked");
        assert!(Export::begin(&place).is_err(), "a link");
        std::fs::remove_file(&place).expect("removed");
        // Whoever exports a second time beside it has another file.
        let [export, other] = [(); 2].map(|()| Export::begin(&place).expect("begun"));
        let facts = export.file().metadata().expect("there");
        assert_eq!((facts.mode() & 0o777, facts.len()), (0o600, 0));
        export.file().write_all(b"home").expect("written");
        assert!(!place.exists());
        export.put_in_place().expect("named");
        drop(other);
        assert_eq!(std::fs::read(&place).expect("read"), b"home");
        assert_eq!(std::fs::read(&victim).expect("read"), b"precious");
        assert!(part.is_symlink(), "somebody else's stays");
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 3);
    }
}
