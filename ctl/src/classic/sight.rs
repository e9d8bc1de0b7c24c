//! What a conversion would do and what is in its way: looked at before anything is done, told in words or as JSON.

mod wrong;

use super::account::{Account, Password};
use super::around::{self, Around};
use super::lines::{Lines, Texts};
use crate::bus::Failure;
use crate::context::Context;
use copytree::Measure;
use indicatif::BinaryBytes;
use records::visible::visible_path;
use records::{Record, Sections, Storage, UserName, uid};
use serde_json::{Map, Value, json};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the header, the tables and an empty file system of an image take at most, in bytes.
const EMPTY_IMAGE: u64 = 512 << 20;
/// What a file system notes of each name, in bytes.
const PER_NAME: u64 = 2048;

/// All that is to be known before.
pub struct Sight {
    /// The account.
    pub account: Account,
    /// Its lines.
    pub lines: Lines,
    /// The record of the home, without a password.
    pub members: Map<String, Value>,
    /// Its folder, and the inode of that.
    pub folder: (PathBuf, u64),
    /// The kind of storage.
    pub kind: Storage,
    /// Where the home's storage will be.
    pub storage: PathBuf,
    /// What an earlier try has left.
    left: Option<PathBuf>,
    mounted_at: PathBuf,
    measure: Measure,
    around: Around,
    room: Room,
    /// What is in the way, in sentences.
    pub wrong: Vec<String>,
    notes: Vec<String>,
}

/// Space, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    needed: u64,
    free: u64,
    /// Whether data may be shared with the original.
    shared: bool,
}

impl Sight {
    /// Looks at an account. `left`: storage of an earlier try, which is put away. An error: there is none that could be looked
    /// at.
    pub fn of(ctx: &Context<'_>, user: &str, texts: &Texts, left: Option<&Path>) -> Result<Self, Failure> {
        let name = UserName::parse(user).map_err(|error| {
            Failure::say(format!(
                "{error}: a home cannot be called so. Nothing was changed. Rename it first: usermod -l"
            ))
        })?;
        let lines = Lines::of(texts, name.as_str()).map_err(Failure::say)?.ok_or_else(|| unknown(user))?;
        let account =
            Account::of(&lines, texts).map_err(|why| Failure::say(format!("{why}. Nothing was changed.")))?;
        if !uid::is_allowed(account.uid) {
            return Err(Failure::say(format!(
                "{user} has the number {}, which is the system's, and no home can have it. Nothing was changed. An account of a \
                 person is given another with: usermod -u",
                account.uid
            )));
        }
        let home = PathBuf::from(&account.home);
        let opened = open_folder(&account, &home)?;
        let facts = opened.metadata().map_err(|error| at(&home, &error))?;
        let measure = copytree::measure(opened.as_fd())
            .map_err(|error| Failure::say(format!("{}: {error}. Nothing was changed.", home.display())))?;
        let mut members = ctx.draft.apply(account.members(facts.mode() & 0o777), &ctx.machine.id);
        let (kind, storage, mounted_at) = place(ctx, &mut members)?;
        let mut sight = Self {
            around: around::look(user, account.uid, &home),
            folder: (home, facts.ino()),
            room: Room::of(kind, &storage, &measure, &opened),
            account,
            lines,
            members,
            kind,
            storage,
            left: left.map(Path::to_owned),
            mounted_at,
            measure,
            wrong: Vec::new(),
            notes: Vec::new(),
        };
        sight.judge(ctx, texts);
        Ok(sight)
    }

    fn judge(&mut self, ctx: &Context<'_>, texts: &Texts) {
        let mut wrong = Vec::new();
        wrong.extend(self.wrong_account(texts));
        wrong.extend(self.wrong_groups(texts));
        wrong.extend(self.wrong_folder(texts));
        wrong.extend(self.wrong_lists(ctx));
        wrong.extend(self.wrong_moment(ctx));
        wrong.extend(self.wrong_room());
        self.wrong = wrong;
        self.notes = self.remarks();
    }

    /// What is no reason not to do it, and is to be known.
    fn remarks(&self) -> Vec<String> {
        let Account { user, uid, gid, .. } = &self.account;
        let mut notes = Vec::new();
        notes
            .push("While it is copied the machine does not sleep; a closed lid keeps it running.".to_owned());
        if let Some(left) = &self.left {
            notes.push(format!(
                "An earlier try was cut short, by the power as a rule. {}, which it has made, is put away, and this one begins anew.",
                left.display()
            ));
        }
        if matches!(self.account.password, Password::None) {
            notes.push("The account has no password: a new one is asked for.".to_owned());
        }
        if !self.account.rest_of_comment().is_empty() {
            notes.push(format!(
                "The rest of the comment field is not taken over: {}",
                self.account.rest_of_comment()
            ));
        }
        if gid != uid {
            notes.push(format!(
                "New files will belong to the group {user} ({uid}); files in the home with the group {} become those of {user}. Files \
                 with a group {uid} are refused: find {} -gid {uid}",
                self.account.own_group(&self.lines),
                self.account.home
            ));
        }
        notes.extend(self.of_files());
        notes.extend(self.around.timers.iter().cloned());
        notes.extend(self.around.sub_ids.iter().map(|line| format!("{line} stays as it is.")));
        notes.extend(
            self.around
                .named_in
                .iter()
                .map(|path| format!("{} names {user}, and is not changed.", path.display())),
        );
        if self.folder.0.join(".ssh/authorized_keys").exists() {
            notes.push(format!(
                "~/.ssh/authorized_keys cannot be read while the home is closed. To have homed know the keys: homectl update \
                 {user} --ssh-authorized-keys=@FILE"
            ));
        }
        notes.push(format!(
            "Files elsewhere stay {user}'s. To see them: find / -xdev -uid {uid} -not -path '{}/*'",
            self.account.home
        ));
        notes
    }

    /// What becomes of files that are not like others.
    fn of_files(&self) -> Vec<String> {
        let names = |names: &copytree::Names| {
            let first = names.first.iter().take(3).map(|path| visible_path(path));
            first.collect::<Vec<_>>().join(", ")
        };
        let rows = [
            (&self.measure.sockets, "sockets are left out"),
            (
                &self.measure.linked_outside,
                "files have names outside of the folder, and will be files of their own",
            ),
            (&self.measure.held, "files cannot be changed by anybody (chattr), and stay so"),
        ];
        let told = rows.into_iter().filter(|(found, _)| !found.is_empty());
        told.map(|(found, what)| format!("{} {what}: {}", found.count, names(found))).collect()
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let mut record = self.members.clone();
        record.remove("privileged");
        json!({
            "userName": self.account.user,
            "folder": self.folder.0,
            "storage": self.storage,
            "record": record,
            "entries": self.measure.entries,
            "allocated": self.measure.allocated,
            "needed": self.room.needed,
            "free": self.room.free,
            "shared": self.room.shared,
            "groupsLeft": self.lines.member_of,
            "around": self.around,
            "wrong": self.wrong,
            "notes": self.notes,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let Account { user, uid, groups, .. } = &self.account;
        let mut lines = vec![
            format!("The account {user} ({uid}) becomes a home:"),
            format!(
                "  {} ({} names, {}) is copied to {}, and compared with the copy",
                self.folder.0.display(),
                self.measure.entries,
                BinaryBytes(self.measure.allocated),
                self.storage.display()
            ),
            match self.room.shared {
                true => format!(
                    "  space: data is shared with the original where the file system can; {} are free",
                    BinaryBytes(self.room.free)
                ),
                false => format!(
                    "  space: {} are needed, {} are free",
                    BinaryBytes(self.room.needed),
                    BinaryBytes(self.room.free)
                ),
            },
            format!(
                "  the lines of {user} in /etc/passwd, shadow, group and gshadow are taken out, and kept"
            ),
        ];
        if !groups.is_empty() {
            lines
                .push(format!("  the groups {} are in the record of the home (memberOf)", groups.join(", ")));
        }
        lines.push(format!(
            "  {} is kept as it is, unencrypted, until: homectl convert {user} --discard-original",
            self.folder.0.display()
        ));
        lines.push(format!("  to have the account again: homectl convert {user} --undo"));
        lines.extend(self.notes.iter().map(|note| format!("  * {note}")));
        lines.extend(self.wrong.iter().map(|wrong| format!("In the way: {wrong}")));
        lines.join("\n") + "\n"
    }
}

impl Room {
    fn of(kind: Storage, storage: &Path, measure: &Measure, folder: &fs::File) -> Self {
        let around = storage.parent().unwrap_or(Path::new("/"));
        let names = measure.entries.saturating_mul(PER_NAME);
        let files = measure.allocated.saturating_add(names);
        let shares = |path: &Path| {
            fs::metadata(path).is_ok_and(|facts| folder.metadata().is_ok_and(|own| own.dev() == facts.dev()))
        };
        let needed = match kind {
            Storage::Luks => files.saturating_add(files / 8).saturating_add(EMPTY_IMAGE),
            _ => files,
        };
        let free = rustix::fs::statvfs(around)
            .map(|space| space.f_bavail.saturating_mul(space.f_frsize))
            .unwrap_or(0);
        Self { needed, free, shared: kind != Storage::Luks && shares(around) && copies_by_sharing(around) }
    }
}

/// statfs(2): btrfs and XFS share the data of files.
fn copies_by_sharing(folder: &Path) -> bool {
    rustix::fs::statfs(folder)
        .is_ok_and(|facts| [Ok(0x9123_683e), Ok(0x5846_5342)].contains(&u64::try_from(facts.f_type)))
}

/// The kind of storage, where it will be, and where the home is mounted.
fn place(
    ctx: &Context<'_>,
    members: &mut Map<String, Value>,
) -> Result<(Storage, PathBuf, PathBuf), Failure> {
    let read = |members: &Map<String, Value>| {
        Record::from_value(Value::Object(members.clone()), Sections::EMBEDDED)
            .map_err(|e| Failure::say(e.to_string()))
    };
    if read(members)?.on(&ctx.machine).storage.is_none() {
        members.insert("storage".to_owned(), json!("luks"));
    }
    let settings = read(members)?.on(&ctx.machine);
    let kind = settings.effective_storage();
    if !matches!(kind, Storage::Luks | Storage::Directory | Storage::Subvolume) {
        let kind = kind.as_str();
        return Err(Failure::say(format!(
            "--storage={kind}: an account cannot be converted into a home of that kind. Nothing was \
             changed."
        )));
    }
    let mounted_at = settings.effective_home_directory().into();
    match settings.effective_image_path() {
        Some(path) => Ok((kind, path.into(), mounted_at)),
        None => Err(Failure::say("The home has no place on this machine. Nothing was changed.")),
    }
}

fn open_folder(account: &Account, home: &Path) -> Result<fs::File, Failure> {
    let refuse = |why: &str| Failure::say(format!("{}: {why}. Nothing was changed.", home.display()));
    if !home.is_absolute() || home.components().count() < 3 {
        return Err(refuse("this is no folder of a user's own"));
    }
    let facts = home.symlink_metadata().map_err(|error| at(home, &error))?;
    if facts.is_symlink() {
        return Err(refuse("it is a symbolic link. Have /etc/passwd name the folder itself (usermod -d)"));
    }
    if !facts.is_dir() {
        return Err(refuse("it is no folder"));
    }
    if facts.uid() != account.uid {
        return Err(refuse(&format!("it belongs to UID {}, and not to {}", facts.uid(), account.user)));
    }
    let is_others = |above: &&Path| {
        above.symlink_metadata().is_ok_and(|facts| facts.uid() != 0 || facts.mode() & 0o022 != 0)
    };
    if let Some(above) = home.ancestors().skip(1).find(is_others) {
        return Err(refuse(&format!("others than root can change what is in {}", above.display())));
    }
    fs::File::open(home).map_err(|error| at(home, &error))
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::say(format!("{}: {error}. Nothing was changed.", path.display()))
}

fn unknown(user: &str) -> Failure {
    Failure::say(format!(
        "/etc/passwd has no account {user}. Nothing was changed. Accounts of a directory service (LDAP, SSSD) are not on this \
         machine, and stay there; to make a new home: homectl create {user}"
    ))
}
