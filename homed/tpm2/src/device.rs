//! TPMs of this computer, behind the kernel's resource manager: who closes one leaves nothing in it.

use crate::Failure;
use crate::wire::MOST;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What carries a command to a TPM, and its response back.
pub trait Line {
    /// Sends it and waits for the response.
    fn ask(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure>;
}

/// Paths of the TPMs, the first one first.
pub fn list() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let is_one = |name: &str| {
        name.strip_prefix("tpmrm")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut paths: Vec<_> =
        names.filter(|name| is_one(name)).map(|name| Path::new("/dev").join(name)).collect();
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    #[cfg(feature = "test-tpm")]
    paths.extend(Some(PathBuf::from(TEST)).filter(|path| path.exists()));
    paths
}

/// Where tests have theirs.
#[cfg(feature = "test-tpm")]
const TEST: &str = "/run/homed/test-tpm2";

/// An open one.
pub enum Device {
    /// `/dev/tpmrmN`.
    Node(File),
    /// A program that plays one, at a socket: the commands and responses are the same.
    #[cfg(feature = "test-tpm")]
    Socket(std::os::unix::net::UnixStream),
}

impl Device {
    /// Opens one of [`list`].
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::NoDevice(format!("{}: {error}", path.display()));
        #[cfg(feature = "test-tpm")]
        if path == Path::new(TEST) {
            let socket = std::os::unix::net::UnixStream::connect(path).map_err(failed)?;
            socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).map_err(failed)?;
            return Ok(Self::Socket(socket));
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        Ok(Self::Node(file))
    }
}

impl Line for Device {
    fn ask(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let broken = |error: std::io::Error| Failure::Broken(error.to_string());
        let mut response = Zeroizing::new(vec![0; MOST]);
        let length = match self {
            Self::Node(file) => {
                file.write_all(command).map_err(broken)?;
                file.read(&mut response).map_err(broken)?
            }
            #[cfg(feature = "test-tpm")]
            Self::Socket(socket) => {
                socket.write_all(command).map_err(broken)?;
                socket.read(&mut response).map_err(broken)?
            }
        };
        response.truncate(length);
        Ok(response)
    }
}
