//! What a client of the hand-off socket sends: lines, and descriptors with secrets in them.

use super::TICKETS_PER_CONNECTION;
use handoff::Memory;
use records::handoff::{Deposit, Line, Request};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Longest line of a client, in bytes.
const LONGEST_LINE: usize = 4096;

/// What has come in and is not yet answered.
#[derive(Default)]
pub struct Input {
    bytes: Vec<u8>,
    memory: VecDeque<Memory>,
    /// Descriptors that are no memory: to be closed where it may take its time.
    pub foreign: Vec<OwnedFd>,
}

impl Input {
    /// Reads what is there; `false`: the client has closed.
    pub fn take(&mut self, stream: &UnixStream) -> io::Result<bool> {
        let mut chunk = [0; 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = stream.try_io(Interest::READABLE, || {
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            Ok(rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut chunk)], &mut control, flags)?)
        });
        let length = match received {
            Ok(received) => received.bytes,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(e) => return Err(e),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                fds.for_each(|fd| match Memory::recognise(fd) {
                    Ok(memory) => self.memory.push_back(memory),
                    Err(other) => self.foreign.push(other),
                });
            }
        }
        self.bytes.extend_from_slice(&chunk[..length]);
        let too_much = self.bytes.len() > LONGEST_LINE || self.memory.len() > TICKETS_PER_CONNECTION;
        if too_much || !self.foreign.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(length > 0)
    }

    /// The next whole line with its memory.
    pub fn next(&mut self) -> io::Result<Option<Message>> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Ok(Some(match serde_json::from_slice(&line)? {
            Line::Call(request) if request.lengths.len() <= self.memory.len() => {
                let memory = self.memory.drain(..request.lengths.len()).collect();
                Message::Call(request, memory)
            }
            Line::Call(_) => return Err(io::ErrorKind::InvalidData.into()),
            Line::Deposit(deposit) => {
                Message::Deposit(deposit, self.memory.pop_front().ok_or(io::ErrorKind::InvalidData)?)
            }
        }))
    }
}

/// A line with its secrets.
pub enum Message {
    /// A call of a PAM module.
    Call(Request, Vec<Memory>),
    /// A secret that is wanted a ticket for.
    Deposit(Deposit, Memory),
}
