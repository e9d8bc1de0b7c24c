//! What weakens locks on this machine, for whoever asks: looking starts a program, so one looks at a time, and all who
//! have asked before it began to are told the same.

use super::link::{Failure, Reply};
use super::surroundings;
use crate::manager::weakness::{Weakness, judge};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, oneshot};

/// When the last look began, and what was seen.
type Seen = Option<(Instant, Vec<Weakness>)>;

/// The last look.
#[derive(Default, Clone)]
pub(super) struct Weaknesses(Arc<Mutex<Seen>>);

impl Weaknesses {
    /// Looks, or waits for who does, and tells.
    pub fn tell(&self, to: oneshot::Sender<Result<Reply, Failure>>) {
        let (asked, seen) = (Instant::now(), self.0.clone());
        tokio::spawn(async move {
            let mut seen = seen.lock().await;
            if to.is_closed() {
                return;
            }
            if seen.as_ref().is_none_or(|(began, _)| *began < asked) {
                let began = Instant::now();
                let look = tokio::task::spawn_blocking(|| judge(&surroundings::look())).await;
                // A look that broke off has seen nothing.
                *seen = look.ok().map(|found| (began, found));
            }
            let found = seen.as_ref().map(|(_, found)| found.clone()).unwrap_or_default();
            // A caller that has gone needs no answer.
            let _ = to.send(Ok(Reply::Weaknesses(found)));
        });
    }
}
