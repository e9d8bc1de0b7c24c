//! `sd_notify`: one datagram to the service manager, where there is one. Never waits: a beat that is lost is followed by
//! another, and a service manager that hangs must not have the loop hang, too.

use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Tells the service manager something like `READY=1`.
pub fn tell(state: &str) {
    tell_with(state, None);
}

/// Has the service manager keep a socket for a daemon that is started again (`FileDescriptorStoreMax=`), in place of
/// what it has under that name. Clients that come meanwhile wait in the socket.
pub fn keep(name: &str, socket: BorrowedFd<'_>) {
    tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    tell_with(&format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}"), Some(socket));
}

/// How often the service manager wants to hear that the loop lives: twice in the time after which it has it killed.
pub fn beat() -> Option<Duration> {
    let word = |name: &str| std::env::var(name).ok();
    let is_for_us = word("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let usec: u64 = word("WATCHDOG_USEC")?.parse().ok()?;
    (is_for_us && usec > 0).then(|| Duration::from_micros(usec / 2))
}

fn tell_with(state: &str, socket: Option<BorrowedFd<'_>>) {
    let Some(manager) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&manager.to_string_lossy(), state, socket) {
        tracing::warn!("the service manager could not be told {state:?}: {error}");
    }
}

fn send(manager: &str, state: &str, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let address = match manager.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(manager)?,
    };
    let kind = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let own = rustix::net::socket_with(rustix::net::AddressFamily::UNIX, SocketType::DGRAM, kind, None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let handed = socket.as_slice();
    if !handed.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(handed));
    }
    let text = [IoSlice::new(state.as_bytes())];
    rustix::net::sendmsg_addr(&own, &address, &text, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    use std::io::IoSliceMut;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn the_service_manager_hears_it_and_gets_the_socket() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("notify");
        let path = path.to_str().expect("text");
        let manager = UnixDatagram::bind(path).expect("bound");
        send(path, "READY=1", None).expect("sent");
        let mut text = [0; 16];
        let length = manager.recv(&mut text).expect("received");
        assert_eq!(&text[..length], b"READY=1");

        send(path, "FDSTORE=1", Some(manager.as_fd())).expect("sent");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut text)];
        rustix::net::recvmsg(&manager, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC).expect("received");
        let handed = |message| match message {
            RecvAncillaryMessage::ScmRights(fds) => fds.count(),
            _ => 0,
        };
        assert_eq!(control.drain().map(handed).sum::<usize>(), 1);
    }

    #[test]
    fn a_service_manager_that_does_not_read_stops_nobody() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("notify");
        let path = path.to_str().expect("text");
        let _deaf = UnixDatagram::bind(path).expect("bound");
        // The kernel keeps some; then it says so at once.
        assert!((0..100_000).any(|_| send(path, "WATCHDOG=1", None).is_err()));
    }
}
