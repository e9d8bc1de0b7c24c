//! The IDs of a user's containers in /etc/subuid and /etc/subgid, where `newuidmap` and podman look for them.
//!
//! A machine on which those files are not there has nothing that reads them, and gets none: as `useradd` does it.
//!
//! Whether somebody else who has a line is known is read in files alone: a directory service may take minutes, while a login and
//! whoever waits for the lock of the accounts wait, and the C library says "no such user" where one of several services gives no
//! answer. So where there is a directory service, whoever has a line counts as known.

use super::Folders;
use crate::sys::durable::{self, Owner};
use crate::sys::waiting::wait_until;
use records::{UserName, subordinate};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// The folder of both files.
pub const ETC: &str = "/etc";
const FILES: [&str; 2] = ["subuid", "subgid"];
/// What all take who change these files: lckpwdf(3).
const LOCK: &str = ".pwd.lock";
/// Services of nsswitch.conf(5) that ask nobody outside of this machine.
const LOCAL: [&str; 4] = ["files", "compat", "systemd", "mymachines"];
/// How long another program may take. A login waits meanwhile, and does without.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sees to it that a user has hers. An error: also where another user of this machine has some of them.
pub fn give(etc: &Path, user: &UserName, uid: u32) -> io::Result<()> {
    let is_known = |name: &str| is_known(etc, name);
    let edit = |text: &str| subordinate::given(text, (user, uid), is_known).map_err(io::Error::other);
    change(etc, edit)
}

/// Takes out what a user has from here.
pub fn take(etc: &Path, user: &UserName) -> io::Result<()> {
    change(etc, |text| Ok(subordinate::taken(text, user)))
}

/// Whether a user of that name, or with that UID, is known to this machine, or may be: to a service that would have to be asked.
/// What cannot be read may know the user.
fn is_known(etc: &Path, name: &str) -> bool {
    let is_home =
        || UserName::parse(name).is_ok_and(|user| Folders::default().has_record(&user).unwrap_or(true));
    let is_account = || match read(etc, "passwd") {
        Ok(text) => text.unwrap_or_default().lines().any(|line| is_of(line, name)),
        Err(_) => true,
    };
    is_account() || !is_all_local(etc) || is_home()
}

/// Whether a line of /etc/passwd is the account of that name, or with that UID.
fn is_of(line: &str, name: &str) -> bool {
    let mut fields = line.split(':');
    fields.next() == Some(name) || fields.nth(1) == Some(name)
}

/// Whether nsswitch.conf(5) has users looked up in files and at daemons of this machine alone. Those of systemd-userdbd's users who
/// are in no file are homes and a service's own, which have no such line.
fn is_all_local(etc: &Path) -> bool {
    let text = match read(etc, "nsswitch.conf") {
        Ok(text) => text.unwrap_or_default(),
        Err(_) => return false,
    };
    let services = text.lines().filter_map(|line| line.trim_start().strip_prefix("passwd:"));
    let mut words = services.flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    // What is to be done after an answer is in brackets, and may have several words.
    let mut is_inside = false;
    words.all(|word| {
        let was_inside = is_inside || word.starts_with('[');
        is_inside = was_inside && !word.ends_with(']');
        was_inside || LOCAL.contains(&word)
    })
}

/// Writes both files anew where `edit` gives another text. Nearly always there is nothing to do, and nothing is locked.
fn change(etc: &Path, edit: impl Fn(&str) -> io::Result<Option<String>>) -> io::Result<()> {
    let wanted = |name: &str| read(etc, name)?.map_or(Ok(None), |text| edit(&text));
    let mut lock = None;
    for name in FILES {
        if wanted(name)?.is_none() {
            continue;
        }
        if lock.is_none() {
            lock = Some(locked(etc)?);
        }
        if let Some(text) = wanted(name)? {
            let facts = fs::metadata(etc.join(name))?;
            let mode = facts.permissions().mode() & 0o7777;
            let owner = Owner { uid: facts.uid(), gid: facts.gid(), mode };
            durable::replace(durable::folder(etc)?, name, text.as_bytes(), owner)?;
        }
    }
    Ok(())
}

fn read(etc: &Path, name: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(etc.join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn locked(etc: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::openat(durable::folder(etc)?, LOCK, flags, Mode::from_raw_mode(0o600))?;
    let taken = wait_until(PATIENCE, || {
        match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from)
        {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::PermissionDenied) => {
                Ok(false)
            }
            other => other.map(|()| true),
        }
    })?;
    if taken {
        Ok(lock)
    } else {
        Err(io::Error::other("another program changes the accounts (.pwd.lock is held)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_there_get_a_line_and_lose_it() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let etc = folder.path();
        let alice = UserName::parse("alice").expect("a name");
        give(etc, &alice, 60001)?;
        assert_eq!(fs::read_dir(etc)?.count(), 0, "nothing reads them here");
        fs::write(etc.join("subuid"), "bob:100000:65536\n")?;
        fs::set_permissions(etc.join("subuid"), fs::Permissions::from_mode(0o640))?;
        give(etc, &alice, 60001)?;
        let text = fs::read_to_string(etc.join("subuid"))?;
        assert_eq!(text, "bob:100000:65536\nalice:1879048192:65536\n");
        assert_eq!(fs::metadata(etc.join("subuid"))?.permissions().mode() & 0o777, 0o640);
        assert!(!etc.join("subgid").exists());
        // What a user of this machine has is taken from nobody, and what one has left who is gone goes.
        fs::write(etc.join("passwd"), "root:x:0:0:root:/root:/bin/bash\n")?;
        fs::write(etc.join("subgid"), "0:1879048192:65536\n")?;
        let error = give(etc, &alice, 60001).expect_err("root has them").to_string();
        assert!(error.contains("0:1879048192:65536"), "{error}");
        fs::write(etc.join("subgid"), "nobody-is-called-so:1879048192:65536\n")?;
        // A directory service may know that one, whatever it answers, or does not, today.
        fs::write(
            etc.join("nsswitch.conf"),
            "# passwd: files\npasswd: files [NOTFOUND=continue] sss systemd\n",
        )?;
        assert!(give(etc, &alice, 60001).is_err());
        fs::write(etc.join("nsswitch.conf"), "passwd: files [!SUCCESS=continue TRYAGAIN=3] systemd # sss\n")?;
        give(etc, &alice, 60001)?;
        assert_eq!(fs::read_to_string(etc.join("subgid"))?, "alice:1879048192:65536\n");
        take(etc, &alice)?;
        assert_eq!(fs::read_to_string(etc.join("subuid"))?, "bob:100000:65536\n");
        Ok(())
    }
}
