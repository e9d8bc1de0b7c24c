//! The account databases of this machine (`nsswitch.conf`): who has a name or a number.

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

/// A database that could not answer: it may know the one asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an account database gives no answer: {0}")]
pub struct NoAnswer(String);

type Known = Result<Option<String>, NoAnswer>;

/// The name of the user with that UID.
pub fn user_of(uid: u32) -> Known {
    known(User::from_uid(Uid::from_raw(uid)), |user| user.name)
}

/// The name of the group with that GID.
pub fn group_of(gid: u32) -> Known {
    known(Group::from_gid(Gid::from_raw(gid)), |group| group.name)
}

/// The user of that name.
pub fn user(name: &str) -> Known {
    known(User::from_name(name), |user| user.name)
}

/// The group of that name.
pub fn group(name: &str) -> Known {
    known(Group::from_name(name), |group| group.name)
}

/// Some modules say by an error that there is none: getpwuid_r(3) names those numbers.
fn known<T>(found: nix::Result<Option<T>>, name: impl FnOnce(T) -> String) -> Known {
    match found {
        Ok(found) => Ok(found.map(name)),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        Err(errno) => Err(NoAnswer(errno.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_there_is_told_from_a_database_that_is_not() {
        assert_eq!(known(Ok::<Option<()>, _>(None), |()| String::new()), Ok(None));
        assert_eq!(known(Err::<Option<()>, _>(Errno::ENOENT), |()| String::new()), Ok(None));
        assert!(known(Err::<Option<()>, _>(Errno::EAGAIN), |()| String::new()).is_err());
        assert_eq!(user_of(0), Ok(Some("root".into())));
    }
}
