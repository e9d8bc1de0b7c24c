//! What else there is of a user on this machine: who runs, what is run for them, what is mounted, what names them.

use records::visible::visible;
use serde::Serialize;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// All that was found. Lists are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Around {
    /// Processes, by their number and name.
    pub processes: Vec<String>,
    /// What runs or is kept for the user without a login: in words.
    pub timers: Vec<String>,
    /// Files that name the user and stay as they are.
    pub named_in: Vec<PathBuf>,
    /// Lines of subuid(5) and subgid(5), which stay.
    pub sub_ids: Vec<String>,
    /// Where something is mounted in the home directory.
    pub mounts: Vec<PathBuf>,
}

/// Looks. Nothing is changed.
pub fn look(user: &str, uid: u32, home: &Path) -> Around {
    let mut around = Around {
        processes: processes(uid),
        timers: timers(user),
        named_in: named_in(user),
        sub_ids: sub_ids(user, uid),
        mounts: mounts_in(home),
    };
    around.mounts.sort();
    around
}

/// Processes that run as a user, by any of their UIDs.
pub fn processes(uid: u32) -> Vec<String> {
    let mut found: Vec<(u32, String)> = entries(Path::new("/proc"))
        .filter_map(|path| {
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            let status = String::from_utf8_lossy(&fs::read(path.join("status")).ok()?).into_owned();
            runs_as(&status, uid).map(|name| (pid, name))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(pid, name)| format!("{pid} ({name})")).collect()
}

/// The name of a process, of proc_pid_status(5), if one of its UIDs (real, effective, saved, for files) is this one: with any of
/// them it can be that user.
fn runs_as(status: &str, uid: u32) -> Option<String> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let mut uids = field("Uid:")?.split_whitespace().filter_map(|uid| uid.parse::<u32>().ok());
    uids.any(|one| one == uid).then(|| visible(field("Name:").map(str::trim).unwrap_or_default()))
}

fn timers(user: &str) -> Vec<String> {
    let there = |path: &str| Path::new(path).join(user).exists();
    let rows = [
        (
            "/var/lib/systemd/linger",
            "lingering (loginctl enable-linger): nothing starts while the home is closed",
        ),
        ("/var/spool/cron/crontabs", "a crontab: its jobs fail while the home is closed"),
        ("/var/spool/cron", "a crontab: its jobs fail while the home is closed"),
        ("/var/mail", "a mailbox in /var/mail: it stays there"),
    ];
    let mut found: Vec<String> = rows
        .into_iter()
        .filter(|(folder, _)| there(folder))
        .map(|(folder, words)| format!("{folder}/{user}: {words}"))
        .collect();
    found.dedup_by_key(|line| line.split(": ").nth(1).map(str::to_owned));
    found
}

/// Files for administrators that have the name as a word of its own.
fn named_in(user: &str) -> Vec<PathBuf> {
    let folders = [
        "/etc/sudoers.d",
        "/etc/security",
        "/etc/security/limits.d",
        "/etc/ssh/sshd_config.d",
        "/etc/cron.d",
    ];
    let files = ["/etc/sudoers", "/etc/ssh/sshd_config", "/etc/crontab", "/etc/at.allow", "/etc/cron.allow"];
    let all =
        folders.iter().flat_map(|folder| entries(Path::new(folder))).chain(files.iter().map(PathBuf::from));
    let names = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| has_word(&text, user));
    let mut found: Vec<PathBuf> = all.filter(|path| path.is_file()).filter(names).collect();
    found.sort();
    found
}

/// Whether a line that is no comment has it.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |letter: char| !(letter.is_alphanumeric() || "_-.".contains(letter));
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .any(|line| line.split(is_part).any(|one| one == word))
}

fn sub_ids(user: &str, uid: u32) -> Vec<String> {
    let uid = uid.to_string();
    let mut found = Vec::new();
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        let theirs = text.lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            name == user || name == uid
        });
        found.extend(theirs.map(|line| format!("{file}: {line}")));
    }
    found
}

/// Where something is mounted in a folder, or at it.
pub fn mounts_in(folder: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    points(&text).into_iter().filter(|point| point.starts_with(folder)).collect()
}

/// The mount points of proc_pid_mountinfo(5), where a blank and the like are written in octal.
fn points(text: &str) -> Vec<PathBuf> {
    let point = |line: &str| Some(PathBuf::from(unescaped(line.split(' ').nth(4)?)));
    text.lines().filter_map(point).collect()
}

fn unescaped(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (octal, letter)| text.replace(octal, letter))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// File systems that ask a server, by their names in the table of mounts.
const SERVERS: [&str; 8] = ["nfs", "cifs", "smb", "9p", "ceph", "fuse", "afs", "glusterfs"];

/// What kind of file system a folder lies on, if that asks a server or is in memory.
pub fn unfit_file_system(folder: &Path) -> Option<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let device = fs::metadata(folder).ok()?.dev();
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let line = text.lines().rfind(|line| line.split(' ').nth(2) == Some(&number))?;
    let kind = line.split_once(" - ")?.1.split(' ').next()?;
    SERVERS.iter().any(|server| kind.starts_with(server)).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_and_comments_do_not_count() {
        assert!(has_word("alice ALL=(bob) ALL\n", "bob"));
        assert!(has_word("AllowUsers carol bob@host\n", "bob"));
        for text in ["bobby ALL=ALL\n", "# bob ALL=ALL\n", "bob-2 ALL=ALL\n", ""] {
            assert!(!has_word(text, "bob"), "{text}");
        }
    }

    #[test]
    fn a_process_is_a_users_by_any_of_its_numbers() {
        for uids in ["7 0 0 0", "0 7 0 0", "0 0 7 0", "0 0 0 7"] {
            let status = format!("Name:\tsh\nUid:\t{}\nGid:\t9 9 9 9\n", uids.replace(' ', "\t"));
            assert_eq!(runs_as(&status, 7).as_deref(), Some("sh"), "{uids}");
            assert_eq!(runs_as(&status, 9), None);
        }
        // The kernel keeps lines apart, and nothing else.
        let named = runs_as("Name:\t\u{1b}]0;x\u{7}\nUid:\t7\t7\t7\t7\n", 7);
        assert_eq!(named.as_deref(), Some("\\u{1b}]0;x\\u{7}"));
    }

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let text = "36 35 98:0 /mnt1 /home/bob/a\\040b rw - ext3 /dev/root rw\n";
        assert_eq!(points(text), [Path::new("/home/bob/a b")]);
    }
}
