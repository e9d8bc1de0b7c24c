//! Which claims of a record an administrator believes that a stranger has signed.

use super::Manager;
use crate::home::effect::Failed;
use crate::home::{Fate, Home, Turn, Waiter};
use crate::words::request::{Answer, Caller, HomeKey, RequestId};
use records::Refusal;
use records::refusal::Refused;
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
            Some(home) if home.is_unseen() => Err(Failed::Refused(unseen(home))),
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
        let found = self.find(key, caller.uid);
        let accepted = match found.map(|home| (home.user().clone(), self.may_accept(home, claims, turn))) {
            None => Err(key.unknown()),
            Some((_, Err(refused))) => Err(refused),
            Some((user, Ok(()))) => {
                let mut accepted = Err(key.unknown());
                self.on(&user, turn, |home, turn| {
                    accepted = home.accept(claims, turn);
                    Fate::Stays
                });
                accepted
            }
        };
        turn.answer(Waiter::Call(id), accepted.map(|()| Answer::Done).map_err(Failed::Refused));
    }

    fn may_accept(&self, home: &Home, claims: &Map<String, Value>, turn: &Turn) -> Result<(), Refused> {
        match home.is_unseen() {
            true => Err(unseen(home)),
            false => self.refuse_names_of_others(home, &home.with_accepted(claims, turn.machine)),
        }
    }
}

/// Of a home that was never opened here nobody knows the record.
fn unseen(home: &Home) -> Refused {
    let sentence = format!(
        "What the record of {} claims is not known here before its first login. Log in once, or: homectl activate {0}",
        home.user()
    );
    Refused::new(Refusal::HomeUnfixated, sentence)
}
