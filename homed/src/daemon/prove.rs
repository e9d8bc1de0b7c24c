//! The proof of a lock, on a thread of its own and with a bound: looking may wait for a file server or a disk.

use super::events::Events;
use super::outside::Outside;
use crate::home::effect::{Event, JobId};
use crate::home::facts::Place;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A lock that nobody could look at in that time counts as not proven.
const BOUND: Duration = Duration::from_secs(10);
/// Looks that hang, on threads of their own. With so many nobody looks any more.
const MOST: usize = 32;

/// How many look.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// A look that is under way.
struct Looking;

impl Looking {
    fn begin() -> Option<Self> {
        let looking = Self;
        (LOOKING.fetch_add(1, Ordering::Relaxed) < MOST).then_some(looking)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks for the volume key, and tells.
pub fn prove(outside: Arc<dyn Outside>, events: Events, id: JobId, place: Place) {
    tokio::spawn(async move {
        let user = place.user.clone();
        let (told, seen) = tokio::sync::oneshot::channel();
        if let Some(looking) = Looking::begin() {
            // A thread of its own and not one of the runtime's: that waits for its threads when the daemon ends.
            std::thread::spawn(move || {
                // Nobody waits any more is just as good.
                let _ = told.send(outside.seal(&place));
                drop(looking);
            });
        }
        let seal = tokio::time::timeout(BOUND, seen).await.ok().and_then(Result::ok);
        events.event(Event::Proven(user, id, seal));
    });
}
