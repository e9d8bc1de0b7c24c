//! The token that has opened a home is pulled out.

use super::state::Resting;
use super::verdict::Verb;
use super::{Home, Turn, Wanted};

impl Home {
    /// It is locked where its record wants that (`lockOnTokenRemoval`), once what runs with a key has ended; a home that is not open
    /// is locked enough. It is told again until the home is locked or closed. Who has it left out of locks has it left out of this one.
    pub fn token_gone(&mut self, turn: &mut Turn) {
        if self.record().on(turn.machine).lock_on_token_removal != Some(true) {
            return;
        }
        let state = self.state(turn.facts);
        if state.doing.is_none() && !matches!(state.resting, Resting::Active | Resting::Open) {
            return;
        }
        self.log(turn, &format!("{}: the security token that has opened it was pulled out", self.user()));
        self.lock_unasked(Wanted::by_the_daemon(Verb::LockAll, turn.now_usec), turn);
    }
}
