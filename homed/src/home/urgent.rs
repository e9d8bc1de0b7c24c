//! What happens while a lock waits for the job that runs: it is given some time, then it is ended if it can be, and
//! in the end whoever waits for the lock is told what keeps it.

use super::effect::{Effect, Failed, JobId};
use super::run::{Phase, Running};
use super::state::Work;
use super::{Fate, GroupId, Home, TimerKind, Turn, Waiter, Wanted};
use records::Refusal;
use records::refusal::Refused;
use std::time::Duration;

/// A job for whose end a lock waits goes on undisturbed for so long. A login and a change of password have ended by
/// then on slow machines, too.
pub(super) const HURRY: Duration = Duration::from_secs(10);
/// After so long a lock waits no more. What comes after it, a lock with its own bound of 80 s, fits into the 150 s
/// that homed-lock.service has.
pub(super) const LATE: Duration = Duration::from_secs(25);

impl Work {
    /// Whether its worker may be killed: what it leaves is settled, and nothing is lost but its work. (Another
    /// program repairs the file system in a repair; a change of password or record is in several places.)
    pub(super) fn may_be_ended(self) -> bool {
        match self {
            Self::Fixating(_)
            | Self::Activating(_)
            | Self::Creating
            | Self::Checking
            | Self::Rescuing
            | Self::Resizing
            | Self::Authenticating(_)
            | Self::Unlocking(_)
            | Self::Snapshotting
            | Self::Tending(_) => true,
            Self::Deactivating
            | Self::Removing
            | Self::ChangingPassword
            | Self::Updating
            | Self::Repairing
            | Self::Locking
            | Self::Settling
            | Self::GivingUp => false,
        }
    }

    /// Whether its worker has a bound of its own after which it is killed.
    fn is_bounded(self) -> bool {
        matches!(self, Self::Locking | Self::Settling | Self::GivingUp)
    }

    /// What it does, as part of a sentence about the home.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Fixating(_) | Self::Activating(_) => "it is being opened",
            Self::Deactivating => "it is being closed",
            Self::Creating => "it is being created",
            Self::Removing => "it is being removed",
            Self::ChangingPassword => "its password is being changed",
            Self::Updating => "its record is being changed",
            Self::Checking => "it is being checked",
            Self::Repairing => "it is being repaired",
            Self::Rescuing => "what is left of it is being opened (homectl rescue)",
            Self::Resizing => "its size is being changed",
            Self::Authenticating(_) => "a password for it is being checked",
            Self::Locking => "it is still being locked",
            Self::Unlocking(_) => "it is being unlocked",
            Self::Settling => "a lock that was broken off is being mended",
            Self::GivingUp => "it is being given up",
            Self::Snapshotting => "its snapshots are being worked on",
            Self::Tending(_) => "its space is being cared for",
        }
    }
}

impl Home {
    /// Something urgent waits for the running job.
    pub(super) fn hurry(&mut self, turn: &mut Turn) {
        if !self.is_timed(TimerKind::Hurry) && !self.is_timed(TimerKind::Late) {
            self.set_timer(TimerKind::Hurry, HURRY, turn);
        }
    }

    /// The job that runs has ended.
    pub(super) fn no_hurry(&mut self) {
        self.stop_timer(TimerKind::Hurry);
        self.stop_timer(TimerKind::Late);
    }

    /// The worker asks tokens, or does not any more.
    pub fn asking(&mut self, id: JobId, asks: bool) -> Fate {
        let Some(running) = self.running.as_mut().filter(|r| r.id == id && !r.makes_way) else {
            return Fate::Stays;
        };
        // It is heard.
        running.silent = None;
        running.phase = match (running.phase, asks) {
            (Phase::Working, true) if running.work.may_be_ended() => Phase::Asking,
            (Phase::Asking, false) => Phase::Working,
            (phase, _) => phase,
        };
        Fate::Stays
    }

    /// The job had its time.
    pub(super) fn hurried(&mut self, turn: &mut Turn) {
        let Some(running) = self.running.as_mut().filter(|_| self.queue.is_urgent()) else { return };
        if running.phase == Phase::Working && running.work.may_be_ended() && !running.makes_way {
            running.makes_way = true;
            turn.effects.push(Effect::Stop(running.id));
        }
        self.set_timer(TimerKind::Late, LATE.saturating_sub(HURRY), turn);
    }

    /// Whoever waits for a lock waits no more.
    pub(super) fn late(&mut self, turn: &mut Turn) {
        let Some(work) = self.running.as_ref().map(|running| running.work) else { return };
        if work.is_bounded() {
            return;
        }
        let why = format!("{}, and that has not ended in {} s", work.words(), LATE.as_secs());
        for wanted in self.queue.take_locks() {
            self.not_locked(wanted.waiter, &why, turn);
            turn.answer(wanted.waiter, Err(self.failed_lock(&why)));
        }
    }

    /// Gives up what waits for a group whose time is over; says what keeps the home, if anything does.
    pub fn too_late_for(&mut self, group: GroupId) -> Option<String> {
        let runs = |running: &&Running| running.wanted.waiter == Waiter::Group(group);
        let waits = self.queue.waits_for(group) || self.running.as_ref().is_some_and(|r| runs(&r));
        self.queue.abandon_group(group);
        let work = self.running.as_ref().filter(|_| waits)?.work;
        Some(format!("{}: {}", self.user(), work.words()))
    }
}

/// What the caller of a job is told that was ended while it waited for a person. Clients ask again then, for the password too.
pub(super) fn left() -> Failed {
    let sentence = "The security token was not waited for any longer, for something else was wanted of the home; nothing was \
                    changed.";
    Failed::Refused(Refused::new(Refusal::TokenActionTimeout, sentence))
}

/// What the caller of a job is told that was ended for a lock.
pub(super) fn made_way(work: Work) -> Failed {
    let sentence = match work {
        Work::Resizing => {
            "The change of size was broken off, for the home was needed; nothing was lost. Try again later."
                .into()
        }
        Work::Snapshotting => {
            "It was broken off, for the home was needed; nothing was lost. See what has come of it: \
                               homectl snapshot USER. Then try again."
                .into()
        }
        work => format!(
            "It was broken off while {}, for the home had to be locked; nothing was lost. Try again.",
            work.words()
        ),
    };
    Failed::Refused(Refused::new(Refusal::HomeBusy, sentence))
}

impl Wanted {
    /// What comes first.
    pub(super) fn class(&self) -> super::queue::Class {
        super::queue::Class::of(self.verb, self.trier.favour)
    }
}
