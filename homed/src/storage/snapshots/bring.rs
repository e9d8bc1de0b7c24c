//! One file or folder of a snapshot, brought back into the home.
//!
//! ```text
//! copy of it at the top of the home (`.homed-restoring`) ─→ beside what is there now (`NAME.before-WHEN`) ─→ the two change names
//! ```
//!
//! What is there now is kept. Killed before the last step, there is the new one under the other name, and nothing has changed;
//! a copy that is not whole is swept away by whoever comes next.

use super::plan::Enter;
use super::tree::{self, Pair, Tally};
use crate::job::{Context, Failure, refuse};
use crate::storage::parts::erase::erase;
use crate::sys::beneath::{self, Reached};
use crate::sys::{durable, snapshot};
use records::Refusal;
use rustix::fs::{Mode, RenameFlags};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What a copy is called that is not whole.
const UNFINISHED: &CStr = c".homed-restoring";
/// linux/limits.h: NAME_MAX.
const LONGEST_NAME: usize = 255;

/// A path inside of a home that leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside(Vec<String>);

impl Inside {
    /// Reads a path, relative to the home or with the home directory in front.
    pub fn parse(text: &str, home_directory: &str) -> Result<Self, Failure> {
        let relative = match text.strip_prefix(home_directory) {
            Some(rest) if rest.starts_with('/') || rest.is_empty() => rest.trim_start_matches('/'),
            _ => text,
        };
        let parts: Vec<String> = relative
            .trim_end_matches('/')
            .split('/')
            .filter(|part| *part != ".")
            .map(str::to_owned)
            .collect();
        let is_odd = |part: &String| {
            part.is_empty() || part == ".." || part.contains('\0') || part.len() > LONGEST_NAME
        };
        if relative.starts_with('/') || parts.is_empty() || parts.iter().any(is_odd) {
            return refuse(
                Refusal::InvalidArgs,
                format!(
                    "{text:?} is no path of a file or folder in the home: it is given as seen from there, such as \
                     Documents/letter.txt. Nothing was changed."
                ),
            );
        }
        Ok(Self(parts))
    }

    /// The folder around it, and its name in that.
    fn split(&self) -> (String, &str) {
        let (name, around) = self.0.split_last().map_or(("", &self.0[..]), |(name, around)| (name, around));
        (around.join("/"), name)
    }

    /// The whole path.
    pub fn text(&self) -> String {
        self.0.join("/")
    }
}

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// What was copied.
    pub tally: Tally,
    /// Where that lies which was there before, as seen from the home.
    pub kept_as: Option<String>,
}

/// Sweeps what a killed restore has left.
pub fn sweep(home: &OwnedFd) -> Result<(), Failure> {
    if !tree::open_up(home, UNFINISHED).during("looking for what is left of a restore")? {
        return refuse(
            Refusal::InvalidArgs,
            ".homed-restoring in the home is a subvolume, or has one in it: no restore has made that, so it is not taken away. \
             Nothing was changed. Move it away, then try again.",
        );
    }
    erase(home, UNFINISHED).during("taking away what is left of a restore")
}

/// Brings it back from the one top to the other, on which this process has the user's rights. `enter` is called before each
/// step; where that fails, nothing more is done.
pub fn bring(
    (from, home): (&OwnedFd, &OwnedFd),
    (path, moment): (&Inside, &str),
    enter: Enter<'_, Failure>,
) -> Result<Brought, Failure> {
    let (around, name) = path.split();
    let c_name = CString::new(name).map_err(Failure::fault)?;
    let source = match beneath::directory(from, &around).during("opening the folder in the snapshot")? {
        Reached::There(fd) => fd,
        Reached::Missing => return not_there(path),
        Reached::Barred => return barred(path, "in the snapshot"),
    };
    if beneath::look(&source, &c_name).during("looking for it in the snapshot")?.is_none() {
        return not_there(path);
    }
    sweep(home)?;
    let target = make_folders(from, home, path)?;
    let mut tally = Tally::default();
    let pair = Pair { from: source.as_fd(), name: &c_name, to: home.as_fd(), new: UNFINISHED };
    let copy = tree::copy(pair, &mut tally).during("copying it out of the snapshot")?;
    if tally.copied == 0 {
        return refuse(
            Refusal::NotSupported,
            format!(
                "{:?} is a socket or a device: those are not restored. Nothing was changed.",
                path.text()
            ),
        );
    }
    enter()?;
    // Before it has a name it is on disk.
    durable::sync_file_system(home).during("writing the copy to disk")?;
    enter()?;
    let kept_as = match put_where_nothing_is(home, &target, name).during("putting it in place")? {
        true => {
            copy.settle().during("setting the mode of the folder")?;
            None
        }
        false => {
            let beside = put_beside(home, &target, (name, moment)).during("putting it in place")?;
            copy.settle().during("setting the mode of the folder")?;
            enter()?;
            let exchanged = snapshot::exchange((&target, name), (&target, &beside));
            exchanged.and_then(|()| durable::sync_directory(&target)).during("putting it in place")?;
            Some(beside)
        }
    };
    let joined = |name: String| if around.is_empty() { name } else { format!("{around}/{name}") };
    Ok(Brought { tally, kept_as: kept_as.map(joined) })
}

/// Gives the copy its name, if nothing has that.
fn put_where_nothing_is(home: &OwnedFd, target: &OwnedFd, name: &str) -> io::Result<bool> {
    let done = rustix::fs::renameat_with(home, UNFINISHED, target, name, RenameFlags::NOREPLACE);
    match done.map_err(io::Error::from) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.and_then(|()| durable::sync_directory(target)).map(|()| true),
    }
}

/// Gives the copy a name beside what is there, and tells which.
fn put_beside(home: &OwnedFd, target: &OwnedFd, (name, moment): (&str, &str)) -> io::Result<String> {
    let mut number = 0;
    loop {
        let beside = beside(name, moment, number);
        let done = rustix::fs::renameat_with(home, UNFINISHED, target, &beside, RenameFlags::NOREPLACE);
        match done.map_err(io::Error::from) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => number += 1,
            other => return other.and_then(|()| durable::sync_directory(target)).map(|()| beside),
        }
    }
}

/// `letter.txt.before-20261127T043350Z`, cut short where that is too long.
fn beside(name: &str, moment: &str, number: u32) -> String {
    let end = match number {
        0 => format!(".before-{moment}"),
        number => format!(".before-{moment}.{number}"),
    };
    let mut room = LONGEST_NAME.saturating_sub(end.len()).min(name.len());
    while !name.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{end}", &name[..room])
}

/// Opens the folder that it belongs into; those that are missing are made, with the modes that they had, and
/// such that their user can write to them.
fn make_folders(from: &OwnedFd, home: &OwnedFd, path: &Inside) -> Result<OwnedFd, Failure> {
    let around = &path.0[..path.0.len().saturating_sub(1)];
    for length in 1..=around.len() {
        let folder = around[..length].join("/");
        match beneath::directory(home, &folder).during("opening the folder in the home")? {
            Reached::There(_) => continue,
            Reached::Barred => return barred(path, "in the home"),
            Reached::Missing => {}
        }
        let (Reached::There(parent), Reached::There(old)) = (
            beneath::directory(home, &around[..length - 1].join("/"))
                .during("opening the folder in the home")?,
            beneath::directory(from, &folder).during("opening the folder in the snapshot")?,
        ) else {
            return barred(path, "in the home");
        };
        let mode = rustix::fs::fstat(&old).map_err(io::Error::from).during("looking at the folder")?.st_mode;
        let made =
            rustix::fs::mkdirat(&parent, &around[length - 1], Mode::from_raw_mode(mode & 0o777 | 0o700));
        made.map_err(io::Error::from).during("making the folder that it was in")?;
    }
    match beneath::directory(home, &around.join("/")).during("opening the folder in the home")? {
        Reached::There(fd) => Ok(fd),
        Reached::Missing | Reached::Barred => barred(path, "in the home"),
    }
}

fn not_there<T>(path: &Inside) -> Result<T, Failure> {
    refuse(
        Refusal::InvalidArgs,
        format!(
            "There is no {:?} in the snapshot. Nothing was changed; to see what is: homectl snapshot USER show SNAPSHOT.",
            path.text()
        ),
    )
}

fn barred<T>(path: &Inside, place: &str) -> Result<T, Failure> {
    refuse(
        Refusal::InvalidArgs,
        format!(
            "On the way to {:?} there is {place} something that is no folder, such as a symbolic link: none is followed. \
             Nothing was changed. Move it away, or restore what it points to.",
            path.text()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(text: &str) -> Option<String> {
        Inside::parse(text, "/home/alice").ok().map(|path| path.text())
    }

    #[test]
    fn paths_stay_inside() {
        assert_eq!(inside("a/b").as_deref(), Some("a/b"));
        assert_eq!(inside("/home/alice/a/./b/").as_deref(), Some("a/b"));
        for outside in
            ["/etc/passwd", "../bob", "a/../../b", "", ".", "/home/alice", "/home/alicex/a", "a//b", "a\0b"]
        {
            assert_eq!(inside(outside), None, "{outside:?}");
        }
    }

    struct Scene {
        top: tempfile::TempDir,
        from: OwnedFd,
        home: OwnedFd,
    }

    impl Scene {
        fn new() -> Self {
            let top = tempfile::tempdir().expect("folder");
            for name in ["from", "home"] {
                std::fs::create_dir_all(top.path().join(name).join("d/e")).expect("made");
            }
            let open = |name: &str| durable::directory(&top.path().join(name)).expect("opens");
            Self { from: open("from"), home: open("home"), top }
        }

        fn write(&self, path: &str, content: &str) {
            std::fs::write(self.top.path().join(path), content).expect("written");
        }

        fn read(&self, path: &str) -> String {
            std::fs::read_to_string(self.top.path().join(path)).unwrap_or_default()
        }

        fn bring(&self, path: &str) -> Result<Brought, Failure> {
            let path = Inside(path.split('/').map(str::to_owned).collect());
            bring((&self.from, &self.home), (&path, "NOW"), &mut || Ok(()))
        }
    }

    #[test]
    fn what_is_there_is_kept_and_what_was_there_is_back() {
        let scene = Scene::new();
        scene.write("from/d/e/x", "old");
        scene.write("home/d/e/x", "new");
        let brought = scene.bring("d/e/x").expect("brought");
        assert_eq!(brought.kept_as.as_deref(), Some("d/e/x.before-NOW"));
        assert_eq!(
            (scene.read("home/d/e/x"), scene.read("home/d/e/x.before-NOW")),
            ("old".into(), "new".into())
        );
        scene.write("home/d/e/x", "newer");
        assert_eq!(scene.bring("d/e/x").expect("again").kept_as.as_deref(), Some("d/e/x.before-NOW.1"));
        // Folders that are gone come back, too; what is left of a killed restore goes.
        std::fs::remove_dir_all(scene.top.path().join("home/d")).expect("removed");
        std::fs::create_dir_all(scene.top.path().join("home/.homed-restoring/left")).expect("made");
        let brought = scene.bring("d/e").expect("brought");
        assert_eq!((brought.kept_as, brought.tally.copied), (None, 2));
        assert_eq!(scene.read("home/d/e/x"), "old");
        assert!(!scene.top.path().join("home/.homed-restoring").exists());
    }

    #[test]
    fn a_folder_that_is_not_to_be_written_to_comes_back_and_stands_in_no_ones_way() {
        use std::os::unix::fs::PermissionsExt;
        let scene = Scene::new();
        let set = |path: &str, mode: u32| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(scene.top.path().join(path), mode).expect("mode set");
        };
        let mode = |path: &str| {
            std::fs::metadata(scene.top.path().join(path)).expect("there").permissions().mode() & 0o777
        };
        scene.write("from/d/e/x", "old");
        set("from/d/e", 0o555);
        set("from/d", 0o555);
        assert_eq!(scene.bring("d").expect("kept beside").kept_as.as_deref(), Some("d.before-NOW"));
        assert_eq!((mode("home/d"), mode("home/d/e")), (0o555, 0o555));
        // What was cut short goes, whatever modes it has.
        std::fs::create_dir_all(scene.top.path().join("home/.homed-restoring/shut/in")).expect("made");
        scene.write("home/.homed-restoring/shut/in/x", "x");
        for path in ["home/.homed-restoring/shut/in", "home/.homed-restoring/shut", "home/.homed-restoring"] {
            set(path, 0o100);
        }
        scene.bring("d").expect("brought");
        assert!(!scene.top.path().join("home/.homed-restoring").exists());
        // So that the test's own folder can go.
        for path in ["from", "home"] {
            for name in ["d", "d/e", "d.before-NOW", "d.before-NOW/e", "d.before-NOW.1", "d.before-NOW.1/e"] {
                let path = format!("{path}/{name}");
                if scene.top.path().join(&path).exists() {
                    set(&path, 0o700);
                }
            }
        }
    }

    #[test]
    fn no_symlink_leads_out_in_the_home_or_in_the_snapshot() {
        let scene = Scene::new();
        let link =
            |at: &str, to: &str| std::os::unix::fs::symlink(to, scene.top.path().join(at)).expect("linked");
        std::fs::create_dir(scene.top.path().join("others")).expect("made");
        scene.write("others/secret", "of bob");
        std::fs::create_dir(scene.top.path().join("from/in")).expect("made");
        scene.write("from/in/x", "mine");
        link("from/out", "../others");
        link("home/in", "../others");
        assert!(scene.bring("out/secret").is_err());
        // Nor where it is not the last folder.
        std::fs::create_dir(scene.top.path().join("others/deep")).expect("made");
        scene.write("others/deep/secret", "of bob");
        std::fs::create_dir_all(scene.top.path().join("home/out/deep")).expect("made");
        assert!(scene.bring("out/deep/secret").is_err());
        assert_eq!(scene.read("home/out/deep/secret"), "");
        assert!(scene.bring("in/x").is_err());
        assert_eq!(std::fs::read_dir(scene.top.path().join("others")).expect("read").count(), 2);
        // A link itself is restored as one, and nothing of what it points to.
        link("from/d/link", "../../others/secret");
        scene.bring("d/link").expect("brought");
        assert!(scene.top.path().join("home/d/link").is_symlink());
        // A folder of others that was put in the place of what is unfinished is not gone into.
        link("home/.homed-restoring", "../others");
        scene.bring("d/e").expect("brought");
        assert_eq!(scene.read("others/secret"), "of bob");
    }

    #[test]
    fn long_names_are_cut_between_letters() {
        let name = "ä".repeat(127);
        let cut = beside(&name, "20261127T043350Z", 3);
        assert!(cut.len() <= LONGEST_NAME && cut.ends_with(".before-20261127T043350Z.3"));
    }
}
