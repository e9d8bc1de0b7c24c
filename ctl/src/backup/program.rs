//! restic, as a child: it reads and writes files with the rights of the home's user.

use super::answers::mark;
use super::inside::{self, Start, Terminal};
use super::relay::Relay;
use super::repository::{NamedBy, Repository};
use super::stopped::{MINUTE, Watch};
use crate::bus::Failure;
use crate::prompt::SECRET_VARIABLES;
use rustix::process::{Pid, Signal};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use tokio::signal::unix::{SignalKind, signal};

/// What it is called.
pub const PROGRAM: &str = "restic";
/// What it ends with where some files could not be read, and all others are in the backup (restic(1)).
pub const INCOMPLETE: i32 = 3;
/// Longest answer that is read, in bytes.
const LONGEST: u64 = 4 << 20;
/// What of root's environment it gets when root runs it as somebody else: how it shows itself.
const TAKEN_ALONG: [&str; 5] = ["PATH", "TERM", "LANG", "LC_", "TZ"];
/// And where root itself has named the repository, how that is reached. Whoever's rights it has can read all of this.
const CREDENTIALS: [&str; 8] = ["RESTIC_", "AWS_", "AZURE_", "B2_", "GOOGLE_", "OS_", "ST_", "RCLONE_"];

/// Whose rights it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name.
    pub name: String,
    /// UID, and number of the group.
    pub uid: u32,
    /// Home directory.
    pub home: String,
}

/// Who runs it.
#[derive(Debug, Clone, Copy)]
pub enum Rights<'a> {
    /// Whoever runs homectl.
    Own,
    /// Somebody else, for root.
    Of(&'a Account),
}

/// The program, told of its repository.
pub fn program(
    repository: &Repository,
    rights: Rights<'_>,
    start: Start<'_>,
    words: &[&str],
) -> Result<Command, Failure> {
    let terminal = match rights {
        Rights::Own => Terminal::Shared,
        Rights::Of(account) => Terminal::Left(account.uid),
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg0("homectl").args([inside::WORD, "--", &terminal.word(), start.word()]).arg(start.path());
    command.args(words).stdin(Stdio::null());
    if let Rights::Of(account) = rights {
        let named_by = repository.named_by();
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_taken(&name.to_string_lossy(), named_by)));
        command.env("HOME", &account.home).env("USER", &account.name).env("LOGNAME", &account.name);
        // Not where root happens to be. The user's rights it takes by itself, without root's terminal.
        command.current_dir("/");
    }
    command.env("PWD", start.path());
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    repository.tell(&mut command)?;
    Ok(command)
}

/// Whether a variable of root's goes along to somebody else.
fn is_taken(name: &str, named_by: NamedBy) -> bool {
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    begins(&TAKEN_ALONG) || named_by == NamedBy::Caller && begins(&CREDENTIALS)
}

/// Runs it, and gives what it has printed; what it complains about the user sees.
pub fn answer(mut command: Command, rights: Rights<'_>) -> Result<String, Failure> {
    if matches!(rights, Rights::Of(_)) {
        command.stderr(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| not_started(&error))?;
    let watch = watched(rights, Some(child.id()));
    let complaints = child.stderr.take().map(|pipe| Relay::begin(pipe.into(), std::io::stderr()));
    let mut text = String::new();
    let read = match child.stdout.take() {
        Some(pipe) => pipe.take(LONGEST).read_to_string(&mut text),
        None => Ok(0),
    };
    let ended = child.wait().map_err(|error| not_started(&error))?;
    drop(watch);
    complaints.into_iter().for_each(Relay::end);
    match (ended.success(), read) {
        (true, Ok(_)) => Ok(text),
        (true, Err(_)) => Err(Failure::say("What restic has answered is no text. Nothing was changed.")),
        (false, _) => Err(Failure::say(format!("restic could not do it ({ended}; see above)"))),
    }
}

/// Runs it to its end, whatever ends this program: what was begun for it is taken back when it has ended. Ctrl-C reaches it by
/// the terminal that it shares, else by this program.
pub fn run(mut command: Command, rights: Rights<'_>) -> Result<ExitStatus, Failure> {
    if matches!(rights, Rights::Of(_)) {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| not_started(&error))?;
    let ended = runtime.block_on(async {
        let (mut interrupt, mut end, mut hang_up) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        );
        let mut child = tokio::process::Command::from(command).spawn()?;
        let said = child.stdout.take().map(|pipe| pipe.into_owned_fd()).transpose()?;
        let complained = child.stderr.take().map(|pipe| pipe.into_owned_fd()).transpose()?;
        let relays = [
            said.map(|pipe| Relay::begin(pipe, std::io::stdout())),
            complained.map(|pipe| Relay::begin(pipe, std::io::stderr())),
        ];
        let _watch = watched(rights, child.id());
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pass_on = |what: Signal| pid.map(|pid| rustix::process::kill_process(pid, what));
        loop {
            tokio::select! {
                ended = child.wait() => {
                    relays.into_iter().flatten().for_each(Relay::end);
                    return ended;
                }
                _ = interrupt.recv() => {
                    if matches!(rights, Rights::Of(_)) {
                        let _ = pass_on(Signal::INT);
                    }
                }
                _ = end.recv() => drop(pass_on(Signal::TERM)),
                _ = hang_up.recv() => drop(pass_on(Signal::HUP)),
            }
        }
    });
    ended.map_err(|error| not_started(&error))
}

/// Who runs it as somebody else is not held up by that one. Where it cannot be watched it is waited for.
fn watched(rights: Rights<'_>, child: Option<u32>) -> Option<Watch> {
    let Rights::Of(account) = rights else { return None };
    Watch::begin(child?, &account.name, MINUTE).ok()
}

/// It was not run, or not to its end.
pub fn not_started(error: &std::io::Error) -> Failure {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let advice = if missing { ". Install it: it makes the backups" } else { "" };
    Failure::say(format!("{PROGRAM}: {error}{advice}. Nothing was changed."))
}

/// The words for a backup of the folder that it runs in.
pub fn to_back_up(user: &str) -> Vec<String> {
    // Folders that say of themselves that they can be made anew (CACHEDIR.TAG): restic's own is one.
    let words = ["backup", "--one-file-system", "--exclude-caches", "--tag", &mark(user), "."];
    words.map(str::to_owned).to_vec()
}

/// What a home has that a new one has of its own.
const OWN: [&str; 3] = ["/.identity", "/.identity-blob", "/.homed-view"];

/// The words for bringing all of a backup into a folder.
pub fn to_restore(id: &str, folder: &str) -> Vec<String> {
    let mut words: Vec<String> = ["restore", "--no-lock", id, "--target", folder].map(str::to_owned).to_vec();
    words.extend(OWN.iter().map(|path| format!("--exclude={path}")));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_runs_for_somebody_else_gets_little_of_roots_environment() {
        for name in [
            "PASSWORD",
            "SUDO_USER",
            "XDG_RUNTIME_DIR",
            "LD_PRELOAD",
            "HOME",
            "DBUS_SESSION_BUS_ADDRESS",
            "TMPDIR",
        ] {
            assert!(!is_taken(name, NamedBy::Caller), "{name}");
        }
        assert!(is_taken("PATH", NamedBy::Record) && is_taken("LC_ALL", NamedBy::Record));
        for name in ["RESTIC_PASSWORD", "RESTIC_REST_PASSWORD", "AWS_SECRET_ACCESS_KEY", "RCLONE_CONFIG_PASS"]
        {
            assert!(is_taken(name, NamedBy::Caller), "{name}");
            assert!(
                !is_taken(name, NamedBy::Record),
                "{name}: root's secret, for a repository of the user's"
            );
        }
    }

    #[test]
    fn the_record_of_the_new_home_is_not_written_over() {
        let words = to_restore("0123abcd", "/home/alice");
        assert!(words.contains(&"--exclude=/.identity".to_owned()));
        assert_eq!(words[..5].join(" "), "restore --no-lock 0123abcd --target /home/alice");
    }
}
