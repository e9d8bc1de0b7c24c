//! A call of a PAM module, from its question to its answer.

use super::line;
use crate::front::pam::Answered;
use records::handoff::Reply;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// How often a caller hears that its call is being worked on.
const BEAT: Duration = Duration::from_secs(1);

/// Waits for the answer to a call, and says meanwhile that it is being worked on. A client that leaves takes its
/// question back.
pub async fn attend(stream: &mut UnixStream, asking: impl Future<Output = Answered>) -> io::Result<Answered> {
    let mut asking = std::pin::pin!(asking);
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            biased;
            answered = &mut asking => return Ok(answered),
            gone = left(stream) => return Err(gone.err().unwrap_or(io::ErrorKind::ConnectionAborted.into())),
            _ = beat.tick() => stream.write_all(&line(&Reply::Working)).await?,
        }
    }
}

/// Ends when the client closes, or says something though it is not its turn.
async fn left(stream: &UnixStream) -> io::Result<()> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let peek = || Ok(rustix::net::recv(stream, &mut [0u8; 1][..], flags).map(drop)?);
    stream.async_io(Interest::READABLE, peek).await
}

/// Sends an answer, with its reference. What the answer is about is done, whether the client hears it or not.
pub async fn send(stream: &UnixStream, answered: &Answered) -> io::Result<()> {
    let bytes = line(&answered.reply);
    let attempt = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = answered.reference.iter().map(AsFd::as_fd).collect();
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(rustix::net::sendmsg(stream, &[IoSlice::new(&bytes)], &mut control, flags)?)
    };
    match stream.async_io(Interest::WRITABLE, attempt).await? {
        all if all == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
