//! The question for agents of systemd-ask-password: Plymouth, a console's agent, whoever looks after the folder.
//!
//! The protocol is <https://systemd.io/PASSWORD_AGENTS/>: a file `ask.…` says what is asked and on which socket the
//! answer is awaited; the answer is one datagram, `+` and the password, or `-` where there is nobody. Only root may
//! answer.

use crate::catalogue::{Catalogue, Text, texts};
use crate::people::People;
use crate::sys::pam::{self, Conversation, Echo};
use crate::{Ended, locked};
use records::Secret;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::Permissions;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where questions lie.
const FOLDER: &str = "/run/systemd/ask-password";
/// Plymouth runs.
const PLYMOUTH: &str = "/run/plymouth/pid";
/// An answer that is longer is no password.
const LONGEST: usize = 4096;

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
        let question = Question::put(&self.user, &message, echo)?;
        loop {
            let mut fds =
                [PollFd::new(&question.socket, PollFlags::IN), PollFd::new(&self.watch, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let answered = !fds[0].revents().is_empty();
            locked::forget_changes(&self.watch);
            if !self.waits() {
                return Ok(None);
            }
            if answered && let Some(answer) = question.answer()? {
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
                eprintln!("asking agents: {why}");
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

/// A question that lies in the folder; it goes with this.
struct Question {
    file: PathBuf,
    place: PathBuf,
    socket: UnixDatagram,
}

impl Question {
    fn put(user: &str, message: &str, echo: Echo) -> io::Result<Self> {
        std::fs::create_dir_all(FOLDER)?;
        let name = format!("homed-{}-{user}", std::process::id());
        let (file, place) =
            (Path::new(FOLDER).join(format!("ask.{name}")), Path::new(FOLDER).join(format!("sck.{name}")));
        // One of a process of the same number that was killed.
        let _ = std::fs::remove_file(&place);
        let socket = UnixDatagram::bind(&place)?;
        std::fs::set_permissions(&place, Permissions::from_mode(0o600))?;
        set_socket_passcred(&socket, true)?;
        let question = Self { file, place, socket };
        let text = text(&question.place, user, message, echo);
        let draft = Path::new(FOLDER).join(format!("tmp.{name}"));
        std::fs::write(&draft, text)?;
        // An agent reads it when it has its name, and then all of it is there.
        std::fs::rename(&draft, &question.file)?;
        Ok(question)
    }

    /// What has come; `None`: no answer, or not root's.
    fn answer(&self) -> io::Result<Option<Secret>> {
        let mut bytes = vec![0; LONGEST + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut beside,
            RecvFlags::DONTWAIT | RecvFlags::TRUNC,
        );
        let count = received.map(|message| message.bytes);
        let whole = Secret::new(bytes);
        let root = beside.drain().any(
            |message| matches!(message, RecvAncillaryMessage::ScmCredentials(sender) if sender.uid.is_root()),
        );
        match count {
            Ok(count) if root => {
                Ok(given(&whole.open()[..count.min(LONGEST)]).map(|text| Secret::new(text.to_vec())))
            }
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // Agents watch for it: the question is taken back.
        let _ = std::fs::remove_file(&self.file);
        let _ = std::fs::remove_file(&self.place);
    }
}

/// The password in a datagram. An agent may send several, with a NUL after each: the first counts.
fn given(datagram: &[u8]) -> Option<&[u8]> {
    datagram.strip_prefix(b"+")?.split(|byte| *byte == 0).next()
}

/// The question, as an agent reads it.
fn text(socket: &Path, user: &str, message: &str, echo: Echo) -> String {
    let message: String =
        message.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    format!(
        "[Ask]\nPID={}\nSocket={}\nAcceptCached=0\nEcho={}\nNotAfter=0\nSilent=0\nMessage={message}\n\
         Icon=system-lock-screen\nId=homed:{user}\n",
        std::process::id(),
        socket.display(),
        u8::from(echo == Echo::On),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_without_what_ends_it() {
        assert_eq!(given(b"+pass\0"), Some(&b"pass"[..]));
        assert_eq!(given(b"+first\0second\0"), Some(&b"first"[..]));
        assert_eq!(given(b"+pass"), Some(&b"pass"[..]));
        assert_eq!((given(b"-"), given(b""), given(b"pass")), (None, None, None));
    }

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

    #[test]
    fn a_message_cannot_add_lines_to_the_question() {
        let text = text(Path::new("/run/s"), "alice", "Password:\nSocket=/tmp/evil", Echo::Off);
        let sockets: Vec<&str> = text.lines().filter(|line| line.starts_with("Socket=")).collect();
        assert_eq!(sockets, ["Socket=/run/s"]);
        assert!(text.contains("\nMessage=Password: Socket=/tmp/evil\n") && text.contains("\nEcho=0\n"));
    }
}
