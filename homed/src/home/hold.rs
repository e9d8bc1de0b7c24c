//! While the machine is going to sleep: nothing starts that takes a key into memory.

use super::effect::Failed;
use super::run::Phase;
use super::state::Work;
use super::verdict::Verb;
use super::without::{Rule, has};
use super::{Fate, Home, TimerKind, Turn, Waiter, Wanted};
use crate::job::Outcome;
use crate::words::request::Answer;
use records::Refusal;
use records::refusal::Refused;

/// Whether the machine is going to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sleep {
    /// It is not.
    #[default]
    Awake,
    /// From the first lock of a sleep until it has slept and woken, or the sleep was given up.
    Holding,
}

impl Work {
    /// Whether its worker has a volume key in memory, or puts one into the kernel.
    fn takes_key(self, wanted: &Wanted) -> bool {
        match self {
            Self::Fixating(_)
            | Self::Activating(_)
            | Self::Creating
            | Self::ChangingPassword
            | Self::Rescuing
            | Self::Resizing
            | Self::Authenticating(_)
            | Self::Unlocking(_)
            | Self::Snapshotting
            | Self::Tending(_) => true,
            Self::Updating | Self::Checking | Self::Repairing => !wanted.offer.credentials.is_empty(),
            Self::Deactivating | Self::Removing | Self::Locking | Self::Settling | Self::GivingUp => false,
        }
    }
}

impl Work {
    /// Whether it goes behind what is urgent as long as it has not begun. (Of a home that is being made nothing is open.)
    pub(super) fn steps_back(self) -> bool {
        self != Self::Creating && has(Rule::StepsBack)
    }

    /// Whether it brings a home that something was broken off on into order: nothing else starts before.
    pub fn mends(self) -> bool {
        matches!(self, Self::Settling | Self::Locking | Self::GivingUp)
    }
}

impl Home {
    /// Starts it, unless the machine is going to sleep and it takes a key: then it starts after the wake. While what a
    /// lock has left is not mended yet, a file system may stand still: a worker that wrote to it would wait in the
    /// kernel, where nothing ends it, and the mending behind it. So all else waits for that.
    pub(super) fn begin(&mut self, work: Work, wanted: Wanted, turn: &mut Turn) {
        if self.is_timed(TimerKind::Settle) && !work.mends() {
            return match self.stuck().filter(|_| wanted.waiter != Waiter::Nobody) {
                Some(refused) => turn.answer(wanted.waiter, Err(Failed::Refused(refused))),
                None => self.enqueue(wanted, turn),
            };
        }
        if turn.sleep == Sleep::Awake || !work.takes_key(&wanted) || !has(Rule::Hold) {
            return self.start(work, wanted, turn);
        }
        match wanted.verb {
            // There is always another time.
            Verb::Tend | Verb::Fit => turn.answer(wanted.waiter, Ok(Answer::Done)),
            Verb::Create => turn.answer(wanted.waiter, Err(Failed::Refused(going_to_sleep()))),
            // It opens the home for good, and nobody else knows it yet: it does not sleep in the queue.
            _ if wanted.offer.credentials.new_recovery_key.is_some() => {
                turn.answer(wanted.waiter, Err(Failed::Refused(going_to_sleep())));
            }
            _ => self.enqueue(wanted, turn),
        }
    }

    /// The machine is going to sleep: what has not begun yet goes back into the queue.
    pub fn hold_back(&mut self, turn: &mut Turn) -> Fate {
        let waits = |running: &mut super::run::Running| {
            running.phase == Phase::Checking && running.work.takes_key(&running.wanted)
        };
        let Some(running) = self.running.take_if(waits) else { return Fate::Stays };
        if running.work == Work::Creating {
            let id = running.id;
            self.running = Some(running);
            return self.ended(id, Outcome::Refused(going_to_sleep()), turn);
        }
        self.queue.push_front(running.wanted);
        self.changed(turn);
        Fate::Stays
    }

    /// What has not begun yet goes behind what is more urgent, and has come meanwhile.
    pub(super) fn steps_back(&mut self, turn: &mut Turn) -> Fate {
        let Some(running) = self.running.take() else { return Fate::Stays };
        self.queue.push_front(running.wanted);
        self.changed(turn);
        self.run_queue(turn)
    }

    /// The machine is awake: what waited for that starts.
    pub fn go_on(&mut self, turn: &mut Turn) -> Fate {
        if self.running.is_some() {
            return Fate::Stays;
        }
        self.run_queue(turn)
    }
}

fn going_to_sleep() -> Refused {
    let sentence = "The machine is going to sleep; nothing was started. Try again when it is awake.";
    Refused::new(Refusal::HomeBusy, sentence)
}
