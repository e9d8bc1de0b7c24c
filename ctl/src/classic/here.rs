//! What stands of an account and its home on this machine, and the steps on it.

use super::around;
use super::etc::Etc;
use super::lines::{Lines, Standing, Texts};
use super::note::{self, Note, Notes};
use super::plan::{self, Folder, Home, Noted, Situation, Step, Stuck, Wish};
use crate::bus::{Daemon, Failure, Order};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where homed has the records of homes that it knows: whoever has one there logs in as the user of a home.
pub(super) const RECORDS: &str = "/var/lib/systemd/home";

/// An account on this machine.
pub struct Here<'a> {
    /// Its name.
    pub user: &'a str,
    /// homed.
    pub daemon: &'a dyn Daemon,
    /// Waits.
    pub pause: &'a dyn Fn(Duration),
    /// The account files.
    pub etc: Etc,
    /// The notes.
    pub notes: Notes,
    /// The note, or the one that is to be written.
    pub note: Option<Note>,
    /// Now, µs since 1970.
    pub now_usec: u64,
    /// Makes the home of the account.
    pub make: &'a mut dyn FnMut(&Note) -> Result<(), Failure>,
    /// Where storage was put away.
    pub put_away: Option<PathBuf>,
}

/// Why it is not as wanted.
pub enum Stopped {
    /// There is no way.
    Stuck(Stuck),
    /// A step failed.
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Here<'_> {
    /// The account files.
    pub fn texts(&self) -> Result<Texts, Failure> {
        self.etc.read().map_err(|error| broken("reading the accounts in /etc", &error))
    }

    /// What stands.
    pub fn look(&mut self) -> Result<Situation, Failure> {
        let noted = self.notes.read(self.user);
        let noted = noted
            .map_err(|error| broken(&format!("reading {}", self.notes.path(self.user).display()), &error))?;
        let state = match &noted {
            None => Noted::Nothing,
            Some(note) if note.forgotten => Noted::Forgotten,
            Some(_) => Noted::Account,
        };
        self.note = noted.or(self.note.take());
        let texts = self.texts()?;
        let Some(note) = &self.note else {
            let known = Lines::of(&texts, self.user).map_err(Failure::say)?;
            let lines = if known.is_some() { Standing::Whole } else { Standing::Gone };
            let home = if is_known(self.user) { Home::Known } else { Home::Missing };
            return Ok(Situation { noted: state, lines, folder: Folder::AtHome, home });
        };
        let home = match (is_known(self.user), note.storage.symlink_metadata().is_ok()) {
            (true, _) => Home::Known,
            (false, true) => Home::Unknown,
            (false, false) => Home::Missing,
        };
        Ok(Situation { noted: state, lines: note.lines.standing(&texts), folder: folder(note), home })
    }

    /// Does step after step until it is as wanted.
    pub fn reach(&mut self, wish: Wish) -> Result<(), Stopped> {
        let mut last = None;
        loop {
            let stands = self.look()?;
            let Some(step) = plan::next(&stands, wish).map_err(Stopped::Stuck)? else { return Ok(()) };
            if last.replace(step) == Some(step) {
                return Err(Failure::say(format!("{step:?} was done, and nothing came of it")).into());
            }
            self.perform(step)?;
        }
    }

    fn perform(&mut self, step: Step) -> Result<(), Failure> {
        let Some(mut note) = self.note.clone() else { return Err(Failure::say("nothing is noted")) };
        let say = |doing: &str| {
            let doing = doing.to_owned();
            move |error: io::Error| broken(&doing, &error)
        };
        match step {
            Step::WriteNote => self.notes.write(&note).map_err(say("noting the account")),
            Step::MakeHome => (self.make)(&note),
            Step::TakeLines => {
                self.locked()?.take_out(&note.lines).map_err(say("changing the accounts in /etc"))
            }
            Step::PutLines => {
                refuse_mounted(&note, self.user)?;
                self.put_lines(&note)
            }
            Step::PutFolderAway => {
                refuse_mounted(&note, self.user)?;
                self.shut_folder(&mut note)?;
                moved(&note.folder, &note.away).map_err(say("putting the folder of the account away"))
            }
            Step::PutFolderBack => {
                refuse_mounted(&note, self.user)?;
                moved(&note.away, &note.folder).map_err(say("putting the folder of the account back"))
            }
            Step::ForgetHome => {
                refuse_mounted(&note, self.user)?;
                self.daemon.order("UnregisterHome", Order::Text(self.user))
            }
            Step::PutStorageAway => self.put_storage_away(&note),
            Step::NoteForgotten => {
                refuse_without_storage(&note)?;
                note.forgotten = true;
                self.notes.write(&note).map_err(say("noting what is to be forgotten"))
            }
            Step::RemoveFolder => {
                refuse_others(&note)?;
                removed(&note.away)
            }
            Step::RemoveNote => {
                // It may have been shut without being put away.
                if let Some(mode) = note.mode.filter(|_| !note.forgotten) {
                    set_mode(&note.folder, mode).map_err(say("opening the folder"))?;
                }
                self.notes.remove(self.user).map_err(say("removing the note of the account"))
            }
        }
    }

    fn put_storage_away(&mut self, note: &Note) -> Result<(), Failure> {
        let away = free_name(&note.storage, self.user, self.now_usec);
        moved(&note.storage, &away)
            .map_err(|error| broken("putting the storage of the home away", &error))?;
        self.put_away = Some(away);
        Ok(())
    }

    /// Nobody but root gets into the folder any more; its mode is noted before.
    fn shut_folder(&self, note: &mut Note) -> Result<(), Failure> {
        let say = |doing: &'static str| move |error: io::Error| broken(doing, &error);
        if note.mode.is_none() {
            let facts = note.folder.symlink_metadata().map_err(say("looking at the folder"))?;
            note.mode = Some(facts.mode() & 0o7777);
            self.notes.write(note).map_err(say("noting the mode of the folder"))?;
        }
        set_mode(&note.folder, 0o700).map_err(say("shutting the folder"))
    }

    /// What is free stays so as long as nobody else changes the accounts.
    fn put_lines(&self, note: &Note) -> Result<(), Failure> {
        let locked = self.locked()?;
        refuse_taken(&note.lines, &self.texts()?)?;
        let put = locked.put_back(&note.lines);
        put.map_err(|error| broken("changing the accounts in /etc", &error))
    }

    fn locked(&self) -> Result<super::etc::Locked<'_>, Failure> {
        self.etc.lock(self.pause).map_err(|error| broken("locking the accounts in /etc", &error))
    }
}

/// Whether homed knows a home of that name.
pub fn is_known(user: &str) -> bool {
    Path::new(RECORDS).join(format!("{user}.identity")).exists()
}

pub(super) fn broken(doing: &str, error: &io::Error) -> Failure {
    Failure::say(format!("{doing}: {error}"))
}

fn folder(note: &Note) -> Folder {
    let is_it =
        |path: &Path| path.symlink_metadata().is_ok_and(|facts| facts.is_dir() && facts.ino() == note.inode);
    let is_hidden = || around::mounts_in(&note.folder).contains(&note.folder);
    match note.away.symlink_metadata() {
        Ok(_) => Folder::Away,
        Err(_) if note.forgotten => Folder::Gone,
        // What is mounted there hides it.
        Err(_) if is_hidden() || is_it(&note.folder) => Folder::AtHome,
        Err(_) => Folder::Gone,
    }
}

fn refuse_mounted(note: &Note, user: &str) -> Result<(), Failure> {
    match around::mounts_in(&note.folder).is_empty() {
        true => Ok(()),
        false => Err(Failure::say(format!(
            "The home of {user} is open at {}. Log its user out, or: homectl deactivate {user}; then run the same again, which \
             goes on from here.",
            note.folder.display()
        ))),
    }
}

/// Another has the name or the number by now.
pub(super) fn refuse_taken(lines: &Lines, texts: &Texts) -> Result<(), Failure> {
    let uid = lines.passwd.split(':').nth(2).and_then(|uid| uid.parse().ok());
    let others = uid.map(|uid| texts.others_numbered(uid, &lines.user)).unwrap_or_default();
    let other_line =
        Lines::of(texts, &lines.user).map_err(Failure::say)?.filter(|now| now.passwd != lines.passwd);
    match (others.first(), other_line) {
        (Some(other), _) => Err(Failure::say(format!(
            "{other} has the number of {} in /etc/passwd by now. Nothing was changed: give {other} another one (usermod -u).",
            lines.user
        ))),
        (None, Some(_)) => Err(Failure::say(format!(
            "/etc/passwd has another {} by now. Nothing was changed: remove that line, or rename the account (usermod -l).",
            lines.user
        ))),
        (None, None) => Ok(()),
    }
}

fn set_mode(folder: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
}

/// Renames within a folder, and has it on disk. What is there is not replaced, unless it is an empty folder.
pub(super) fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_dir(to) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io::Error::other(format!("{} is in the way: {error}", to.display()))),
    }
    rustix::fs::renameat_with(
        rustix::fs::CWD,
        from,
        rustix::fs::CWD,
        to,
        rustix::fs::RenameFlags::NOREPLACE,
    )?;
    note::sync(to.parent().unwrap_or(Path::new("/")))
}

/// A name for storage that is kept, and that homed does not take for a home.
fn free_name(storage: &Path, user: &str, now_usec: u64) -> PathBuf {
    let ending = storage.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
    storage.with_file_name(format!(".{user}.put-away-{}.{ending}", now_usec / 1_000_000))
}

/// The original may be all there is.
fn refuse_without_storage(note: &Note) -> Result<(), Failure> {
    match note.storage.symlink_metadata() {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::say(format!(
            "The storage of the home is not at {}. Nothing was deleted: the original may be all there is.",
            note.storage.display()
        ))),
    }
}

/// What lies where the folder was put is not the account's.
fn refuse_others(note: &Note) -> Result<(), Failure> {
    let uid = note.lines.passwd.split(':').nth(2).and_then(|uid| uid.parse::<u32>().ok());
    let facts =
        note.away.symlink_metadata().map_err(|error| broken(&note.away.display().to_string(), &error))?;
    match facts.is_dir() && Some(facts.uid()) == uid && facts.ino() == note.inode {
        true => Ok(()),
        false => Err(Failure::say(format!(
            "{} is not the folder that was put there. Nothing was deleted.",
            note.away.display()
        ))),
    }
}

/// Deletes the folder with all that is in it; what was done before it was stopped is done.
pub(super) fn removed(folder: &Path) -> Result<(), Failure> {
    if let Some(mount) = around::mounts_in(folder).first() {
        let mount = mount.display();
        return Err(Failure::say(format!(
            "Something is mounted at {mount}: umount it, and run the same again."
        )));
    }
    let (above, name) = (folder.parent().unwrap_or(Path::new("/")), folder.file_name().unwrap_or_default());
    let opened = fs::File::open(above).map_err(|error| broken(&above.display().to_string(), &error))?;
    copytree::remove_tree(opened.as_fd(), name).map_err(|error| {
        let folder = folder.display();
        Failure::say(format!(
            "{error}. A part of {folder} is deleted; run the same again. Of a read-only snapshot: btrfs property set SNAPSHOT ro \
             false."
        ))
    })?;
    note::sync(folder.parent().unwrap_or(Path::new("/"))).map_err(|error| broken("writing to disk", &error))
}
