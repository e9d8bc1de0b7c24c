//! The client: connects, deposits secrets, hears of progress.

use crate::memory;
use crate::stream::Stream;
use records::Secret;
use records::handoff::{Deposit, Progress, Reply, SOCKET, VERSION};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest line the daemon sends.
const LONGEST_LINE: usize = 16 * 1024;

/// Why a secret could not be handed over. Never says what it was.
#[derive(Debug, thiserror::Error)]
pub enum HandoffError {
    /// Nobody listens: homed does not run, or is another one.
    #[error("homed does not answer on {SOCKET}: {0}")]
    Unreachable(#[source] io::Error),
    /// The connection broke or took too long.
    #[error("handing the secret to homed failed: {0}")]
    Broken(#[from] io::Error),
    /// It does not want it.
    #[error("homed did not take the secret: {0}")]
    Refused(String),
}

/// A connection to the daemon. Tickets are good as long as it is open.
pub struct Client {
    stream: Stream,
    progress: VecDeque<Progress>,
    patience: Duration,
}

impl Client {
    /// Connects to the daemon; no single step waits longer than `patience`.
    pub fn connect(patience: Duration) -> Result<Self, HandoffError> {
        Self::connect_to(Path::new(SOCKET), patience)
    }

    /// The same on another socket.
    pub fn connect_to(path: &Path, patience: Duration) -> Result<Self, HandoffError> {
        let stream = Stream::connect(path, Instant::now() + patience).map_err(HandoffError::Unreachable)?;
        Ok(Self { stream, progress: VecDeque::new(), patience })
    }

    /// Hands a secret over; the ticket stands for it once.
    pub fn deposit(&mut self, secret: &Secret) -> Result<String, HandoffError> {
        // Wiped when this function ends: whatever the daemon says, it needs the memory no longer.
        let memory = memory::offer(secret)?;
        self.send(&Deposit { version: VERSION, length: secret.open().len() }, memory.as_fd())?;
        let deadline = Instant::now() + self.patience;
        loop {
            match self.next(deadline)? {
                Some(Reply::Ticket(ticket)) => return Ok(ticket),
                Some(Reply::Refused(why)) => return Err(HandoffError::Refused(why)),
                Some(Reply::Progress(progress)) if Instant::now() < deadline => {
                    self.progress.push_back(progress);
                }
                Some(Reply::Progress(_)) | None => {
                    return Err(io::Error::from(io::ErrorKind::TimedOut).into());
                }
                Some(_) => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            }
        }
    }

    /// The next word on how far the work is; `None` if none comes within `wait`.
    pub fn next_progress(&mut self, wait: Duration) -> Result<Option<Progress>, HandoffError> {
        if let Some(progress) = self.progress.pop_front() {
            return Ok(Some(progress));
        }
        match self.next(Instant::now() + wait)? {
            Some(Reply::Progress(progress)) => Ok(Some(progress)),
            Some(_) | None => Ok(None),
        }
    }

    fn send(&self, deposit: &Deposit, fd: BorrowedFd<'_>) -> Result<(), HandoffError> {
        let mut line = serde_json::to_vec(deposit).map_err(io::Error::from)?;
        line.push(b'\n');
        Ok(self.stream.send(&line, &[fd])?)
    }

    /// The next whole line, if one comes before `deadline`.
    fn next(&mut self, deadline: Instant) -> Result<Option<Reply>, HandoffError> {
        let Some(line) = self.stream.next(b'\n', LONGEST_LINE, deadline)? else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&line).map_err(io::Error::from)?))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    use std::io::{IoSliceMut, Write};
    use std::mem::MaybeUninit;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn take(stream: &UnixStream) -> Secret {
        let mut line = [0; 256];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut line)], &mut control, flags)
            .expect("received");
        let deposit: Deposit = serde_json::from_slice(&line[..got.bytes]).expect("a deposit");
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let memory = memory::Memory::recognise(fd.expect("a descriptor")).expect("memory");
        memory.take(deposit.length).expect("a secret")
    }

    #[test]
    fn a_secret_is_exchanged_for_a_ticket_and_progress_is_heard() {
        let folder = std::env::temp_dir().join(format!("handoff-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepted");
            let secret = take(&stream);
            let progress = r#"{"progress":{"step":"Formatting","done":1,"of":2}}"#;
            stream.write_all(format!("{progress}\n{{\"ticket\":\"aa\"}}\n").as_bytes()).expect("written");
            secret
        });
        let mut client = Client::connect_to(&path, Duration::from_secs(10)).expect("connects");
        let ticket = client.deposit(&Secret::from_text("geheim".into())).expect("taken");
        let progress = client.next_progress(Duration::from_secs(10)).expect("reads").expect("heard");
        assert_eq!((ticket.as_str(), progress.step.as_str()), ("aa", "Formatting"));
        assert_eq!(server.join().expect("ends").open(), b"geheim");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    /// A client and its peer, without a daemon.
    fn pair(patience: Duration) -> (Client, UnixStream) {
        let (near, far) = UnixStream::pair().expect("made");
        near.set_nonblocking(true).expect("set");
        (Client { stream: Stream::over(near.into()), progress: VecDeque::new(), patience }, far)
    }

    #[test]
    fn signals_do_not_end_the_wait_for_a_ticket() {
        crate::sys::signals::heed();
        let (mut client, mut far) = pair(Duration::from_secs(60));
        let waiting = rustix::thread::gettid();
        let server = std::thread::spawn(move || {
            let secret = take(&far);
            for _ in 0..10 {
                crate::sys::signals::interrupt(waiting);
            }
            far.write_all(b"{\"ticket\":\"aa\"}\n").expect("written");
            secret
        });
        assert_eq!(client.deposit(&Secret::from_text("geheim".into())).expect("taken"), "aa");
        assert_eq!(server.join().expect("ends").open(), b"geheim");
    }

    #[test]
    fn a_daemon_that_says_other_things_does_not_make_it_wait_for_ever() {
        let (mut client, mut far) = pair(Duration::from_millis(100));
        let server = std::thread::spawn(move || {
            let word = b"{\"progress\":{\"step\":\"\",\"done\":0,\"of\":0}}\n";
            while far.write_all(word).is_ok() {}
        });
        let waited = client.deposit(&Secret::from_text("geheim".into()));
        assert!(matches!(waited, Err(HandoffError::Broken(e)) if e.kind() == io::ErrorKind::TimedOut));
        drop(client);
        server.join().expect("ends");
    }

    #[test]
    fn nobody_listening_is_told_apart() {
        let refused = Client::connect_to(Path::new("/nonexistent/socket"), Duration::from_secs(1));
        assert!(matches!(refused, Err(HandoffError::Unreachable(_))));
    }
}
