//! How large homes are: asked of file systems, which may not answer. For who asks, on a thread of its own, one a home;
//! nobody waits for it longer than [`PATIENCE`], and who does not wait gets what was known.

use super::Entry;
use crate::home::facts::{Figures, Place};
use crate::home::live;
use records::{Machine, Record};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// For so long they are not measured again, while nothing happens to the home.
const FRESH: Duration = Duration::from_secs(1);
/// How long is waited for a file system.
const PATIENCE: Duration = Duration::from_millis(500);
/// Threads that wait for file systems that hang: with so many nobody measures any more.
const MOST: usize = 64;

/// How many measure.
static MEASURING: AtomicUsize = AtomicUsize::new(0);

/// Whoever can measure.
pub type Measure = Arc<dyn Fn(&Place) -> Figures + Send + Sync>;

/// How sizes come about on this machine.
pub struct Sizing {
    /// This machine, under whose name they are written down.
    pub machine: Machine,
    /// Measures.
    pub measure: Measure,
}

/// What is known of one home.
#[derive(Default)]
pub(super) struct Sizes {
    last: Mutex<Option<(Instant, Figures)>>,
    turn: Arc<Measuring>,
}

/// One measures at a time, whatever happens to the home meanwhile.
#[derive(Default)]
struct Measuring {
    busy: AtomicBool,
    done: Notify,
}

impl Sizes {
    /// For the same home after something has happened to it: what was measured counts no longer.
    pub(super) fn of_the_next(&self) -> Self {
        Self { last: Mutex::default(), turn: self.turn.clone() }
    }

    fn last(&self) -> Option<(Instant, Figures)> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn are_fresh(&self) -> bool {
        self.last().is_some_and(|(when, _)| when.elapsed() < FRESH)
    }
}

/// The record of a home with its sizes.
pub async fn record(entry: &Arc<Entry>, sizing: &Sizing) -> Record {
    if !entry.view.has_sizes() {
        return entry.view.record.open();
    }
    if !entry.sizes.are_fresh() {
        // Who has no patience takes what is known.
        let _ = tokio::time::timeout(PATIENCE, until_measured(entry, &sizing.measure)).await;
    }
    known(entry, sizing)
}

/// The same at once, with the sizes that are known.
pub fn known(entry: &Entry, sizing: &Sizing) -> Record {
    match entry.sizes.last() {
        Some((_, figures)) if entry.view.has_sizes() => {
            live::with_figures(&entry.view.record.open(), &sizing.machine, figures)
        }
        _ => entry.view.record.open(),
    }
}

async fn until_measured(entry: &Arc<Entry>, measure: &Measure) {
    loop {
        let done = entry.sizes.turn.done.notified();
        tokio::pin!(done);
        done.as_mut().enable();
        if entry.sizes.are_fresh() {
            return;
        }
        if !entry.sizes.turn.busy.swap(true, Ordering::AcqRel) {
            start(entry.clone(), measure.clone());
        }
        done.await;
    }
}

fn start(entry: Arc<Entry>, measure: Measure) {
    let turn = entry.sizes.turn.clone();
    let room = MEASURING.fetch_add(1, Ordering::Relaxed) < MOST;
    let look = move || {
        let figures = measure(&entry.view.place);
        *entry.sizes.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), figures));
        entry.sizes.turn.busy.store(false, Ordering::Release);
        MEASURING.fetch_sub(1, Ordering::Relaxed);
        entry.sizes.turn.done.notify_waiters();
    };
    // A thread of its own and not one of the runtime's: it may never end.
    if !room || std::thread::Builder::new().name("sizes".into()).spawn(look).is_err() {
        MEASURING.fetch_sub(1, Ordering::Relaxed);
        turn.busy.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Lookup, tests::view};
    use super::*;
    use records::{HostName, MachineId};

    fn machine() -> Machine {
        let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        Machine { id, host: HostName("a".into()) }
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_holds_up_its_own_home_and_for_a_moment_only() {
        let lookup = Lookup::default();
        for (name, uid) in [("alice", 60001), ("bob", 60002)] {
            let view = view(name, uid, "");
            lookup.publish(vec![(view.unix.name.clone(), Some(view))]);
        }
        let (hang, hung) = std::sync::mpsc::channel::<()>();
        let (hung, asked) = (Mutex::new(hung), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        let measure: Measure = Arc::new(move |place| {
            if place.user.as_str() == "alice" {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = hung.lock().expect("one at a time").recv();
            }
            Figures { size: Some(7), ..Figures::default() }
        });
        let (homes, sizing) = (lookup.now(), Sizing { machine: machine(), measure });
        let size = async |name: &str| {
            let entry = homes.called(name).expect("there");
            let record = record(entry, &sizing).await;
            record.members().get("status").map(ToString::to_string).unwrap_or_default()
        };
        assert_eq!(size("alice").await, "");
        assert_eq!(size("alice").await, "");
        assert_eq!(asked.load(Ordering::Relaxed), 1, "one thread a home");
        assert!(size("bob").await.contains(r#""diskSize":7"#));
        drop(hang);
    }
}
