//! `sync`: a home that is open on two machines, made the same on both, with its user's rights.

use super::Outcome;
use crate::bus::{Failure, Who};
use crate::context::{Context, Keeps};
use crate::remote::quoted;
use crate::verb::trust::visible;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use records::{Record, Sections};
use rustix::fs::{Mode, OFlags};
use std::fmt::Write as _;
use std::io::{BufReader, BufWriter, ErrorKind, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use twin::{Chosen, Copy, End, Event, Here, Line, Side, Why};

/// What stands for the other end of the line that this end was started by.
const THE_LINE: &str = "-";
/// So many paths of a kind are shown.
const SHOWN: usize = 20;
const BUFFER: usize = 1 << 20;

/// `sync USER [HOST]`, `sync USER --take=here|there [FOLDER…]`
pub fn run(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    let (user, rest) = (words[0], words.get(1..).unwrap_or_default());
    let home = Own::of(ctx, user)?;
    match (ctx.settings.keeps, rest) {
        (Some(side), folders) => home.choose(ctx, side, folders),
        (None, []) => home.list(ctx),
        (None, [THE_LINE]) => home.answer(ctx),
        (None, [host]) => home.with(ctx, host),
        (None, _) => Err(Failure::say(format!(
            "One host at a time. Nothing was changed. To choose among what is kept twice in folders: homectl sync {user} \
             --take=here|there FOLDER…"
        ))),
    }
}

/// The own home of who calls, open.
struct Own {
    user: String,
    path: PathBuf,
    id: twin::Id,
    host: String,
    moment: String,
}

impl Own {
    fn of(ctx: &Context<'_>, user: &str) -> Result<Self, Failure> {
        let reply = ctx.daemon.record(Who::Name(user))?;
        let record = Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
        let name = record.user().to_string();
        if record.of_home_on(&ctx.machine).uid != Some(ctx.settings.uid) {
            return Err(Failure::say(format!(
                "A home is made the same on two machines with the rights of its user alone: run it as {name} (root may say: runuser -u \
                 {name} -- homectl sync {name} …). Nothing was changed."
            )));
        }
        let is_open = |state: &str| matches!(state, "active" | "lingering");
        if !ctx.daemon.homes()?.iter().any(|row| row.name == name && is_open(&row.state)) {
            return Err(Failure::say(format!(
                "The home of {name} is not open on {}. Nothing was changed. It opens when {name} logs in there with the password, or by: \
                 homectl activate {name}",
                ctx.machine.host.0
            )));
        }
        let moment = jiff::Timestamp::from_microsecond(i64::try_from(ctx.now_usec).unwrap_or(0));
        let moment = moment.map(|now| now.strftime("%Y%m%dT%H%M%SZ").to_string());
        Ok(Self {
            user: name,
            path: record.on(&ctx.machine).effective_home_directory().into(),
            id: twin::id(ctx.machine.id.as_str()),
            host: host_name(&ctx.machine.host.0),
            moment: moment.map_err(|error| Failure::say(format!("The clock is wrong: {error}")))?,
        })
    }

    fn open(&self) -> Result<OwnedFd, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.path, flags, Mode::empty());
        opened
            .map_err(|error| Failure::say(format!("{}: {error}. Nothing was changed.", self.path.display())))
    }

    fn here(&self, end: End) -> Result<Here<'_>, Failure> {
        Ok(Here { end, home: self.open()?, id: self.id, host: &self.host, moment: &self.moment })
    }

    /// The other end of `sync USER HOST`, which has started it.
    fn answer(&self, _: &Context<'_>) -> Outcome {
        if std::io::stdin().is_terminal() {
            return Err(Failure::say("homectl sync USER - is what homectl sync runs at the other end"));
        }
        let mut from = BufReader::with_capacity(BUFFER, std::io::stdin().lock());
        let mut to = BufWriter::with_capacity(BUFFER, std::io::stdout().lock());
        let line = Line { from: &mut from, to: &mut to };
        match twin::sync(self.here(End::Second)?, line, &mut |_| Ok(())) {
            Ok(_) => Ok(0),
            // Whoever began tells of a line that broke.
            Err(failure) if is_of_the_line(&failure) => Ok(1),
            Err(failure) => Err(self.said(&failure, "the other end")),
        }
    }

    fn with(&self, ctx: &Context<'_>, host: &str) -> Outcome {
        let mut child = ssh(ctx, host, &self.user)?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::say("ssh has no pipes"));
        };
        let bar = Bar::begin(&self.user);
        let mut from = BufReader::with_capacity(BUFFER, from);
        let mut to = BufWriter::with_capacity(BUFFER, to);
        let line = Line { from: &mut from, to: &mut to };
        let done = self.here(End::First).map(|here| twin::sync(here, line, &mut |event| bar.show(event)));
        // Without its pipes it ends.
        let _ = to.into_parts();
        drop((from, bar));
        let ended = child.wait();
        match (done?, ended) {
            (Ok(outcome), _) => {
                ctx.say(&told(&self.user, &outcome));
                Ok(0)
            }
            (Err(failure), Ok(status)) if is_of_the_line(&failure) && status.code() == Some(255) => {
                Err(Failure::say(format!("ssh could not go on (see above). {}", self.goes_on(host))))
            }
            (Err(failure), _) => Err(self.said(&failure, host)),
        }
    }

    fn goes_on(&self, host: &str) -> String {
        format!(
            "Nothing is lost: what was done is done, the rest is as it was, and the next one goes on: homectl sync {} {host}",
            self.user
        )
    }

    fn said(&self, failure: &twin::Failure, host: &str) -> Failure {
        Failure::say(match failure {
            twin::Failure::SameMachine => format!("{host} is this machine. Nothing was changed."),
            twin::Failure::Runs => {
                format!(
                    "Another sync of the home of {} runs on {}. Nothing was changed.",
                    self.user, self.host
                )
            }
            failure if is_of_the_line(failure) => {
                format!("{host} says no more (see above). {}", self.goes_on(host))
            }
            failure => format!("{}. {}", visible(&failure.to_string()), self.goes_on(host)),
        })
    }

    fn list(&self, ctx: &Context<'_>) -> Outcome {
        let copies = twin::copies(self.open()?, b"").map_err(|failure| self.said(&failure, "HOST"))?;
        if copies.is_empty() {
            ctx.say("Nothing is kept twice.\n");
            return Ok(0);
        }
        let mut text = String::new();
        for copy in &copies {
            let _ = writeln!(text, "{}  (beside {})", shown(&copy.path), shown(&copy.beside));
        }
        let _ = writeln!(text, "\n{}", self.how());
        ctx.say(&text);
        Ok(0)
    }

    fn how(&self) -> String {
        how(&self.user)
    }

    fn choose(&self, ctx: &Context<'_>, keeps: Keeps, folders: &[&str]) -> Outcome {
        let mut below = folders.iter().map(|folder| self.within(folder)).collect::<Result<Vec<_>, _>>()?;
        if below.is_empty() {
            below.push(Vec::new());
        }
        let mut code = 0;
        for below in below {
            let copies = twin::copies(self.open()?, &below);
            for copy in copies.map_err(|failure| nothing_chosen(&below, &failure))? {
                code = code.max(self.choose_one(ctx, &copy, keeps)?);
            }
        }
        Ok(code)
    }

    fn choose_one(&self, ctx: &Context<'_>, copy: &Copy, keeps: Keeps) -> Outcome {
        let (side, word) = match keeps {
            Keeps::Here => (Side::Here, "here"),
            Keeps::There => (Side::There, "there"),
        };
        let chosen = twin::choose(self.open()?, copy, side, (&self.host, &self.id));
        match chosen.map_err(|failure| self.said(&failure, "HOST"))? {
            Chosen::Done => ctx.say(&format!("{}: what was {word}\n", shown(&copy.beside))),
            Chosen::Newer => ctx.asker.notice(&format!(
                "{} was written after {} was kept, and stays, and so does that: look at both, and remove one by hand.",
                shown(&copy.beside),
                shown(&copy.path)
            )),
            Chosen::Folder => ctx.asker.notice(&format!(
                "{} is a folder now, and stays, and so does {} beside it: move one of them away by hand.",
                shown(&copy.beside),
                shown(&copy.path)
            )),
        }
        Ok(0)
    }

    /// A folder that was named, as a path within the home.
    fn within(&self, folder: &str) -> Result<Vec<u8>, Failure> {
        let outside = || {
            Failure::say(format!(
                "{folder} is no folder in {}. Nothing was changed in it.",
                self.path.display()
            ))
        };
        let path = Path::new(folder);
        let whole = if path.is_absolute() { path.to_owned() } else { self.path.join(path) };
        let inside = whole.strip_prefix(&self.path).map_err(|_| outside())?;
        let is_plain = inside.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let clean: PathBuf = inside.components().collect();
        if is_plain { Ok(clean.as_os_str().as_bytes().to_vec()) } else { Err(outside()) }
    }
}

fn nothing_chosen(below: &[u8], failure: &twin::Failure) -> Failure {
    Failure::say(format!("{}: {failure}. Nothing was changed in it.", shown(below)))
}

fn how(user: &str) -> String {
    format!(
        "To have what was here, or what was on the other machine, in a folder or all of the home:\n  homectl sync {user} \
         --take=here|there [FOLDER…]\nThe next sync does the same at the other end.\n"
    )
}

/// As it goes into names of files.
fn host_name(name: &str) -> String {
    let name: String = name
        .chars()
        .take(64)
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Whether the other end went away: what that has to say comes from ssh, or from itself.
fn is_of_the_line(failure: &twin::Failure) -> bool {
    let twin::Failure::Io { error, what } = failure else { return false };
    let is_end =
        matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
    is_end && what.ends_with("the other end")
}

/// The user's own ssh, with a line that is known to be dead after a minute.
fn ssh(ctx: &Context<'_>, host: &str, user: &str) -> Result<Child, Failure> {
    let mut command = Command::new("ssh");
    command.args(["-T", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]);
    if ctx.settings.no_questions {
        command.args(["-o", "BatchMode=yes"]);
    }
    command.args(["--", host, "homectl", "sync", &quoted(user), THE_LINE]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    child.map_err(|error| Failure::say(format!("ssh: {error}. Nothing was changed.")))
}

fn shown(path: &[u8]) -> String {
    visible(&String::from_utf8_lossy(path))
}

fn told(user: &str, outcome: &twin::Outcome) -> String {
    let host = &outcome.host;
    let paths = |all: u64, gone: u64| match gone {
        0 => format!("{all} changed"),
        gone => format!("{all} changed ({gone} of them gone)"),
    };
    let mut text = format!(
        "{user}: {} here, {} on {host}; {} bytes went over the line.\n",
        paths(outcome.here, outcome.gone_here),
        paths(outcome.there, outcome.gone_there),
        outcome.moved
    );
    let mut list = |title: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        let _ = writeln!(text, "{title}");
        for line in lines.iter().take(SHOWN) {
            let _ = writeln!(text, "  {line}");
        }
        if lines.len() > SHOWN {
            let _ = writeln!(text, "  … and {} more", lines.len() - SHOWN);
        }
    };
    let all = |paths: &[Vec<u8>]| paths.iter().map(|path| shown(path)).collect::<Vec<_>>();
    list("Changed on both, and kept twice on both:", all(&outcome.copies));
    list("Changed while it was exchanged, and kept:", all(&outcome.kept));
    let undone = outcome.undone.iter().map(|undone| format!("{}: {}", shown(&undone.path), undone.why));
    list("Not done, and tried again the next time:", undone.collect());
    let left = outcome.left.iter().map(|(path, why)| format!("{}: {}", shown(path), because(*why)));
    list("Left as it is on both:", left.collect());
    if !outcome.copies.is_empty() {
        text.push_str(&how(user));
    }
    text
}

fn because(why: Why) -> &'static str {
    match why {
        Why::InUse => "a program writes to it",
        Why::Unreadable => "it cannot be read",
        Why::Special => "a socket, FIFO or device",
        Why::Elsewhere => "a subvolume, or something mounted",
        Why::TooLong => "its attributes are too long",
        Why::Wished => "as ~/.config/homed/sync-leave says",
        Why::There => "left on the other machine",
    }
}

/// What a person sees who waits.
struct Bar {
    bar: ProgressBar,
    names: std::cell::Cell<u64>,
    bytes: std::cell::Cell<u64>,
}

impl Bar {
    fn begin(user: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is ours, so it is one.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(user.to_owned());
        Self { bar, names: 0.into(), bytes: 0.into() }
    }

    fn show(&self, event: Event) -> Result<(), twin::Failure> {
        match event {
            Event::Looked => self.names.set(self.names.get() + 1),
            Event::Moved(bytes) => self.bytes.set(self.bytes.get() + bytes),
            Event::Step => {}
        }
        if self.names.get().is_multiple_of(256) || event != Event::Looked {
            let bytes = indicatif::BinaryBytes(self.bytes.get());
            self.bar.set_message(format!("{} names, {bytes} moved", self.names.get()));
            self.bar.tick();
        }
        Ok(())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
