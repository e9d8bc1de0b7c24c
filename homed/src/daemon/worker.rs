//! Running workers: the program that was installed beside this one, one process per job.

use super::in_memory;
use crate::home::Bound;
use crate::home::effect::StartJob;
pub use crate::job::WORKER as NAME;
use crate::job::{Message, Outcome, Progress};
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// Most that a worker may say: a record of 1 MiB, and some thousand progress reports.
const MOST_SAID: u64 = 4 << 20;

/// How long a worker may take to end after its last word.
const DYING: Duration = Duration::from_secs(10);

/// Takes progress reports.
pub type Report = Box<dyn Fn(Progress) + Send + Sync>;

/// The end of a job, in the future.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Who runs jobs: processes, or a simulation.
pub trait Spawner: Send {
    /// Runs a job; it is killed when `stop` says so.
    fn run(&self, start: StartJob, report: Report, stop: oneshot::Receiver<()>) -> Running;
}

/// What it is called, in the folder of the daemon.
const PROGRAM: &str = "worker";

/// The worker that was installed beside this program.
pub fn program() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(PROGRAM))
}

/// Runs every job in a process of its own.
pub struct Processes {
    program: File,
    path: PathBuf,
}

impl Processes {
    /// With the worker that was installed together with this daemon: it is opened here, and stays the one that is started
    /// when an upgrade has put another in its place.
    pub fn installed() -> io::Result<Self> {
        let path = std::env::current_exe()?.with_file_name(PROGRAM);
        Self::of(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { program: File::open(path)?, path: path.to_owned() })
    }

    /// The worker, and the job that it reads and overwrites.
    fn start(&self, start: &StartJob) -> io::Result<(Child, File)> {
        let job = in_memory::file(&start.job.encode())?;
        match self.spawn(Stdio::from(job.try_clone()?)) {
            Ok(child) => Ok((child, job)),
            Err(error) => in_memory::wipe(&job).and(Err(error)),
        }
    }

    fn spawn(&self, input: Stdio) -> io::Result<Child> {
        // The child has the same descriptors until it is the worker.
        Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()))
            .arg0(&self.path)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
    }
}

impl Spawner for Processes {
    fn run(&self, start: StartJob, report: Report, stop: oneshot::Receiver<()>) -> Running {
        // Started here, on the loop's thread: the worker dies with the thread that made it.
        let child = self.start(&start);
        let bound = start.bound;
        drop(start);
        Box::pin(async move {
            match child {
                Ok((child, job)) => {
                    let outcome = follow(child, report, (stop, bound)).await;
                    // One that was killed may not have come to it; a file in memory has no errors.
                    let _ = in_memory::wipe(&job);
                    outcome
                }
                Err(error) => Outcome::Fault { chain: format!("starting the worker: {error}") },
            }
        })
    }
}

async fn follow(
    mut child: Child,
    report: Report,
    (mut stop, bound): (oneshot::Receiver<()>, Option<Bound>),
) -> Outcome {
    let said = tokio::select! {
        said = listen(&mut child, &report, bound) => said,
        // A sender that is dropped says nothing.
        Ok(()) = &mut stop => {
            // Gone already is just as good.
            let _ = child.start_kill();
            Ok(Some(Outcome::Stopped))
        }
    };
    if said.is_err() {
        let _ = child.start_kill();
    }
    // A worker that waits for a device cannot be killed before the device answers; nobody waits for that.
    let status = match tokio::time::timeout(DYING, child.wait()).await {
        Ok(status) => status,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    match (said, status) {
        (Ok(Some(outcome)), _) => outcome,
        (Ok(None), Ok(status)) => {
            Outcome::Fault { chain: format!("the worker ended without an outcome: {status}") }
        }
        (Ok(None), Err(error)) => Outcome::Fault { chain: format!("waiting for the worker: {error}") },
        (Err(error), _) => Outcome::Fault { chain: format!("listening to the worker: {error}") },
    }
}

/// Hears the worker out: its last word is the outcome. (What it has started may hold its output open.) One that
/// is late is heard no longer.
async fn listen(child: &mut Child, report: &Report, bound: Option<Bound>) -> io::Result<Option<Outcome>> {
    let Some(stdout) = child.stdout.take() else { return Ok(None) };
    let mut lines = BufReader::new(stdout.take(MOST_SAID)).lines();
    let begin = tokio::time::Instant::now();
    let mut step = bound.and_then(|bound| bound.step);
    loop {
        let deadline = step.map(|(_, after)| after).or(bound.map(|bound| bound.end));
        let line = match deadline {
            None => lines.next_line().await?,
            Some(after) => {
                tokio::time::timeout_at(begin + after, lines.next_line()).await.map_err(|_| late(after))??
            }
        };
        let Some(line) = line else { return Ok(None) };
        match serde_json::from_str(&line).map_err(io::Error::other)? {
            Message::Progress(progress) => {
                step = step.filter(|(step, _)| progress.step != step.words());
                report(progress);
            }
            Message::Outcome(outcome) => return Ok(Some(outcome)),
        }
    }
}

fn late(after: Duration) -> io::Error {
    let text = format!("it did not come on within {} s and was ended", after.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_worker_stays_the_one_it_was_installed_with() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(PROGRAM);
        std::fs::copy("/bin/true", &path).expect("copied");
        let installed = Processes::of(&path).expect("there");
        let after = async |what: &str| {
            let mut child = installed.spawn(Stdio::null()).expect(what);
            child.wait().await.expect(what)
        };
        assert!(after("as it was").await.success());
        let newer = path.with_extension("new");
        std::fs::copy("/bin/false", &newer).expect("copied");
        std::fs::rename(newer, &path).expect("replaced");
        assert!(after("with another in its place").await.success());
        std::fs::remove_file(&path).expect("removed");
        assert!(after("with none in its place").await.success());
        assert!(Processes::of(&path).is_err());
    }
}
