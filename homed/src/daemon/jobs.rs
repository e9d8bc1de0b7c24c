//! Workers, from the marker that tells of them until what follows from their end, and what is written for a home between them.

use super::events::{Events, Happened};
use super::outside::Outside;
use super::pace::Pace;
use super::run::Daemon;
use super::worker::{Report, Running};
use crate::home::SILENCE;
use crate::home::effect::{Event, StartJob};
use crate::home::facts::Place;
use crate::job::{Outcome, Progress, Step, Task};
use crate::words::request::ProgressSink;
use records::UserName;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

impl Daemon {
    pub(super) fn start(&mut self, start: StartJob) {
        let (user, id) = (start.user.clone(), start.id);
        tracing::info!(home = %user, "{user}: {} begins", start.what);
        self.markers.set(&user, start.what);
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

    pub(super) fn spawn(&self, mut start: StartJob, stopped: oneshot::Receiver<()>) {
        let (user, id, what, events) = (start.user.clone(), start.id, start.what, self.events.clone());
        let pace = Pace::begin();
        let sink = start.progress.take().map(Arc::new);
        let report = report((sink.clone(), &start), events.clone(), pace.clone());
        let (ground, brings_record) = (self.ground.clone(), may_bring_record(&start.job.task));
        let moved =
            may_move_storage(&start.job.task).then(|| Place::of(&start.job.record, &start.job.machine));
        let bound = start.bound;
        let running = self.parts.spawner.run(start, report, stopped);
        tokio::spawn(async move {
            // What has a bound of its own is ended by that.
            let outcome = match bound {
                Some(_) => running.await,
                None => {
                    let tell = |step: Option<String>| {
                        step.iter().zip(&sink).for_each(|(step, sink)| sink(&nothing_heard(step)));
                        events.event(Event::Silent(user.clone(), id, step));
                    };
                    heard_out(running, &pace, tell).await
                }
            };
            tell_the_log(&user, what, &outcome, &pace);
            if brings_record {
                // It may have made this machine's own key.
                ground.read_keys().await;
            }
            ground.ask_all(moved.into_iter().collect()).await;
            events.event(Event::Ended(user, id, outcome));
        });
    }

    /// Writes something about a home after everything that was to be written before.
    pub(super) fn write(&mut self, user: UserName, write: impl FnOnce(&dyn Outside) + Send + 'static) {
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
}

/// Waits for the end, and tells when nothing is heard of it for a while, and when something is heard again.
async fn heard_out(mut running: Running, pace: &Pace, tell: impl Fn(Option<String>)) -> Outcome {
    let mut silent = false;
    loop {
        let turn = async {
            if silent {
                pace.sound().await;
                return None;
            }
            Some(pace.silence(SILENCE).await)
        };
        tokio::select! {
            outcome = &mut running => return outcome,
            step = turn => {
                silent = step.is_some();
                tell(step);
            }
        }
    }
}

/// What who waits for the job is told.
fn nothing_heard(step: &str) -> Progress {
    Progress { step: format!("{step} (nothing heard for {} s)", SILENCE.as_secs()), done: 0, of: 0 }
}

/// Passes progress on, and tells the core when a person is waited for, and when there is no way back.
fn report((sink, start): (Option<Arc<ProgressSink>>, &StartJob), events: Events, pace: Pace) -> Report {
    let (user, id) = (start.user.clone(), start.id);
    let asked = AtomicBool::new(false);
    Box::new(move |progress| {
        let asks = progress.step == Step::AskTokens.words();
        if asked.swap(asks, Ordering::Relaxed) != asks {
            events.event(Event::Asking(user.clone(), id, asks));
        }
        pace.enter(&progress);
        pace.hear(&progress);
        if let Some(sink) = &sink {
            sink(&progress);
        }
        if progress.step == Step::Publish.words() {
            events.event(Event::Committed(user.clone(), id));
        }
    })
}

fn tell_the_log(user: &UserName, what: &str, outcome: &Outcome, pace: &Pace) {
    match outcome {
        Outcome::Done { .. } | Outcome::Checked { .. } | Outcome::Told { .. } => {
            let taken = pace.taken().as_millis();
            tracing::info!(home = %user, steps = %pace, "{user}: {what} is done in {taken} ms");
        }
        Outcome::Refused(refused) => {
            tracing::info!(home = %user, steps = %pace, "{user}: {what} is refused: {refused}");
        }
        Outcome::Stopped => tracing::info!(home = %user, "{user}: {what} is stopped"),
        Outcome::Fault { chain } => tracing::error!(home = %user, "{user}: {what} failed: {chain}"),
    }
}

/// Whether a record may come of it, which is judged then.
fn may_bring_record(task: &Task) -> bool {
    !matches!(
        task,
        Task::Lock { .. }
            | Task::Snapshot { .. }
            | Task::Tend { .. }
            | Task::Settle { .. }
            | Task::GiveUp { .. }
    )
}

/// Whether storage may come, go, or be marked by it: then it is looked at before the end is taken.
fn may_move_storage(task: &Task) -> bool {
    !matches!(
        task,
        Task::Lock { .. }
            | Task::Unlock { .. }
            | Task::Authenticate { .. }
            | Task::Snapshot { .. }
            | Task::Tend { .. }
    )
}
