//! One dialog in each place that needs one, as long as somebody is locked.

use crate::attempts::Attempts;
use crate::settings::{Agents, Settings, Style};
use crate::vt::Vt;
use crate::{Ended, agent, hushed, keymap, locked, sessions};
use console::Terminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::Duration;

/// How long whoever is in front may take to let go of the screen.
const SWITCHING: Duration = Duration::from_millis(1500);
/// The same where who should let go of it is frozen, most likely: somebody has come there during the lock.
const FROZEN: Duration = Duration::from_millis(300);
/// A dialog that ended too early is begun again after this.
const AGAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// A terminal that has gone may be there again after this.
const LATER: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Where a dialog is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Our virtual terminal: for all users.
    Own,
    /// The terminal of a session that is frozen.
    Session(String),
    /// No terminal: agents of systemd-ask-password, for one user.
    Agents(String),
}

/// A dialog that runs.
struct Dialog {
    child: Child,
    handle: OwnedFd,
    users: Vec<String>,
}

/// Places, and the users that are asked for there (none: all).
type Wanted = BTreeMap<Place, Vec<String>>;

/// Everything that runs.
struct Supervisor {
    settings: Settings,
    watch: OwnedFd,
    vt: Option<Vt>,
    dialogs: BTreeMap<Place, Dialog>,
    /// Terminals that have gone.
    given_up: BTreeSet<Place>,
    /// Who was locked at the last look.
    known: Vec<String>,
    attempts: Attempts,
}

/// Runs until nobody is locked.
pub fn run() -> Ended<()> {
    let settings = Settings::read();
    let watch = locked::watch()?;
    let mut supervisor = Supervisor {
        settings,
        watch,
        vt: Vt::take().ok(),
        dialogs: BTreeMap::new(),
        given_up: BTreeSet::new(),
        known: Vec::new(),
        attempts: Attempts::default(),
    };
    hushed::again();
    while supervisor.turn()? {
        supervisor.wait()?;
    }
    Ok(())
}

/// Sessions of users who are locked, at seats where the prompt cannot be: there it is asked for at the first seat, over ssh,
/// or by the seat's own greeter.
fn at_other_seats<'a>(
    sessions: &'a [sessions::Session],
    locked: &'a [String],
) -> impl Iterator<Item = &'a sessions::Session> {
    let there = |session: &&sessions::Session| {
        session.has_seat()
            && session.vt == 0
            && session.class.starts_with("user")
            && locked.contains(&session.user)
    };
    sessions.iter().filter(there)
}

impl Supervisor {
    /// Looks at everything; whether there is something to be waited for.
    fn turn(&mut self) -> Ended<bool> {
        locked::forget_changes(&self.watch);
        self.reap()?;
        let waiting = locked::users();
        let before = self.known.clone();
        let new = waiting.iter().any(|user| !self.known.contains(user));
        self.known.clone_from(&waiting);
        self.others_have_their_keymap();
        if !waiting.is_empty() {
            // First what needs nobody's answer: a person may be waiting.
            if self.vt.is_some() {
                self.want(Place::Own, &[])?;
            }
            let sessions = sessions::all();
            for session in at_other_seats(&sessions, &waiting).filter(|one| !before.contains(&one.user)) {
                tell!(
                    "{} is locked at {}, which has no virtual terminals: the password is asked for elsewhere",
                    session.user,
                    session.seat
                );
            }
            self.stay_in_front(new, &sessions);
            for (place, users) in self.elsewhere(&waiting, &sessions) {
                self.want(place, &users)?;
            }
        }
        // Each ends by itself when its users are unlocked.
        Ok(!self.dialogs.is_empty() || !locked::users().is_empty())
    }

    /// A layout that was chosen at our terminal is for nobody who is at another one: the dialog itself may be waiting for PAM.
    fn others_have_their_keymap(&mut self) {
        let Some(vt) = &mut self.vt else { return };
        if !keymap::is_changed() || vt.is_in_front() {
            return;
        }
        if let Err(why) = Terminal::open(&vt.device()).and_then(|terminal| keymap::put_back(&terminal)) {
            tell!("the keyboard's layout: {why}");
        }
    }

    /// Comes to the front when somebody is newly locked, unless somebody else works there, and when it is the terminal of a
    /// session that is locked. Other terminals are left alone: nobody is kept from switching.
    fn stay_in_front(&mut self, new: bool, sessions: &[sessions::Session]) {
        let Some(vt) = &mut self.vt else { return };
        // Of what is in front, nobody who has no virtual terminal is.
        let Ok(front) = vt.in_front() else { return };
        let there = sessions.iter().find(|session| session.vt == front && session.class.starts_with("user"));
        let there = there.map(|session| session.user.clone()).or_else(|| hushed::who_is_at(front));
        let shown = match there {
            Some(user) if self.known.contains(&user) => {
                if !new && self.attempts.is_news(front) {
                    tell!("somebody came to tty{front}, where the session of {user} is locked");
                }
                // Called before the lock, we are there before anything is frozen.
                vt.take_over(if new { SWITCHING } else { FROZEN }, SWITCHING)
            }
            None if new => vt.show(SWITCHING),
            Some(_) | None => return,
        };
        if let Err(why) = shown {
            tell!("tty{front} stays in front of the prompt: {why}");
        }
    }

    /// Places other than the screen.
    fn elsewhere(&self, waiting: &[String], sessions: &[sessions::Session]) -> Wanted {
        let mut wanted = Wanted::new();
        for session in sessions.iter().filter(|session| waiting.contains(&session.user)) {
            // Virtual terminals are behind ours; a pseudo-terminal has nobody in front of it.
            let direct =
                !session.has_seat() && !session.terminal.is_empty() && !session.terminal.starts_with("pts/");
            if direct {
                let place = Place::Session(format!("/dev/{}", session.terminal));
                wanted.entry(place).or_default().push(session.user.clone());
            }
        }
        let agents = match self.settings.agents {
            Agents::Yes => true,
            Agents::No => false,
            Agents::Auto => agent::plymouth_is_there() || self.vt.is_none() && wanted.is_empty(),
        };
        for user in waiting.iter().filter(|_| agents) {
            wanted.insert(Place::Agents(user.clone()), vec![user.clone()]);
        }
        wanted
    }

    /// Begins a dialog, unless it is there or its terminal has gone.
    fn want(&mut self, place: Place, users: &[String]) -> Ended<()> {
        if self.dialogs.contains_key(&place) || self.given_up.contains(&place) {
            return Ok(());
        }
        let child = Command::new(std::env::current_exe()?).args(self.words(&place, users)).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        self.dialogs.insert(place, Dialog { child, handle, users: users.to_vec() });
        Ok(())
    }

    fn words(&self, place: &Place, users: &[String]) -> Vec<String> {
        let mut words = match (place, &self.vt, self.settings.style) {
            (Place::Own, Some(vt), Style::Screen) => {
                vec!["screen".into(), vt.device().display().to_string(), vt.before().to_string()]
            }
            (Place::Own, Some(vt), Style::Lines) => vec!["on".into(), vt.device().display().to_string()],
            // Not asked for where there is no such terminal.
            (Place::Own, None, Style::Screen | Style::Lines) => Vec::new(),
            (Place::Session(device), ..) => vec!["on".into(), device.clone()],
            (Place::Agents(_), ..) => vec!["agents".into()],
        };
        words.extend(users.iter().cloned());
        words
    }

    /// Returns when something has happened.
    fn wait(&mut self) -> io::Result<()> {
        let handles = self.dialogs.values().map(|dialog| &dialog.handle);
        let mut fds: Vec<PollFd<'_>> =
            std::iter::once(&self.watch).chain(handles).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        fds.extend(self.vt.as_ref().map(Vt::changes));
        let again = self.vt.is_some() && !self.dialogs.contains_key(&Place::Own);
        let later = (!self.given_up.is_empty()).then_some(&LATER);
        match poll(&mut fds, if again { Some(&AGAIN) } else { later }) {
            Ok(0) => self.given_up.clear(),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Forgets dialogs that have ended. One that ended while its users are locked has lost its terminal; ours is
    /// opened again.
    fn reap(&mut self) -> io::Result<()> {
        let mut ended = Vec::new();
        for (place, dialog) in &mut self.dialogs {
            if dialog.child.try_wait()?.is_some() {
                ended.push(place.clone());
            }
        }
        let waiting = locked::users();
        for place in ended {
            let Some(dialog) = self.dialogs.remove(&place) else { continue };
            let early = waiting.iter().any(|user| dialog.users.is_empty() || dialog.users.contains(user));
            if early && place != Place::Own {
                self.given_up.insert(place);
            }
        }
        Ok(())
    }
}
