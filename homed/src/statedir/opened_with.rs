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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plugged {
    /// In sysfs.
    path: PathBuf,
    /// What a USB device is given anew each time (`devnum`); other paths are never given again.
    number: Option<String>,
}

/// Whether the home's record wanted it locked when the device goes, at the time it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// It did.
    Lock,
    /// It did not; it may by now.
    Nothing,
}

impl Wish {
    fn text(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Nothing => "",
        }
    }
}

/// A user whose device is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gone {
    /// Whose home it has opened.
    pub user: UserName,
    /// What that home wanted.
    pub wish: Wish,
    /// The device.
    pub device: Plugged,
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
    pub fn text(&self, wish: Wish) -> String {
        let number = self.number.as_deref().unwrap_or_default();
        format!("{}\n{number}\n{}\n", self.path.display(), wish.text())
    }

    fn read(text: &str) -> Option<(Self, Wish)> {
        let mut lines = text.lines();
        let path = PathBuf::from(lines.next().filter(|path| path.starts_with('/'))?);
        let number = lines.next().filter(|number| !number.is_empty()).map(str::to_owned);
        let wish = if lines.next() == Some(Wish::Lock.text()) { Wish::Lock } else { Wish::Nothing };
        Some((Self { path, number }, wish))
    }
}

/// A user's note.
pub fn path(user: &UserName) -> PathBuf {
    Path::new(FOLDER).join(user.as_str())
}

/// The home was opened with something else, or is locked or closed.
pub fn forget(user: &UserName) -> io::Result<()> {
    match fs::remove_file(path(user)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whose device is not there any more.
pub fn gone() -> Vec<Gone> {
    gone_in(Path::new(FOLDER))
}

fn gone_in(folder: &Path) -> Vec<Gone> {
    let notes = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut gone: Vec<Gone> = notes.filter_map(|note| gone_of(&note.path())).collect();
    gone.sort();
    gone
}

fn gone_of(note: &Path) -> Option<Gone> {
    let user = UserName::parse(note.file_name()?.to_str()?).ok()?;
    let is_short = note.metadata().is_ok_and(|facts| facts.len() <= LONGEST);
    let text = if is_short { fs::read_to_string(note).ok()? } else { return None };
    let (device, wish) = Plugged::read(&text)?;
    (!device.is_there()).then_some(Gone { user, wish, device })
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
            let wish = if user == "bob" { Wish::Lock } else { Wish::Nothing };
            assert_eq!(Plugged::read(&device.text(wish)), Some((device.clone(), wish)));
            put(user, &device.text(wish));
        }
        for (user, nonsense) in [("carol", ""), ("dave", "no path\n"), ("Not A User", "/gone\n\n")] {
            put(user, nonsense);
        }
        put("erin", &"/".repeat(10_000));
        let names =
            |all: Vec<Gone>| all.iter().map(|one| format!("{} {:?}", one.user, one.wish)).collect::<Vec<_>>();
        assert!(gone_in(&notes).is_empty(), "both are there");
        fs::remove_dir(devices.join("0003.1")).expect("pulled out");
        assert_eq!(names(gone_in(&notes)), ["bob Lock"]);
        // Pulled out, and another one, or the same again, in the same socket.
        plug("1-1", Some("8"));
        assert_eq!(names(gone_in(&notes)), ["alice Nothing", "bob Lock"]);
        assert!(Plugged::at(&devices.join("none")).is_none());
    }
}
