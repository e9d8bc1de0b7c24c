//! What a release would do, for people and as JSON.

use super::{Owners, Sight, first};
use indicatif::BinaryBytes;
use serde_json::{Value, json};

impl Sight {
    /// What is no reason not to do it, and is to be known.
    pub(super) fn remarks(&self) -> Vec<String> {
        let (user, own) = (&self.user, self.row.uid);
        let mut notes = Vec::new();
        if let Some(number) = self.number.filter(|number| *number != own) {
            notes.push(format!(
                "The home's number {own} is none of an account, or taken: the account gets {number}. Files elsewhere stay those of \
                 {own}; to give them: find / -xdev -uid {own} -exec chown -h {number}:{number} {{}} +"
            ));
        }
        let rows = [
            (
                &self.measure.reduced,
                "files are device nodes, which are left out, or have set-ID bits or capabilities that their user could not have given them, \
                 which they lose",
            ),
            (&self.measure.sockets, "sockets are left out"),
            (
                &self.measure.held,
                "files cannot be changed by anybody (chattr), and stay so where the disk can",
            ),
        ];
        let found = rows.into_iter().filter(|(names, _)| !names.is_empty());
        notes.extend(
            found.map(|(names, what)| format!("{} {what}: {}", names.count, first(names.first.iter()))),
        );
        if let Some(others) = of_others(&self.measure.owners, own) {
            notes.push(format!("{others} files in it belong to other users, and stay theirs."));
        }
        if self.folder.join("Areas").is_dir() {
            notes.push("Nobody logs in to areas of an account; ~/Areas is a folder like others.".to_owned());
        }
        let is_homes = |line: &String| line.rsplit(": ").next().is_some_and(records::subordinate::is_given);
        if self.around.sub_ids.iter().all(is_homes) {
            notes.push(format!(
                "/etc/subuid and /etc/subgid will have no range for {user}, which rootless containers need: \
                 usermod --add-subuids. Files of containers keep the owners that they have in the home: remove the \
                 containers before (podman system reset)."
            ));
        }
        notes.push("Snapshots of the home stay in it.".to_owned());
        notes
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({
            "userName": self.user,
            "folder": self.folder,
            "storage": self.storage,
            "keptAt": self.kept(),
            "uid": self.number,
            "gid": self.number,
            "uidNow": self.row.uid,
            "passwd": self.lines.passwd,
            "memberOf": self.member_of,
            "entries": self.measure.entries,
            "allocated": self.measure.allocated,
            "needed": self.needed,
            "free": self.free,
            "leftOut": self.measure.reduced.first,
            "wrong": self.wrong,
            "notes": self.notes,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let (user, folder) = (&self.user, self.folder.display());
        let number = self.number.unwrap_or(self.row.uid);
        let mut lines = vec![format!("The home of {user} becomes a classic account ({number}):")];
        if self.needed > 0 {
            lines.push(format!(
                "  what is in it ({} names, {}) is copied to {folder}, and compared with the copy",
                self.measure.entries,
                BinaryBytes(self.measure.allocated)
            ));
            lines.push(format!(
                "  space: {} are needed, {} are free",
                BinaryBytes(self.needed),
                BinaryBytes(self.free)
            ));
        }
        lines.push(format!(
            "  /etc/passwd, shadow, group and gshadow get lines of {user}, with the home's password"
        ));
        if !self.member_of.is_empty() {
            lines.push(format!("  it is in the groups {}", self.member_of.join(", ")));
        }
        lines.push(format!(
            "  the home is kept at {}, until: homectl release {user} --discard-original",
            self.kept().display()
        ));
        lines.push(format!("  to have the home again: homectl release {user} --undo"));
        lines.extend(self.notes.iter().map(|note| format!("  * {note}")));
        lines.extend(self.wrong.iter().map(|wrong| format!("In the way: {wrong}")));
        lines.join("\n") + "\n"
    }
}

/// How many inodes belong to others than the home's user and root.
fn of_others(owners: &Owners, own: u32) -> Option<u64> {
    let others = owners.iter().filter(|(owner, _)| ![0, own].contains(owner));
    Some(others.map(|(_, count)| count).sum()).filter(|count| *count > 0)
}
