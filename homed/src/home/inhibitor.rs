//! Giving inhibitors, and letting go of them.

use super::effect::{Effect, Failed};
use super::{Home, Turn, Waiter};
pub use crate::words::inhibitor::Inhibitor;
use crate::words::request::{InhibitorId, RequestId, Wish};
use records::Refusal;
use records::refusal::Refused;
use records::span::show_span;

/// Inhibitors that one home may have.
const MOST: usize = 32;
/// Letters of a reason or of a name.
const LONGEST_TEXT: usize = 200;

impl Home {
    /// Gives an inhibitor, or says why not.
    pub fn inhibit(&mut self, wish: Wish, uid: u32, call: RequestId, turn: &mut Turn) {
        if let Some(rule) = self.broken_rule(&wish, turn) {
            let refused = Refused::new(Refusal::InvalidArgs, format!("{rule} Nothing was changed."));
            return turn.answer(Waiter::Call(call), Err(Failed::Refused(refused)));
        }
        let inhibitor = Inhibitor {
            id: InhibitorId(turn.job_id().0),
            user: self.user().clone(),
            who: wish.who,
            why: wish.why,
            uid,
            pid: wish.pid,
            until_usec: turn.now_usec.saturating_add(wish.for_usec),
        };
        self.log(turn, &format!("{}: {}", self.user(), inhibitor.words(turn.now_usec)));
        self.inhibitors.push(inhibitor.clone());
        turn.effects.push(Effect::Inhibit(call, Box::new(inhibitor)));
        self.changed(turn);
    }

    fn broken_rule(&self, wish: &Wish, turn: &Turn) -> Option<String> {
        let plain = |text: &str| {
            !text.trim().is_empty()
                && text.chars().count() <= LONGEST_TEXT
                && !text.chars().any(char::is_control)
        };
        let longest = turn.rules.longest_inhibitor;
        if !plain(&wish.why) || !plain(&wish.who) {
            Some(format!("Say who and why, each in one line of at most {LONGEST_TEXT} letters."))
        } else if wish.for_usec == 0 || wish.for_usec > longest {
            let longest = show_span(longest);
            Some(format!("Say for how long, at most {longest} (LockInhibitMax= in homed.conf)."))
        } else if self.inhibitors.len() >= MOST {
            Some(format!("The home of {} has {MOST} inhibitors already.", self.user()))
        } else {
            None
        }
    }

    /// One that an earlier daemon gave, and that is still held.
    pub fn inhibited(&mut self, inhibitor: Inhibitor) {
        self.inhibitors.push(inhibitor);
    }

    /// Its holder has let go of it, or its time is over.
    pub fn let_go(&mut self, id: InhibitorId, turn: &mut Turn) {
        let before = self.inhibitors.len();
        self.inhibitors.retain(|inhibitor| inhibitor.id != id);
        if self.inhibitors.len() < before {
            if self.inhibitors(turn.now_usec).next().is_none() {
                self.log(turn, &format!("{}: nobody has it left out of locks any more", self.user()));
            }
            self.changed(turn);
            self.set_clock(turn);
        }
    }

    /// Those in force.
    pub fn inhibitors(&self, now_usec: u64) -> impl Iterator<Item = &Inhibitor> {
        self.inhibitors.iter().filter(move |inhibitor| inhibitor.until_usec > now_usec)
    }
}
