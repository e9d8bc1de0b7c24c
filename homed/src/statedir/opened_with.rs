//! With which device a home was opened: a note for each in `/run`, for who watches whether it is still plugged in.

use records::UserName;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the notes are, until the next boot.
pub const FOLDER: &str = "/run/homed/opened-with";
/// Longest note that is read, in bytes.
const LONGEST: u64 = 8192;

/// A device, from when it is plugged in until it is pulled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugged {
    /// In sysfs.
    path: PathBuf,
    /// What a USB device is given anew each time (`devnum`); other paths are never given again.
    number: Option<String>,
}

impl Plugged {
    /// The device that is there now; `None`: there is none.
    pub fn at(path: &Path) -> Option<Self> {
        let number = || fs::read_to_string(path.join("devnum")).ok().map(|text| text.trim().to_owned());
        path.exists().then(|| Self { path: path.to_owned(), number: number() })
    }

    /// Whether it has not been pulled out since.
    pub fn is_there(&self) -> bool {
        Self::at(&self.path).as_ref() == Some(self)
    }

    /// As a note.
    pub fn text(&self) -> String {
        format!("{}\n{}\n", self.path.display(), self.number.as_deref().unwrap_or_default())
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let path = PathBuf::from(lines.next().filter(|path| path.starts_with('/'))?);
        Some(Self { path, number: lines.next().filter(|number| !number.is_empty()).map(str::to_owned) })
    }
}

/// A user's note.
pub fn path(user: &UserName) -> PathBuf {
    Path::new(FOLDER).join(user.as_str())
}

/// The home was opened with something else, or what follows has been seen to.
pub fn forget(user: &UserName) -> io::Result<()> {
    match fs::remove_file(path(user)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whose device is not there any more.
pub fn gone() -> Vec<UserName> {
    gone_in(Path::new(FOLDER))
}

fn gone_in(folder: &Path) -> Vec<UserName> {
    let notes = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_gone = |note: &PathBuf| {
        let is_short = note.metadata().is_ok_and(|facts| facts.len() <= LONGEST);
        let text = if is_short { fs::read_to_string(note).ok() } else { None };
        text.and_then(|text| Plugged::read(&text)).is_some_and(|device| !device.is_there())
    };
    let mut gone: Vec<UserName> = notes
        .map(|note| note.path())
        .filter(is_gone)
        .filter_map(|note| UserName::parse(note.file_name()?.to_str()?).ok())
        .collect();
    gone.sort();
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_note_about_a_device_that_went_is_named() {
        let root = tempfile::tempdir().expect("scratch folder");
        let (notes, devices) = (root.path().join("notes"), root.path().join("devices"));
        assert!(gone_in(&notes).is_empty(), "there is no folder");
        fs::create_dir_all(&notes).expect("made");
        let plug = |name: &str, number: Option<&str>| {
            let path = devices.join(name);
            fs::create_dir_all(&path).expect("made");
            if let Some(number) = number {
                fs::write(path.join("devnum"), format!("{number}\n")).expect("written");
            }
            Plugged::at(&path).expect("there")
        };
        let put = |user: &str, text: &str| fs::write(notes.join(user), text).expect("written");
        for (user, device) in [("alice", plug("1-1", Some("7"))), ("bob", plug("0003.1", None))] {
            assert_eq!(Plugged::read(&device.text()), Some(device.clone()));
            put(user, &device.text());
        }
        for (user, nonsense) in [("carol", ""), ("dave", "no path\n"), ("Not A User", "/gone\n\n")] {
            put(user, nonsense);
        }
        put("erin", &"/".repeat(10_000));
        let names = |all: Vec<UserName>| all.iter().map(|user| user.to_string()).collect::<Vec<_>>();
        assert!(gone_in(&notes).is_empty(), "both are there");
        fs::remove_dir(devices.join("0003.1")).expect("pulled out");
        assert_eq!(names(gone_in(&notes)), ["bob"]);
        // Pulled out, and another one, or the same again, in the same socket.
        plug("1-1", Some("8"));
        assert_eq!(names(gone_in(&notes)), ["alice", "bob"]);
        assert!(Plugged::at(&devices.join("none")).is_none());
    }
}
