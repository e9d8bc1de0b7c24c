//! Waiting for what comes next: keys, news of who is locked, another terminal in front, and clocks.

use super::idle::Due;
use super::{Screen, sessions};
use crate::catalogue::texts;
use crate::power::Wish;
use crate::{clock, locked};
use records::Secret;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::time::Instant;

/// Why waiting has ended.
pub enum Event {
    /// Keys.
    Keys(Secret),
    /// Something else is to be asked, or nobody.
    Over,
    /// What is shown may be another.
    Nothing,
}

impl Screen {
    /// Waits for something to happen, or for this moment.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> Event {
        let patience = self.ticks.patience(Instant::now(), deadline, self.idle.due_in(Instant::now()));
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let mut fds = [
            self.display.pressed(),
            PollFd::new(&self.watch, PollFlags::IN),
            self.people.news(),
            self.front.changes(),
            self.ticks.changes(),
            self.going.changes(),
        ];
        if poll(&mut fds, patience.as_ref()).is_err_and(|error| error != rustix::io::Errno::INTR) {
            return self.lost();
        }
        let pressed = !fds[0].revents().is_empty();
        locked::forget_changes(&self.watch);
        self.people.forget_news();
        self.ticks.again();
        self.going.look();
        let in_front = self.front.is_ours();
        self.layouts.follow(self.display.terminal(), in_front);
        let user = self.user.clone();
        if self.chosen().as_ref() != Some(&user) {
            return Event::Over;
        }
        self.look_at_clocks();
        if !pressed {
            self.dark = self.display.terminal().is_dark().unwrap_or(false);
            return Event::Nothing;
        }
        self.pressed()
    }

    fn pressed(&mut self) -> Event {
        self.idle.pressed(Instant::now());
        self.ticks.somebody_is_there(Instant::now());
        if std::mem::take(&mut self.warned) {
            self.view.messages.clear();
        }
        match self.display.read() {
            Ok(bytes) => Event::Keys(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Event::Nothing,
            Err(_) => self.lost(),
        }
    }

    fn lost(&mut self) -> Event {
        self.gone = true;
        Event::Over
    }

    fn look_at_clocks(&mut self) {
        match self.idle.tick(Instant::now(), clock::slept()) {
            Due::Nothing => {}
            Due::Woken => {
                self.stale = true;
                self.going.woke();
                self.ticks.somebody_is_there(Instant::now());
                self.view.messages.clear();
            }
            // Somebody works elsewhere: it is looked at again when the time is over once more.
            Due::Warning(_) | Due::Sleep if !may_sleep() => self.idle.pressed(Instant::now()),
            Due::Warning(seconds) => {
                self.warned = true;
                self.view.messages.clear();
                self.say(texts::SLEEPS_SOON.with("seconds", seconds));
            }
            Due::Sleep => {
                self.warned = false;
                self.view.messages.clear();
                if let Err(why) = Wish::Sleep.begin() {
                    self.say(why);
                }
            }
        }
    }
}

/// Whether nobody is disturbed when the machine sleeps: the lid is closed, or all who are logged in are locked.
fn may_sleep() -> bool {
    let locked = locked::users();
    let others = |session: &sessions::Session| session.class == "user" && !locked.contains(&session.user);
    sessions::lid_is_closed() || !sessions::all().iter().any(others)
}
