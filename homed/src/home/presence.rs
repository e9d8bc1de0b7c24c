//! Locks by time: the screen has been locked for so long, or nobody has touched anything for so long.
//!
//! The login manager tells of the sessions, the core sets an alarm clock for the earlier of both ends, and looks
//! again when it rings.

use super::effect::{Announcement, Effect};
use super::rules::unless_never;
use super::state::{Resting, Work};
use super::verdict::Verb;
use super::{Fate, Home, TimerKind, Turn, Wanted};
use crate::words::request::Session;
use std::time::Duration;

/// So long before a home is locked because its user is idle, the user is told: a key pressed keeps it open. µs.
pub const WARNING: u64 = 60_000_000;
/// A lock that is due and does not come about is tried again after this.
const AGAIN: u64 = 60_000_000;
/// After this the sessions are looked at again, where idleness counts: terminals do not tell of it by themselves.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The same while a home is locked: that a session is to be ended is not told of either.
pub const LOOK_AGAIN_LOCKED: Duration = Duration::from_secs(2);

/// Since when a user is away, µs since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Away {
    /// All screens are locked since then.
    pub screen: Option<u64>,
    /// Nothing was touched in any session since then.
    pub idle: Option<u64>,
}

/// What is known of a home's user's sessions.
#[derive(Default)]
pub(super) struct Presence {
    /// Since when its user is away.
    pub(super) away: Away,
    /// Of which end, µs since 1970, its user was told.
    warned_of: Option<u64>,
    /// Whether all of its user's sessions were being ended already when its lock began; `None`: nobody has looked since.
    ended_before: Option<bool>,
}

impl Presence {
    /// A job begins.
    pub(super) fn begins(&mut self, work: Work) {
        if work == Work::Locking {
            self.ended_before = None;
        }
    }
}

impl Away {
    /// What these sessions, all of one user, tell; `before` is what was known. No session at all tells nothing:
    /// who has logged out is not away from anything, and what still runs was left running on purpose.
    pub fn of(sessions: &[&Session], before: Self, now_usec: u64) -> Self {
        // Text logins from elsewhere have no screen to lock, unless somebody told them to.
        let mut screens = sessions.iter().filter(|session| session.has_screen || session.locked).peekable();
        let locked = screens.peek().is_some() && screens.all(|session| session.locked);
        let idle: Option<Vec<u64>> = sessions.iter().map(|session| session.idle_since_usec).collect();
        // The login manager goes on telling of what was later than now before the clock was set back.
        let since = |idle: u64| if idle > now_usec { before.idle.unwrap_or(now_usec) } else { idle };
        let away = Self {
            screen: locked.then(|| before.screen.unwrap_or(now_usec)),
            idle: idle.and_then(|since| since.into_iter().max()).map(since),
        };
        away.at_most(now_usec)
    }

    /// Nobody is away since a time to come: the clock was set back, and how long it has been nobody knows. It is counted anew.
    fn at_most(self, now_usec: u64) -> Self {
        let until_now = |since: Option<u64>| since.map(|since| since.min(now_usec));
        Self { screen: until_now(self.screen), idle: until_now(self.idle) }
    }
}

/// How long a home stays open while its user is away, µs; `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// After the screen was locked.
    pub screen: Option<u64>,
    /// After the last touch.
    pub idle: Option<u64>,
}

impl Limits {
    /// When its user is to be told that it will be locked, µs since 1970: before the end of a time without a touch. Before a
    /// screen that is locked nobody sits. A limit that is shorter gives no time for it.
    fn warning(self, away: Away) -> Option<u64> {
        self.idle.filter(|limit| *limit > WARNING)?;
        let (end, _) = Self { screen: None, ..self }.end(away)?;
        let (first, _) = self.end(away)?;
        Some(end.saturating_sub(WARNING)).filter(|warning| *warning < first)
    }

    /// When it is locked, µs since 1970, and why.
    fn end(self, away: Away) -> Option<(u64, &'static str)> {
        let end = |since: Option<u64>, limit: Option<u64>| Some(since?.saturating_add(limit?));
        let screen = end(away.screen, self.screen).map(|end| (end, "its user's screen is locked"));
        let idle = end(away.idle, self.idle).map(|end| (end, "its user is idle"));
        screen.into_iter().chain(idle).min()
    }
}

impl Home {
    /// What the record says, or the settings.
    pub fn limits(&self, turn: &Turn) -> Limits {
        let settings = self.record().on(turn.machine);
        let limit = |own: Option<u64>, all: Option<u64>| own.map_or(all, unless_never);
        Limits {
            screen: limit(settings.lock_after_screen_lock_usec, turn.rules.after_screen_lock),
            idle: limit(settings.lock_after_idle_usec, turn.rules.after_idle),
        }
    }

    /// The login manager has told of all sessions.
    pub fn sessions(&mut self, all: &[Session], turn: &mut Turn) {
        let own: Vec<&Session> = all.iter().filter(|session| session.uid == self.uid).collect();
        self.end_with(&own, turn);
        let away = Away::of(&own, self.presence.away, turn.now_usec);
        if away != self.presence.away {
            self.presence.away = away;
            self.set_clock(turn);
        }
    }

    /// All sessions of a locked home are being ended. The login manager cannot do it: what is frozen does not end
    /// by itself, and systemd leaves what is frozen alone.
    ///
    /// Whoever has logged out and left something running has such a session for as long as that runs. Where all were like that
    /// when the lock began nobody has ended anything: a beginning lock is a change, after which the sessions are looked at.
    fn end_with(&mut self, own: &[&Session], turn: &mut Turn) {
        let state = self.state(turn.facts);
        let is_locking = self.running.as_ref().is_some_and(|running| running.work == Work::Locking);
        if state.resting != Resting::Locked && !is_locking {
            return;
        }
        let ending = !own.is_empty() && own.iter().all(|session| session.closing);
        let before = *self.presence.ended_before.get_or_insert(ending);
        if !ending || before || state.resting != Resting::Locked || state.doing.is_some() {
            return;
        }
        self.log(
            turn,
            &format!("{}: its sessions are ended while it is locked: it is given up", self.user()),
        );
        let wanted = Wanted::by_the_daemon(Verb::GiveUp, turn.now_usec);
        let Fate::Stays = self.want(wanted, turn) else { return };
    }

    /// Sets the alarm clock for the end of the earlier limit; an older alarm counts no longer.
    pub(super) fn set_clock(&mut self, turn: &mut Turn) {
        self.stop_timer(TimerKind::Away);
        self.presence.away = self.presence.away.at_most(turn.now_usec);
        let limits = self.limits(turn);
        if let Some((end, _)) = limits.end(self.presence.away) {
            let warning = limits.warning(self.presence.away).filter(|_| self.presence.warned_of != Some(end));
            let left = Duration::from_micros(warning.unwrap_or(end).saturating_sub(turn.now_usec));
            self.set_timer(TimerKind::Away, left, turn);
        }
    }

    /// Its user is told once that it will be locked then, unless that is not due yet.
    fn warn(&mut self, end: u64, turn: &mut Turn) {
        let due =
            self.limits(turn).warning(self.presence.away).is_some_and(|warning| warning <= turn.now_usec);
        if due && self.presence.warned_of != Some(end) {
            self.presence.warned_of = Some(end);
            turn.effects.push(Effect::Announce(Announcement::LockComing(self.user().clone(), end)));
        }
    }

    /// The alarm clock rings: it is locked, if its user is still away.
    pub(super) fn alarmed(&mut self, turn: &mut Turn) {
        let open = turn.facts.whereabouts(&self.place).resting(self.known) == Resting::Active;
        self.presence.away = self.presence.away.at_most(turn.now_usec);
        let Some((end, why)) = self.limits(turn).end(self.presence.away).filter(|_| open) else { return };
        if end > turn.now_usec {
            self.warn(end, turn);
            return self.set_clock(turn);
        }
        self.set_timer(TimerKind::Away, Duration::from_micros(AGAIN), turn);
        self.log(turn, &format!("{}: {why} for long enough", self.user()));
        self.lock_unasked(Wanted::by_the_daemon(Verb::LockAll, turn.now_usec), turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000;

    fn session(has_screen: bool, locked: bool, idle_since_usec: Option<u64>) -> Session {
        Session { uid: 1, has_screen, locked, closing: false, idle_since_usec }
    }

    #[test]
    fn all_screens_must_be_locked_and_all_sessions_idle() {
        let (screen, text) = (true, false);
        let nothing = Away::default();
        let table: [(&[Session], Away); 8] = [
            (&[], nothing),
            (&[session(text, false, None)], nothing),
            (&[session(screen, true, None)], Away { screen: Some(NOW), idle: None }),
            (&[session(screen, true, None), session(screen, false, None)], nothing),
            (
                &[session(screen, true, None), session(text, false, None)],
                Away { screen: Some(NOW), idle: None },
            ),
            (&[session(text, true, None)], Away { screen: Some(NOW), idle: None }),
            (
                &[session(text, false, Some(5)), session(screen, false, Some(9))],
                Away { screen: None, idle: Some(9) },
            ),
            (&[session(text, false, Some(5)), session(screen, false, None)], nothing),
        ];
        for (sessions, away) in table {
            let own: Vec<&Session> = sessions.iter().collect();
            assert_eq!(Away::of(&own, nothing, NOW), away, "{sessions:?}");
        }
    }

    #[test]
    fn a_screen_that_stays_locked_keeps_its_time() {
        let locked = session(true, true, None);
        let before = Away { screen: Some(7), idle: None };
        assert_eq!(Away::of(&[&locked], before, NOW).screen, Some(7));
        let open = session(true, false, None);
        assert_eq!(Away::of(&[&open], before, NOW).screen, None);
    }

    #[test]
    fn nobody_is_away_since_a_time_to_come() {
        let tomorrow = NOW + 86_400_000_000;
        let idle = session(true, true, Some(tomorrow));
        let before = Away { screen: Some(tomorrow), idle: Some(tomorrow) };
        let first = Away::of(&[&idle], before, NOW);
        assert_eq!(first, Away { screen: Some(NOW), idle: Some(NOW) });
        // What the login manager says stays the same, and does not begin anew with each look.
        assert_eq!(Away::of(&[&idle], first, NOW + 60), first);
    }

    #[test]
    fn the_earlier_limit_counts_and_none_is_for_ever() {
        let away = Away { screen: Some(100), idle: Some(50) };
        let limits = |screen, idle| Limits { screen, idle };
        assert_eq!(limits(None, None).end(away), None);
        assert_eq!(limits(Some(10), None).end(away).map(|end| end.0), Some(110));
        assert_eq!(limits(Some(10), Some(20)).end(away).map(|end| end.0), Some(70));
        assert_eq!(limits(Some(10), Some(u64::MAX)).end(away).map(|end| end.0), Some(110));
        assert_eq!(limits(Some(10), Some(20)).end(Away::default()), None);
    }

    #[test]
    fn who_is_idle_is_told_a_minute_before_and_who_is_gone_is_not() {
        let minute = WARNING;
        let away = |screen, idle| Away { screen, idle };
        for (screen, idle, away, expected) in [
            (None, Some(5 * minute), away(None, Some(minute)), Some(5 * minute)),
            (None, Some(minute), away(None, Some(minute)), None),
            (None, None, away(None, Some(minute)), None),
            (None, Some(5 * minute), away(None, None), None),
            (Some(minute), None, away(Some(minute), Some(minute)), None),
            // The screen's limit comes first, or after it.
            (Some(minute), Some(5 * minute), away(Some(minute), Some(minute)), None),
            (Some(9 * minute), Some(5 * minute), away(Some(minute), Some(minute)), Some(5 * minute)),
        ] {
            assert_eq!(Limits { screen, idle }.warning(away), expected, "{screen:?} {idle:?} {away:?}");
        }
    }
}
