//! The loop: one event in, effects out, one owner of everything.
//!
//! ```text
//! fronts ─ Call ──┐                        ┌→ answers, references, changes → fronts
//! tasks ─ Event ──┼→ Manager::handle ─→ Effect → workers, checks, timers, host records
//! ```
//!
//! Releases of references are taken before calls, so that a caller who let go of a home finds it let go.

use super::events::{Events, Happened};
use super::inhibitors::Inhibitors;
use super::link::{Call, Failure, Link, Reply};
use super::outside::{self, Outside};
use super::pace::Pace;
use super::paths::Paths;
use super::references::References;
use super::worker::{Report, Spawner};
use crate::home::effect::{Effect, Event, Failed, JobId, StartJob};
use crate::home::facts::Facts;
use crate::home::inhibitor::Inhibitor;
use crate::job::{Outcome, Step};
use crate::lookup::sizes::{Measure, Sizing};
use crate::manager::request::{Answer, AtSuspend, KeyOperation, Operation, RequestId};
use crate::manager::{Manager, Now};
use records::UserName;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How long a daemon that is stopped waits for its workers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where an answer goes.
type AnswerTo = oneshot::Sender<Result<Reply, Failure>>;

/// What the loop is made of.
pub struct Parts {
    /// The core.
    pub manager: Manager,
    /// Kernel and disk.
    pub facts: Box<dyn Facts>,
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
    link: Link,
    events: Events,
    pub(super) references: References,
    pub(super) inhibitors: Inhibitors,
    answers: HashMap<RequestId, AnswerTo>,
    /// Host records being written: a worker of that home waits for them.
    saves: HashMap<UserName, JoinHandle<()>>,
    stops: HashMap<JobId, oneshot::Sender<()>>,
    faults: u64,
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
        let daemon = Self {
            parts,
            link,
            events,
            references,
            inhibitors,
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
            Happened::Settings(defaults) => self.parts.manager.follow(*defaults),
            Happened::LookForStorage => self.look_for_storage(),
        }
    }

    fn called(&mut self, call: Call) {
        match call {
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
                    let events = self.events.clone();
                    tokio::task::spawn_blocking(move || {
                        events.event(Event::Adopted(super::scan::named(path.as_ref()), id));
                    });
                }
                Operation::Weaknesses => self.weaknesses.tell(answer),
                operation => {
                    for (user, kind) in self.references.gone_by_now() {
                        self.take(Event::Released(user, kind));
                    }
                    self.answers.insert(id, answer);
                    self.take(Event::Asked(id, caller, Box::new(operation)));
                }
            },
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        if let Event::Ended(user, job, _) = &event {
            self.stops.remove(job);
            // Not there is just as good.
            let _ = std::fs::remove_file(self.marker(user));
        }
        let now = Now { usec: now_usec(), facts: &*self.parts.facts };
        let effects = self.parts.manager.handle(event, &now);
        self.publish();
        for effect in effects {
            self.obey(effect);
        }
    }

    /// Before anybody is answered: who asks after an answer sees what came of it.
    pub(super) fn publish(&mut self) {
        if !self.loading {
            let now = Now { usec: now_usec(), facts: &*self.parts.facts };
            self.link.publish(self.parts.manager.news(&now));
        }
    }

    fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(id, answer, delay) => self.answer(id, answer, delay),
            Effect::HandOver(id, user, kind) => self.hand_over(id, &user, kind),
            Effect::Start(start) => self.start(*start),
            Effect::Stop(job) => {
                if let Some(stop) = self.stops.remove(&job) {
                    // Ended already is just as good.
                    let _ = stop.send(());
                }
            }
            Effect::Check(check) => {
                let (events, outside) = (self.events.clone(), self.parts.outside.clone());
                tokio::task::spawn_blocking(move || {
                    let findings = outside::look_up(&*outside, &check);
                    events.event(Event::Checked(check.user, check.id, findings));
                });
            }
            Effect::Prove(id, place) => {
                super::prove::prove(self.parts.outside.clone(), self.events.clone(), id, *place);
            }
            Effect::Save(record) => {
                let user = record.user().clone();
                let events = self.events.clone();
                self.write(user.clone(), move |outside| match outside.save(&record) {
                    Ok(written) if written == *record => {}
                    Ok(signed) => events.event(Event::Signed(Box::new(signed))),
                    Err(error) => {
                        tracing::error!(home = %user, "the host record could not be written: {error}");
                    }
                });
            }
            Effect::Forget(user, call) => self.forget(user, call),
            Effect::DropReferences(user) => self.references.drop_all(&user),
            Effect::SetTimer(timer, after) => self.ring(after, Event::Rang(timer)),
            Effect::Inhibit(id, inhibitor) => self.inhibit(id, &inhibitor),
            Effect::Announce(change) => self.link.announce(change),
            Effect::Log(user, text) => tracing::warn!(home = %user, "{text}"),
            Effect::Warn(text) => tracing::error!("{text}"),
            Effect::PowerOff => power_off(),
            Effect::Hold(sleep) => super::hold::note(&self.parts.paths.hold, sleep),
            Effect::LookForStorage => {
                for found in super::scan::folder(&self.parts.paths.home_root) {
                    self.events.event(Event::Found(found));
                }
            }
        }
    }

    fn ring(&self, after: Duration, event: Event) {
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            events.event(event);
        });
    }

    fn inhibit(&mut self, id: RequestId, inhibitor: &Inhibitor) {
        let reply = match self.inhibitors.give(inhibitor, now_usec()) {
            Ok(fd) => Ok(Reply::Reference(fd)),
            Err(error) => {
                // The core believes it is held.
                self.events.event(Event::LetGo(inhibitor.user.clone(), inhibitor.id));
                Err(self.failure(Failed::Fault(format!("making an inhibitor: {error}"))))
            }
        };
        if let Some(to) = self.answers.remove(&id) {
            // If the caller has gone, it is dropped with the reply, and its end is seen.
            let _ = to.send(reply);
        }
    }

    fn answer(&mut self, id: RequestId, answer: Result<Answer, Failed>, delay: Duration) {
        let Some(to) = self.answers.remove(&id) else { return };
        let reply = match answer {
            Ok(Answer::Done) => Ok(Reply::Done),
            Ok(Answer::Report(report)) => Ok(Reply::Report(report)),
            Ok(Answer::Locks(locks)) => Ok(Reply::Locks(locks)),
            Ok(Answer::LeftOut(users)) => Ok(Reply::LeftOut(users)),
            Ok(Answer::LookAgain(after)) => Ok(Reply::LookAgain(after)),
            Err(failed) => Err(self.failure(failed)),
        };
        if delay.is_zero() {
            // A caller that has gone is told of by its own event.
            let _ = to.send(reply);
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = to.send(reply);
        });
    }

    fn failure(&mut self, failed: Failed) -> Failure {
        match failed {
            Failed::Refused(refused) => Failure::Refused(refused),
            Failed::Fault(chain) => {
                self.faults += 1;
                let id = fault_id(self.faults);
                tracing::error!("{id}: {chain}");
                Failure::Fault { id }
            }
        }
    }

    fn hand_over(&mut self, id: RequestId, user: &UserName, kind: AtSuspend) {
        let given = self.references.give(user, kind);
        let reply = match given {
            Ok(fd) => Ok(Reply::Reference(fd)),
            Err(error) => {
                // The core believes it is held.
                self.events.event(Event::Released(user.clone(), kind));
                Err(self.failure(Failed::Fault(format!("making a reference on the home of {user}: {error}"))))
            }
        };
        if let Some(to) = self.answers.remove(&id) {
            // If the caller has gone, the reference is dropped with the reply, and its end is seen.
            let _ = to.send(reply);
        }
    }

    fn start(&mut self, start: StartJob) {
        let (user, id) = (start.user.clone(), start.id);
        tracing::info!(home = %user, "{user}: {} begins", start.what);
        if let Err(error) = std::fs::write(self.marker(&user), start.what) {
            tracing::warn!(home = %user, "an interruption could not be recognized later: {error}");
        }
        let (stop, stopped) = oneshot::channel();
        self.stops.insert(id, stop);
        match self.saves.remove(&user).filter(|save| !save.is_finished()) {
            None => self.spawn(start, stopped),
            Some(save) => {
                let events = self.events.clone();
                tokio::spawn(async move {
                    let _ = save.await;
                    events.send(Happened::Saved(Box::new(start), stopped));
                });
            }
        }
    }

    fn spawn(&self, mut start: StartJob, stopped: oneshot::Receiver<()>) {
        let (user, id, what, events) = (start.user.clone(), start.id, start.what, self.events.clone());
        let pace = Pace::begin();
        let report = report(&mut start, events.clone(), pace.clone());
        let running = self.parts.spawner.run(start, report, stopped);
        tokio::spawn(async move { finish((user, id, what), running.await, &pace, &events) });
    }

    /// Writes something about a home after everything that was to be written before.
    fn write(&mut self, user: UserName, write: impl FnOnce(&dyn Outside) + Send + 'static) {
        let before = self.saves.remove(&user);
        let outside = self.parts.outside.clone();
        let save = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            if tokio::task::spawn_blocking(move || write(&*outside)).await.is_err() {
                tracing::error!("writing a host record ended early");
            }
        });
        self.saves.insert(user, save);
    }

    fn forget(&mut self, user: UserName, call: Option<RequestId>) {
        let to = call.and_then(|id| self.answers.remove(&id));
        let fault = self.failure_of_forgetting(&user);
        let name = user.clone();
        let events = self.events.clone();
        self.write(user, move |outside| {
            let reply = outside.forget(&name).map(|()| Reply::Done).map_err(|error| {
                tracing::error!(home = %name, "the host record could not be deleted: {error}");
                fault
            });
            // Storage of it that is left is nobody's from now on.
            events.send(Happened::LookForStorage);
            if let Some(to) = to {
                let _ = to.send(reply);
            }
        });
    }

    fn failure_of_forgetting(&mut self, user: &UserName) -> Failure {
        self.faults += 1;
        Failure::Fault { id: format!("{user}: the host record could not be deleted") }
    }

    fn keys(&mut self, operation: KeyOperation, to: AnswerTo) {
        self.outside(to, move |outside| outside.keys(operation).map(Reply::Keys));
    }

    /// Asks a neighbour, and passes its answer on.
    fn outside(
        &mut self,
        to: AnswerTo,
        ask: impl FnOnce(&dyn Outside) -> Result<Reply, Failed> + Send + 'static,
    ) {
        self.faults += 1;
        let (outside, id) = (self.parts.outside.clone(), fault_id(self.faults));
        tokio::task::spawn_blocking(move || {
            let reply = ask(&*outside).map_err(|failed| match failed {
                Failed::Refused(refused) => Failure::Refused(refused),
                Failed::Fault(chain) => {
                    tracing::error!("{id}: {chain}");
                    Failure::Fault { id }
                }
            });
            // A caller that has gone needs no answer.
            let _ = to.send(reply);
        });
    }

    pub(super) fn marker(&self, user: &UserName) -> std::path::PathBuf {
        self.parts.paths.jobs.join(user.as_str())
    }
}

/// What to look for in the log.
fn fault_id(number: u64) -> String {
    format!("homed-{}-{number}", std::process::id())
}

/// The wall clock, µs since 1970.
pub(super) fn now_usec() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Not every home could be locked, and the machine must not sleep with its keys in memory.
fn power_off() {
    tracing::error!("not every home could be locked: the machine is shut down, as LockFailure=poweroff says");
    if let Err(error) = tokio::process::Command::new("systemctl").args(super::POWER_OFF).spawn() {
        tracing::error!("the machine cannot be shut down: {error}");
    }
}

/// Passes progress on, and tells the core when there is no way back.
fn report(start: &mut StartJob, events: Events, pace: Pace) -> Report {
    let (sink, user, id) = (start.progress.take(), start.user.clone(), start.id);
    Box::new(move |progress| {
        pace.enter(&progress);
        if let Some(sink) = &sink {
            sink(&progress);
        }
        if progress.step == Step::Publish.words() {
            events.event(Event::Committed(user.clone(), id));
        }
    })
}

fn finish((user, id, what): (UserName, JobId, &str), outcome: Outcome, pace: &Pace, events: &Events) {
    match &outcome {
        Outcome::Done { .. } | Outcome::Checked { .. } => {
            let taken = pace.taken().as_millis();
            tracing::info!(home = %user, steps = %pace, "{user}: {what} is done in {taken} ms");
        }
        Outcome::Refused(refused) => tracing::info!(home = %user, "{user}: {what} is refused: {refused}"),
        Outcome::Stopped => tracing::info!(home = %user, "{user}: {what} is stopped"),
        Outcome::Fault { chain } => tracing::error!(home = %user, "{user}: {what} failed: {chain}"),
    }
    events.event(Event::Ended(user, id, outcome));
}
