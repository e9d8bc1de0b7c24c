//! Fault points: tests end a worker at a step of their choice. Not in the program that ships.
//!
//! `/run/homed/fault` has a wish a line, and the first that fits is obeyed:
//!
//! | line | whose step | how often |
//! | --- | --- | --- |
//! | `STEP HOW` | any worker's that comes to the step | each time |
//! | `VERB#N HOW` | the Nth of a worker with this task, from 1 | once, then the line is gone |
//!
//! `HOW` is `kill` (as a power cut would), `stop` (until somebody kills it) or `fail`. Verbs are called
//! as in the log.

use crate::job::{Failure, Step, Task};

/// Where a worker is, for the wishes that count.
#[cfg(feature = "fault-points")]
#[derive(Default)]
pub struct Faults {
    verb: &'static str,
    entered: usize,
}

#[cfg(feature = "fault-points")]
impl Faults {
    /// The worker's task is known from now on.
    pub fn begin(&mut self, task: &Task) {
        self.verb = name(task);
    }

    /// A step begins: what is wished for it is done.
    pub fn enter(&mut self, step: Step) -> Result<(), Failure> {
        self.entered += 1;
        let counted = format!("{}#{}", self.verb, self.entered);
        let text = std::fs::read_to_string(PATH).unwrap_or_default();
        let wishes = || text.lines().filter_map(|line| line.trim().split_once(' '));
        match wishes().find(|(whose, _)| *whose == step.name() || *whose == counted) {
            Some((whose, how)) => {
                if whose == counted {
                    forget(&text, &counted);
                }
                obey(how, step)
            }
            None => Ok(()),
        }
    }
}

#[cfg(feature = "fault-points")]
fn name(task: &Task) -> &'static str {
    match task {
        Task::Create { .. } => "create",
        Task::Activate { .. } => "activate",
        Task::Deactivate { .. } => "deactivate",
        Task::Authenticate { .. } => "authenticate",
        Task::ChangePassword { .. } => "passwd",
        Task::Update { .. } => "update",
        Task::Check { .. } => "check",
        Task::Repair { .. } => "repair",
        Task::Rescue { .. } => "rescue",
        Task::Resize { .. } => "resize",
        Task::Snapshot { .. } => "snapshot",
        Task::Tend { .. } => "tend",
        Task::Remove => "remove",
        Task::Lock { .. } => "lock",
        Task::Unlock { .. } => "unlock",
        Task::Settle { .. } => "settle",
        Task::GiveUp { .. } => "give-up",
    }
}

#[cfg(feature = "fault-points")]
const PATH: &str = "/run/homed/fault";

/// Takes a wish away that is about to be obeyed. A test that cannot have it taken away fails by what it sees next.
#[cfg(feature = "fault-points")]
fn forget(text: &str, counted: &str) {
    let left: Vec<&str> = text.lines().filter(|line| line.split(' ').next() != Some(counted)).collect();
    let _ = std::fs::write(PATH, left.join("\n"));
}

#[cfg(feature = "fault-points")]
fn obey(how: &str, step: Step) -> Result<(), Failure> {
    use nix::sys::signal::Signal;
    match how {
        "kill" => raise(Signal::SIGKILL),
        "stop" => raise(Signal::SIGSTOP),
        "fail" => Err(Failure::fault(format!("fault point at {}", step.name()))),
        _ => Ok(()),
    }
}

#[cfg(feature = "fault-points")]
fn raise(signal: nix::sys::signal::Signal) -> Result<(), Failure> {
    nix::sys::signal::kill(nix::unistd::Pid::this(), signal)
        .map_err(|error| Failure::fault(format!("fault point: {error}")))
}

/// Nothing to obey.
#[cfg(not(feature = "fault-points"))]
#[derive(Default)]
pub struct Faults {}

#[cfg(not(feature = "fault-points"))]
impl Faults {
    /// Nothing to know.
    pub fn begin(&mut self, _task: &Task) {}

    /// Nothing to obey.
    pub fn enter(&mut self, _step: Step) -> Result<(), Failure> {
        Ok(())
    }
}
