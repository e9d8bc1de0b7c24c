//! How long a job took and each of its steps, for the log.

use crate::job::{Progress, Step};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A job's clock: it starts when it is made, and is shared by who hears of steps and who hears of the end.
#[derive(Clone)]
pub struct Pace {
    begun: Instant,
    steps: Arc<Mutex<Vec<(&'static str, Instant)>>>,
    heard: Arc<Mutex<Heard>>,
    hears: Arc<Notify>,
}

/// What was heard last, and when.
struct Heard {
    step: String,
    at: tokio::time::Instant,
}

impl Pace {
    /// The job begins.
    pub fn begin() -> Self {
        let heard = Heard { step: "Starting".into(), at: tokio::time::Instant::now() };
        Self {
            begun: Instant::now(),
            steps: Arc::default(),
            heard: Arc::new(Mutex::new(heard)),
            hears: Arc::default(),
        }
    }

    /// A step begins, and the one before it has ended.
    pub fn enter(&self, progress: &Progress) {
        if let Some(step) = Step::ALL.iter().find(|step| step.words() == progress.step) {
            self.steps.lock().unwrap_or_else(PoisonError::into_inner).push((step.name(), Instant::now()));
        }
    }

    /// Progress was told of.
    pub fn hear(&self, progress: &Progress) {
        let heard = Heard { step: progress.step.clone(), at: tokio::time::Instant::now() };
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = heard;
        self.hears.notify_one();
    }

    /// Ends when nothing was heard for so long; the step that was told of last.
    pub async fn silence(&self, long: Duration) -> String {
        loop {
            let (step, at) = self.heard();
            if at.elapsed() >= long {
                return step;
            }
            tokio::time::sleep_until(at + long).await;
        }
    }

    /// Ends when anything is heard from now on.
    pub async fn sound(&self) {
        let (_, before) = self.heard();
        while self.heard().1 == before {
            self.hears.notified().await;
        }
    }

    fn heard(&self) -> (String, tokio::time::Instant) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        (heard.step.clone(), heard.at)
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

    #[tokio::test]
    async fn who_tells_of_nothing_is_silent_until_heard_again() {
        let (pace, long) = (Pace::begin(), Duration::from_millis(50));
        let tell = |step: Step| pace.hear(&Progress { step: step.words().into(), done: 0, of: 0 });
        let begin = tokio::time::Instant::now();
        tell(Step::Mount);
        assert_eq!(pace.silence(long).await, Step::Mount.words());
        assert!(begin.elapsed() >= long);
        let sound = pace.sound();
        tokio::pin!(sound);
        assert!(tokio::time::timeout(Duration::ZERO, &mut sound).await.is_err());
        tell(Step::Expose);
        sound.await;
        assert!(tokio::time::timeout(Duration::ZERO, pace.silence(Duration::from_secs(60))).await.is_err());
    }

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
