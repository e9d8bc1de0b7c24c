//! The worker: one job, one process, then gone.
//!
//! Reads a job from standard input, does it, and says on standard output how far it is and how it
//! ended, one JSON message a line. It is locked in memory, not dumpable, and dies with the daemon.
//! What it builds is held by open files alone, so that a killed worker leaves nothing behind.
//!
//! Queues, delays after wrong passwords and the question whether a job may run at all are the
//! daemon's.

use crate::job::{Context, Failure, Job, MARK, Message, Outcome, SWEEP, Task, WORKER};
use crate::sys;
use crate::sys::unwiped::{self, Mark};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

mod activate;
mod asked;
mod authenticate;
mod blobs;
mod check;
mod copies;
mod create;
mod deactivate;
mod fault;
mod first;
mod front;
mod give_up;
mod heal;
mod hushed;
mod life;
mod lock;
mod memory;
mod notes;
mod opened_with;
mod original;
mod passwd;
mod processes;
mod remove;
mod repair;
mod rescue;
mod resize;
mod settings;
mod settle;
mod snapshot;
mod state;
mod steps;
mod strict;
mod swept;
mod tend;
mod terminals;
mod terminate;
mod unlock;
mod update;
mod waiters;

use steps::Reporter;

/// How a verb ended well: the record of this host from now on, where it changed.
type Done = Result<Option<records::Record>, Failure>;

/// Runs the job on standard input, or does what its first argument says.
pub fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(SWEEP) {
        return swept::main();
    }
    let mut reporter = Reporter::new(std::io::stdout());
    // Secrets come into memory with the job. Without a mark (a full /run) they are as safe, as long as nobody is killed.
    let mark = Mark::make(Path::new(unwiped::FOLDER), MARK);
    let mut mark = mark.inspect_err(|error| eprintln!("{}: {error}", unwiped::FOLDER)).ok();
    let outcome = match prepare().and_then(|()| read_job()) {
        Ok(job) => {
            if !job.has_secrets() {
                // Whoever sends the machine to sleep need not wait for it.
                let _ = mark.take().map(Mark::wiped);
            }
            reporter.begin(&job.task);
            run(&job, &mut reporter)
        }
        Err(failure) => failed(failure),
    };
    let well = matches!(outcome, Outcome::Done { .. } | Outcome::Told { .. });
    let said = reporter.say(&Message::Outcome(outcome));
    // A mark that stays has memory written over once too often.
    let _ = mark.map(Mark::wiped);
    if well && said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn prepare() -> Result<(), Failure> {
    let parent = sys::memory::parent();
    rustix::thread::set_name(WORKER).map_err(std::io::Error::from).during("naming the worker")?;
    sys::memory::refuse_dumps().during("making the worker undumpable")?;
    sys::memory::die_with_parent(parent).during("binding the worker to its parent")?;
    sys::memory::lock_all().during("locking the worker's memory")
}

fn read_job() -> Result<Job, Failure> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().during("opening the job")?;
    let text = sys::input::read_and_wipe(File::from(input)).during("reading the job")?;
    Job::decode(text.open()).during("reading the job")
}

/// Does one job, in this process.
fn run(job: &Job, reporter: &mut Reporter<impl std::io::Write>) -> Outcome {
    let done = match &job.task {
        Task::Create { uid, overcommit, blobs, original } => {
            let from = create::Sources { staged: blobs.as_deref(), original: original.as_ref() };
            create::create(job, (*uid, *overcommit), from, reporter)
        }
        Task::Activate { uid, known } => activate::activate(job, *uid, *known, reporter),
        Task::Deactivate { force } => {
            deactivate::deactivate(job, *force, reporter).inspect(|_| opened_with::closed(job))
        }
        Task::Authenticate { known } => authenticate::authenticate(job, *known, reporter),
        Task::ChangePassword { new, resting } => passwd::change(job, new, *resting, reporter),
        Task::Update { change, resting } => update::update(job, change, *resting, reporter),
        Task::Rescue { uid, directory } => rescue::rescue(job, *uid, directory.as_deref(), reporter),
        Task::Resize { size, resting, remember } => {
            resize::resize(job, (*size, *remember), *resting, reporter)
        }
        Task::Snapshot { wish } => return told(snapshot::snapshot(job, wish, reporter), reporter),
        Task::Tend { care } => tend::tend(job, *care, reporter),
        Task::Remove => remove::remove(job, reporter),
        Task::Check { seen, known } => return looked(check::check(job, *seen, *known, reporter), reporter),
        Task::Repair { how, known } => return looked(repair::repair(job, *how, *known, reporter), reporter),
        Task::Lock { uid, level } => {
            lock::lock(job, *uid, *level, reporter).inspect(|_| opened_with::closed(job))
        }
        Task::Unlock { uid } => unlock::unlock(job, *uid, reporter),
        Task::Settle { uid } => settle::settle(job, *uid, reporter),
        Task::GiveUp { uid } => give_up::give_up(job, *uid, reporter).inspect(|_| opened_with::closed(job)),
    };
    match done {
        Ok(record) => Outcome::Done {
            record: record.map(|record| serde_json::Value::Object(record.members().clone())),
            warnings: reporter.take_warnings(),
        },
        Err(failure) => failed(failure),
    }
}

/// How a look at a home ended.
type Looked = Result<(records::health::Report, Option<records::Record>), Failure>;

fn looked(looked: Looked, reporter: &mut Reporter<impl std::io::Write>) -> Outcome {
    match looked {
        Ok((report, record)) => Outcome::Checked {
            report,
            record: record.map(|record| serde_json::Value::Object(record.members().clone())),
            warnings: reporter.take_warnings(),
        },
        Err(failure) => failed(failure),
    }
}

/// What work on snapshots came to.
fn told(told: Result<serde_json::Value, Failure>, reporter: &mut Reporter<impl std::io::Write>) -> Outcome {
    match told {
        Ok(report) => Outcome::Told { report, warnings: reporter.take_warnings() },
        Err(failure) => failed(failure),
    }
}

fn failed(failure: Failure) -> Outcome {
    match failure {
        Failure::Refused(refused) => Outcome::Refused(refused),
        Failure::Fault(chain) => Outcome::Fault { chain },
    }
}
