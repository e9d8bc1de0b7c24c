//! Whether the kernel has something: it is asked for, and given back at once.

use nix::sys::socket::{AddressFamily, AlgAddr, SockFlag, SockType, bind, socket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Whether it gives memory that is not in its own map, memfd_secret(2).
pub fn has_secret_memory() -> bool {
    // SAFETY: the call takes no pointer; what it gives is a descriptor of ours alone.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let Some(fd) = i32::try_from(fd).ok().filter(|fd| *fd >= 0) else { return false };
    // SAFETY: just opened, and owned by nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    true
}

/// Whether it encrypts for programs (AF_ALG, `algif_skcipher`).
pub fn has_kernel_cipher() -> bool {
    let socket = socket(AddressFamily::Alg, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    socket.is_ok_and(|socket| bind(socket.as_raw_fd(), &AlgAddr::new("skcipher", "xts(aes)")).is_ok())
}
