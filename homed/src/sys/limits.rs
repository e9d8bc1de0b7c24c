//! Limits of the kernel that answer as a full disk does (`ENOSPC`, `EDQUOT`), and are none: named where they are met, so
//! that nobody is told to free space.

use std::io::{self, ErrorKind};

/// What there is no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// User namespaces: clone(2), `CLONE_NEWUSER`. `ENOSPC`, and `EUSERS` before Linux 4.9.
    #[error("this machine allows no more user namespaces (sysctl user.max_user_namespaces)")]
    UserNamespaces,
    /// Keys of a user: add_key(2). `EDQUOT`.
    #[error(
        "root may have no more keys in the kernel (sysctl kernel.keys.root_maxkeys, kernel.keys.root_maxbytes)"
    )]
    Keys,
    /// Mounts of a mount namespace: fsmount(2), open_tree(2), move_mount(2). `ENOSPC`.
    #[error("this machine allows no more mounts (sysctl fs.mount-max)")]
    Mounts,
}

impl Limit {
    /// An error of the call that this is the limit of, named if the limit is what it met.
    pub fn name(self, error: io::Error) -> io::Error {
        let is_met = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            || error.raw_os_error() == Some(libc::EUSERS);
        if is_met { io::Error::other(self) } else { error }
    }

    /// The limit that an error has met, if it was one.
    pub fn met(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Whether this machine allows no user namespace at all.
pub fn no_user_namespaces() -> bool {
    std::fs::read_to_string("/proc/sys/user/max_user_namespaces").is_ok_and(|most| most.trim() == "0")
}

/// Lets this process have so many files open at once, as far as it may. (Who is given more by its service manager keeps it.)
pub fn raise_descriptors(wanted: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(wanted, |most| most.min(wanted));
    if now.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_no_full_disk() {
        for (code, met) in
            [(libc::ENOSPC, true), (libc::EDQUOT, true), (libc::EUSERS, true), (libc::EPERM, false)]
        {
            let named = Limit::UserNamespaces.name(io::Error::from_raw_os_error(code));
            assert_eq!(Limit::met(&named), met.then_some(Limit::UserNamespaces));
            assert_ne!(named.kind(), ErrorKind::StorageFull);
        }
        assert_eq!(Limit::met(&io::Error::from_raw_os_error(libc::ENOSPC)), None);
    }
}
