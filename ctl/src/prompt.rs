//! Who is asked for secrets: the environment, service credentials, the terminal.
//!
//! The variables stay in this process's own environment (taking them out is not safe Rust); no child gets them.

use crate::bus::Failure;
use records::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::IsTerminal;

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
    /// Tells something, on standard error.
    fn notice(&self, text: &str);
}

/// The terminal, environment and credentials of this process.
pub struct Terminal {
    /// Whether questions may be asked.
    pub questions: Questions,
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
    pub fn new(questions: Questions) -> Self {
        Self { questions, given: RefCell::default() }
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

impl Asker for Terminal {
    fn ready(&self, what: Ready) -> Option<Secret> {
        if !self.given.borrow_mut().insert(what) {
            return None;
        }
        let (variable, credential) = what.names();
        if let Some(value) = variable.and_then(|name| std::env::var(name).ok()) {
            return Some(Secret::from_text(value));
        }
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
        let bytes = Secret::new(std::fs::read(std::path::Path::new(&folder).join(credential)).ok()?);
        let text = bytes.open().strip_suffix(b"\n").unwrap_or(bytes.open());
        Some(Secret::new(text.to_vec()))
    }

    fn ask(&self, question: &str) -> Result<Secret, Failure> {
        if self.questions == Questions::Forbidden {
            return Err(Failure::say("a secret is needed, but --no-ask-password forbids to ask for it"));
        }
        // Before the question is seen: who types fast must not see the secret on the screen.
        let _quiet = Quiet::begin();
        let answer = rpassword::prompt_password(question);
        answer
            .map(Secret::from_text)
            .map_err(|_| Failure::say("a secret is needed, but there is no terminal to ask on"))
    }

    fn line(&self, question: &str) -> Result<String, Failure> {
        let nobody = || Failure::say("there is nobody who could answer");
        if self.questions == Questions::Forbidden || !std::io::stdin().is_terminal() {
            return Err(nobody());
        }
        eprint!("{question}");
        let mut line = String::new();
        match std::io::stdin().read_line(&mut line) {
            Ok(0) | Err(_) => Err(nobody()),
            Ok(_) => Ok(line),
        }
    }

    fn notice(&self, text: &str) {
        eprintln!("{text}");
    }
}
