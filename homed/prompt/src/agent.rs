//! The question for agents of systemd-ask-password (the crate `agents`): Plymouth, a console's agent.

use crate::catalogue::{Catalogue, Text, texts};
use crate::people::People;
use crate::sys::pam::{self, Conversation, Echo};
use crate::{Ended, locked};
use agents::{Answer, Asked, Question};
use records::Secret;
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Plymouth runs.
const PLYMOUTH: &str = "/run/plymouth/pid";

/// Whether Plymouth has the screen.
pub fn plymouth_is_there() -> bool {
    Path::new(PLYMOUTH).exists()
}

/// Asks for this user until the home is unlocked, here or elsewhere.
pub fn run(user: &str) -> Ended<()> {
    let (catalogue, watch) = (Catalogue::default(), locked::watch()?);
    let mut agents = Agents { user: user.to_owned(), watch, told: Vec::new(), catalogue };
    let mut people = People::of_daemon()?;
    while agents.waits() {
        agents.catalogue = Catalogue::of(people.wait(user).language);
        if let Err(why) = pam::authenticate(user, "", &mut agents)
            && agents.waits()
        {
            agents.told.push(texts::STILL_LOCKED.because(&why));
            // What fails by itself is not tried in a circle.
            agents.pause()?;
        }
    }
    Ok(())
}

/// Whoever answers.
struct Agents {
    user: String,
    watch: OwnedFd,
    /// What was told since the last question, which is the only place to show it.
    told: Vec<Text>,
    catalogue: Catalogue,
}

impl Agents {
    fn waits(&self) -> bool {
        locked::users().contains(&self.user)
    }

    /// Waits until something changes about who is locked, or for a moment.
    fn pause(&self) -> io::Result<()> {
        let moment = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], Some(&moment))?;
        locked::forget_changes(&self.watch);
        Ok(())
    }

    fn question(&mut self, question: &str, echo: Echo) -> io::Result<Option<Secret>> {
        let message = message(&self.catalogue, &std::mem::take(&mut self.told), question, &self.user);
        let folder = Path::new(agents::FOLDER);
        std::fs::create_dir_all(folder)?;
        let id = format!("homed:{}", self.user);
        let asked = Asked {
            message: &message,
            id: &id,
            icon: "system-lock-screen",
            echo: echo == Echo::On,
            patience: None,
        };
        let question = Question::put(folder, &format!("homed-{}", self.user), &asked)?;
        loop {
            let mut fds = [PollFd::new(&question, PollFlags::IN), PollFd::new(&self.watch, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let answered = !fds[0].revents().is_empty();
            locked::forget_changes(&self.watch);
            if !self.waits() {
                return Ok(None);
            }
            // Whoever does not want to leaves it to another agent.
            if answered && let Some(Answer::Given(answer)) = question.answer()? {
                return Ok(Some(answer));
            }
        }
    }
}

impl Conversation for Agents {
    fn ask(&mut self, question: &str, echo: Echo) -> Option<Secret> {
        match self.question(question, echo) {
            Ok(answer) => answer,
            Err(why) => {
                tell!("asking agents: {why}");
                None
            }
        }
    }

    fn tell(&mut self, text: &str) {
        self.told.push(Text::Foreign(text.to_owned()));
    }
}

/// What was told since the last question, the question, and whose home it is about.
fn message(catalogue: &Catalogue, told: &[Text], question: &str, user: &str) -> String {
    let asked = catalogue.say(&Text::Foreign(question.to_owned()));
    let asked = asked.trim_end_matches([':', '：', ' ', '\u{a0}']);
    let mut parts: Vec<String> = told.iter().map(|text| catalogue.say(text)).collect();
    parts.push(catalogue.say(&texts::AGENTS.with("question", asked).with("user", user)));
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_whose_home_it_is_about_in_every_language() {
        use crate::catalogue::Language;
        let told = [texts::STILL_LOCKED.because("Permission denied")];
        let said = |language| message(&Catalogue::of(language), &told, "Password: ", "alice");
        assert_eq!(
            said(Language::English),
            "Still locked: Permission denied. Password (home of alice is locked):"
        );
        assert_eq!(
            said(Language::German),
            "Noch gesperrt: nicht erlaubt. Passwort (Daten von alice sind gesperrt):"
        );
        assert_eq!(said(Language::Chinese), "仍处于锁定状态：权限不足。 密码（alice 的主目录已锁定）：");
    }
}
