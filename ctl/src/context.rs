//! What every verb is given: whom to talk to, what was asked for on the command line, where it runs.

use crate::bus::{Daemon, Failure, Who};
use crate::hint;
use crate::insist::{Place, Talk};
use crate::options::edit::Draft;
use crate::prompt::Asker;
use crate::record_text::{Details, View};
use crate::vault::Vault;
use records::{Machine, Refusal};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::time::Duration;

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Json {
    /// For people.
    #[default]
    Off,
    /// JSON over several lines.
    Pretty,
    /// JSON in one line.
    Short,
}

impl Json {
    /// A value as text with a line end.
    pub fn write(self, value: &serde_json::Value) -> String {
        match self {
            Self::Short => format!("{value}\n"),
            Self::Off | Self::Pretty => format!("{value:#}\n"),
        }
    }
}

/// How much of a record is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Export {
    /// All.
    #[default]
    Full,
    /// No binding, no status.
    Stripped,
    /// No signature either.
    Minimal,
}

/// Whether tables have header and footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Legend {
    /// They have.
    #[default]
    Shown,
    /// They have not.
    Hidden,
}

/// Whether an answer is given again when it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watch {
    /// It is not.
    #[default]
    No,
    /// It is, one after the other.
    Lines,
    /// It is, in the place of the one before.
    Screen,
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    /// Not.
    #[default]
    Plain,
    /// On a terminal.
    Color,
}

impl Paint {
    /// A state in its colour: green in use, red absent, yellow what is not ready.
    pub fn state(self, state: &str) -> String {
        let code = match state {
            "active" | "lingering" => 32,
            "absent" => 31,
            "unfixated" | "locked" | "dirty" => 33,
            _ => return state.to_owned(),
        };
        match self {
            Self::Plain => state.to_owned(),
            Self::Color => format!("\x1b[{code}m{state}\x1b[0m"),
        }
    }
}

/// The program's options.
#[derive(Default)]
pub struct Settings {
    /// `--json=`, `-j`.
    pub json: Json,
    /// `--export-format=`, `-E`.
    pub export: Export,
    /// `--no-legend`.
    pub legend: Legend,
    /// Colours.
    pub paint: Paint,
    /// Whether a picture made of characters can be shown on standard error.
    pub draws: bool,
    /// `--details`, or a terminal.
    pub details: Details,
    /// `--identity=`.
    pub identity: Option<String>,
    /// `--offline`.
    pub offline: bool,
    /// `--key-name=`.
    pub key_name: Option<String>,
    /// `--seize=no`.
    pub keep_signature: bool,
    /// `--recovery-key-file=`.
    pub recovery_key_file: Option<String>,
    /// `--why=`.
    pub why: Option<String>,
    /// `--for=`, in µs.
    pub for_usec: Option<u64>,
    /// `--watch`.
    pub watch: Watch,
    /// `--yes`.
    pub yes: bool,
    /// `--replace`.
    pub replace: bool,
    /// `--move`.
    pub moves: bool,
    /// `--take=`.
    pub keeps: Option<Keeps>,
    /// `--undo`, `--discard-original`.
    pub undoes: Undoes,
    /// `--file-system`.
    pub file_system: bool,
    /// `--closed-elsewhere`.
    pub closed_elsewhere: bool,
    /// `--prompt-…` of `firstboot`.
    pub first_user: FirstUser,
    /// `--dry-run`, `SYSTEMD_HOME_DRY_RUN`.
    pub dry_run: bool,
    /// `--no-ask-password`.
    pub no_questions: bool,
    /// The caller's effective UID.
    pub uid: u32,
}

/// Which one `sync` has of what is kept twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// What this machine had.
    Here,
    /// What the other had.
    There,
}

impl Keeps {
    /// From its word; else what it must be.
    pub fn parse(word: &str) -> Result<Self, &'static str> {
        match word {
            "here" => Ok(Self::Here),
            "there" => Ok(Self::There),
            _ => Err("it must be here or there"),
        }
    }
}

/// Which way `convert` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Undoes {
    /// To a home.
    #[default]
    Nothing,
    /// To the account again.
    Conversion,
    /// To a home without the account.
    Original,
}

/// What `firstboot` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstUser {
    /// A user at all.
    pub wanted: bool,
    /// Groups.
    pub groups: bool,
    /// The shell.
    pub shell: bool,
}

impl Default for FirstUser {
    fn default() -> Self {
        Self { wanted: false, groups: true, shell: true }
    }
}

/// All a verb needs.
pub struct Context<'a> {
    /// The verb.
    pub verb: &'static str,
    /// homed.
    pub daemon: &'a dyn Daemon,
    /// Who hands secrets over.
    pub vault: &'a dyn Vault,
    /// Who is asked.
    pub asker: &'a dyn Asker,
    /// The program's options.
    pub settings: Settings,
    /// The record options.
    pub draft: Draft,
    /// This machine.
    pub machine: Machine,
    /// Now, in µs since 1970.
    pub now_usec: u64,
    /// Waits.
    pub pause: &'a dyn Fn(Duration),
    /// Where answers go.
    pub out: RefCell<&'a mut dyn Write>,
    /// Starts a polkit agent, once.
    pub agent: &'a dyn Fn(),
}

impl Context<'_> {
    /// Writes to standard output. A reader that went away (`| head`) is no error.
    pub fn say(&self, text: &str) {
        let mut out = self.out.borrow_mut();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Writes a failure with its advice to standard error.
    pub fn complain(&self, failure: &Failure, user: &str) {
        let of = if user.is_empty() { String::new() } else { format!("{user}: ") };
        self.asker.notice(&format!(
            "homectl: {of}{}",
            hint::explain(failure, hint::Asked { verb: self.verb, what: user })
        ));
    }

    /// The talk about one user's secrets.
    pub fn talk<'t>(&'t self, user: &'t str) -> Talk<'t> {
        Talk {
            asker: self.asker,
            vault: self.vault,
            user,
            place: Some(Place { daemon: self.daemon, machine: &self.machine.id }),
        }
    }

    /// Whether a question can be answered.
    pub fn can_ask(&self) -> bool {
        use std::io::IsTerminal;
        !self.settings.no_questions && std::io::stdin().is_terminal()
    }

    /// Starts a polkit agent where one is of use.
    pub fn start_agent(&self) {
        (self.agent)();
    }

    /// The caller's own user name, as homed knows it.
    pub fn own_name(&self) -> Result<String, Failure> {
        let missing = |failure: Failure| match self.settings.uid {
            0 if failure.is(Refusal::NoSuchHome) => {
                Failure::say("root has no home here: say whose is meant. Nothing was changed.")
            }
            _ => failure,
        };
        let reply = self.daemon.record(Who::Uid(self.settings.uid)).map_err(missing)?;
        let value: serde_json::Value =
            serde_json::from_str(&reply.json).map_err(|e| Failure::say(e.to_string()))?;
        let name = value.get("userName").and_then(serde_json::Value::as_str);
        name.map(str::to_owned).ok_or_else(|| Failure::say("homed gave a record without a name"))
    }

    /// How records are shown.
    pub fn view(&self) -> View<'_> {
        View {
            machine: &self.machine,
            now_usec: self.now_usec,
            paint: self.settings.paint,
            details: self.settings.details,
        }
    }
}

/// The text of a file; `-` is standard input.
pub fn read_text(path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map(|_| text).map_err(|e| match e.kind() {
        std::io::ErrorKind::InvalidData => Failure::say(format!("{path}: it is no text")),
        _ => Failure::say(format!("{path}: {e}")),
    })
}
