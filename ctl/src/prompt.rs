//! Who is asked for secrets: the environment, service credentials, the terminal, and agents of systemd-ask-password where
//! there is no terminal.
//!
//! What the environment has is read at the start, and taken out of it; no child gets it.

use crate::bus::Failure;
use agents::{Answer, Asked};
use records::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes a line to standard error. Whoever has stopped reading breaks nothing off: the verb goes on to its end.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Variables that hold secrets: no child process gets them.
pub const SECRET_VARIABLES: [&str; 4] = ["PASSWORD", "NEWPASSWORD", "PIN", "NEWPIN"];

/// A source of secrets that needs nobody's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ready {
    /// `$PASSWORD`, `home.password`.
    Password,
    /// `home.recovery-key`.
    RecoveryKey,
    /// `$NEWPASSWORD`, `home.new-password`.
    NewPassword,
    /// `$PIN`, `home.token-pin`.
    Pin,
    /// `$NEWPIN`, `home.new-token-pin`.
    NewPin,
}

impl Ready {
    fn names(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::Password => (Some("PASSWORD"), "home.password"),
            Self::RecoveryKey => (None, "home.recovery-key"),
            Self::NewPassword => (Some("NEWPASSWORD"), "home.new-password"),
            Self::Pin => (Some("PIN"), "home.token-pin"),
            Self::NewPin => (Some("NEWPIN"), "home.new-token-pin"),
        }
    }
}

/// Somebody who can be asked.
pub trait Asker {
    /// What is there without asking; each source gives once.
    fn ready(&self, what: Ready) -> Option<Secret>;
    /// Asks for one secret.
    fn ask(&self, question: &str) -> Result<Secret, Failure>;
    /// Asks for a line that everybody may see.
    fn line(&self, _question: &str) -> Result<String, Failure> {
        Err(Failure::say("there is no terminal to ask on"))
    }
    /// Good passwords that somebody who is asked for a new one may take; none where nobody makes any.
    fn suggestions(&self) -> Vec<Secret> {
        Vec::new()
    }
    /// Tells something, on standard error.
    fn notice(&self, text: &str);
    /// Whether whoever is asked sits at a terminal, and answers at once.
    fn is_at_terminal(&self) -> bool {
        true
    }
}

/// What the environment gave: each source once.
pub struct Environment(RefCell<BTreeMap<Ready, Secret>>);

impl Environment {
    /// Reads the variables. They are still in the environment afterwards.
    pub fn read() -> Self {
        let all = [Ready::Password, Ready::NewPassword, Ready::Pin, Ready::NewPin].into_iter();
        let given = all.filter_map(|what| Some((what, std::env::var(what.names().0?).ok()?)));
        Self(RefCell::new(given.map(|(what, value)| (what, Secret::from_text(value))).collect()))
    }
}

/// The terminal, environment and credentials of this process.
pub struct Terminal {
    /// Whether questions may be asked.
    pub questions: Questions,
    environment: Environment,
    given: RefCell<BTreeSet<Ready>>,
}

/// Whether questions may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Questions {
    /// They may.
    Allowed,
    /// `--no-ask-password`.
    Forbidden,
}

impl Terminal {
    /// Nothing given yet.
    pub fn new(questions: Questions, environment: Environment) -> Self {
        Self { questions, environment, given: RefCell::default() }
    }
}

/// The terminal does not show what is typed while this lives.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    /// `None` where there is no terminal.
    fn begin() -> Option<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &quiet).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // The terminal may be gone, and then nobody types there.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

const NO_TERMINAL: &str = "a secret is needed, but there is no terminal to ask on";

/// How long agents are waited for, as systemd-ask-password(1) does by default: a service must not hang for ever
/// where nobody looks.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks the agents of the system, or of the user: the folder is there where somebody looks after it.
fn ask_agents(question: &str) -> Result<Secret, Failure> {
    let folder = match rustix::process::geteuid().is_root() {
        true => Some(PathBuf::from(agents::FOLDER)),
        false => std::env::var_os("XDG_RUNTIME_DIR").map(|own| Path::new(&own).join("systemd/ask-password")),
    };
    let nobody = || Failure::say(NO_TERMINAL);
    let folder = folder.filter(|folder| folder.is_dir()).ok_or_else(nobody)?;
    let (message, patience) = (question.trim_end(), Some(PATIENCE));
    let asked = Asked { message, id: "homectl", icon: "user-home", echo: false, patience };
    match agents::ask(&folder, "homectl", &asked) {
        Ok(Some(Answer::Given(secret))) => Ok(secret),
        Ok(Some(Answer::Declined)) => Err(Failure::say("a secret is needed, and was not given")),
        Ok(None) => Err(Failure::say(
            "a secret is needed, but there is no terminal to ask on, and nobody has answered for 90 seconds \
             (systemd-tty-ask-password-agent)",
        )),
        Err(_) => Err(nobody()),
    }
}

impl Asker for Terminal {
    fn is_at_terminal(&self) -> bool {
        File::options().read(true).write(true).open("/dev/tty").is_ok()
    }

    fn ready(&self, what: Ready) -> Option<Secret> {
        if !self.given.borrow_mut().insert(what) {
            return None;
        }
        if let Some(value) = self.environment.0.borrow_mut().remove(&what) {
            return Some(value);
        }
        let (_, credential) = what.names();
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
        let bytes = Secret::new(std::fs::read(Path::new(&folder).join(credential)).ok()?);
        let text = bytes.open().strip_suffix(b"\n").unwrap_or(bytes.open());
        Some(Secret::new(text.to_vec()))
    }

    fn ask(&self, question: &str) -> Result<Secret, Failure> {
        if self.questions == Questions::Forbidden {
            return Err(Failure::say("a secret is needed, but --no-ask-password forbids to ask for it"));
        }
        // Before the question is seen: who types fast must not see the secret on the screen.
        let Some(_quiet) = Quiet::begin() else { return ask_agents(question) };
        let answer = rpassword::prompt_password(question);
        answer.map(Secret::from_text).map_err(|_| Failure::say(NO_TERMINAL))
    }

    fn line(&self, question: &str) -> Result<String, Failure> {
        let nobody = || Failure::say("there is nobody who could answer");
        if self.questions == Questions::Forbidden || !std::io::stdin().is_terminal() {
            return Err(nobody());
        }
        let _ = write!(std::io::stderr(), "{question}");
        let mut line = String::new();
        match std::io::stdin().read_line(&mut line) {
            Ok(0) | Err(_) => Err(nobody()),
            Ok(_) => Ok(line),
        }
    }

    fn suggestions(&self) -> Vec<Secret> {
        // Only for somebody at a terminal: what is said elsewhere may go into a log.
        let is_seen = self.questions == Questions::Allowed && std::io::stderr().is_terminal();
        if is_seen { quality::suggestions() } else { Vec::new() }
    }

    fn notice(&self, text: &str) {
        tell(text);
    }
}
