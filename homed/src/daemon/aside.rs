//! What may never come back, on threads aside: one after the other, and whoever hangs is left behind.
//!
//! ```text
//! thread 1   a ─ b ─ c (hangs …………)
//! thread 2               d ─ e        the bound of c is over: it is told as unanswered, and the others go on
//! ```
//!
//! Threads of their own and none of the runtime's: those that hang must not keep others from theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// So many are at work or hang at most, on all threads aside: with more nobody else is asked, and what was known counts. What
/// hangs is bounded by whoever asks, folder by folder and gate by gate.
const MOST: usize = 256;
/// So many are at work or hang at one gate.
const MOST_AT_A_GATE: usize = 4;

/// Threads that were left behind, or are at work.
static ASIDE: AtomicUsize = AtomicUsize::new(0);

/// A thread's place among them.
struct Room;

impl Room {
    fn take() -> Option<Self> {
        let room = Self;
        (ASIDE.fetch_add(1, Ordering::Relaxed) < MOST).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        ASIDE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One neighbour that may hang: a few at most wait for it, whoever asks. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<AtomicUsize>);

impl Gate {
    fn pass(&self) -> Option<Passed> {
        let passed = Passed(self.clone());
        (self.0.fetch_add(1, Ordering::Relaxed) < MOST_AT_A_GATE).then_some(passed)
    }
}

/// Somebody beyond the gate.
struct Passed(Gate);

impl Drop for Passed {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Does something with each, in turn, and tells what came of it; `None`: nothing within the bound.
pub async fn each<I, T>(
    items: Vec<I>,
    bound: Duration,
    act: impl Fn(&I) -> T + Send + Sync + 'static,
    mut told: impl FnMut(&I, Option<T>),
) where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    let (items, act) = (Arc::new(items), Arc::new(act));
    let mut next = 0;
    while next < items.len() {
        let mut heard = begin(&items, next, &act);
        while let Some(item) = items.get(next) {
            let answer = match &mut heard {
                Some(heard) => tokio::time::timeout(bound, heard.recv()).await.ok().flatten(),
                None => None,
            };
            let hangs = answer.is_none();
            told(item, answer);
            next += 1;
            if hangs {
                break;
            }
        }
    }
}

/// Does something once; `None`: nothing within the bound, or too many hang at that gate.
pub async fn once<T: Send + 'static>(
    gate: &Gate,
    bound: Duration,
    act: impl Fn() -> T + Send + Sync + 'static,
) -> Option<T> {
    let (mut answer, gate) = (None, gate.clone());
    let act = move |(): &()| gate.pass().map(|_passed| act());
    each(vec![()], bound, act, |(), got| answer = got.flatten()).await;
    answer
}

/// A thread for those from `first` on; it ends where nobody listens any more. `None`: too many hang.
fn begin<I, T>(
    items: &Arc<Vec<I>>,
    first: usize,
    act: &Arc<impl Fn(&I) -> T + Send + Sync + 'static>,
) -> Option<mpsc::UnboundedReceiver<T>>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    let room = Room::take()?;
    let (tell, heard) = mpsc::unbounded_channel();
    let (items, act) = (items.clone(), act.clone());
    let work = move || {
        let _room = room;
        let all = items.iter().skip(first);
        let _ = all.map(|item| tell.send(act(item))).find(Result::is_err);
    };
    std::thread::Builder::new().name("aside".into()).spawn(work).ok().map(|_| heard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn who_hangs_is_left_behind_and_the_others_are_asked() {
        let (hang, hung) = std::sync::mpsc::channel::<()>();
        let hung = Mutex::new(hung);
        let act = move |item: &u32| {
            if *item == 3 {
                let _ = hung.lock().map(|hung| hung.recv());
            }
            item * 10
        };
        let mut told = Vec::new();
        each(vec![1, 2, 3, 4, 5], Duration::from_secs(3), act, |item, answer| told.push((*item, answer)))
            .await;
        assert_eq!(told, [(1, Some(10)), (2, Some(20)), (3, None), (4, Some(40)), (5, Some(50))]);
        drop(hang);
        assert_eq!(once(&Gate::default(), Duration::from_secs(1), || 7).await, Some(7));
    }

    #[tokio::test]
    async fn a_few_hang_at_a_gate_and_nobody_else_is_sent_there() {
        let gate = Gate::default();
        let hanging: Vec<_> = std::iter::from_fn(|| gate.pass()).collect();
        assert_eq!(hanging.len(), MOST_AT_A_GATE);
        assert_eq!(once(&gate, Duration::from_secs(1), || 7).await, None);
        drop(hanging);
        assert_eq!(once(&gate, Duration::from_secs(1), || 7).await, Some(7));
    }
}
