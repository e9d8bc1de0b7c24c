//! One call of a PAM module: asks, and waits for the answer as long as the daemon works on it.

use crate::client::HandoffError;
use crate::memory::{self, Memory};
use crate::stream::Stream;
use records::Secret;
use records::handoff::{Call, Failed, Reply, Request, SOCKET, VERSION};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest line the daemon sends.
const LONGEST_LINE: usize = 64 * 1024;
/// How long the daemon may say nothing at all.
const SILENCE: Duration = Duration::from_secs(10);

/// What came of a call.
#[derive(Debug)]
pub enum Answer {
    /// It is done.
    Done,
    /// A reference on the home: held as long as any copy of it is open.
    Reference(OwnedFd),
    /// It is not done.
    Failed(Failed),
}

/// Calls the daemon. The secrets go along in the call's order; they are wiped before this returns. Waits no longer
/// than `patience` in all, and not for a daemon that says nothing for ten seconds (`TimedOut`).
pub fn call(call: Call, secrets: &[&Secret], patience: Duration) -> Result<Answer, HandoffError> {
    call_at(Path::new(SOCKET), call, secrets, patience)
}

fn call_at(path: &Path, call: Call, secrets: &[&Secret], patience: Duration) -> Result<Answer, HandoffError> {
    let deadline = Instant::now() + patience;
    let stream = Stream::connect(path, soon(deadline)).map_err(HandoffError::Unreachable)?;
    converse(stream, call, secrets, deadline)
}

fn converse(
    mut stream: Stream,
    call: Call,
    secrets: &[&Secret],
    deadline: Instant,
) -> Result<Answer, HandoffError> {
    let memory =
        secrets.iter().map(|secret| memory::offer_plain(secret)).collect::<io::Result<Vec<Memory>>>()?;
    let lengths = secrets.iter().map(|secret| secret.open().len()).collect();
    let request = Request { version: VERSION, call, lengths };
    let mut line = serde_json::to_vec(&request).map_err(io::Error::from)?;
    line.push(b'\n');
    let fds: Vec<_> = memory.iter().map(AsFd::as_fd).collect();
    stream.send(&line, &fds)?;
    loop {
        let Some(line) = stream.next(b'\n', LONGEST_LINE, soon(deadline))? else {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        };
        match serde_json::from_slice(&line).map_err(io::Error::from)? {
            Reply::Working | Reply::Progress(_) => {}
            Reply::Done => return Ok(Answer::Done),
            Reply::Reference => {
                let fd = stream.take_descriptor().ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
                return Ok(Answer::Reference(fd));
            }
            Reply::Failed(failed) => return Ok(Answer::Failed(failed)),
            Reply::Refused(why) => return Err(HandoffError::Refused(why)),
            Reply::Ticket(_) => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }
}

fn soon(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + SILENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn release() -> Call {
        Call::Release { user: "alice".into() }
    }

    /// Calls a daemon that says this and closes.
    fn answered(words: &str, patience: Duration) -> Result<Answer, HandoffError> {
        let (near, mut far) = UnixStream::pair().expect("made");
        near.set_nonblocking(true).expect("set");
        far.write_all(words.as_bytes()).expect("written");
        let end = if patience.is_zero() {
            Some(far)
        } else {
            drop(far.shutdown(std::net::Shutdown::Write));
            None
        };
        let got = converse(Stream::over(near.into()), release(), &[], Instant::now() + patience);
        drop(end);
        got
    }

    #[test]
    fn answers_are_told_apart_and_work_is_waited_for() {
        let long = Duration::from_secs(60);
        assert!(matches!(answered("\"working\"\n\"working\"\n\"done\"\n", long), Ok(Answer::Done)));
        let failed = answered("{\"failed\":{\"name\":\"x\",\"sentence\":\"y\"}}\n", long);
        assert!(matches!(failed, Ok(Answer::Failed(failed)) if failed.sentence == "y"));
        assert!(matches!(answered("{\"refused\":\"full\"}\n", long), Err(HandoffError::Refused(_))));
        // A reference without its descriptor, other things, nothing at all.
        for words in ["\"reference\"\n", "{\"ticket\":\"aa\"}\n", "nonsense\n", "\"working\"\n", ""] {
            assert!(matches!(answered(words, long), Err(HandoffError::Broken(_))), "{words}");
        }
    }

    #[test]
    fn a_daemon_that_says_nothing_is_given_up() {
        let got = answered("\"working\"\n", Duration::ZERO);
        assert!(matches!(got, Err(HandoffError::Broken(e)) if e.kind() == io::ErrorKind::TimedOut));
    }
}
