//! Calls of PAM modules, which have no bus connection and want none in other people's programs: the same calls as
//! on the bus, by the same rules, over the hand-off socket (`records::handoff::Request`).

use crate::daemon::link::{
    Admitted, AtSuspend, Caller, Failure, Good, HomeKey, Interactive, Link, Offer, Operation, Provenance,
    Reply as Done,
};
use handoff::Memory;
use records::handoff::{Call, Failed, Hold, Reply, Request, VERSION};
use records::refusal::{Refusal, Refused};
use records::{Credentials, Secret};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::Instant;

/// How long a home that root has opened with somebody's credentials stays open though the program that did so has
/// ended. sshd asks PAM for proof in a child (keyboard-interactive), and opens the session in the parent, which has
/// nothing of what the child's module kept; other factors may be asked for in between.
const GRACE: Duration = Duration::from_secs(30);

/// An answer, and the reference that goes with it.
pub struct Answered {
    /// The line.
    pub reply: Reply,
    /// What is attached to it.
    pub reference: Option<OwnedFd>,
}

/// Who is at the other end of the socket.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its effective UID.
    pub uid: u32,
    /// Whom root calls for.
    from: Provenance,
}

impl Peer {
    /// Of a connection, by the kernel's word.
    pub fn of(stream: &UnixStream, uid: u32) -> Self {
        let pid = stream.peer_cred().ok().and_then(|peer| u32::try_from(peer.pid()?).ok());
        let from = match (uid, pid) {
            (0, Some(pid)) => super::provenance::of(pid),
            _ => Provenance::default(),
        };
        Self { uid, from }
    }

    /// One that comes from nowhere in particular.
    #[cfg(test)]
    pub fn new(uid: u32) -> Self {
        Self { uid, from: Provenance::default() }
    }
}

/// What the calls need; clones share it.
#[derive(Clone)]
pub struct Calls {
    link: Link,
    kept: Kept,
}

impl Calls {
    /// Nobody has called yet.
    pub fn new(link: Link) -> Self {
        Self::with_grace(link, GRACE)
    }

    fn with_grace(link: Link, grace: Duration) -> Self {
        Self { link, kept: Kept { grace, references: Arc::default() } }
    }

    /// Does what the peer of that UID asks for.
    pub async fn answer(&self, peer: &Peer, request: Request, memory: Vec<Memory>) -> Answered {
        match self.done(peer, request, memory).await {
            Ok(Done::Reference(fd)) => Answered { reply: Reply::Reference, reference: Some(fd) },
            Ok(_) => Answered { reply: Reply::Done, reference: None },
            Err(failure) => Answered { reply: Reply::Failed(failed(failure)), reference: None },
        }
    }

    async fn done(&self, peer: &Peer, request: Request, memory: Vec<Memory>) -> Result<Done, Failure> {
        if request.version != VERSION {
            let sentence = format!("version {} of the protocol is not known here", request.version);
            return Err(Refused::new(Refusal::InvalidArgs, sentence).into());
        }
        let mut secrets = secrets(&request.lengths, memory)?.into_iter();
        let from = peer.from.clone();
        let caller = Caller { uid: peer.uid, bus_name: None, interactive: Interactive::No, from };
        let caller = self.link.admit(caller, Good::Call)?;
        let offer = |credentials: Option<Credentials>| Offer {
            credentials: credentials.unwrap_or_default(),
            progress: None,
        };
        match request.call {
            Call::Acquire(hold) => self.acquire(&caller, hold, offer(secrets.next())).await,
            Call::Reference(hold) => {
                root(&caller)?;
                self.link
                    .ask(&caller, Operation::Ref(HomeKey::Name(hold.user), at_suspend(hold.suspend)))
                    .await
            }
            Call::Release { user } => {
                root(&caller)?;
                self.kept.let_go(&user);
                self.link.ask(&caller, Operation::Release(HomeKey::Name(user))).await
            }
            Call::ChangePassword { user } => {
                self.owner(&caller, &user)?;
                let new = secrets.next().unwrap_or_default();
                let change =
                    Operation::ChangePassword { home: HomeKey::Name(user), new, old: offer(secrets.next()) };
                self.link.ask(&caller, change).await
            }
        }
    }

    async fn acquire(&self, caller: &Admitted, hold: Hold, offer: Offer) -> Result<Done, Failure> {
        let keeps = caller.uid == 0;
        let key = HomeKey::Name(hold.user.clone());
        let done = self.link.ask(caller, Operation::Acquire(key, at_suspend(hold.suspend), offer)).await?;
        if let (true, Done::Reference(fd)) = (keeps, &done)
            && let Ok(copy) = fd.try_clone()
        {
            self.kept.keep(hold.user, copy);
        }
        Ok(done)
    }

    /// Root, or the home's owner.
    fn owner(&self, caller: &Admitted, user: &str) -> Result<(), Failure> {
        if caller.uid == 0 {
            return Ok(());
        }
        match self.link.look(caller, &HomeKey::Name(user.to_owned())) {
            Ok(home) if home.view.unix.uid == caller.uid => Ok(()),
            // Whether there is such a home is none of a stranger's business here.
            Ok(_) | Err(_) => Err(denied("Only root and the home's owner may do that.")),
        }
    }
}

fn root(caller: &Admitted) -> Result<(), Failure> {
    if caller.uid == 0 { Ok(()) } else { Err(denied("Only root may do that.")) }
}

fn denied(sentence: &str) -> Failure {
    Refused::new(Refusal::AccessDenied, sentence).into()
}

fn at_suspend(suspend: bool) -> AtSuspend {
    if suspend { AtSuspend::Lock } else { AtSuspend::Stay }
}

fn failed(failure: Failure) -> Failed {
    match failure {
        Failure::Refused(refused) => {
            Failed { name: Some(refused.refusal.bus_name().to_owned()), sentence: refused.sentence }
        }
        Failure::Fault { .. } => Failed { name: None, sentence: failure.to_string() },
    }
}

fn secrets(lengths: &[usize], memory: Vec<Memory>) -> Result<Vec<Credentials>, Failure> {
    let invalid = |text: String| Failure::from(Refused::new(Refusal::InvalidArgs, text));
    let read = |(memory, length): (Memory, &usize)| {
        let secret: Secret = memory.take(*length).map_err(|e| invalid(e.to_string()))?;
        Credentials::parse(secret.open()).map_err(|e| invalid(e.to_string()))
    };
    memory.into_iter().zip(lengths).map(read).collect()
}

/// References that outlive the program they were given to for a while, one a user.
#[derive(Clone)]
struct Kept {
    grace: Duration,
    references: Arc<Mutex<HashMap<String, Reference>>>,
}

struct Reference {
    until: Instant,
    _fd: OwnedFd,
}

impl Kept {
    fn keep(&self, user: String, fd: OwnedFd) {
        let until = Instant::now() + self.grace;
        self.map().insert(user.clone(), Reference { until, _fd: fd });
        let kept = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            // A younger one has a task of its own.
            kept.map().retain(|name, reference| *name != user || reference.until > until);
        });
    }

    fn let_go(&self, user: &str) {
        self.map().remove(user);
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Reference>> {
        self.references.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::link;
    use tokio::sync::mpsc::UnboundedReceiver;

    fn request(call: Call) -> Request {
        Request { version: VERSION, call, lengths: Vec::new() }
    }

    fn hold() -> Hold {
        Hold { user: "alice".into(), suspend: true }
    }

    /// A loop that gives a reference for everything; gives the reading ends.
    async fn generous(mut calls: UnboundedReceiver<link::Call>, readers: Arc<Mutex<Vec<OwnedFd>>>) {
        while let Some(call) = calls.recv().await {
            if let link::Call::Asked { answer, .. } = call {
                let (reader, writer) = rustix::pipe::pipe().expect("made");
                readers.lock().expect("not poisoned").push(reader);
                let _ = answer.send(Ok(Done::Reference(writer)));
            }
        }
    }

    /// Whether nobody holds the writing end any more.
    fn is_let_go(reader: &OwnedFd) -> bool {
        rustix::io::ioctl_fionbio(reader, true).expect("set");
        rustix::io::read(reader, &mut [0]) == Ok(0)
    }

    #[tokio::test]
    async fn strangers_may_prove_who_they_are_and_nothing_else() {
        let (link, received) = Link::new();
        let calls = Calls::new(link);
        tokio::spawn(generous(received, Arc::default()));
        for call in [
            Call::Reference(hold()),
            Call::Release { user: "alice".into() },
            Call::ChangePassword { user: "alice".into() },
        ] {
            let answered = calls.answer(&Peer::new(1000), request(call.clone()), Vec::new()).await;
            let refused = Refusal::AccessDenied.bus_name();
            assert!(
                matches!(&answered.reply, Reply::Failed(failed) if failed.name.as_deref() == Some(refused)),
                "{call:?}: {:?}",
                answered.reply
            );
        }
        let answered = calls.answer(&Peer::new(1000), request(Call::Acquire(hold())), Vec::new()).await;
        assert!(answered.reply == Reply::Reference && answered.reference.is_some());
    }

    /// What is let go after root, root and a stranger have opened a home, in this order.
    async fn let_go_after(grace: Duration, then: impl AsyncFnOnce(&Calls, &dyn Fn() -> Vec<bool>)) {
        let (link, received) = Link::new();
        let calls = Calls::with_grace(link, grace);
        let readers: Arc<Mutex<Vec<OwnedFd>>> = Arc::default();
        tokio::spawn(generous(received, readers.clone()));
        for uid in [0, 0, 1000] {
            drop(calls.answer(&Peer::new(uid), request(Call::Acquire(hold())), Vec::new()).await);
        }
        then(&calls, &|| readers.lock().expect("not poisoned").iter().map(is_let_go).collect()).await;
    }

    #[tokio::test]
    async fn what_root_has_opened_outlives_its_program_until_the_session_ends() {
        let_go_after(GRACE, async |calls, let_go| {
            assert_eq!(let_go(), [true, false, true], "the youngest of root's is kept");
            calls.answer(&Peer::new(0), request(Call::Release { user: "alice".into() }), Vec::new()).await;
            assert_eq!(let_go(), [true; 4]);
        })
        .await;
    }

    #[tokio::test]
    async fn or_for_a_while() {
        let_go_after(Duration::ZERO, async |_, let_go| {
            while let_go() != [true; 3] {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn another_version_is_refused_in_words() {
        let calls = Calls::new(Link::new().0);
        let request = Request { version: VERSION + 1, ..request(Call::Acquire(hold())) };
        let answered = calls.answer(&Peer::new(0), request, Vec::new()).await;
        assert!(matches!(answered.reply, Reply::Failed(failed) if failed.sentence.contains("version 2")));
    }
}
