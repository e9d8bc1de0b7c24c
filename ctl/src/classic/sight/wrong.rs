//! What is in the way of a conversion.

use super::{Room, Sight};
use crate::classic::account::Account;
use crate::classic::lines::Texts;
use crate::classic::{around, here};
use crate::context::Context;
use indicatif::BinaryBytes;
use records::visible::visible_path;
use records::{Record, Sections, Storage, uid};
use serde_json::{Value, json};
use std::path::Path;

impl Sight {
    pub(super) fn wrong_account(&self, texts: &Texts) -> Vec<String> {
        let Account { user, uid, .. } = &self.account;
        let mut wrong = Vec::new();
        if self.members.get("uid") != Some(&json!(uid)) || self.mounted_at != self.folder.0 {
            wrong.push(format!("A conversion keeps the number and the home directory of {user}: leave --uid= and --home-dir= out."));
        }
        if let Some(other) = texts.others_numbered(*uid, user).first() {
            wrong.push(format!(
                "{other} has the number {uid} as well: give one of them another (usermod -u)."
            ));
        }
        if here::is_known(user) {
            wrong.push(format!("There is a home of {user} already: homectl inspect {user} shows it."));
        } else if self.left.as_ref() != Some(&self.storage) && self.storage.symlink_metadata().is_ok() {
            let storage = self.storage.display();
            wrong.push(format!(
                "{storage} is there already: move it away, or choose another place (--image-path=)."
            ));
        }
        wrong
    }

    pub(super) fn wrong_groups(&self, texts: &Texts) -> Vec<String> {
        let Account { user, uid, gid, .. } = &self.account;
        let mut wrong = Vec::new();
        let others = texts
            .groups_numbered(*uid)
            .into_iter()
            .filter(|group| group != user || self.lines.group.is_none());
        wrong.extend(others.map(|group| {
            format!(
                "The group {group} has the number {uid}, which the own group of {user} will have: give it another \
                 (groupmod -g), or make it {user}'s first."
            )
        }));
        if self.lines.group.is_none() && texts.number_of_group(user).is_some_and(|gid| gid != *uid) {
            wrong.push(format!(
                "There is a group {user} that is not the first of {user}: rename it (groupmod -n), for the home has one of that \
                 name."
            ));
        }
        if self.lines.group.is_some() {
            let others = texts.others_with_group(*gid, user);
            wrong.extend(others.first().map(|other| {
                format!("The first group of {other} is {user}, which will be {user}'s alone: give {other} another (usermod -g).")
            }));
        }
        wrong
    }

    pub(super) fn wrong_folder(&self, texts: &Texts) -> Vec<String> {
        let (user, home) = (&self.account.user, self.folder.0.display());
        let mut wrong = Vec::new();
        if let Some(other) = texts.others_at(&self.account.home, user).first() {
            wrong.push(format!("{home} is the home directory of {other}, too, or has it in it."));
        }
        if let Some(kind) = around::unfit_file_system(&self.folder.0) {
            wrong.push(format!("{home} lies on a server ({kind}): copy it to a disk of this machine first."));
        }
        for mount in &self.around.mounts {
            if *mount == self.folder.0 {
                wrong.push(format!(
                    "{home} is a file system of its own: copy it into a folder on another one first."
                ));
                continue;
            }
            wrong.push(format!("Something is mounted at {}: umount it first.", mount.display()));
        }
        for name in [".identity", ".identity-blob"] {
            if self.folder.0.join(name).symlink_metadata().is_ok() {
                wrong.push(format!("{home}/{name} is there, and is where a home has its record: rename it."));
            }
        }
        let strange: Vec<_> = self
            .measure
            .owners
            .iter()
            .filter(|(owner, _)| !uid::is_in_home(**owner, self.account.uid))
            .collect();
        if let (Some((first, _)), count) =
            (strange.first(), strange.iter().map(|(_, count)| **count).sum::<u64>())
        {
            wrong.push(format!(
                "{count} files in {home} belong to users that a home has no place for (the first is UID {first}), those of \
                 containers as a rule: find {home} -uid {first}; remove the containers (podman system reset), or move them away."
            ));
        }
        if let Some(first) = self.measure.unreadable.first.first() {
            wrong.push(format!("{}/{} cannot be read.", home, visible_path(first)));
        }
        wrong
    }

    /// Access control lists, where the home is not mounted with them.
    pub(super) fn wrong_lists(&self, ctx: &Context<'_>) -> Option<String> {
        let first = self.measure.with_acl.first.first()?;
        let record = Record::from_value(Value::Object(self.members.clone()), Sections::EMBEDDED).ok()?;
        let settings = record.on(&ctx.machine);
        let is_btrfs = self.kind == Storage::Luks
            && settings.file_system_type.as_deref().is_none_or(|kind| kind == "btrfs");
        let options = settings.luks_extra_mount_options.unwrap_or_default();
        let has_them = options.split(',').any(|option| option == "acl");
        (is_btrfs && !has_them).then(|| {
            format!(
                "Files in {} have access control lists, acl(5) (the first is {}), and homes with btrfs are mounted without them: \
                 add --luks-extra-mount-options=acl, or --fs-type=ext4; or remove them: setfacl -R -b {0}",
                self.folder.0.display(),
                visible_path(first)
            )
        })
    }

    pub(super) fn wrong_moment(&self, ctx: &Context<'_>) -> Vec<String> {
        let user = &self.account.user;
        let sessions =
            ctx.daemon.sessions().into_iter().filter(|session| session.uid == self.account.uid).count();
        let mut wrong = Vec::new();
        if sessions > 0 {
            wrong.push(format!(
                "{user} is logged in ({sessions} sessions): log out, or: loginctl terminate-user {user}"
            ));
        } else if !self.around.processes.is_empty() {
            let (count, shown) = (self.around.processes.len(), self.around.processes.iter().take(5));
            let shown = shown.cloned().collect::<Vec<_>>().join(", ");
            wrong.push(format!("{count} processes run as {user}: {shown}. End them: loginctl terminate-user {user}, or pkill -u"));
        }
        wrong
    }

    pub(super) fn wrong_room(&self) -> Vec<String> {
        let Room { needed, free, shared } = self.room;
        let is_given = self.members.contains_key("diskSize") || self.members.contains_key("diskSizeRelative");
        if shared || free >= needed || (is_given && free > self.measure.allocated) {
            return Vec::new();
        }
        let folder = self.storage.parent().unwrap_or(Path::new("/")).display();
        vec![format!(
            "There is not enough space in {folder}: {} are needed, and {} are free. Make room, or choose another place \
             (--image-path=); the original stays until it is discarded.",
            BinaryBytes(needed),
            BinaryBytes(free)
        )]
    }
}
