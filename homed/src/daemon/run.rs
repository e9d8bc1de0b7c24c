//! The loop: one event in, effects out, one owner of everything.
//!
//! ```text
//! fronts ─ Call ──┐                        ┌→ answers, references, changes → fronts
//! tasks ─ Event ──┼→ Manager::handle ─→ Effect → workers, checks, timers, host records
//! ```
//!
//! Releases of references are taken before calls, so that a caller who let go of a home finds it let go.

use super::answers::Answers;
use super::events::{Events, Happened};
use super::ground::Ground;
use super::inhibitors::Inhibitors;
use super::link::{Call, Failure, Link, Reply};
use super::looks::Looks;
use super::markers::Markers;
use super::outside::Outside;
use super::paths::Paths;
use super::references::References;
use super::worker::Spawner;
use crate::home::effect::{Event, JobId};
use crate::home::facts::Facts;
use crate::job::Outcome;
use crate::lookup::sizes::{Measure, Sizing};
use crate::manager::{Manager, Now};
use crate::words::request::{Caller, Operation, RequestId};
use records::UserName;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How long a daemon that is stopped waits for its workers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where an answer goes.
pub(super) type AnswerTo = oneshot::Sender<Result<Reply, Failure>>;

/// What the loop is made of.
pub struct Parts {
    /// The core.
    pub manager: Manager,
    /// The kernel, and what file systems have told.
    pub facts: Box<dyn Facts>,
    /// Where that is remembered.
    pub answers: Answers,
    /// Blocking neighbours.
    pub outside: Arc<dyn Outside>,
    /// Who runs jobs.
    pub spawner: Box<dyn Spawner>,
    /// Folders.
    pub paths: Paths,
}

/// The loop's state: only what the core cannot have.
pub struct Daemon {
    pub(super) parts: Parts,
    pub(super) link: Link,
    pub(super) events: Events,
    pub(super) references: References,
    pub(super) inhibitors: Inhibitors,
    pub(super) ground: Ground,
    pub(super) looks: Looks,
    pub(super) markers: Markers,
    pub(super) answers: HashMap<RequestId, AnswerTo>,
    /// Host records being written: a worker of that home waits for them.
    pub(super) saves: HashMap<UserName, JoinHandle<()>>,
    pub(super) stops: HashMap<JobId, oneshot::Sender<()>>,
    pub(super) faults: u64,
    /// Homes are being read one after the other: they are shown all together.
    pub(super) loading: bool,
    weaknesses: super::weaknesses::Weaknesses,
}

impl Daemon {
    /// A loop, and what it listens to.
    pub fn new(parts: Parts, link: Link) -> (Self, mpsc::UnboundedReceiver<Happened>) {
        let (events, happened) = Events::new();
        let references = References::new(parts.paths.references.clone(), events.clone());
        let inhibitors = Inhibitors::new(parts.paths.inhibitors.clone(), events.clone());
        let ground = Ground::new(parts.outside.clone(), parts.answers.clone(), events.clone());
        let markers = Markers::new(parts.paths.jobs.clone());
        let daemon = Self {
            parts,
            link,
            events,
            references,
            inhibitors,
            ground,
            looks: Looks::default(),
            markers,
            answers: HashMap::new(),
            saves: HashMap::new(),
            stops: HashMap::new(),
            faults: 0,
            loading: false,
            weaknesses: super::weaknesses::Weaknesses::default(),
        };
        let outside = daemon.parts.outside.clone();
        let measure: Measure = Arc::new(move |place| outside.figures(place));
        let machine = daemon.parts.manager.machine().clone();
        daemon.link.measure_by(Sizing { machine, measure });
        (daemon, happened)
    }

    /// The way for other tasks of the daemon (disk watchers) to report.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// Runs until told to stop, then waits for workers that run.
    pub async fn run(
        &mut self,
        mut calls: mpsc::UnboundedReceiver<Call>,
        mut happened: mpsc::UnboundedReceiver<Happened>,
        stop: impl Future<Output = ()>,
    ) {
        tokio::pin!(stop);
        let mut beat = super::beat::Beat::start();
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                // In the loop itself: one that hangs is silent, and is started again.
                () = beat.due() => beat.tell(),
                Some(news) = happened.recv() => self.happened(news),
                Some(call) = calls.recv() => self.called(call),
            }
        }
        drop(calls);
        self.take_no_more();
        let finish = async {
            while !self.stops.is_empty() {
                match happened.recv().await {
                    Some(news) => self.happened(news),
                    None => return,
                }
            }
            for (_, save) in self.saves.drain() {
                // A save that failed has been logged.
                let _ = save.await;
            }
        };
        if tokio::time::timeout(PATIENCE, finish).await.is_err() {
            tracing::warn!("workers still run; they end with the daemon");
        }
    }

    fn happened(&mut self, news: Happened) {
        match news {
            Happened::Event(event) => {
                let broke_off = matches!(event, Event::Ended(_, _, Outcome::Fault { .. } | Outcome::Stopped));
                self.take(event);
                if broke_off {
                    // A worker that died between putting an image in place and writing the host's record
                    // leaves a whole home. It was seen to appear while it was being made.
                    self.look_for_storage();
                }
            }
            Happened::ReferenceGone(user, kind, generation) => {
                if self.references.is_current(&user, kind, generation) {
                    self.take(Event::Released(user, kind));
                }
            }
            Happened::Saved(start, stopped) => self.spawn(*start, stopped),
            Happened::Looked(id, call, unwritable) => self.looked(id, *call, unwritable),
            Happened::Seen(event) => self.seen(event),
            Happened::Answered(user) => self.answered_late(user),
            Happened::MountsChanged | Happened::DevicesGone => self.sweep(),
            Happened::Swept => self.swept(),
            Happened::Settings(defaults) => {
                self.parts.manager.follow(*defaults);
                self.take(Event::KeysChanged);
            }
            Happened::LookForStorage => self.look_for_storage(),
        }
    }

    fn called(&mut self, call: Call) {
        match call {
            Call::Abandoned(id) if self.no_longer_waits(id) => {}
            Call::Abandoned(id) => {
                self.answers.remove(&id);
                self.take(Event::Abandoned(id));
            }
            Call::Asked { id, caller, operation, answer } => match *operation {
                Operation::Keys(keys) => self.keys(keys, answer),
                Operation::Stage(user, blobs) => {
                    self.outside(answer, move |outside| outside.stage(&user, blobs).map(Reply::Staged));
                }
                Operation::Adopt(path) => {
                    self.answers.insert(id, answer);
                    self.look_at_path(path, id);
                }
                Operation::Weaknesses => self.weaknesses.tell(answer),
                operation => self.asked(id, caller, Box::new(operation), answer),
            },
        }
    }

    fn asked(&mut self, id: RequestId, caller: Caller, operation: Box<Operation>, answer: AnswerTo) {
        let places = self.looks_first(&operation, &caller);
        let call = Call::Asked { id, caller, operation, answer };
        match places {
            Some(places) => self.wait_for_look(id, places, call),
            None => self.called_after_look(call),
        }
    }

    pub(super) fn called_after_look(&mut self, call: Call) {
        let Call::Asked { id, caller, operation, answer } = call else { return };
        for (user, kind) in self.references.gone_by_now() {
            self.take(Event::Released(user, kind));
        }
        self.answers.insert(id, answer);
        self.take(Event::Asked(id, caller, operation));
    }

    pub(super) fn take(&mut self, event: Event) {
        let ended = match &event {
            Event::Ended(user, job, _) => {
                self.stops.remove(job);
                Some(user.clone())
            }
            _ => None,
        };
        // Homes that are read at a start are all judged by one look: whatever changes meanwhile is told of by those who watch.
        if !self.loading {
            self.parts.facts.begin_turn();
        }
        let now = Now { usec: now_usec(), facts: &*self.parts.facts };
        let effects = self.parts.manager.handle(event, &now);
        // What could not be put in order yet is not forgotten by a daemon that is started after this one.
        if let Some(user) = ended.filter(|user| !self.parts.manager.is_to_be_settled(user)) {
            self.markers.clear(&user);
        }
        self.publish();
        for effect in effects {
            self.obey(effect);
        }
    }

    /// Before anybody is answered: who asks after an answer sees what came of it.
    pub(super) fn publish(&mut self) {
        if !self.loading {
            let now = Now { usec: now_usec(), facts: &*self.parts.facts };
            let news = self.parts.manager.news(&now);
            self.look_at_new(&news);
            self.link.publish(news);
        }
    }
}

/// The wall clock, µs since 1970.
pub(super) fn now_usec() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
