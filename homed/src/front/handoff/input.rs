//! What a client of the hand-off socket sends: lines, and descriptors with secrets in them.

use super::TICKETS_PER_CONNECTION;
use crate::front::client::{Came, Client};
use handoff::Memory;
use records::handoff::{Deposit, Line, Request};
use std::collections::VecDeque;
use std::io;

/// Longest line of a client, in bytes.
const LONGEST_LINE: usize = 4096;

/// What has come in and is not yet answered.
#[derive(Default)]
pub struct Input {
    bytes: Vec<u8>,
    memory: VecDeque<Memory>,
}

impl Input {
    /// Reads what is there; `false`: the client has closed.
    pub async fn take(&mut self, client: &mut Client) -> io::Result<bool> {
        let mut chunk = [0; 1024];
        match client.take(&mut chunk).await? {
            Came::Nothing => return Ok(true),
            Came::Bytes(0) => return Ok(false),
            Came::Bytes(length) => self.bytes.extend_from_slice(&chunk[..length]),
            Came::Files(mut taken) => {
                self.bytes.append(&mut taken.bytes);
                let files = taken.files.into_iter();
                let memory: Option<Vec<_>> = files.map(|file| Memory::recognise(file).ok()).collect();
                match memory {
                    Some(memory) if !taken.foreign => self.memory.extend(memory),
                    _ => return Err(io::ErrorKind::InvalidData.into()),
                }
            }
        }
        match self.bytes.len() > LONGEST_LINE || self.memory.len() > TICKETS_PER_CONNECTION {
            true => Err(io::ErrorKind::InvalidData.into()),
            false => Ok(true),
        }
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
