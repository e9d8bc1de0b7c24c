//! `io.systemd.UserDatabase`: how nss-systemd, `userdbctl`, logind and sshd see the users.
//!
//! One task per connection: a client that does not read stalls nobody else. Messages are JSON texts
//! that end with NUL (varlink.org). Not here: users of other services, and anything that changes one.

mod control;
mod interface;
mod query;
mod readers;

use super::client::Client;
use crate::daemon::link::Link;
use query::{Found, Query};
use readers::{Guard, Readers};
use records::Machine;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Where the userdb clients look.
pub const SOCKET: &str = "/run/systemd/userdb/io.systemd.Home";
/// Longest message of a client, in bytes.
const LONGEST: usize = 64 * 1024;
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take for the rest of a question, or for taking in a reply.
const SLOW: Duration = Duration::from_secs(10);
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

/// Marks the socket as one that Varlink is spoken at (`varlinkctl list-sockets`), and with the UIDs it answers for: a
/// hint that saves clients a question. Kernels before 7.0 allow no attributes on sockets.
pub fn mark(socket: &Path) {
    for (name, value) in
        [("user.varlink", "entrypoint"), ("user.userdb.uid", UID_RANGE), ("user.userdb.gid", UID_RANGE)]
    {
        let _ = rustix::fs::setxattr(socket, name, value.as_bytes(), rustix::fs::XattrFlags::empty());
    }
}

/// Serves clients for as long as it is polled.
pub async fn serve(listener: UnixListener, service: Service) {
    let (readers, mut ending) = (Readers::default(), service.link.ending());
    loop {
        tokio::select! {
            biased;
            // Who comes from now on waits in the socket for the next daemon; who is here is still answered.
            _ = ending.wait_for(|ending| *ending) => std::future::pending().await,
            (stream, peer) = super::accept(&listener) => readers.let_in(stream, peer, &service).await,
        }
    }
}

/// Ends when the client closes, breaks the framing, is too slow, or goes away.
async fn converse(mut client: Client, service: Service, reader: Guard) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut chunk = [0; 4096];
    loop {
        while let Some(message) = frames.next() {
            reader.is_used();
            answer(client.stream()?, &service, &reader, &message).await?;
        }
        // Half a question has little time: from its first byte on.
        let patience = if frames.is_empty() { IDLE } else { SLOW };
        let length = timeout(patience, client.read(&mut chunk)).await??;
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

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let mut message: Vec<u8> = self.0.drain(..=end).collect();
        message.pop();
        Some(message)
    }
}

/// Answers one message, a reply after the other.
async fn answer(
    stream: &mut UnixStream,
    service: &Service,
    reader: &Guard,
    message: &[u8],
) -> io::Result<()> {
    let Ok(call) = serde_json::from_slice::<Value>(message) else {
        let parameter = json!({"parameter": "method"});
        return say(stream, &error("org.varlink.service.InvalidParameter", parameter)).await;
    };
    let oneway = call["oneway"] == json!(true);
    match interface::method(&call, reader.peer) {
        _ if oneway => Ok(()),
        interface::Method::Known(reply) => say(stream, &reply).await,
        interface::Method::Query(query) => look(stream, service, reader, &query).await,
    }
}

async fn look(stream: &mut UnixStream, service: &Service, reader: &Guard, query: &Query) -> io::Result<()> {
    let Some(homes) = reader.homes(&service.link) else { return Ok(()) };
    let found = query.find(&homes).await;
    let count = match &found {
        Found::Users(all) | Found::Groups(all) => all.len(),
        Found::Replies(all) => all.len(),
    };
    match found {
        Found::Replies(mut all) if all.len() == 1 && all.iter().all(|one| one.get("error").is_some()) => {
            say(stream, &all.remove(0)).await
        }
        _ if query.instead(count).is_some() => say(stream, &query.instead(count).unwrap_or_default()).await,
        Found::Users(all) => {
            for (at, entry) in all.iter().enumerate() {
                let record = match count {
                    1 => service.link.with_sizes(entry).await,
                    _ => service.link.with_known_sizes(entry),
                };
                part(stream, query::user(&entry.view, &record, reader.peer), at + 1 < count).await?;
            }
            Ok(())
        }
        Found::Groups(all) => {
            for (at, entry) in all.iter().enumerate() {
                part(stream, query::group(&entry.view, &service.machine), at + 1 < count).await?;
            }
            Ok(())
        }
        Found::Replies(all) => {
            for (at, parameters) in all.into_iter().enumerate() {
                part(stream, parameters, at + 1 < count).await?;
            }
            Ok(())
        }
    }
}

/// One of several replies; the last says so by not continuing.
async fn part(stream: &mut UnixStream, parameters: Value, continues: bool) -> io::Result<()> {
    let reply = match continues {
        true => json!({"parameters": parameters, "continues": true}),
        false => json!({"parameters": parameters}),
    };
    say(stream, &reply).await
}

/// A client that does not take it in is a slow one, too.
async fn say(stream: &mut UnixStream, reply: &Value) -> io::Result<()> {
    timeout(SLOW, stream.write_all(&frame(reply))).await?
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

    #[tokio::test]
    async fn one_connection_has_as_many_questions_as_it_likes() {
        let id = records::MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        let machine = Arc::new(Machine { id, host: records::HostName("a".into()) });
        let (near, far) = UnixStream::pair().expect("made");
        let mut near = tokio::io::BufReader::new(near);
        Readers::default().let_in(far, 1000, &Service { link: Link::new().0, machine }).await;
        for _ in 0..500 {
            let call = b"{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"parameters\":{\"service\":\"io.systemd.Home\"}}\0";
            near.write_all(call).await.expect("taken");
            let mut reply = Vec::new();
            tokio::io::AsyncBufReadExt::read_until(&mut near, 0, &mut reply).await.expect("answered");
            assert!(String::from_utf8_lossy(&reply).contains("NoRecordFound"));
        }
    }
}
