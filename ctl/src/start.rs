//! From the words of the command line to a running verb.

use crate::backup::inside;
use crate::bus::{Bus, Failure, Interaction};
use crate::context::{Context, Export, Json, Keeps, Legend, Paint, Settings, Undoes, Watch, read_text};
use crate::exposed;
use crate::hint;
use crate::options::edit::Draft;
use crate::options::parse::{CommandLine, Typed, parse};
use crate::options::values::{Surroundings, boolean, span};
use crate::options::{Effect, Tool, describe};
use crate::prompt::{Environment, Questions, SECRET_VARIABLES, Terminal, tell};
use crate::record_text::Details;
use crate::remote::Elsewhere;
use crate::vault::{Show, Socket};
use crate::verb::{VERBS, Verb};
use records::{HostName, Machine, MachineId};
use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::process::{Command, ExitCode, Stdio};

/// The whole program.
pub fn main() -> ExitCode {
    match words().and_then(|words| start(&words.iter().map(String::as_str).collect::<Vec<_>>())) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            tell(&format!("homectl: {}", hint::explain(&failure, hint::Asked::default())));
            ExitCode::FAILURE
        }
    }
}

/// What was typed. Names, paths and values of options go into records and over the bus, which have text alone.
fn words() -> Result<Vec<String>, Failure> {
    let no_text = |word: OsString| {
        Failure::say(format!(
            "{} is no text: homectl takes words in UTF-8 alone. Nothing was changed.",
            word.to_string_lossy().escape_debug()
        ))
    };
    std::env::args_os().skip(1).map(|word| word.into_string().map_err(no_text)).collect()
}

fn start(words: &[&str]) -> Result<u8, Failure> {
    // A shell's question for what fits is no command: nothing in it is obeyed.
    if let ["--complete", "--", typed @ ..] = words {
        crate::complete::print(typed);
        return Ok(0);
    }
    if let [inside::WORD, "--", rest @ ..] = words {
        return inside::run(rest);
    }
    let environment = Environment::read();
    let line = parse(words);
    let private = line.as_ref().map(|line| exposed::private_values(&line.options)).unwrap_or_default();
    exposed::hide(&private, &SECRET_VARIABLES);
    let line = line.map_err(Failure::Other)?;
    if let Some(place) = elsewhere(&line) {
        return crate::remote::run(place, words);
    }
    let settings = match settings(&line)? {
        Asked::Run(settings) => settings,
        Asked::Print(text) => {
            // A reader that went away is no error.
            let _ = std::io::stdout().write_all(&text);
            return Ok(0);
        }
    };
    let now_usec = now_usec();
    let draft = draft(&line, now_usec)?;
    let checked =
        draft.keys.check().and(draft.tpm.check()).and_then(|()| draft.names.check(draft.enrolled()));
    checked.map_err(|why| Failure::say(format!("{why}. Nothing was changed.")))?;
    let lists = [
        (draft.cards.list, crate::smart_card::list as fn() -> Result<String, Failure>),
        (draft.tpm.list, crate::machine_pin::list),
        (draft.keys.list, crate::security_key::list),
    ];
    if let Some((_, list)) = lists.into_iter().find(|(wanted, _)| *wanted) {
        // A reader that went away is no error.
        let _ = std::io::stdout().write_all(list()?.as_bytes());
        return Ok(0);
    }
    let (name, arguments) =
        line.arguments.split_first().map_or(("list", &[][..]), |(name, rest)| (*name, rest));
    let verb = find(name, arguments)?;
    check_options(&line, verb)?;
    let asked = hint::Asked { verb: verb.name, what: arguments.first().copied().unwrap_or_default() };
    run(verb, Given { arguments, settings, draft, now_usec }, environment)
        .map_err(|failure| Failure::Other(hint::explain(&failure, asked)))
}

/// Options are for verbs that do something with them.
fn check_options(line: &CommandLine<'_>, verb: &Verb) -> Result<(), Failure> {
    for typed in &line.options {
        let Effect::Tool(tool) = typed.row.effect else { continue };
        let owners = tool.belongs_to();
        if !owners.is_empty() && !owners.contains(&verb.name) {
            return Err(Failure::say(format!(
                "{} is for homectl {}, and does nothing here. Nothing was changed.",
                typed.name(),
                owners.join(" and ")
            )));
        }
    }
    Ok(())
}

fn elsewhere<'a>(line: &CommandLine<'a>) -> Option<Elsewhere<'a>> {
    let place = |typed: &Typed<'a>| match typed.row.effect {
        Effect::Tool(Tool::Host) => Some(Elsewhere::Host(typed.value)),
        Effect::Tool(Tool::Machine) => Some(Elsewhere::Container(typed.value)),
        _ => None,
    };
    line.options.iter().find_map(place)
}

fn find(name: &str, arguments: &[&str]) -> Result<&'static Verb, Failure> {
    let verb = VERBS.iter().find(|verb| verb.name == name);
    let verb = verb.ok_or_else(|| Failure::say(format!("{name} is not a command. See: homectl --help")))?;
    let (least, most) = verb.count;
    if arguments.len() < least || arguments.len() > most {
        return Err(Failure::say(format!("Usage: homectl {name} {}", verb.arguments).trim_end()));
    }
    Ok(verb)
}

/// What was typed behind the verb, and when.
struct Given<'a> {
    arguments: &'a [&'a str],
    settings: Settings,
    draft: Draft,
    /// µs since 1970.
    now_usec: u64,
}

fn run(verb: &Verb, given: Given<'_>, environment: Environment) -> Result<u8, Failure> {
    let Given { arguments, settings, draft, now_usec } = given;
    let (interaction, questions) = match settings.no_questions {
        true => (Interaction::Forbidden, Questions::Forbidden),
        false => (Interaction::Allowed, Questions::Allowed),
    };
    let show =
        if verb.name == "create" && std::io::stderr().is_terminal() { Show::Bar } else { Show::Nothing };
    let agent = RefCell::new(None);
    let mut out = Answers { to: std::io::stdout(), lost: None };
    let wants_agent = settings.uid != 0 && !settings.no_questions && std::io::stdin().is_terminal();
    let context = Context {
        verb: verb.name,
        daemon: &Bus::new(interaction)?,
        vault: &Socket(show),
        asker: &Terminal::new(questions, environment),
        machine: machine()?,
        settings,
        draft,
        now_usec,
        pause: &std::thread::sleep,
        out: RefCell::new(&mut out),
        agent: &|| {
            if wants_agent && agent.borrow().is_none() {
                *agent.borrow_mut() = Agent::start();
            }
        },
    };
    let ended = (verb.run)(&context, arguments)?;
    match out.lost {
        Some(error) => Err(Failure::say(format!(
            "The answer could not be written: {error}. What was asked for is done as far as nothing else is told."
        ))),
        None => Ok(ended),
    }
}

/// Where answers go; the first that is lost is remembered. A reader that went away (`| head`) has lost nothing.
struct Answers<W> {
    to: W,
    lost: Option<io::Error>,
}

impl<W> Answers<W> {
    fn note<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|error| {
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.lost.get_or_insert(error.kind().into());
            }
        })
    }
}

impl<W: Write> Write for Answers<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.to.write(bytes);
        self.note(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.to.flush();
        self.note(done)
    }
}

enum Asked {
    Run(Settings),
    Print(Vec<u8>),
}

fn settings(line: &CommandLine<'_>) -> Result<Asked, Failure> {
    let terminal = std::io::stdout().is_terminal();
    let paint = if terminal && std::env::var_os("NO_COLOR").is_none() { Paint::Color } else { Paint::Plain };
    let dry_run = std::env::var("SYSTEMD_HOME_DRY_RUN").is_ok_and(|text| boolean(&text) == Ok(true));
    let uid = rustix::process::geteuid().as_raw();
    let details = if terminal { Details::Shown } else { Details::Hidden };
    let mut settings = Settings { paint, draws: draws(), dry_run, uid, details, ..Settings::default() };
    for typed in &line.options {
        let Effect::Tool(tool) = typed.row.effect else { continue };
        if let Some(text) = print_only(tool, typed.value)? {
            return Ok(Asked::Print(text));
        }
        take(&mut settings, tool, typed)?;
    }
    Ok(Asked::Run(settings))
}

/// It takes a terminal with colours, and characters beyond ASCII: setlocale(3) says where they are looked up.
fn draws() -> bool {
    let said = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(said).unwrap_or_default();
    let is_utf8 = locale.to_ascii_lowercase().replace('-', "").contains("utf8");
    let is_dumb = std::env::var("TERM").is_ok_and(|kind| kind == "dumb");
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() && is_utf8 && !is_dumb
}

fn print_only(tool: Tool, value: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(match tool {
        Tool::Help => Some(describe::help().into_bytes()),
        Tool::Version => Some(format!("homectl {}\n", env!("CARGO_PKG_VERSION")).into_bytes()),
        Tool::Generate => Some(describe::generate(value).map_err(Failure::Other)?),
        Tool::ExportFormat if value == "help" => Some(b"full\nstripped\nminimal\n".to_vec()),
        _ => None,
    })
}

fn take(settings: &mut Settings, tool: Tool, typed: &Typed<'_>) -> Result<(), Failure> {
    let value = typed.value;
    let wrong = |rule: &str| Failure::say(format!("{}={value}: {rule}", typed.name()));
    let auto = if std::io::stdout().is_terminal() { Json::Pretty } else { Json::Short };
    match tool {
        // (Where it is run was looked at before anything else.)
        Tool::Help | Tool::Version | Tool::Generate | Tool::NoPager | Tool::Screen => {}
        Tool::Host | Tool::Machine => {}
        Tool::PromptNewUser => settings.first_user.wanted = true,
        Tool::PromptGroups => settings.first_user.groups = boolean(value).map_err(|rule| wrong(&rule))?,
        Tool::PromptShell => settings.first_user.shell = boolean(value).map_err(|rule| wrong(&rule))?,
        Tool::NoLegend => settings.legend = Legend::Hidden,
        Tool::NoAskPassword => settings.no_questions = true,
        Tool::Identity => settings.identity = unless_empty(value),
        Tool::Json => {
            settings.json = json(value).ok_or_else(|| wrong("it must be pretty, short or off"))?;
        }
        Tool::JsonAuto => settings.json = auto,
        Tool::ExportFormat => {
            settings.export = export(value).ok_or_else(|| wrong("it must be full, stripped or minimal"))?;
        }
        Tool::Export => {
            settings.export =
                if settings.export == Export::Full { Export::Stripped } else { Export::Minimal };
            settings.json = if settings.json == Json::Off { auto } else { settings.json };
        }
        Tool::Details => settings.details = Details::Shown,
        Tool::Offline => settings.offline = true,
        Tool::Watch => {
            let terminal = std::io::stdout().is_terminal();
            settings.watch =
                if terminal && settings.json == Json::Off { Watch::Screen } else { Watch::Lines };
        }
        Tool::Yes => settings.yes = true,
        Tool::Replace => settings.replace = true,
        Tool::Move => settings.moves = true,
        Tool::Take => settings.keeps = Some(Keeps::parse(value).map_err(wrong)?),
        Tool::Undo => settings.undoes = Undoes::Conversion,
        Tool::DiscardOriginal => settings.undoes = Undoes::Original,
        Tool::DryRun => settings.dry_run = true,
        Tool::FileSystem => settings.file_system = true,
        Tool::ClosedElsewhere => settings.closed_elsewhere = true,
        Tool::KeyName => settings.key_name = unless_empty(value),
        Tool::Seize => settings.keep_signature = !boolean(value).map_err(|rule| wrong(&rule))?,
        Tool::Why => settings.why = Some(value.to_owned()),
        Tool::For => settings.for_usec = Some(span(value).map_err(|rule| wrong(&rule))?),
        Tool::RecoveryKeyFile => settings.recovery_key_file = unless_empty(value),
    }
    Ok(())
}

fn json(value: &str) -> Option<Json> {
    match value {
        "pretty" => Some(Json::Pretty),
        "short" => Some(Json::Short),
        "off" => Some(Json::Off),
        _ => None,
    }
}

fn export(value: &str) -> Option<Export> {
    match value {
        "full" => Some(Export::Full),
        "stripped" => Some(Export::Stripped),
        "minimal" => Some(Export::Minimal),
        _ => None,
    }
}

fn unless_empty(value: &str) -> Option<String> {
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

fn draft(line: &CommandLine<'_>, now_usec: u64) -> Result<Draft, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let around = Surroundings { now_usec, variable: &variable, zone: &is_time_zone };
    let file =
        |path: &str| read_text(path).map_err(|failure| hint::explain(&failure, hint::Asked::default()));
    let mut draft = Draft::default();
    for typed in &line.options {
        draft
            .take(typed, &around, &file)
            .map_err(|why| Failure::say(format!("{why}. Nothing was changed.")))?;
    }
    Ok(draft)
}

/// Where the database is not installed, any name is taken that could be one.
fn is_time_zone(name: &str) -> bool {
    let database = std::path::Path::new("/usr/share/zoneinfo");
    let is_name = !name.starts_with('/') && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    is_name && (!database.exists() || database.join(name).is_file())
}

fn now_usec() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| u64::try_from(since.as_micros()).ok()).unwrap_or(0)
}

fn machine() -> Result<Machine, Failure> {
    let text = read_text("/etc/machine-id")?;
    let id = MachineId::parse(&text).map_err(|e| Failure::say(e.to_string()))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Machine { id, host: HostName(host) })
}

/// A polkit agent on this terminal, ended with the program.
struct Agent(Cell<Option<std::process::Child>>);

impl Agent {
    /// Starts one and waits until it is ready: it closes its standard output then. None where there is no pkttyagent.
    fn start() -> Option<Self> {
        let mut command = Command::new("pkttyagent");
        let own = std::process::id().to_string();
        command.args(["--notify-fd", "1", "--fallback", "--process", &own]).stdout(Stdio::piped());
        SECRET_VARIABLES.iter().for_each(|variable| {
            command.env_remove(variable);
        });
        let mut child = command.spawn().ok()?;
        if let Some(mut ready) = child.stdout.take() {
            let _ = ready.read_to_end(&mut Vec::new());
        }
        Some(Self(Cell::new(Some(child))))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // SIGTERM lets it put the terminal back in order.
            if let Some(id) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            }
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_lost_is_known() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("opened");
        let mut answers = Answers { to: full, lost: None };
        assert!(answers.write_all(b"{}").is_err());
        assert_eq!(answers.lost.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));

        let (_, writer) = io::pipe().expect("a pipe");
        let mut answers = Answers { to: writer, lost: None };
        assert!(
            answers.write_all(b"{}").is_err() && answers.lost.is_none(),
            "who went away has lost nothing"
        );
    }
}
