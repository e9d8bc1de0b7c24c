//! The daemon: Event in → core → Effect out. All of its IO is here.
//!
//! Not here: what may be done (the core), and wire formats (fronts, which are handed in by the program
//! so that arrows point down).

pub mod config;
pub mod events;
pub mod hold;
mod inhibitors;
pub mod link;
mod load;
mod neighbours;
mod notify;
pub mod outside;
mod pace;
pub mod paths;
mod prove;
mod quality;
pub mod references;
pub mod run;
pub mod scan;
mod seal;
pub mod simulated;
mod slept;
pub mod surroundings;
pub mod system;
mod watch;
pub mod worker;

use crate::home::Tuning;
use crate::manager::{Defaults, Manager};
use crate::statedir::Folders;
use link::Link;
use neighbours::Neighbours;
use paths::Paths;
use records::{HostName, Machine, MachineId};
use run::{Daemon, Parts};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use system::System;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use worker::Processes;

/// Locked by the daemon that runs.
const ALONE: &str = "/run/homed/daemon";

/// What systemctl is told where the machine must not sleep but go down. logind would refuse: it is busy with the
/// sleep.
pub const POWER_OFF: [&str; 4] =
    ["--no-block", "--job-mode=replace-irreversibly", "start", "poweroff.target"];

/// Runs the daemon until it is told to stop. `fronts` starts all that the world talks to, and gives
/// what must live as long as the daemon.
pub fn main<Starting, Kept>(fronts: impl FnOnce(Link) -> Starting) -> ExitCode
where
    Starting: Future<Output = Result<Kept, String>>,
{
    // Our own look-ups must not come back to our own userdb socket: nobody would answer there.
    crate::sys::environment::set_before_threads("SYSTEMD_BYPASS_USERDB", "io.systemd.Home");
    start_log();
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the event loop: {error}"))
        .and_then(|runtime| runtime.block_on(run(fronts)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run<Starting, Kept>(fronts: impl FnOnce(Link) -> Starting) -> Result<(), String>
where
    Starting: Future<Output = Result<Kept, String>>,
{
    let _alone = alone(Path::new(ALONE))?;
    let (defaults, complaints) = config::read();
    complaints.iter().for_each(|what| tracing::warn!("{what}"));
    let machine = this_machine()?;
    let (link, calls) = Link::new();
    let parts = parts(machine, defaults);
    let (mut daemon, happened) = Daemon::new(parts, link.clone());
    // Watched first: what appears while the folder is read is seen twice rather than never.
    if let Err(error) = watch::start(&Paths::default().home_root, daemon.events()) {
        tracing::warn!("new homes are not seen by themselves: watching the home root: {error}");
    }
    if let Err(error) = watch::mounts(daemon.events()) {
        tracing::warn!("storage that is pulled out is not noticed: watching the table of mounts: {error}");
    }
    if let Err(error) = slept::start(daemon.events()) {
        tracing::warn!("a sleep with open homes is not noticed afterwards: {error}");
    }
    daemon.load().map_err(|error| format!("reading what was left behind: {error}"))?;
    let stop = told_to_stop().map_err(|error| format!("listening for signals: {error}"))?;
    let (give_up, gave_up) = tokio::sync::oneshot::channel();
    let stop = async {
        tokio::select! {
            () = stop => {}
            // Fronts that started drop their end without a word.
            Ok(()) = gave_up => {}
        }
        notify::tell("STOPPING=1");
    };
    // The fronts ask the loop while they start, so both run from here on.
    let starting = async {
        let kept = fronts(link).await;
        match &kept {
            Ok(_) => notify::tell("READY=1"),
            // The loop cannot have ended before: it takes this message.
            Err(_) => drop(give_up.send(())),
        }
        kept
    };
    let (kept, ()) = tokio::join!(starting, daemon.run(calls, happened, stop));
    kept.map(drop)
}

fn parts(machine: Machine, defaults: Defaults) -> Parts {
    let outside = Arc::new(Neighbours::new(Folders::default()));
    let signer = outside.clone();
    Parts {
        manager: Manager::new(machine, Tuning::default(), defaults),
        facts: Box::new(System { signed: Box::new(move |record| signer.signed_locally(record)) }),
        outside,
        spawner: Box::new(Processes),
        paths: Paths::default(),
    }
}

/// Whoever has this file locked is the daemon: a second one would take sockets and jobs away from the first.
fn alone(path: &Path) -> Result<File, String> {
    let describe = |error: std::io::Error| format!("{}: {error}", path.display());
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(describe)?;
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(describe)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("homed runs already; nothing was changed. See: systemctl status homed".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(describe(error)),
    }
}

/// Ends at the first signal that asks for it.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Machine id and host name.
pub fn this_machine() -> Result<Machine, String> {
    let text =
        std::fs::read_to_string("/etc/machine-id").map_err(|error| format!("/etc/machine-id: {error}"))?;
    let id = MachineId::parse(&text).map_err(|error| format!("/etc/machine-id: {error}"))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Machine { id, host: HostName(host) })
}

/// To the journal where it listens, else to standard error.
pub fn start_log() {
    let level = tracing_subscriber::filter::LevelFilter::INFO;
    let registry = tracing_subscriber::registry().with(level);
    let to_journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let done = match to_journal {
        Some(journal) => registry.with(journal).try_init(),
        None => registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr)).try_init(),
    };
    // A second logger in one process: the first stays.
    let _ = done;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_daemon_at_a_time() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("run/daemon");
        let first = alone(&path).expect("the first");
        assert!(alone(&path).is_err_and(|why| why.contains("runs already")));
        drop(first);
        assert!(alone(&path).is_ok());
    }
}
