//! Which claims of a record an administrator believes that a stranger has signed.

use super::Manager;
use crate::home::effect::Failed;
use crate::home::{Fate, Turn, Waiter};
use crate::words::request::{Answer, Caller, HomeKey, RequestId};
use serde_json::{Map, Value};

/// Who asks, and by which call.
type Asking<'a> = (RequestId, &'a Caller);

impl Manager {
    /// Other keys may be trusted now, or strangers otherwise.
    pub(super) fn judge_again(&mut self, turn: &mut Turn) {
        for user in self.homes.users_where(|home| home.is_judged_otherwise(turn)) {
            self.on(&user, turn, |home, turn| {
                home.judge_again(turn);
                home.changed(turn);
                Fate::Stays
            });
        }
    }

    /// What is believed of a record, and what not.
    pub(super) fn trust_of(&self, key: &HomeKey, (id, caller): Asking<'_>, turn: &mut Turn) {
        let answer = match self.find(key, caller.uid) {
            Some(home) => Ok(Answer::Trust(Box::new(home.trust_report(turn.machine)))),
            None => Err(Failed::Refused(key.unknown())),
        };
        turn.answer(Waiter::Call(id), answer);
    }

    /// Believes what was shown.
    pub(super) fn trust(
        &mut self,
        key: &HomeKey,
        claims: &Map<String, Value>,
        (id, caller): Asking<'_>,
        turn: &mut Turn,
    ) {
        let user = self.find(key, caller.uid).map(|home| home.user().clone());
        let mut accepted = Err(key.unknown());
        if let Some(user) = user {
            self.on(&user, turn, |home, turn| {
                accepted = home.accept(claims, turn);
                Fate::Stays
            });
        }
        turn.answer(Waiter::Call(id), accepted.map(|()| Answer::Done).map_err(Failed::Refused));
    }
}
