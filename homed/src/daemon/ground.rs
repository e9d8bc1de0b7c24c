//! What file systems tell of homes: asked on threads aside, remembered ([`Answers`]), and read by the loop without a wait.
//!
//! ```text
//! a call, a worker's end, mounts, the home root ─→ ask (aside, bounded) ─→ answers ←─ facts of the loop's turn
//! ```
//!
//! Whatever the answer changes is asked before it is taken: a call about a home that is not open, the end of a worker, storage
//! that was seen to come or go. A file system that hangs keeps that one event waiting for [`BOUND`], longer where a verb is about
//! to read, and nothing else. When it answers in the end, the loop hears so.

use super::answers::{Answers, Asker, Mounts, Question, folder};
use super::aside::{self, Gate};
use super::events::{Events, Happened};
use super::outside::{MountsBelow, Outside};
use crate::home::facts::{Figures, Place};
use crate::statedir::Need;
use records::UserName;
use records::refusal::Refused;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long is waited for the file systems of one home.
pub const BOUND: Duration = Duration::from_secs(2);
/// How long for a first block to be read from where it is stored: a disk that has spun down takes ten seconds and more.
const READING: Duration = Duration::from_secs(20);

/// Who asks.
#[derive(Clone)]
pub struct Ground {
    outside: Arc<dyn Outside>,
    answers: Answers,
    events: Events,
    keys: Gate,
    state: Gate,
}

/// Questions of one asker, about these homes; dropped, nobody waits for them any more.
struct Waiting {
    answers: Answers,
    asker: Asker,
    places: Vec<Place>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for place in &self.places {
            self.answers.give_up(place, self.asker);
        }
    }
}

impl Ground {
    /// Asks these neighbours, and remembers their answers there.
    pub fn new(outside: Arc<dyn Outside>, answers: Answers, events: Events) -> Self {
        Self { outside, answers, events, keys: Gate::default(), state: Gate::default() }
    }

    /// Whether anything was ever asked about that place.
    pub fn knows(&self, place: &Place) -> bool {
        self.answers.knows(place)
    }

    /// Whether it was asked last and has not answered.
    pub fn is_silent(&self, place: &Place) -> bool {
        self.answers.of(place).is_none()
    }

    /// Homes that are none of these are gone.
    pub fn keep(&self, is_there: impl Fn(&UserName) -> bool) {
        self.answers.keep(is_there);
    }

    /// That home is gone.
    pub fn forget(&self, user: &UserName) {
        self.answers.forget(user);
    }

    /// Has the keys read that records are judged by.
    pub async fn read_keys(&self) {
        let outside = self.outside.clone();
        if aside::once(&self.keys, BOUND, move || outside.read_keys()).await.is_none() {
            tracing::warn!(
                "the signing keys give no answer: records are judged by those that were read before"
            );
        }
    }

    /// Why the folder for host records does not take that. One that gives no answer is told of by who writes there.
    pub async fn unwritable(&self, need: Need) -> Option<Refused> {
        let outside = self.outside.clone();
        aside::once(&self.state, BOUND, move || outside.unwritable(need)).await.flatten()
    }

    /// Asks about these, whose storage is about to be used.
    pub async fn ask_before_use(&self, places: Vec<Place>) {
        let look = |outside: &dyn Outside, place: &Place, question: Question| {
            let found = outside.look_before_use(place);
            ((), question.answered(found))
        };
        self.of_each((places, READING), look, |_, ()| {}).await;
    }

    /// Asks about all of these. Folders in which one hangs are left out from then on: what was known of the others stays.
    pub async fn ask_all(&self, places: Vec<Place>) {
        let look = |outside: &dyn Outside, place: &Place, question: Question| {
            let found = outside.look(place);
            ((), question.answered(found))
        };
        self.of_each((places, BOUND), look, |_, ()| {}).await;
    }

    /// How large these homes are; those that give no answer are left out.
    pub async fn measure(&self, places: Vec<Place>) -> Vec<(UserName, Figures)> {
        let measure = |outside: &dyn Outside, place: &Place, question: Question| {
            let figures = outside.figures(place);
            (figures, question.ended())
        };
        let mut sizes = Vec::new();
        self.of_each((places, BOUND), measure, |place, figures| sizes.push((place.user.clone(), figures)))
            .await;
        sizes
    }

    /// Asks something about each, and tells what came of it within the bound for one. What comes late is told to the loop.
    async fn of_each<T: Send + 'static>(
        &self,
        (places, bound): (Vec<Place>, Duration),
        ask: fn(&dyn Outside, &Place, Question) -> (T, bool),
        mut told: impl FnMut(&Place, T),
    ) {
        let asker = self.answers.asker();
        let waiting = Waiting { answers: self.answers.clone(), asker, places: places.clone() };
        let rounds: Arc<Mutex<Round>> = Arc::default();
        let (ground, round) = (self.clone(), rounds.clone());
        let act = move |place: &Place| {
            let mounts = ground.mounts_below(place, &round)?;
            let question = ground.answers.begin(place, asker, mounts)?;
            let (answer, is_late) = ask(&*ground.outside, place, question);
            if is_late {
                ground.events.send(Happened::Answered(place.user.clone()));
            }
            Some(answer)
        };
        aside::each(places, bound, act, |place, answer| match answer {
            Some(answer) => answer.into_iter().for_each(|answer| told(place, answer)),
            None => {
                self.answers.give_up(place, asker);
                locked(&rounds).hangs(place);
                tracing::warn!(home = %place.user, "{}: its file system gives no answer", place.image);
            }
        })
        .await;
        drop(waiting);
    }

    /// Into which mounts its paths lead; `None`: it is left out. Without the lock, which the loop takes as well: the kernel is asked.
    fn mounts_below(&self, place: &Place, round: &Mutex<Round>) -> Option<Mounts> {
        let known = {
            let round = locked(round);
            if round.left_out.contains(folder(place)) {
                return None;
            }
            round.mounts.clone()
        };
        let mounts = known.unwrap_or_else(|| {
            let mounts = self.outside.mounts_below();
            locked(round).mounts = Some(mounts.clone());
            mounts
        });
        Some(mounts(place))
    }
}

/// What is known while one home after the other is asked about.
#[derive(Default)]
struct Round {
    /// Folders in which one hangs.
    left_out: BTreeSet<PathBuf>,
    /// The mounts, as they were when the round began, or after somebody was waited for last.
    mounts: Option<MountsBelow>,
}

impl Round {
    fn hangs(&mut self, place: &Place) {
        self.left_out.insert(folder(place).to_owned());
        // Long enough for others to be mounted.
        self.mounts = None;
    }
}

fn locked(round: &Mutex<Round>) -> MutexGuard<'_, Round> {
    round.lock().unwrap_or_else(PoisonError::into_inner)
}
