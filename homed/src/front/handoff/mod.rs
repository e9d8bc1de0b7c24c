//! The hand-off socket: takes secrets from clients and gives tickets (`records::handoff`), and takes the calls of PAM
//! modules ([`super::pam`]).
//!
//! A ticket is good once, for callers with the UID of the socket's peer, while its connection is open.
//! Every UID has its own limits, so a flood by one does not hurt the others.

mod attend;
mod input;

use super::client::{self, Client};
use super::pam::{Calls, Peer};
use crate::daemon::link::{Good, Link, Progress, ProgressSink};
use handoff::Memory;
use input::{Input, Message};
use records::Secret;
use records::handoff::{Deposit, Reply, VERSION};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// Tickets a connection may have open: old and new password, and some air.
const TICKETS_PER_CONNECTION: usize = 8;
/// Progress lines that wait for a slow reader; more are dropped.
const PROGRESS_KEPT: usize = 32;

/// The open tickets; clones share them.
#[derive(Clone, Default)]
pub struct Tickets(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    kept: HashMap<String, Kept>,
    next: u64,
}

struct Kept {
    uid: u32,
    connection: u64,
    secret: Secret,
    progress: mpsc::Sender<Progress>,
}

impl Tickets {
    /// The secret behind a ticket, once, for the UID it was given to; and where progress goes.
    pub fn redeem(&self, uid: u32, ticket: &str) -> Option<(Secret, Option<ProgressSink>)> {
        let mut store = self.store();
        if store.kept.get(ticket)?.uid != uid {
            return None;
        }
        let kept = store.kept.remove(ticket)?;
        let progress = kept.progress;
        // A client that does not read its progress does without.
        let sink: ProgressSink = Box::new(move |step| drop(progress.try_send(step.clone())));
        Some((kept.secret, Some(sink)))
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, peer: Peer) -> Opened {
        let mut store = self.store();
        store.next += 1;
        Opened { tickets: self.clone(), peer, connection: store.next }
    }
}

/// A connection; its tickets go with it.
struct Opened {
    tickets: Tickets,
    peer: Peer,
    connection: u64,
}

impl Opened {
    fn keep(&self, secret: Secret, progress: mpsc::Sender<Progress>) -> Result<String, &'static str> {
        let mut store = self.tickets.store();
        if store.kept.values().filter(|kept| kept.connection == self.connection).count()
            >= TICKETS_PER_CONNECTION
        {
            return Err("too many tickets are open on this connection");
        }
        let ticket = random_name().map_err(|_| "the kernel gives no random numbers")?;
        let kept = Kept { uid: self.peer.uid, connection: self.connection, secret, progress };
        store.kept.insert(ticket.clone(), kept);
        Ok(ticket)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.tickets.store().kept.retain(|_, kept| kept.connection != self.connection);
    }
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Serves clients for as long as it is polled.
pub async fn serve(listener: UnixListener, tickets: Tickets, link: Link, calls: Calls) {
    loop {
        let (stream, peer) = super::accept(&listener).await;
        let calls = calls.clone();
        match link.take(Good::Handoff, peer, 1) {
            Ok(place) => {
                let opened = tickets.open(Peer::of(&stream, peer));
                let client = Client::new(stream, Arc::new(place));
                // A client that breaks off is no news.
                drop(tokio::spawn(async move { drop(converse(client, &opened, &calls).await) }));
            }
            Err(_) => turn_away(stream),
        }
    }
}

fn turn_away(stream: UnixStream) {
    let reply = Reply::Refused("you have too many connections open".into());
    // Whether it hears it is up to the client.
    let _ = stream.try_write(line(&reply).as_slice());
    client::turn_away(stream);
}

/// Serves one client.
async fn converse(mut client: Client, place: &Opened, calls: &Calls) -> io::Result<()> {
    let (progress, mut steps) = mpsc::channel(PROGRESS_KEPT);
    let mut input = Input::default();
    loop {
        tokio::select! {
            Some(step) = steps.recv() => client.stream()?.write_all(&line(&Reply::Progress(step))).await?,
            ready = readable(&mut client) => {
                ready?;
                if !input.take(&mut client).await? {
                    return Ok(());
                }
                let stream = client.stream()?;
                while let Some(message) = input.next()? {
                    match message {
                        Message::Deposit(deposit, memory) => {
                            let reply = accept(place, &deposit, memory, &progress);
                            stream.write_all(&line(&reply)).await?;
                        }
                        Message::Call(request, memory) => {
                            let asking = calls.answer(&place.peer, request, memory);
                            let answered = attend::attend(stream, asking).await?;
                            attend::send(stream, &answered).await?;
                        }
                    }
                }
            }
        }
    }
}

async fn readable(client: &mut Client) -> io::Result<()> {
    client.stream()?.readable().await
}

fn accept(place: &Opened, deposit: &Deposit, memory: Memory, progress: &mpsc::Sender<Progress>) -> Reply {
    if deposit.version != VERSION {
        return Reply::Refused(format!("version {} of the protocol is not known here", deposit.version));
    }
    let ticket = memory
        .take(deposit.length)
        .map_err(|e| e.to_string())
        .and_then(|secret| place.keep(secret, progress.clone()).map_err(str::to_owned));
    match ticket {
        Ok(ticket) => Reply::Ticket(ticket),
        Err(why) => Reply::Refused(why),
    }
}

fn line(reply: &Reply) -> Vec<u8> {
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use handoff::Client;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    /// Calls of a daemon that is stopping.
    fn calls() -> Calls {
        Calls::new(crate::daemon::link::Link::new().0)
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    async fn with_server<T: Send + 'static>(
        client: impl FnOnce(Client, Tickets) -> T + Send + 'static,
    ) -> (T, Tickets) {
        let scratch = tempfile::tempdir().expect("made");
        let path = scratch.path().join("socket");
        let tickets = Tickets::default();
        let server = tokio::spawn(serve(
            UnixListener::bind(&path).expect("listens"),
            tickets.clone(),
            Link::new().0,
            calls(),
        ));
        let shared = tickets.clone();
        let result = tokio::task::spawn_blocking(move || {
            client(Client::connect_to(&path, Duration::from_secs(10)).expect("connects"), shared)
        });
        let result = result.await.expect("ends");
        server.abort();
        (result, tickets)
    }

    fn client(link: &Link, stream: UnixStream) -> super::Client {
        super::Client::new(stream, Arc::new(link.take(Good::Handoff, own_uid(), 1).expect("a place")))
    }

    fn secret(text: &str) -> Secret {
        Secret::from_text(text.into())
    }

    #[tokio::test]
    async fn a_ticket_is_good_once_and_for_its_owner() {
        let run = |mut client: Client, tickets: Tickets| {
            let ticket = client.deposit(&secret("geheim")).expect("taken");
            assert!(tickets.redeem(own_uid() + 1, &ticket).is_none(), "a stranger's");
            let (secret, sink) = tickets.redeem(own_uid(), &ticket).expect("redeemed");
            assert!(tickets.redeem(own_uid(), &ticket).is_none(), "twice");
            sink.expect("there")(&Progress { step: "Formatting".into(), done: 1, of: 2 });
            let step = client.next_progress(Duration::from_secs(10)).expect("reads").expect("heard");
            (secret.open().to_vec(), step.step)
        };
        assert_eq!(with_server(run).await.0, (b"geheim".to_vec(), "Formatting".to_owned()));
    }

    #[tokio::test]
    async fn tickets_are_limited_and_go_with_their_connection() {
        let run = |mut client: Client, _| {
            for _ in 0..TICKETS_PER_CONNECTION {
                client.deposit(&secret("x")).expect("taken");
            }
            assert!(client.deposit(&secret("x")).is_err());
            drop(client);
        };
        let scratch = tempfile::tempdir().expect("made");
        let path = scratch.path().join("socket");
        let tickets = Tickets::default();
        let (mut near, far) = UnixStream::pair().expect("made");
        let place = tickets.open(Peer::new(own_uid()));
        place.keep(secret("x"), mpsc::channel(1).0).expect("kept");
        near.shutdown().await.expect("closed");
        converse(super::tests::client(&Link::new().0, far), &place, &calls()).await.expect("ends");
        drop(place);
        assert!(tickets.store().kept.is_empty());
        drop(path);
        with_server(run).await;
    }

    #[tokio::test]
    async fn a_file_that_is_no_memory_ends_the_connection_and_takes_its_place_until_it_is_closed() {
        let tickets = Tickets::default();
        let (mut near, far) = UnixStream::pair().expect("made");
        let (reader, _writer) = rustix::pipe::pipe().expect("made");
        let fds = [reader.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
        control.push(rustix::net::SendAncillaryMessage::ScmRights(&fds));
        let line = [io::IoSlice::new(b"{\"version\":1,\"length\":4}\n")];
        rustix::net::sendmsg(&near, &line, &mut control, rustix::net::SendFlags::empty()).expect("sent");
        let (link, _calls) = Link::new();
        let (place, far) = (tickets.open(Peer::new(own_uid())), client(&link, far));
        let _others: Vec<_> = std::iter::from_fn(|| link.take(Good::Handoff, own_uid(), 1).ok()).collect();
        assert!(converse(far, &place, &calls()).await.is_err());
        let mut said = String::new();
        near.read_to_string(&mut said).await.expect("closed");
        assert_eq!(said, "", "nothing was asked of the file");
        while link.take(Good::Handoff, own_uid(), 1).is_err() {
            tokio::task::yield_now().await;
        }
    }
}
