//! `io.systemd.UserDatabase`: how nss-systemd, `userdbctl`, logind and sshd see the users.
//!
//! One task per connection: a client that does not read stalls nobody else. Messages are JSON texts
//! that end with NUL (varlink.org). Not here: users of other services, and anything that changes one.

mod interface;
mod query;

use crate::daemon::link::{Caller, HomeView, Interactive, Link, Operation, Reply};
use records::Machine;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where the userdb clients look.
pub const SOCKET: &str = "/run/systemd/userdb/io.systemd.Home";
/// Longest message of a client, in bytes.
const LONGEST: usize = 64 * 1024;
/// Connections at a time: each holds little, and NSS clients come by the hundred.
const CONNECTIONS: usize = 2048;
/// UIDs this service may answer for, as userdb clients read it from the socket.
const UID_RANGE: &str = "1000-65533";

/// What the methods need.
#[derive(Clone)]
pub struct Service {
    /// The way to the loop.
    pub link: Link,
    /// This machine.
    pub machine: Arc<Machine>,
}

/// Marks the socket with the UIDs it answers for: a hint that saves clients a question. Kernels before 7.0 allow no
/// attributes on sockets.
pub fn mark(socket: &Path) {
    for name in ["user.userdb.uid", "user.userdb.gid"] {
        let _ = rustix::fs::setxattr(socket, name, UID_RANGE.as_bytes(), rustix::fs::XattrFlags::empty());
    }
}

/// Serves clients for as long as it is polled.
pub async fn serve(listener: UnixListener, service: Service) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, peer) = super::accept(&listener).await;
        drop(tokio::spawn(converse(stream, peer, service.clone(), place)));
    }
}

/// Ends when the client closes, breaks the framing, or goes away.
async fn converse(
    mut stream: UnixStream,
    peer: u32,
    service: Service,
    _place: OwnedSemaphorePermit,
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut chunk = [0; 4096];
    loop {
        while let Some(message) = frames.next() {
            for reply in answer(&service, peer, &message).await {
                stream.write_all(&frame(&reply)).await?;
            }
        }
        let length = stream.read(&mut chunk).await?;
        if length == 0 || !frames.feed(&chunk[..length]) {
            return Ok(());
        }
    }
}

fn frame(reply: &Value) -> Vec<u8> {
    let mut bytes = reply.to_string().into_bytes();
    bytes.push(0);
    bytes
}

/// Cuts a stream into messages.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    /// Takes bytes in; `false`: a message grows too long.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() <= LONGEST || self.0.contains(&0)
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let mut message: Vec<u8> = self.0.drain(..=end).collect();
        message.pop();
        Some(message)
    }
}

/// The replies to one message.
async fn answer(service: &Service, peer: u32, message: &[u8]) -> Vec<Value> {
    let Ok(call) = serde_json::from_slice::<Value>(message) else {
        return vec![error("org.varlink.service.InvalidParameter", json!({"parameter": "method"}))];
    };
    let oneway = call["oneway"] == json!(true);
    let replies = match interface::method(&call) {
        interface::Method::Known(reply) => vec![reply],
        interface::Method::Query(query) => match homes(&service.link).await {
            Some(homes) => query.answer(&homes, &service.machine, peer),
            None => vec![error("io.systemd.UserDatabase.ServiceNotAvailable", json!({}))],
        },
    };
    if oneway { Vec::new() } else { replies }
}

/// All homes, as the daemon itself sees them; what a peer may see is decided per record.
async fn homes(link: &Link) -> Option<Vec<HomeView>> {
    let daemon = Caller { uid: 0, bus_name: None, interactive: Interactive::No };
    match link.ask(daemon, Operation::List).await {
        Ok(Reply::Homes(homes)) => Some(homes),
        _ => None,
    }
}

fn error(name: &str, parameters: Value) -> Value {
    json!({"error": name, "parameters": parameters})
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_survive_any_cutting(
            messages in proptest::collection::vec("[a-z{}\"]{0,40}", 0..8),
            cuts in proptest::collection::vec(1usize..9, 1..64),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|m| m.bytes().chain([0])).collect();
            let (mut frames, mut got, mut rest) = (Frames::default(), Vec::new(), stream.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                prop_assert!(frames.feed(now));
                rest = later;
                while let Some(message) = frames.next() {
                    got.push(String::from_utf8(message).expect("text"));
                }
            }
            prop_assert_eq!(got, messages);
        }
    }

    #[test]
    fn an_endless_message_is_cut_off() {
        let mut frames = Frames::default();
        assert!(!(0..100).all(|_| frames.feed(&[b'x'; 1024])));
    }
}
