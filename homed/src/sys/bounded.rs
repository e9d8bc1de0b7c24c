//! Calls that may never come back, each in a process of its own that is waited for no longer than it may take.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a call tells at most, in bytes: a pipe takes that without anybody who reads (POSIX: `PIPE_BUF`).
const MOST: usize = 4096;

/// How many copies of this process there were.
static COPIES: AtomicU64 = AtomicU64::new(0);

/// How many copies of itself this process has made. Each had all that was in its memory, and nobody wipes what a copy has: it ends, or
/// is killed, as it is.
pub fn copies() -> u64 {
    COPIES.load(Ordering::Relaxed)
}

/// What becomes of a call that is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It is killed: it can be interrupted, and undoes itself then.
    Kill,
    /// It is left to itself: killing would not end it sooner.
    Leave,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// It takes longer than it may.
    #[error("it did not end in time")]
    Late,
    /// It failed.
    #[error("{0}")]
    Failed(String),
    /// Its process could not be started or heard.
    #[error("a helper process could not be run")]
    Helper(#[from] io::Error),
}

/// Until when something must be done.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// That much from now.
    pub fn after(bound: Duration) -> Self {
        Self(Instant::now() + bound)
    }

    /// The same, but no longer than that from now.
    pub fn at_most(self, bound: Duration) -> Self {
        Self(self.0.min(Instant::now() + bound))
    }

    /// What is left.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Does something in a copy of this process, which must have one thread only.
pub fn within<E: Display>(
    deadline: Deadline,
    late: Late,
    act: impl FnOnce() -> Result<(), E>,
) -> Result<(), Unfinished> {
    ask(deadline, late, || act().map(|()| String::new())).map(drop)
}

/// The same for what has an answer, of some 4000 bytes at most.
pub fn ask<E: Display>(
    deadline: Deadline,
    late: Late,
    act: impl FnOnce() -> Result<String, E>,
) -> Result<String, Unfinished> {
    let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
    let (output, input) = rustix::pipe::pipe_with(flags).map_err(io::Error::from)?;
    COPIES.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the process has one thread, so the copy can do whatever this one can.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            drop(output);
            if late == Late::Kill {
                end_at(deadline);
            }
            let status = report(act(), input);
            // SAFETY: ends the copy without running what this process has set up for its own end.
            unsafe { libc::_exit(status) }
        }
        pid => {
            drop(input);
            wait(Child(pid), output, deadline, late)
        }
    }
}

/// The kernel ends this process soon after the deadline, even where memory is so short that nobody else gets to it.
fn end_at(deadline: Deadline) {
    let seconds = libc::c_uint::try_from(deadline.left().as_secs()).unwrap_or(libc::c_uint::MAX);
    // SAFETY: takes a number; nobody has changed what the signal does.
    unsafe { libc::alarm(seconds.saturating_add(2)) };
}

fn report<E: Display>(done: Result<String, E>, input: OwnedFd) -> i32 {
    let (text, status) = match done {
        Ok(answer) => (answer, 0),
        Err(error) => (error.to_string(), 1),
    };
    // Nobody listening any more is fine. What does not fit must not make it wait.
    let bytes = text.as_bytes();
    let _ = std::fs::File::from(input).write_all(&bytes[..bytes.len().min(MOST)]);
    status
}

struct Child(libc::pid_t);

impl Child {
    /// How it ended; it has.
    fn status(&self) -> libc::c_int {
        let mut status = 0;
        // SAFETY: our own child, not yet waited for; the pointer lives for the call.
        unsafe { libc::waitpid(self.0, &mut status, 0) };
        status
    }
}

fn wait(child: Child, output: OwnedFd, deadline: Deadline, late: Late) -> Result<String, Unfinished> {
    let raw = rustix::process::Pid::from_raw(child.0).ok_or_else(|| io::Error::other("no process id"))?;
    let handle =
        rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()).map_err(io::Error::from)?;
    if !ended(&handle, deadline.left())? {
        if late == Late::Kill {
            rustix::process::pidfd_send_signal(&handle, rustix::process::Signal::KILL)
                .map_err(io::Error::from)?;
            // One that cannot be killed either is left to itself.
            if ended(&handle, Duration::from_millis(500))? {
                child.status();
            }
        }
        return Err(Unfinished::Late);
    }
    let status = child.status();
    let mut text = Vec::new();
    match std::fs::File::from(output).read_to_end(&mut text) {
        Ok(_) => {}
        // A process that it has left behind holds the pipe's other end.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error.into()),
    }
    let mut text = String::from_utf8(text)
        .unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned());
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
        return Ok(text);
    }
    if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM {
        return Err(Unfinished::Late);
    }
    if libc::WIFSIGNALED(status) {
        text = format!("it was ended by signal {}", libc::WTERMSIG(status));
    }
    Err(Unfinished::Failed(text))
}

fn ended(handle: impl AsFd, bound: Duration) -> io::Result<bool> {
    let handle = handle.as_fd();
    let mut fds = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    let bound = rustix::event::Timespec::try_from(bound).map_err(io::Error::other)?;
    Ok(rustix::event::poll(&mut fds, Some(&bound))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_is_ended() {
        let hangs = || -> Result<String, &str> {
            loop {
                std::thread::park();
            }
        };
        let ended = ask(Deadline::after(Duration::from_millis(50)), Late::Kill, hangs);
        assert!(matches!(ended, Err(Unfinished::Late)), "{ended:?}");
    }

    #[test]
    fn what_a_call_leaves_behind_is_not_waited_for() {
        let act = || -> Result<String, &str> {
            // SAFETY: the copy only waits.
            match unsafe { libc::fork() } {
                0 => loop {
                    // SAFETY: takes nothing.
                    unsafe { libc::pause() };
                },
                left => Ok(left.to_string()),
            }
        };
        let left = ask(Deadline::after(Duration::from_secs(100)), Late::Kill, act).expect("answered");
        // SAFETY: takes numbers: the process that was left.
        unsafe { libc::kill(left.parse().expect("a number"), libc::SIGKILL) };
    }
}
