//! How long a job took and each of its steps, for the log.

use crate::job::{Progress, Step};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A job's clock: it starts when it is made, and is shared by who hears of steps and who hears of the end.
#[derive(Clone)]
pub struct Pace {
    begun: Instant,
    steps: Arc<Mutex<Vec<(&'static str, Instant)>>>,
}

impl Pace {
    /// The job begins.
    pub fn begin() -> Self {
        Self { begun: Instant::now(), steps: Arc::default() }
    }

    /// A step begins, and the one before it has ended.
    pub fn enter(&self, progress: &Progress) {
        if let Some(step) = Step::ALL.iter().find(|step| step.words() == progress.step) {
            self.steps.lock().unwrap_or_else(PoisonError::into_inner).push((step.name(), Instant::now()));
        }
    }

    /// How long it has taken so far.
    pub fn taken(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// `start=1200 freeze-user=310 …`: microseconds; `start` is the time until the worker's first step.
impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = std::iter::once(("start", self.begun)).chain(steps.iter().copied());
        let ends = steps.iter().map(|step| step.1).chain([Instant::now()]);
        for (place, ((name, begin), end)) in begins.zip(ends).enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{name}={}", end.saturating_duration_since(begin).as_micros())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_time_in_the_order_of_the_work() {
        let pace = Pace::begin();
        for step in [Step::Cover, Step::Sync] {
            pace.enter(&Progress { step: step.words().into(), done: 0, of: 0 });
        }
        pace.enter(&Progress { step: "what no step says".into(), done: 0, of: 0 });
        let text = pace.to_string();
        let names: Vec<&str> = text.split(' ').filter_map(|word| word.split('=').next()).collect();
        assert_eq!(names, ["start", "cover", "sync"]);
        assert!(
            text.split(' ').all(|word| word.split_once('=').is_some_and(|(_, n)| n.parse::<u64>().is_ok()))
        );
    }
}
