//! What stands of a home and of the account that it becomes, and the steps on this machine.

use super::copying::{is_mounted, make_beside};
use super::note::Released;
use super::plan::{self, Folder, Home, Noted, Situation, Step, Stuck, Wish};
use crate::bus::{Daemon, Failure, Order, Who};
use crate::classic::around;
use crate::classic::etc::{Etc, Locked};
use crate::classic::here::{broken, is_known, moved, refuse_taken, removed};
use crate::classic::lines::{Lines, Standing, Texts};
use crate::classic::note::{Notes, sync};
use records::{Record, Refusal, Sections};
use serde_json::Value;
use std::os::{fd::AsFd, unix::fs::MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

/// A home on this machine, and its account.
pub struct Here<'a> {
    /// Whose.
    pub user: &'a str,
    /// homed.
    pub daemon: &'a dyn Daemon,
    /// Waits.
    pub pause: &'a dyn Fn(Duration),
    /// The account files.
    pub etc: Etc,
    /// The notes.
    pub notes: Notes<Released>,
    /// The note, or the one that is to be written.
    pub note: Option<Released>,
    /// Now, µs since 1970.
    pub now_usec: u64,
    /// Whether it is to stop, which it does as long as the home is the home.
    pub stop: &'a dyn Fn() -> bool,
    /// Copies what is in the home, compares, and closes it.
    pub copy: &'a mut dyn FnMut(&Released) -> Result<(), Failure>,
    /// How often the home had been opened before it was copied.
    pub compared: Option<String>,
    /// Where the account's folder was put away.
    pub put_away: Option<PathBuf>,
}

/// Why it is not as wanted.
pub enum Stopped {
    /// There is no way.
    Stuck(Stuck),
    /// A step failed.
    Failed(Failure),
    /// It was to stop.
    Asked,
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
        let path = self.notes.path(self.user);
        let noted = self.notes.read(self.user);
        let noted = noted.map_err(|error| broken(&format!("reading {}", path.display()), &error))?;
        let state = match &noted {
            None => Noted::Nothing,
            Some(note) if note.forgotten => Noted::Forgotten,
            Some(_) => Noted::Account,
        };
        self.note = noted.or(self.note.take());
        let texts = self.texts()?;
        let home = self.home();
        let is_compared = home == Home::Known
            && self.compared.is_some()
            && self.compared == openings(self.daemon, self.user);
        let known = Lines::of(&texts, self.user).map_err(Failure::say)?;
        let (lines, folder) = match &self.note {
            Some(note) => (note.lines.standing(&texts), folder(note)),
            None if known.is_some() => (Standing::Whole, Folder::Missing),
            None => (Standing::Gone, Folder::Missing),
        };
        Ok(Situation { noted: state, lines, folder, home, is_compared })
    }

    fn home(&self) -> Home {
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let Some(note) = &self.note else {
            return match is_known(self.user) {
                true => Home::Known,
                false if self.daemon.record(Who::Name(self.user)).is_ok() => Home::Found,
                false => Home::Missing,
            };
        };
        match (is_known(self.user), is_there(&note.storage), is_there(&note.kept)) {
            (true, false, true) => Home::HalfBack,
            (true, _, _) => Home::Known,
            (false, true, _) if self.daemon.record(Who::Name(self.user)).is_ok() => Home::Found,
            (false, true, _) => Home::Unknown,
            (false, false, true) => Home::Away,
            (false, false, false) => Home::Missing,
        }
    }

    /// Does step after step until it is as wanted.
    pub fn reach(&mut self, wish: Wish) -> Result<(), Stopped> {
        self.reach_before(wish, &[])
    }

    /// The same, but ends before the first of some steps.
    pub fn reach_before(&mut self, wish: Wish, last: &[Step]) -> Result<(), Stopped> {
        let mut done = None;
        loop {
            let stands = self.look()?;
            let step = plan::next(&stands, wish).map_err(Stopped::Stuck)?;
            let Some(step) = step.filter(|step| !last.contains(step)) else { return Ok(()) };
            if wish == Wish::Account && stands.home == Home::Known && (self.stop)() {
                return Err(Stopped::Asked);
            }
            if done.replace(step) == Some(step) {
                return Err(Failure::say(format!("{step:?} was done, and nothing came of it")).into());
            }
            self.perform(step)?;
            if step == Step::RemoveNote {
                return Ok(());
            }
        }
    }

    fn perform(&mut self, step: Step) -> Result<(), Failure> {
        let Some(mut note) = self.note.clone() else { return Err(Failure::say("nothing is noted")) };
        let say = |doing: &'static str| move |error: io::Error| broken(doing, &error);
        match step {
            Step::WriteNote => self.notes.write(&note).map_err(say("noting the account")),
            Step::Copy => self.copied(note),
            Step::TakeLines => self.take_lines(&note),
            Step::PutLines => self.put_lines(&note),
            Step::PutFolder => {
                refuse_mounted(&note, self.user)?;
                self.note_place(note.clone(), true)?;
                moved(&note.beside, &note.folder).map_err(say("putting the folder of the account in place"))
            }
            Step::ForgetHome => {
                refuse_mounted(&note, self.user)?;
                self.daemon.order("UnregisterHome", Order::Text(self.user))
            }
            Step::PutStorageAway => {
                unmarked(&note.folder)?;
                moved(&note.storage, &note.kept).map_err(say("putting the storage of the home away"))
            }
            Step::BringHomeBack => self.bring_home_back(&note),
            Step::AdoptHome => self.adopt(&note),
            Step::PutFolderAway => {
                refuse_mounted(&note, self.user)?;
                let away = put_away(&note.folder, self.user, self.now_usec);
                moved(&note.folder, &away).map_err(say("putting the folder of the account away"))?;
                self.put_away = Some(away);
                self.note_place(note, false)
            }
            Step::RemoveCopy => removed(&note.beside),
            Step::NoteForgotten => {
                note.forgotten = true;
                self.notes.write(&note).map_err(say("noting what is to be forgotten"))
            }
            Step::RemoveStorage => remove_storage(&note.kept),
            Step::RemoveNote => {
                self.note = None;
                self.notes.remove(self.user).map_err(say("removing the note of the home"))
            }
        }
    }

    fn copied(&mut self, mut note: Released) -> Result<(), Failure> {
        let say = |doing: &'static str| move |error: io::Error| broken(doing, &error);
        note.inode = Some(make_beside(&note.beside).map_err(say("making the folder of the account"))?);
        self.notes.write(&note).map_err(say("noting the folder of the account"))?;
        let before = openings(self.daemon, self.user);
        (self.copy)(&note)?;
        refuse_opened(self.user, (before.as_deref(), openings(self.daemon, self.user).as_deref()))?;
        self.compared = before;
        Ok(())
    }

    /// What is free stays so as long as nobody else changes the accounts.
    fn put_lines(&self, note: &Released) -> Result<(), Failure> {
        let (locked, texts) = (self.locked()?, self.texts()?);
        refuse_taken(&note.lines, &texts)?;
        refuse_group_taken(&note.lines, &texts)?;
        refuse_strangers(&note.lines, &texts)?;
        locked.put_back(&note.lines).map_err(|error| broken("changing the accounts in /etc", &error))
    }

    /// Notes whether the folder is at its place, or on its way there.
    fn note_place(&self, mut note: Released, placed: bool) -> Result<(), Failure> {
        note.placed = placed;
        self.notes.write(&note).map_err(|error| broken("noting where the folder of the account is", &error))
    }

    /// Where the account is in force, nobody may be at work as its user.
    fn take_lines(&self, note: &Released) -> Result<(), Failure> {
        let locked = self.locked()?;
        match is_known(self.user) {
            false => refuse_in_use(self.daemon, note)?,
            // What stands there is what a release has put there, or somebody else's.
            true => refuse_strangers(&note.lines, &self.texts()?)?,
        }
        let taken = locked.take_out(&note.lines);
        taken.map_err(|error| broken("changing the accounts in /etc", &error))
    }

    fn bring_home_back(&self, note: &Released) -> Result<(), Failure> {
        if !is_known(self.user) {
            let record = Record::from_value(Value::Object(note.record.clone()), Sections::HOST);
            let record = record.map_err(|error| Failure::say(format!("the record in the note: {error}")))?;
            let text = record.only(Sections::EMBEDDED).to_compact();
            match self.daemon.order("RegisterHome", Order::Text(&text)) {
                // A stranger's home is known by its storage alone.
                Err(failure) if failure.is(Refusal::BadSignature) => {}
                other => other?,
            }
        }
        moved(&note.kept, &note.storage)
            .map_err(|error| broken("putting the storage of the home back", &error))
    }

    fn adopt(&self, note: &Released) -> Result<(), Failure> {
        let storage = note.storage.to_string_lossy();
        match self.daemon.order("AdoptHome", Order::Flags(&storage, 0)) {
            // homed may have found it by itself.
            Err(_) if self.daemon.record(Who::Name(self.user)).is_ok() => Ok(()),
            other => other,
        }
    }

    fn locked(&self) -> Result<Locked<'_>, Failure> {
        self.etc.lock(self.pause).map_err(|error| broken("locking the accounts in /etc", &error))
    }
}

/// How often, and when last, somebody has opened a home; `None`: homed does not say.
fn openings(daemon: &dyn Daemon, user: &str) -> Option<String> {
    let reply = daemon.record(Who::Name(user)).ok()?;
    let record: Value = serde_json::from_str(&reply.json).ok()?;
    let of = |status: &Value| {
        let counted =
            ["goodAuthenticationCounter", "lastGoodAuthenticationUSec"].map(|name| status.get(name).cloned());
        format!("{counted:?}")
    };
    let all = record.get("status").and_then(Value::as_object);
    Some(all.into_iter().flat_map(|all| all.values()).map(of).collect())
}

/// What was written behind the comparison is in no copy. Before it was copied, and after it was closed.
fn refuse_opened(user: &str, openings: (Option<&str>, Option<&str>)) -> Result<(), Failure> {
    match openings {
        (Some(before), Some(after)) if before == after => Ok(()),
        // Or homed does not say.
        _ => Err(Failure::say(format!(
            "{user} has logged in while the home was copied. The home is as it was; run the same again."
        ))),
    }
}

fn folder(note: &Released) -> Folder {
    let Some(inode) = note.inode else { return Folder::Missing };
    let is_it =
        |path: &Path| path.symlink_metadata().is_ok_and(|facts| facts.is_dir() && facts.ino() == inode);
    match is_it(&note.beside) {
        true => Folder::Beside,
        // What is mounted there hides it.
        false if note.placed && (is_mounted(&note.folder) || is_it(&note.folder)) => Folder::AtHome,
        false => Folder::Missing,
    }
}

/// Nobody may be logged in to the account, or run anything.
pub fn refuse_in_use(daemon: &dyn Daemon, note: &Released) -> Result<(), Failure> {
    let uid = note.lines.passwd.split(':').nth(2).and_then(|uid| uid.parse().ok());
    let Some(uid) = uid else { return Ok(()) };
    let sessions = daemon.sessions().into_iter().filter(|session| session.uid == uid).count();
    let processes = around::processes(uid);
    match (sessions, processes.first()) {
        (0, None) => Ok(()),
        (0, Some(first)) => Err(Failure::say(format!(
            "{} processes run as {}: {first}. Nothing was changed. End them: pkill -u {uid}",
            processes.len(),
            note.lines.user
        ))),
        (sessions, _) => Err(Failure::say(format!(
            "{user} is logged in ({sessions} sessions). Nothing was changed. Log out, or: loginctl terminate-user {user}",
            user = note.lines.user
        ))),
    }
}

/// Another group has the number by now.
fn refuse_group_taken(lines: &Lines, texts: &Texts) -> Result<(), Failure> {
    let gid = lines.passwd.split(':').nth(3).and_then(|gid| gid.parse().ok());
    let groups = gid.map(|gid| texts.groups_numbered(gid)).unwrap_or_default();
    match groups.iter().find(|group| **group != lines.user) {
        None => Ok(()),
        Some(other) => Err(Failure::say(format!(
            "The group {other} has the number of that of {} by now. Nothing was changed: run the same again, for another number.",
            lines.user
        ))),
    }
}

/// Lines of that name are there which this release has not written.
fn refuse_strangers(lines: &Lines, texts: &Texts) -> Result<(), Failure> {
    match lines.strangers(texts).first() {
        None => Ok(()),
        Some(file) => Err(Failure::say(format!(
            "/etc/{} has a line of {user} that was not put there by the release. Nothing was changed. Give it another name, or remove it \
             (vipw, vigr; -s for shadow and gshadow), and run the same again.",
            file.name(),
            user = lines.user
        ))),
    }
}

fn refuse_mounted(note: &Released, user: &str) -> Result<(), Failure> {
    match around::mounts_in(&note.folder).is_empty() {
        true => Ok(()),
        false => Err(Failure::say(format!(
            "The home of {user} is open at {}. Log its user out, or: homectl deactivate {user}; then run the same again, which \
             goes on from here.",
            note.folder.display()
        ))),
    }
}

/// No run of a copy into the folder is to follow.
fn unmarked(folder: &Path) -> Result<(), Failure> {
    let opened = fs::File::open(folder).map_err(|error| broken(&folder.display().to_string(), &error))?;
    copytree::done(opened.as_fd()).map_err(|error| Failure::say(format!("{}: {error}", folder.display())))
}

/// A name for a folder that is kept, which nothing has.
fn put_away(folder: &Path, user: &str, now_usec: u64) -> PathBuf {
    let name = |second: u64| folder.with_file_name(format!(".{user}.put-away-{second}"));
    let mut second = now_usec / 1_000_000;
    while name(second).symlink_metadata().is_ok() {
        second += 1;
    }
    name(second)
}

/// Deletes an image, or a folder with all that is in it.
fn remove_storage(kept: &Path) -> Result<(), Failure> {
    let say = |error: io::Error| broken(&kept.display().to_string(), &error);
    if kept.symlink_metadata().map_err(say)?.is_dir() {
        return removed(kept);
    }
    fs::remove_file(kept).map_err(say)?;
    sync(kept.parent().unwrap_or(Path::new("/"))).map_err(|error| broken("writing to disk", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_a_group_has_is_taken() {
        let group = |text: &str| {
            let mut texts = Texts::default();
            *texts.of_mut(crate::classic::lines::File::Group) = text.as_bytes().to_vec();
            texts
        };
        let mut texts = group("bob:x:1500:\n");
        *texts.of_mut(crate::classic::lines::File::Passwd) = b"bob:x:1500:1500::/home/bob:/bin/sh\n".to_vec();
        let bob = Lines::of(&texts, "bob").expect("text").expect("known");
        assert!(refuse_group_taken(&bob, &texts).is_ok());
        assert!(refuse_group_taken(&bob, &group("users:x:100:\n")).is_ok());
        assert!(refuse_group_taken(&bob, &group("others:x:1500:\n")).is_err());
    }

    #[test]
    fn a_login_while_it_is_copied_is_seen() {
        assert!(refuse_opened("bob", (Some("7"), Some("7"))).is_ok());
        for openings in [(Some("7"), Some("8")), (None, None), (Some("7"), None)] {
            assert!(refuse_opened("bob", openings).is_err(), "{openings:?}");
        }
    }

    #[test]
    fn what_is_put_away_gets_a_name_of_its_own() {
        let scratch = tempfile::tempdir().expect("scratch");
        let away = || put_away(&scratch.path().join("bob"), "bob", 7_000_000);
        assert_eq!(away(), scratch.path().join(".bob.put-away-7"));
        fs::create_dir(away()).expect("made");
        assert_eq!(away(), scratch.path().join(".bob.put-away-8"));
    }
}
