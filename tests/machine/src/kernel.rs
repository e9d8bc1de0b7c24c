//! The kernel's processes on the host, in mount and process namespaces of their own: when the first of them goes,
//! all of them go. They hold a pipe from us (the lifeline) and do not outlive it, so nothing is left of a killed test.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::builder::{Builder, Init};
use crate::image;
use crate::wreck::Wreck;

/// Serial lines of the guest: two for people, one for the runner.
pub const LINES: usize = 3;

pub struct Kernel {
    /// Of `unshare`, the parent of all.
    outermost: u32,
    lifeline: Mutex<Option<ChildStdin>>,
    ended: Arc<(Mutex<bool>, Condvar)>,
}

impl Kernel {
    /// Starts the kernel; `slaves` are the guest's ends of its serial lines.
    pub fn start(
        settings: &Builder,
        image: &Path,
        wreck: &Wreck,
        slaves: [OwnedFd; LINES],
    ) -> Result<Self> {
        let mut arguments = settings.kernel_arguments();
        for (number, slave) in slaves.iter().enumerate() {
            let name = nix::unistd::ttyname(slave).context("a pseudo terminal has no name")?;
            arguments.push(format!("ssl{number}=tty:{}", name.display()));
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(wreck.log())?;
        let mut child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child=SIGKILL", "sh"])
            .arg(image::folder()?.join("recipe/launch.sh"))
            .arg(image::tree()?)
            .arg(wreck.path())
            .arg(image)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start `unshare` (package util-linux)")?;
        let outermost = child.id();
        let lifeline = Mutex::new(child.stdin.take());
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let flag = Arc::clone(&ended);
        std::thread::spawn(move || wait(&mut child, &flag, slaves));
        Ok(Self {
            outermost,
            lifeline,
            ended,
        })
    }

    /// Kills all of it at once and returns when nothing is left.
    pub fn kill(&self) {
        drop(lock(&self.lifeline).take());
        self.wait_until_ended(Duration::from_secs(60));
    }

    /// Waits for the kernel's own end; tells whether it came in time.
    pub fn wait_until_ended(&self, bound: Duration) -> bool {
        let (flag, changed) = &*self.ended;
        let waited = changed.wait_timeout_while(lock(flag), bound, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes the suspended machine: to this kernel SIGUSR1 is the power button of a sleeping machine.
    pub fn wake(&self) -> Result<()> {
        kill(Pid::from_raw(self.process()?.try_into()?), Signal::SIGUSR1)
            .context("cannot signal the kernel")
    }

    /// The unlinked file that is the machine's RAM.
    pub fn memory(&self) -> Result<PathBuf> {
        let folder = format!("/proc/{}/fd", self.process()?);
        for entry in fs::read_dir(&folder)?.flatten() {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            if target.to_string_lossy().contains("/vm_file-") {
                return Ok(entry.path());
            }
        }
        anyhow::bail!("the kernel holds no file vm_file-* open in {folder}")
    }

    /// The first kernel process: `unshare` → `sh`, the first of its namespace → the kernel.
    pub fn process(&self) -> Result<u32> {
        let first = *children(self.outermost)?
            .first()
            .context("the machine's processes are gone")?;
        for child in children(first)? {
            if fs::read_to_string(format!("/proc/{child}/cmdline"))?.starts_with("linux.uml\0") {
                return Ok(child);
            }
        }
        anyhow::bail!("the machine's kernel has not started or is gone")
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Builder {
    fn kernel_arguments(&self) -> Vec<String> {
        let init = match self.init {
            Init::Small => "small",
            Init::Full => "full",
        };
        let fixed = "ubd0=/mnt/machine/disk.cow,/mnt/base root=/dev/ubda rw con=null con0=null,fd:1 ssl=null \
            seccomp=on uml_dir=/tmp/ panic=-1 loglevel=6 TERM=dumb systemd.show_status=0 \
            systemd.tty.term.console=dumb systemd.tty.term.ttyS0=dumb systemd.tty.term.ttyS1=dumb \
            init=/usr/lib/machine/init";
        let mut arguments: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
        arguments.push(format!("mem={}M", self.memory));
        arguments.push(format!("MACHINE_ID={}", self.machine_id));
        arguments.push(format!("MACHINE_INIT={init}"));
        arguments
    }
}

/// The lines are closed when the kernel is gone: that is what their readers wait for.
fn wait(child: &mut Child, ended: &(Mutex<bool>, Condvar), slaves: [OwnedFd; LINES]) {
    // It was not waited for before and cannot fail.
    let _ = child.wait();
    drop(slaves);
    *lock(&ended.0) = true;
    ended.1.notify_all();
}

fn children(process: u32) -> Result<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))
        .context("the machine's processes are gone")?;
    ensure!(!text.is_empty(), "process {process} has no children");
    text.split_whitespace()
        .map(|number| Ok(number.parse()?))
        .collect()
}

/// A lock whose holder panicked still guards good data here: each holder changes one value at a time.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is left of `bound`, counted from `start`.
pub fn left(start: Instant, bound: Duration) -> Duration {
    bound.saturating_sub(start.elapsed())
}
