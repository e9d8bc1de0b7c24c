//! What file systems have told of homes, with a place for "not answered", and which questions are still out.
//!
//! ```text
//! begin 1 ────────────── end 1: an older question's, it counts no more
//!      begin 2 ── end 2: counts
//!           begin 3 ─────── nobody waits any more: no answer ········ end 3: counts, and the loop is told
//! ```
//!
//! A question's number is that of its beginning: whatever has changed before that, its answer knows. As long as one hangs
//! nobody else is sent to where it hangs: a thread that waits for a disk cannot be called back.

use crate::home::facts::Place;
use crate::storage::whereabouts::{Found, Spot};
use records::UserName;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// With so many questions that hang about homes in one folder, the others there are not asked about either.
const MOST_IN_FOLDER: usize = 8;

/// What was told of each home; clones share it.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    last: u64,
    homes: HashMap<UserName, Answer>,
    /// Those of them at which something hangs.
    hanging: BTreeSet<UserName>,
}

/// Who waits for questions: all that one has asked are given up together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker(u64);

/// Which mounts a home's paths lie in by their names: what hangs in another mount, that was there before, holds up nobody.
pub type Mounts = [Option<u64>; 2];

/// Of one home.
struct Answer {
    place: Place,
    /// The question that it answers: an older one's counts no more.
    number: u64,
    /// `None`: nothing was ever told.
    found: Option<Found>,
    /// It was asked since, and gave no answer.
    silent: bool,
    /// Questions that somebody waits for.
    out: BTreeMap<u64, (Asker, Mounts)>,
    /// Those that nobody waits for any more: they hang.
    late: BTreeMap<u64, Mounts>,
}

/// A question that is under way. Dropped without an answer it has told nothing.
pub struct Question {
    answers: Answers,
    place: Place,
    number: u64,
}

impl Question {
    /// It is answered. Whether nobody waited for it any more.
    pub fn answered(self, found: Found) -> bool {
        self.answers.end(&self.place, self.number, Some(found))
    }

    /// It has ended, and tells nothing about where the home is. Whether nobody waited for it any more.
    pub fn ended(self) -> bool {
        self.answers.end(&self.place, self.number, None)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // One that was answered has ended before.
        self.answers.end(&self.place, self.number, None);
    }
}

impl Answers {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told of that place last; `None`: nothing, or it was asked since, and there was no answer.
    pub fn of(&self, place: &Place) -> Option<Found> {
        self.table().of(place).filter(|answer| !answer.silent)?.found.clone()
    }

    /// Where a walk to the home directory ended when it was walked last, whatever hangs by now.
    pub fn spot_of(&self, place: &Place) -> Option<Spot> {
        self.table().of(place)?.found.as_ref()?.spot.clone()
    }

    /// Whether anything was ever asked about that place.
    pub fn knows(&self, place: &Place) -> bool {
        self.table().of(place).is_some()
    }

    /// Homes that are none of these are gone.
    pub fn keep(&self, is_there: impl Fn(&UserName) -> bool) {
        let mut table = self.table();
        table.homes.retain(|user, _| is_there(user));
        table.hanging.retain(|user| is_there(user));
    }

    /// That home is gone.
    pub fn forget(&self, user: &UserName) {
        let mut table = self.table();
        table.homes.remove(user);
        table.hanging.remove(user);
    }

    /// Somebody who will wait for questions.
    pub fn asker(&self) -> Asker {
        let mut table = self.table();
        table.last += 1;
        Asker(table.last)
    }

    /// A question begins; `None`: another hangs there.
    pub fn begin(&self, place: &Place, asker: Asker, mounts: Mounts) -> Option<Question> {
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        let hangs = table.hangs(place, mounts);
        if table.of(place).is_none() {
            // Questions about what was there before count no more.
            let (out, late) = (BTreeMap::new(), BTreeMap::new());
            let number = number - 1;
            let fresh = Answer { place: place.clone(), number, found: None, silent: false, out, late };
            table.homes.insert(place.user.clone(), fresh);
            table.hanging.remove(&place.user);
        }
        let answer = table.homes.get_mut(&place.user)?;
        if hangs {
            answer.silent = true;
            return None;
        }
        answer.out.insert(number, (asker, mounts));
        Some(Question { answers: self.clone(), place: place.clone(), number })
    }

    fn end(&self, place: &Place, number: u64, found: Option<Found>) -> bool {
        let mut table = self.table();
        let Some(answer) = table.homes.get_mut(&place.user).filter(|answer| answer.place == *place) else {
            return false;
        };
        answer.out.remove(&number);
        if answer.number < number && found.is_some() {
            (answer.number, answer.found, answer.silent) = (number, found, false);
        }
        let was_late = answer.late.remove(&number).is_some();
        if answer.late.is_empty() {
            table.hanging.remove(&place.user);
        }
        was_late
    }

    /// That one waits no longer for what it has asked about this home. Whether something hangs now.
    pub fn give_up(&self, place: &Place, asker: Asker) -> bool {
        let mut table = self.table();
        let Some(answer) = table.homes.get_mut(&place.user).filter(|answer| answer.place == *place) else {
            return false;
        };
        let (theirs, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut answer.out).into_iter().partition(|(_, (by, _))| *by == asker);
        answer.out.extend(others);
        if theirs.iter().any(|(number, _)| answer.number < *number) {
            // What was told before it was asked is old.
            answer.silent = true;
        }
        let given_up = !theirs.is_empty();
        answer.late.extend(theirs.into_iter().map(|(number, (_, mounts))| (number, mounts)));
        if given_up {
            table.hanging.insert(place.user.clone());
        }
        given_up
    }

    /// Whether something hangs at that home.
    pub fn hangs(&self, place: &Place) -> bool {
        self.table().of(place).is_some_and(|answer| !answer.late.is_empty())
    }
}

impl Table {
    fn of(&self, place: &Place) -> Option<&Answer> {
        self.homes.get(&place.user).filter(|answer| answer.place == *place)
    }

    /// Whether nobody is to be sent there.
    fn hangs(&self, place: &Place, mounts: Mounts) -> bool {
        let same = |answer: &Answer| answer.late.values().filter(|at| **at == mounts).count();
        let hanging = self.hanging.iter().filter_map(|user| self.homes.get(user));
        let is_in = |answer: &&Answer| folder(&answer.place) == folder(place);
        self.of(place).is_some_and(|answer| same(answer) > 0)
            || hanging.filter(is_in).map(same).sum::<usize>() >= MOST_IN_FOLDER
    }
}

/// Where the storage lies.
pub fn folder(place: &Place) -> &Path {
    Path::new(&place.image).parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests;
