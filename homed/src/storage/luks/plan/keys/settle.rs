//! What becomes of a change that was cut short.

use super::super::without::{Mend, has};
use super::{Digest, Header, Key, Mark, Next, Priority, Proof, Situation, Step};
use crate::storage::{Healed, Then};

/// What is to become of a change that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Finish,
    TakeBack,
    /// It does nothing any more.
    Void,
    /// It cannot be told yet.
    Wait,
}

/// The next step to finish or take back what was cut short, and to have the record in force in the header.
pub fn settle(situation: &Situation, proof: &Proof) -> Next {
    for standing in &situation.marks {
        let step = match &standing.mark {
            None => former(situation, standing.token),
            Some(mark) => ended(situation, proof, mark, standing.token),
        };
        if let Some(step) = step {
            return Next::Do(step);
        }
    }
    if situation.header == Header::Wanted { Next::Done } else { Next::Do(Step::Record) }
}

/// What settling will come to, in a word.
pub fn outcome(situation: &Situation, proof: &Proof) -> Healed {
    let told = situation.marks.iter().map(|standing| match &standing.mark {
        None => Healed::Unmarked,
        Some(mark) => match verdict(situation, proof, mark) {
            Ending::Finish => Healed::Finished,
            Ending::TakeBack => Healed::TakenBack,
            Ending::Void => Healed::Nothing,
            Ending::Wait => Healed::Waiting,
        },
    });
    told.into_iter().find(|healed| *healed != Healed::Nothing).unwrap_or(Healed::Nothing)
}

/// A mark that an earlier version wrote tells too little: what it did to priorities is undone, and nothing destroyed.
fn former(situation: &Situation, token: u32) -> Option<Step> {
    let marked = situation.slots.iter().find(|slot| slot.priority == Priority::Other);
    Some(match marked {
        Some(slot) => Step::Normal { slot: slot.number },
        None => Step::Forget { token },
    })
}

fn ended(situation: &Situation, proof: &Proof, mark: &Mark, token: u32) -> Option<Step> {
    let destroy = |slots: Vec<u32>| {
        let slot = slots.into_iter().find(|slot| *slot != proof.opened || !has(Mend::OpenedStays))?;
        Some(Step::Destroy { slot })
    };
    let forget = |replaced: Then| (proof.then != replaced).then_some(Step::Forget { token });
    match verdict(situation, proof, mark) {
        // The record has to be the one that the new slots are for, wherever the home is carried.
        Ending::Finish if situation.header != Header::Wanted => Some(Step::Record),
        Ending::Finish => destroy(situation.old_of(mark)).or(forget(Then::Change)),
        Ending::TakeBack => destroy(situation.new_of(mark)).or(forget(Then::Change)),
        Ending::Void if situation.header == Header::Unreadable => Some(Step::Forget { token }),
        Ending::Void => forget(Then::Change),
        Ending::Wait => None,
    }
}

fn verdict(situation: &Situation, proof: &Proof, mark: &Mark) -> Ending {
    let (old, new) = (situation.old_of(mark), situation.new_of(mark));
    let shows = |slots: &[u32]| proof.key == Key::OfRecord && slots.contains(&proof.opened);
    // Old slots go before a change is confirmed, so it was not.
    if shows(&old) && has(Mend::OpenedStays) {
        return Ending::TakeBack;
    }
    if shows(&new) && !has(Mend::NewIsNoProof) {
        return Ending::Finish;
    }
    let is_of = |digest: &Digest| *digest == proof.force;
    let before = mark.before.as_ref().is_some_and(is_of);
    let after = if has(Mend::Digest) { is_of(&mark.after) } else { !before };
    let whole = new.len() == mark.new.len() || !has(Mend::WholeBefore);
    // A key that is not the record's shows nothing.
    let stray = |slots: &[u32]| proof.key == Key::OfSlotAlone && slots.contains(&proof.opened);
    // Old slots go last. With them gone it takes the header's own record to say that the change was not made.
    let unmade = !old.is_empty() || mark.old.is_empty() || situation.header != Header::Unreadable;
    match (after, before) {
        (true, false) if old.is_empty() => Ending::Void,
        (true, false) if (whole || shows(&new)) && !stray(&old) => Ending::Finish,
        // A key may be new as a slot, and be the record's before and after.
        (false, true) if unmade && !stray(&new) => Ending::TakeBack,
        _ if old.is_empty() => Ending::Void,
        _ => Ending::Wait,
    }
}
