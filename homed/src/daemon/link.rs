//! The one way into the loop, and the one way past it: what a front may ask, and what it gets.
//!
//! ```text
//! front ── Link::admit(who) ───────────────→ account     a place, without which nothing can be asked
//!       ── Link::ask(Admitted, Operation) ─→ loop ──→ core
//!       ←─ Reply, or Failure ──────────────
//!       ── Link::homes(Place) ─────────────→ the answers there are ([`crate::lookup`]): never waits
//!       ←─ Change (Link::changes) ─────────   a home appeared, changed, vanished
//! ```
//!
//! Dropping the future of [`Link::ask`] tells the loop that nobody waits any more: work that is not
//! past its point of no return is stopped.
//!
//! Not here: who may ask (polkit, root-only calls: the D-Bus front), and any wire format.

use crate::lookup::sizes::{self, Sizing};
use crate::lookup::{Lookup, News};
use records::Record;
use records::refusal::{Refusal, Refused};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use crate::home::effect::Announcement as Change;
pub use crate::home::state::State;
pub use crate::home::view::{HomeView, UnixRecord};
pub use crate::job::{Original, Part, Progress, Reach, RecordChange, Repair, Snapshots};
pub use crate::words::request::{
    AtSuspend, Caller, HomeKey, HomeLock, Interactive, KeyOperation, Later, Locks, Offer, OpenSleep,
    Operation, ProgressSink, Provenance, RequestId, Session, SigningKey, Then, TrustReport, Wish,
};

pub use crate::home::inhibitor::Inhibitor;
pub use crate::lookup::account::{Account, Good, Place, Standing};
#[cfg(test)]
pub use crate::lookup::view;
pub use crate::lookup::{Entry, Homes, lower_case};
pub use crate::manager::weakness::{Weakness, Weight};
pub use crate::words::seal::Conclusion;

/// Changes a slow front may lag behind before it has to read everything again.
const CHANGES_KEPT: usize = 1024;

/// How long a daemon that ends waits for who is being answered from the user database.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a front gets.
#[derive(Debug)]
pub enum Reply {
    /// It is done, or was so already.
    Done,
    /// A reference or an inhibitor: held as long as any copy of it is open.
    Reference(OwnedFd),
    /// What a check found, or a repair did.
    Report(Box<records::health::Report>),
    /// What came of work on snapshots: JSON.
    Told(Box<serde_json::Value>),
    /// What is to be known about locks.
    Locks(Box<Locks>),
    /// What of a record is believed.
    Trust(Box<TrustReport>),
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
        "it failed unexpectedly; nothing was lost as far as is known. The log has the causes: journalctl -u homed -g {id}"
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
        operation: Box<Operation>,
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
    lookup: Lookup,
    account: Account,
    sizing: Arc<OnceLock<Sizing>>,
    ending: Arc<watch::Sender<bool>>,
    holding: Arc<watch::Sender<bool>>,
    next: Arc<AtomicU64>,
}

/// Somebody who has a place in the account, as long as this is kept: nothing can be asked without.
#[derive(Debug)]
pub struct Admitted {
    caller: Caller,
    /// The daemon itself needs none.
    _place: Option<Place>,
}

impl Deref for Admitted {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Link {
    /// A link and the loop's end of it.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (calls, received) = mpsc::unbounded_channel();
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let (lookup, account) = (Lookup::default(), Account::default());
        let (sizing, ending, holding, next) = Default::default();
        (Self { calls, changes, lookup, account, sizing, ending, holding, next }, received)
    }

    /// Takes a place for a call, for as long as it lasts.
    pub fn admit(&self, caller: Caller, good: Good) -> Result<Admitted, Failure> {
        let place = self.take(good, caller.uid, 1)?;
        Ok(Admitted { caller, _place: Some(place) })
    }

    /// The daemon itself, which needs no place.
    pub fn ourselves(&self) -> Admitted {
        let caller =
            Caller { uid: 0, bus_name: None, interactive: Interactive::No, from: Provenance::default() };
        Admitted { caller, _place: None }
    }

    /// Takes so much of something for that UID.
    pub fn take(&self, good: Good, uid: u32, count: usize) -> Result<Place, Failure> {
        let place = self.account.take(good, uid, self.standing(uid), count);
        place.ok_or_else(|| Refusal::TooManyOperations.into())
    }

    /// Whether that UID has as much of it as one may have, so that others' would not help it.
    pub fn has_all(&self, good: Good, uid: u32) -> bool {
        self.account.has_all(good, uid, self.standing(uid))
    }

    /// Who that is to this machine.
    pub fn standing(&self, uid: u32) -> Standing {
        match uid {
            0 => Standing::Root,
            _ if self.lookup.now().with_uid(uid).is_some() => Standing::Owner,
            _ => Standing::Stranger,
        }
    }

    /// Asks the loop, and waits for the answer. What a sleep depends on has room however many others of root's ask.
    pub async fn ask(&self, who: &Admitted, operation: Operation) -> Result<Reply, Failure> {
        let id = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let operation = Box::new(operation);
        let call = Call::Asked { id, caller: who.caller.clone(), operation, answer };
        self.calls.send(call).map_err(|_| stopping())?;
        let mut abandon = AbandonOnDrop { calls: &self.calls, id: Some(id) };
        let reply = answered.await.map_err(|_| stopping());
        abandon.id = None;
        reply?
    }

    /// Whether the daemon is ending: who comes now is the next one's.
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Ends: nobody new is let in, and who is being answered is waited for, for a moment.
    pub async fn end(&self) {
        self.ending.send_replace(true);
        let until_answered = async {
            while self.account.is_taken(Good::Reader) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // Who says nothing finds the connection closed.
        let _ = tokio::time::timeout(LAST_WORDS, until_answered).await;
    }

    /// The homes as they were at the last change, for who has a place of whatever kind.
    pub fn homes(&self, _place: &Place) -> Arc<Homes> {
        self.lookup.now()
    }

    /// All homes, for who was admitted.
    pub fn list(&self, _who: &Admitted) -> Arc<Homes> {
        self.lookup.now()
    }

    /// One home.
    pub fn look(&self, who: &Admitted, key: &HomeKey) -> Result<Arc<Entry>, Failure> {
        self.lookup.now().find(key, who.uid).cloned().ok_or_else(|| key.unknown().into())
    }

    /// The record of a home with its sizes; waits for them for a moment at most.
    pub async fn with_sizes(&self, entry: &Arc<Entry>) -> Record {
        match self.sizing.get() {
            Some(sizing) => sizes::record(entry, sizing).await,
            None => entry.view.record.open(),
        }
    }

    /// The same at once, with the sizes that were measured last.
    pub fn with_known_sizes(&self, entry: &Entry) -> Record {
        self.sizing.get().map_or_else(|| entry.view.record.open(), |sizing| sizes::known(entry, sizing))
    }

    /// How sizes are measured; only the loop says so, once.
    pub fn measure_by(&self, sizing: Sizing) {
        // Said twice, the first stays.
        let _ = self.sizing.set(sizing);
    }

    /// Shows what has become of homes; only the loop does.
    pub fn publish(&self, news: Vec<News>) {
        self.lookup.publish(news);
    }

    /// The machine is going to sleep, or is not any more; only the loop says so.
    pub fn hold(&self, holds: bool) {
        self.holding.send_replace(holds);
    }

    /// Whether nothing comes into memory now that opens a home, for the machine is going to sleep.
    pub fn holds(&self) -> watch::Receiver<bool> {
        self.holding.subscribe()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_waiting<F: Future + Unpin>(future: &mut F) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::Pin::new(future).poll(&mut context).is_pending()
    }

    fn somebody() -> Caller {
        Caller { uid: 1000, bus_name: None, interactive: Interactive::No, from: Provenance::default() }
    }

    #[tokio::test]
    async fn a_dropped_question_is_reported() {
        let (link, mut calls) = Link::new();
        let who = link.admit(somebody(), Good::Call).expect("room");
        let mut asking = Box::pin(link.ask(&who, Operation::DeactivateAll));
        assert!(is_waiting(&mut asking));
        let Some(Call::Asked { id, .. }) = calls.recv().await else { panic!("a question") };
        drop(asking);
        assert!(matches!(calls.recv().await, Some(Call::Abandoned(gone)) if gone == id));
    }

    #[test]
    fn one_caller_cannot_take_all_places() {
        let (link, _calls) = Link::new();
        let places: Vec<_> = (0..10_000).map_while(|_| link.admit(somebody(), Good::Call).ok()).collect();
        assert!(places.len() < 1000);
        let refused = link.admit(somebody(), Good::Call).map(drop);
        assert_eq!(refused, Err(Refusal::TooManyOperations.into()));
        assert!(link.admit(Caller { uid: 0, ..somebody() }, Good::Call).is_ok());
        drop(places);
        assert!(link.admit(somebody(), Good::Call).is_ok());
    }

    /// By another name of the unit, journalctl(1) finds nothing.
    #[test]
    fn causes_are_looked_for_where_they_are() {
        let text = Failure::Fault { id: "homed-1-2".to_owned() }.to_string();
        assert!(text.ends_with("journalctl -u homed -g homed-1-2"), "{text}");
    }
}
