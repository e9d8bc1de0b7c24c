//! The sockets that clients come to, over the life of more than one daemon: taken over from the service manager where it
//! has them, made where not, and left with it, so that who comes while the daemon is started again waits and is answered.

use super::notify;
use crate::sys::handed;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// What was handed over.
#[derive(Default)]
pub struct Handed(BTreeMap<String, OwnedFd>);

impl Handed {
    /// At the very start of the program.
    pub fn take() -> Self {
        Self(handed::sockets())
    }

    /// The socket of that name at this path, for everybody.
    pub fn listen(&mut self, name: &str, path: &Path) -> io::Result<UnixListener> {
        let listener = match self.0.remove(name).map(UnixListener::from) {
            Some(listener) if is_at(&listener, path) => listener,
            _ => {
                let listener = bind(path)?;
                notify::keep(name, listener.as_fd());
                listener
            }
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }
}

/// Whether clients that come to the path come to this socket.
fn is_at(listener: &UnixListener, path: &Path) -> bool {
    let own = listener.local_addr().is_ok_and(|address| address.as_pathname() == Some(path));
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    own && is_socket && rustix::net::sockopt::socket_acceptconn(listener) == Ok(true)
}

/// Begins to listen at a path, whatever an earlier daemon has left there.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn who_comes_between_two_daemons_is_served_by_the_second() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("socket");
        let kept = bind(&path).expect("bound");
        let mut client = UnixStream::connect(&path).expect("taken in by the kernel");
        client.write_all(b"?").expect("sent");

        let mut second = Handed(BTreeMap::from([("users".to_owned(), kept.into())]));
        let listener = second.listen("users", &path).expect("listens");
        listener.set_nonblocking(false).expect("set");
        let (mut served, _) = listener.accept().expect("there");
        served.write_all(b"!").expect("sent");
        drop(served);
        let mut answer = String::new();
        // What was not read makes the end of it a reset.
        let _ = client.read_to_string(&mut answer);
        assert_eq!(answer, "!");
    }

    #[test]
    fn a_socket_that_nobody_comes_to_any_more_is_made_anew() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("socket");
        let kept = bind(&path).expect("bound");
        std::fs::remove_file(&path).expect("removed");
        let mut second = Handed(BTreeMap::from([("users".to_owned(), kept.into())]));
        let _listener = second.listen("users", &path).expect("listens");
        assert!(UnixStream::connect(&path).is_ok());
    }
}
