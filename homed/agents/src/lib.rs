//! Questions for agents of systemd-ask-password: Plymouth, a console's agent, whoever looks after the folder.
//!
//! The protocol is <https://systemd.io/PASSWORD_AGENTS/>: a file `ask.…` says what is asked and on which socket the
//! answer is awaited; the answer is one datagram, `+` and the password, or `-` where somebody does not want to. Only
//! root, and who asks himself, may answer. Nothing is kept: neither is an answer put into a keyring, nor is one that
//! others put there taken.

#![forbid(unsafe_code)]

use nix::time::{ClockId, clock_gettime};
use records::Secret;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::Permissions;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the system's questions lie.
pub const FOLDER: &str = "/run/systemd/ask-password";
/// An answer that is longer is no password.
const LONGEST: usize = 4096;

/// What is asked.
pub struct Asked<'a> {
    /// One line for people.
    pub message: &'a str,
    /// What the question is about, for programs: `homed:alice`.
    pub id: &'a str,
    /// The name of a picture (Icon Naming Specification).
    pub icon: &'a str,
    /// Whether what is typed is shown.
    pub echo: bool,
    /// For how long it is asked; `None`: for as long as it takes.
    pub patience: Option<Duration>,
}

/// What somebody said.
pub enum Answer {
    /// The secret.
    Given(Secret),
    /// Not to want to.
    Declined,
}

/// A question that lies in a folder; it goes with this.
pub struct Question {
    file: PathBuf,
    place: PathBuf,
    socket: UnixDatagram,
}

impl Question {
    /// Puts it there. `name` tells it from others of this process.
    pub fn put(folder: &Path, name: &str, asked: &Asked<'_>) -> io::Result<Self> {
        let name = format!("{name}-{}", std::process::id());
        let place = folder.join(format!("sck.{name}"));
        // One of a process of the same number that was killed.
        let _ = std::fs::remove_file(&place);
        let socket = UnixDatagram::bind(&place)?;
        let question = Self { file: folder.join(format!("ask.{name}")), place, socket };
        std::fs::set_permissions(&question.place, Permissions::from_mode(0o600))?;
        set_socket_passcred(&question.socket, true)?;
        let draft = folder.join(format!("tmp.{name}"));
        std::fs::write(&draft, text(&question.place, asked))?;
        // An agent reads it when it has its name, and then all of it is there.
        std::fs::rename(&draft, &question.file)?;
        Ok(question)
    }

    /// What has come; `None`: nothing yet that counts. Does not wait.
    pub fn answer(&self) -> io::Result<Option<Answer>> {
        let mut bytes = vec![0; LONGEST + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut beside,
            RecvFlags::DONTWAIT | RecvFlags::TRUNC,
        );
        let count = received.map(|message| message.bytes);
        let whole = Secret::new(bytes);
        let ours = rustix::process::geteuid();
        let may = beside.drain().any(|message| {
            matches!(message, RecvAncillaryMessage::ScmCredentials(sender) if sender.uid.is_root() || sender.uid == ours)
        });
        match count {
            Ok(count) if may => Ok(given(&whole.open()[..count.min(LONGEST)])),
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Question {
    /// Can be read when something has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // Agents watch for it: the question is taken back.
        let _ = std::fs::remove_file(&self.file);
        let _ = std::fs::remove_file(&self.place);
    }
}

/// Asks, and waits for the answer; `None` where nobody gave one in time.
pub fn ask(folder: &Path, name: &str, asked: &Asked<'_>) -> io::Result<Option<Answer>> {
    let until = asked.patience.map(|patience| now() + patience);
    let question = Question::put(folder, name, asked)?;
    loop {
        let left = until.map(|until| until.saturating_sub(now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&question, PollFlags::IN)], left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(answer) = question.answer()? {
            return Ok(Some(answer));
        }
    }
}

/// The clock that `NotAfter=` is read by.
fn now() -> Duration {
    // (Every Linux has this clock. rustix needs a vDSO for it, which User-Mode Linux has not.)
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// The secret in a datagram. An agent may send several, with a NUL after each: the first counts.
fn given(datagram: &[u8]) -> Option<Answer> {
    if datagram.starts_with(b"-") {
        return Some(Answer::Declined);
    }
    let secret = datagram.strip_prefix(b"+")?.split(|byte| *byte == 0).next()?;
    Some(Answer::Given(Secret::new(secret.to_vec())))
}

/// The question, as an agent reads it.
fn text(socket: &Path, asked: &Asked<'_>) -> String {
    let line =
        |text: &str| -> String { text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
    let not_after = asked.patience.map_or(0, |patience| (now() + patience).as_micros());
    format!(
        "[Ask]\nPID={}\nSocket={}\nAcceptCached=0\nEcho={}\nNotAfter={not_after}\nSilent=0\nMessage={}\n\
         Icon={}\nId={}\n",
        std::process::id(),
        socket.display(),
        u8::from(asked.echo),
        line(asked.message),
        line(asked.icon),
        line(asked.id),
    )
}

#[cfg(test)]
mod tests;
