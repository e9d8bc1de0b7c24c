//! What is in the way of a release.

use super::Sight;
use crate::classic::lines::{File, Texts};
use crate::classic::release::account;
use crate::classic::{around, note};
use crate::context::Context;
use indicatif::BinaryBytes;
use records::visible::visible_path;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl Sight {
    /// What is seen without the home being open.
    pub(super) fn wrong_before(&self, ctx: &Context<'_>, texts: &Texts) -> Vec<String> {
        let mut wrong = self.wrong_account(texts);
        wrong.extend(self.wrong_home());
        wrong.extend(self.wrong_moment(ctx));
        wrong
    }

    fn wrong_account(&self, texts: &Texts) -> Vec<String> {
        let (user, mut wrong) = (&self.user, Vec::new());
        if texts.has(File::Passwd, user) {
            wrong.push(format!(
                "/etc/passwd has a line of {user} already: if nobody needs that account, userdel {user} (without -r, which deletes the folder)."
            ));
        }
        if texts.has(File::Group, user) {
            wrong.push(format!("There is a group {user} already: rename it (groupmod -n), for the account has one of that name."));
        }
        for file in [File::Shadow, File::Gshadow].into_iter().filter(|file| texts.has(*file, user)) {
            let name = file.name();
            wrong.push(format!("/etc/{name} has a line of {user} already: remove it (vipw -s, vigr -s)."));
        }
        if let Some(what) = account::unfit(&self.record, &self.settings, &self.row.home) {
            wrong.push(format!("The {what} of {user} cannot stand in /etc/passwd: homectl update {user}"));
        }
        if self.number.is_none() {
            wrong
                .push("No number of an account is free (UID_MIN and UID_MAX in /etc/login.defs).".to_owned());
        }
        if let Some(other) = texts.others_at(&self.row.home, user).first() {
            wrong.push(format!("{} is the home directory of {other}, too, or has it in it.", self.row.home));
        }
        wrong
    }

    fn wrong_home(&self) -> Vec<String> {
        let (user, mut wrong) = (&self.user, Vec::new());
        if note::Notes::<note::Note>::default().path(user).exists() {
            wrong.push(format!(
                "The account that the home was made of is kept. To have that again, as it was: homectl convert {user} --undo; to \
                 have it made of what is in the home now: homectl convert {user} --discard-original first."
            ));
        }
        if self.row.state == "unfixated" {
            wrong.push(format!("The home was never opened on this machine: homectl activate {user}"));
        }
        if self.row.state == "locked" {
            wrong.push(format!("The home is locked: homectl unlock {user}"));
        }
        let is_plain = self.storage.symlink_metadata().is_ok_and(|facts| facts.is_file() || facts.is_dir());
        if !is_plain {
            let storage = self.storage.display();
            wrong
                .push(format!("{storage} is no file and no folder of this machine, and cannot be put away."));
        }
        for path in [self.beside(), self.kept()] {
            if path.symlink_metadata().is_ok() && !self.is_own(&path) {
                wrong.push(format!("{} is there already: move it away.", path.display()));
            }
        }
        let others = |above: &&Path| {
            above.symlink_metadata().is_ok_and(|facts| facts.uid() != 0 || facts.mode() & 0o022 != 0)
        };
        if let Some(above) = self.folder.ancestors().skip(1).find(others) {
            wrong.push(format!("Others than root can change what is in {}.", above.display()));
        }
        if let Some(kind) = self.folder.parent().and_then(around::unfit_file_system) {
            wrong.push(format!("{} would lie on a server ({kind}).", self.folder.display()));
        }
        wrong
    }

    /// A copy of an earlier run goes on. Between making its folder and noting which that is the power may fail: an empty one of
    /// root's is in nobody's way.
    fn is_own(&self, path: &Path) -> bool {
        if is_bare(path) {
            return true;
        }
        let notes = note::Notes::<crate::classic::release::note::Released>::default();
        let inode = path.symlink_metadata().map(|facts| facts.ino()).ok();
        notes.read(&self.user).ok().flatten().is_some_and(|note| note.inode.is_some() && note.inode == inode)
    }

    fn wrong_moment(&self, ctx: &Context<'_>) -> Vec<String> {
        let (user, uid) = (&self.user, self.row.uid);
        let sessions = ctx.daemon.sessions().into_iter().filter(|session| session.uid == uid).count();
        let mut wrong = Vec::new();
        if sessions > 0 {
            wrong.push(format!(
                "{user} is logged in ({sessions} sessions): log out, or: loginctl terminate-user {user}"
            ));
        } else if let Some(first) = self.around.processes.first() {
            let count = self.around.processes.len();
            wrong.push(format!("{count} processes run as {user}, such as {first}. End them: loginctl terminate-user {user}, or pkill -u {uid}"));
        }
        wrong
    }

    pub(super) fn wrong_inside(&self) -> Vec<String> {
        let home = self.folder.display();
        let mounts = around::mounts_in(&self.folder).into_iter().filter(|mount| *mount != self.folder);
        let mut wrong: Vec<_> = mounts
            .map(|mount| format!("Something is mounted at {}: umount it first.", mount.display()))
            .collect();
        if let Some(first) = self.measure.unreadable.first.first() {
            wrong.push(format!("{home}/{} cannot be read.", visible_path(first)));
        }
        wrong
    }

    pub(super) fn wrong_room(&self) -> Vec<String> {
        // What an earlier run has copied is there already.
        let there = fs::File::open(self.beside())
            .ok()
            .and_then(|beside| copytree::measure(beside.as_fd()).ok())
            .map_or(0, |measure| measure.allocated);
        let needed = self.needed.saturating_sub(there);
        if self.free >= needed {
            return Vec::new();
        }
        let folder = self.folder.parent().unwrap_or(Path::new("/")).display();
        vec![format!(
            "There is not enough space in {folder}: {} are needed, and {} are free. The home stays beside the account until it is \
             discarded.",
            BinaryBytes(needed),
            BinaryBytes(self.free)
        )]
    }
}

/// Whether it is an empty folder of root's.
fn is_bare(path: &Path) -> bool {
    let is_roots = path.symlink_metadata().is_ok_and(|facts| facts.is_dir() && facts.uid() == 0);
    is_roots && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}
