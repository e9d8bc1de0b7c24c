//! The one way into the loop: what a front may ask, and what it gets.
//!
//! ```text
//! front ── Link::ask(Caller, Operation) ──→ loop ──→ core
//!       ←─ Reply, or Failure ──────────────
//!       ←─ Change (Link::changes) ─────────   a home appeared, changed, vanished
//! ```
//!
//! Dropping the future of [`Link::ask`] tells the loop that nobody waits any more: work that is not
//! past its point of no return is stopped.
//!
//! Not here: who may ask (polkit, root-only calls: the D-Bus front), and any wire format.

use records::refusal::{Refusal, Refused};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, mpsc, oneshot};

pub use crate::home::effect::Announcement as Change;
pub use crate::home::state::State;
pub use crate::home::view::{HomeView, UnixRecord};
pub use crate::job::{Progress, Reach, RecordChange, Repair};
pub use crate::manager::request::{
    AtSuspend, Caller, HomeKey, HomeLock, Interactive, KeyOperation, Later, Locks, Offer, OpenSleep,
    Operation, ProgressSink, RequestId, Session, SigningKey, Then, Wish,
};

pub use crate::home::inhibitor::Inhibitor;
pub use crate::home::seal::Verdict;
pub use crate::manager::weakness::{Weakness, Weight};

/// Calls that one unprivileged UID may have waiting at a time; look-ups are not counted.
const WAITING_PER_UID: usize = 32;
/// The same for root: PAM stacks of all users run as root.
const WAITING_FOR_ROOT: usize = 1024;
/// Changes a slow front may lag behind before it has to read everything again.
const CHANGES_KEPT: usize = 1024;

/// What a front gets.
#[derive(Debug)]
pub enum Reply {
    /// It is done, or was so already.
    Done,
    /// One home.
    Home(Box<HomeView>),
    /// Homes, ordered by name.
    Homes(Vec<HomeView>),
    /// A reference or an inhibitor: held as long as any copy of it is open.
    Reference(OwnedFd),
    /// What a check found, or a repair did.
    Report(Box<records::health::Report>),
    /// What is to be known about locks.
    Locks(Box<Locks>),
    /// What weakens locks on this machine, the worst first.
    Weaknesses(Vec<Weakness>),
    /// All homes are locked but these, which somebody has left out.
    LeftOut(Vec<records::UserName>),
    /// When the sessions are to be told of again.
    LookAgain(Option<std::time::Duration>),
    /// Signing keys.
    Keys(Vec<SigningKey>),
    /// Pictures, taken in.
    Staged(Staged),
}

/// Pictures that were taken in. Dropped, they are removed, unless a worker has taken them on.
#[derive(Debug)]
pub struct Staged {
    /// Where they are.
    pub folder: String,
    /// Name → SHA-256 in lower-case hex: the record's `blobManifest`.
    pub manifest: BTreeMap<String, String>,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Taken on is not there any more; what cannot be removed goes when the daemon starts.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The caller can act on it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Unexpected; the log has the causes under this id.
    #[error(
        "it failed unexpectedly; nothing was lost as far as is known. The log has the causes: journalctl -u systemd-homed -g {id}"
    )]
    Fault {
        /// What to look for in the log.
        id: String,
    },
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

/// What reaches the loop.
pub enum Call {
    /// A question.
    Asked {
        /// Its name.
        id: RequestId,
        /// Who asks.
        caller: Caller,
        /// What.
        operation: Operation,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Reply, Failure>>,
    },
    /// Nobody waits for that answer any more.
    Abandoned(RequestId),
}

/// The way into the loop; clones share it.
#[derive(Clone)]
pub struct Link {
    calls: mpsc::UnboundedSender<Call>,
    changes: broadcast::Sender<Change>,
    waiting: Waiting,
    next: Arc<AtomicU64>,
}

/// How many calls each UID has waiting.
type Waiting = Arc<Mutex<HashMap<u32, usize>>>;

impl Link {
    /// A link and the loop's end of it.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (calls, received) = mpsc::unbounded_channel();
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        (Self { calls, changes, waiting: Waiting::default(), next: Arc::default() }, received)
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, caller: Caller, operation: Operation) -> Result<Reply, Failure> {
        let _place = Place::take(&self.waiting, caller.uid, &operation)?;
        let id = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let call = Call::Asked { id, caller, operation, answer };
        self.calls.send(call).map_err(|_| stopping())?;
        let mut abandon = AbandonOnDrop { calls: &self.calls, id: Some(id) };
        let reply = answered.await.map_err(|_| stopping());
        abandon.id = None;
        reply?
    }

    /// What happens to homes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Tells all fronts; only the loop does.
    pub fn announce(&self, change: Change) {
        // No front listening is fine.
        let _ = self.changes.send(change);
    }
}

fn stopping() -> Failure {
    Failure::Refused(Refused::new(Refusal::HomeBusy, "homed is stopping; nothing was started. Try again."))
}

/// Says so when a question is dropped before its answer came.
struct AbandonOnDrop<'a> {
    calls: &'a mpsc::UnboundedSender<Call>,
    id: Option<RequestId>,
}

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // A loop that has ended needs no word.
            let _ = self.calls.send(Call::Abandoned(id));
        }
    }
}

/// A caller's place among those it may have waiting.
struct Place {
    waiting: Waiting,
    uid: u32,
}

impl Place {
    fn take(waiting: &Waiting, uid: u32, operation: &Operation) -> Result<Option<Self>, Failure> {
        if matches!(operation, Operation::Look(_) | Operation::List | Operation::Locks)
            || is_about_sleep(operation)
        {
            return Ok(None);
        }
        let limit = if uid == 0 { WAITING_FOR_ROOT } else { WAITING_PER_UID };
        let mut counts = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(uid).or_default();
        if *count >= limit {
            return Err(Refusal::TooManyOperations.into());
        }
        *count += 1;
        Ok(Some(Self { waiting: waiting.clone(), uid }))
    }
}

/// What a sleep depends on, and root alone may ask: it always has room.
fn is_about_sleep(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::LockAll(_) | Operation::SleepPrepared | Operation::SleepOver | Operation::Alive
    )
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_waiting<F: Future + Unpin>(future: &mut F) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::Pin::new(future).poll(&mut context).is_pending()
    }

    fn somebody() -> Caller {
        Caller { uid: 1000, bus_name: None, interactive: Interactive::No }
    }

    #[tokio::test]
    async fn a_dropped_question_is_reported_and_frees_its_place() {
        let (link, mut calls) = Link::new();
        let mut asking = Box::pin(link.ask(somebody(), Operation::DeactivateAll));
        assert!(is_waiting(&mut asking));
        let Some(Call::Asked { id, .. }) = calls.recv().await else { panic!("a question") };
        drop(asking);
        assert!(matches!(calls.recv().await, Some(Call::Abandoned(gone)) if gone == id));
        assert!(link.waiting.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test]
    async fn one_caller_cannot_fill_the_queue() {
        let (link, _calls) = Link::new();
        let mut waiting: Vec<_> =
            (0..WAITING_PER_UID).map(|_| Box::pin(link.ask(somebody(), Operation::DeactivateAll))).collect();
        for one in &mut waiting {
            assert!(is_waiting(one));
        }
        let refused = link.ask(somebody(), Operation::DeactivateAll).await;
        assert_eq!(refused.err(), Some(Refusal::TooManyOperations.into()));
        let root = Caller { uid: 0, ..somebody() };
        assert!(is_waiting(&mut Box::pin(link.ask(root, Operation::DeactivateAll))));
    }
}
