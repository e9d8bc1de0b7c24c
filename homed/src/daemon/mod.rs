//! The daemon: Event in → core → Effect out. All of its IO is here.
//!
//! Not here: what may be done (the core), and wire formats (fronts, which are handed in by the program
//! so that arrows point down).

pub mod answers;
mod aside;
pub mod beat;
pub mod config;
pub mod events;
mod figures;
pub mod going_to_sleep;
pub mod ground;
pub mod handed;
pub mod hold;
mod in_memory;
mod inhibitors;
mod jobs;
pub mod link;
mod load;
pub mod log;
mod looks;
mod markers;
pub mod neighbours;
mod notify;
mod obey;
pub mod open;
pub mod outside;
mod pace;
pub mod paths;
mod plugged;
mod prove;
pub mod references;
pub mod run;
pub mod scan;
mod seal;
mod serving;
mod signals;
pub mod simulated;
mod slept;
pub mod surroundings;
pub mod system;
mod usual_storage;
mod watch;
mod weaknesses;
pub mod worker;

use crate::home::Tuning;
use crate::manager::{Defaults, Manager};
use crate::statedir::Folders;
use crate::storage::strays;
use crate::sys::unwiped::{self, Mark};
use answers::Answers;
use handed::Handed;
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
use worker::Processes;

/// Locked by the daemon that runs.
const ALONE: &str = "/run/homed/daemon";

/// Descriptors that may be open: more than all callers together may take ([`link`]).
const DESCRIPTORS: u64 = 8192;

/// What systemctl is told where the machine must not sleep but go down. logind would refuse: it is busy with the
/// sleep.
pub const POWER_OFF: [&str; 4] =
    ["--no-block", "--job-mode=replace-irreversibly", "start", "poweroff.target"];

/// What the daemon calls itself in the mark of its secrets ([`unwiped`]).
pub const MARK: &str = "daemon";

/// Runs the daemon until it is told to stop. `fronts` starts all that the world talks to, with the sockets that were
/// handed over, and gives what tells why it has ended: none of it may, before the daemon does.
pub fn main<Starting, Serving>(fronts: impl FnOnce(Link, Handed) -> Starting + Send + 'static) -> ExitCode
where
    Starting: Future<Output = Result<Serving, String>>,
    Serving: Future<Output = String>,
{
    // Our own look-ups must not come back to our own userdb socket: nobody would answer there.
    crate::sys::environment::set_before_threads("SYSTEMD_BYPASS_USERDB", "io.systemd.Home");
    let handed = Handed::take();
    log::start();
    if let Err(error) = crate::sys::limits::raise_descriptors(DESCRIPTORS) {
        tracing::warn!("no more files can be open than before: {error}");
    }
    let kept = crate::sys::memory::refuse_dumps().and_then(|()| crate::sys::memory::lock_all());
    if let Err(error) = kept {
        tracing::warn!("what the daemon has in memory may come into a core dump or swap space: {error}");
    }
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the event loop: {error}"))
        .and_then(|runtime| {
            let ended = runtime.block_on(run(|link| fronts(link, handed)));
            // What hangs in a system call by now does not keep the daemon.
            runtime.shutdown_background();
            crate::sys::passed::give_up();
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run<Starting, Serving>(fronts: impl FnOnce(Link) -> Starting + Send + 'static) -> Result<(), String>
where
    Starting: Future<Output = Result<Serving, String>>,
    Serving: Future<Output = String>,
{
    let _alone = alone(Path::new(ALONE))?;
    // What clients offer is in memory here, too, on its way to a worker.
    let mark = Mark::make(Path::new(unwiped::FOLDER), MARK);
    let mark = mark.inspect_err(|error| tracing::warn!("{}: {error}", unwiped::FOLDER)).ok();
    let (defaults, complaints) = config::read();
    complaints.iter().for_each(|what| tracing::warn!("{what}"));
    let machine = this_machine()?;
    let workers =
        Processes::installed().map_err(|error| format!("the worker's program is not there: {error}"))?;
    // Before anything is begun: nobody of ours is at work.
    strays::devices().iter().for_each(|left| tracing::warn!("{left}"));
    sweep_images(machine.id.clone()).await;
    let (link, calls) = Link::new();
    let parts = parts(machine, defaults, workers);
    let (mut daemon, happened) = Daemon::new(parts, link.clone());
    watch_everything(&daemon).await;
    daemon.load().await.map_err(|error| format!("reading what was left behind: {error}"))?;
    let stop = signals::listen(daemon.events()).map_err(|error| format!("listening for signals: {error}"))?;
    let ending = link.clone();
    let mut serving = serving::start(move || fronts(link))?;
    let mut failed = None;
    let stop = async {
        tokio::select! {
            () = stop => {}
            why = serving.ended() => failed = Some(why),
        }
        notify::tell("STOPPING=1");
    };
    daemon.run(calls, happened, stop).await;
    ending.end().await;
    // One that stays has memory written over once too often.
    let _ = mark.map(Mark::wiped);
    failed.map_or(Ok(()), Err)
}

/// Images that killed runs have left. A home root that gives no answer is swept when it does: whatever is being made is locked.
async fn sweep_images(machine: MachineId) {
    let root = Paths::default().home_root;
    let sweep = move || strays::images(&root, &machine).iter().for_each(|left| tracing::warn!("{left}"));
    if aside::once(&aside::Gate::default(), ground::BOUND, sweep).await.is_none() {
        tracing::warn!("the home root gives no answer: what killed runs have left there stays for now");
    }
}

/// Watched before the homes are read: what appears meanwhile is seen twice rather than never.
async fn watch_everything(daemon: &Daemon) {
    if let Err(error) = watch::start(&Paths::default().home_root, daemon.events()).await {
        tracing::warn!("new homes are not seen by themselves: watching the home root: {error}");
    }
    if let Err(error) = watch::mounts(daemon.events()) {
        tracing::warn!("storage that is pulled out is not noticed: watching the table of mounts: {error}");
    }
    if let Err(error) = plugged::start(daemon.events()) {
        tracing::warn!("homes that are plugged in are not seen by themselves: listening to udev: {error}");
    }
    if let Err(error) = slept::start(daemon.events()) {
        tracing::warn!("a sleep with open homes is not noticed afterwards: {error}");
    }
}

fn parts(machine: Machine, defaults: Defaults, workers: Processes) -> Parts {
    let outside = Arc::new(Neighbours::new(Folders::default()));
    let (signer, answers) = (outside.clone(), Answers::default());
    Parts {
        manager: Manager::new(machine, Tuning::default(), defaults),
        facts: Box::new(System::new(Box::new(move |record| signer.signed_locally(record)), answers.clone())),
        answers,
        outside,
        spawner: Box::new(workers),
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

/// Machine id and host name.
pub fn this_machine() -> Result<Machine, String> {
    let text =
        std::fs::read_to_string("/etc/machine-id").map_err(|error| format!("/etc/machine-id: {error}"))?;
    let id = MachineId::parse(&text).map_err(|error| format!("/etc/machine-id: {error}"))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Machine { id, host: HostName(host) })
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
