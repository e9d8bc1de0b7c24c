//! The kernel's processes on the host, in mount and process namespaces of their own: when the first of them goes,
//! all of them go. They hold a pipe from us (the lifeline) and do not outlive it, so nothing is left of a killed test.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::builder::{Builder, Hardware, Init};
use crate::console::Console;
use crate::image;
use crate::processor::Processor;
use crate::screen::{self, Monitor};
use crate::wreck::Wreck;

/// How long the kernel may take from freezing its tasks to sleep.
const SLEEP: Duration = Duration::from_secs(60);

/// So often in a row a kernel that sleeps is seen to do so.
const STANDSTILL: u32 = 3;

/// Processor time of a process in ticks, of its own and for system calls, and its state (`S`: it waits).
#[derive(PartialEq, Eq)]
struct Used {
    own: u64,
    calls: u64,
    state: String,
}

/// Serial lines of the guest: two for people, one for the runner.
pub const LINES: usize = 3;

pub struct Kernel {
    /// Of `unshare`, the parent of all.
    outermost: u32,
    lifeline: Mutex<Option<ChildStdin>>,
    /// What it says on its own console.
    log: Console,
    /// The way to the hardware, where it is qemu's.
    monitor: Option<Monitor>,
    ended: Arc<(Mutex<bool>, Condvar)>,
    /// Where all of it runs, unless it is qemu.
    _processor: Option<Processor>,
}

impl Kernel {
    /// Starts the kernel; `slaves` are the guest's ends of its serial lines.
    pub fn start(settings: &Builder, image: &Path, wreck: &Wreck, slaves: [OwnedFd; LINES]) -> Result<Self> {
        let lines: Vec<PathBuf> = slaves.iter().map(nix::unistd::ttyname).collect::<Result<_, _>>()?;
        let (said, voice) = std::io::pipe()?;
        let mut command = Command::new("unshare");
        command
            .args(if nix::unistd::geteuid().is_root() { &[][..] } else { &["--user", "--map-root-user"] })
            .args(["--mount", "--pid", "--fork", "--kill-child=SIGKILL", "sh"])
            .args(match settings.hardware {
                Hardware::Process => settings.launch(image, wreck, &lines)?,
                Hardware::Screen => screen::launch(settings, image, wreck, &lines)?,
            })
            .stdin(Stdio::piped())
            .stdout(voice.try_clone()?)
            .stderr(voice);
        let processor = match settings.hardware {
            Hardware::Process => Processor::choose()?,
            Hardware::Screen => None,
        };
        let mut start = || command.spawn().context("cannot start `unshare` (package util-linux)");
        let mut child = match &processor {
            Some(processor) => processor.there(start)?,
            None => start()?,
        };
        // Its ends of the pipe are the child's alone.
        drop(command);
        let outermost = child.id();
        let lifeline = Mutex::new(child.stdin.take());
        let log = Console::new(OwnedFd::from(said).into(), &wreck.log())?;
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let flag = Arc::clone(&ended);
        std::thread::spawn(move || wait(&mut child, &flag, slaves));
        let monitor = match settings.hardware {
            Hardware::Process => None,
            Hardware::Screen => Some(Monitor::connect(wreck)?),
        };
        Ok(Self { outermost, lifeline, log, monitor, ended, _processor: processor })
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

    /// Returns when the machine sleeps: its tasks are frozen, and its kernel waits for a signal or a key, or its hardware
    /// sleeps.
    pub fn await_sleep(&self) -> Result<()> {
        let Some(monitor) = &self.monitor else {
            // The second is what kernels before 6.3 say.
            let frozen = [
                "Freezing remaining freezable tasks completed",
                "Freezing remaining freezable tasks ... (elapsed",
            ];
            self.log.expect_any(&frozen).context("the machine did not suspend")?;
            return self.await_standstill();
        };
        let states = ["PM: suspend-to-idle", "PM: Preparing to enter system sleep state S3"];
        match self.log.expect_any(&states).context("the machine did not suspend")?.0 {
            0 => self.await_standstill(),
            _ => monitor.await_sleep(SLEEP),
        }
    }

    /// The kernel says nothing after that: it sleeps when it uses no more time and wants none. (One that wants some and
    /// gets none, on a busy host, is still on its way.)
    fn await_standstill(&self) -> Result<()> {
        let deadline = Instant::now() + SLEEP;
        let (mut before, mut seen) = (None::<Used>, 0);
        while Instant::now() < deadline {
            let now = self.time_used()?;
            seen = if now.state == "S" && before.as_ref() == Some(&now) { seen + 1 } else { 0 };
            if seen == STANDSTILL {
                return Ok(());
            }
            before = Some(now);
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the machine's tasks are frozen, but its kernel does not sleep")
    }

    /// Returns when the kernel has written memory to disk and stands still (`HibernateMode=shutdown`): this hardware is
    /// not switched off from there.
    pub fn await_hibernation(&self) -> Result<()> {
        self.log.expect("PM: Image saving done").context("the machine did not hibernate")?;
        self.log.expect("reboot: System halted").map(drop).context("the machine goes on")
    }

    /// Wakes the suspended machine: to this kernel SIGUSR1 is the power button of a sleeping machine.
    pub fn wake(&self) -> Result<()> {
        if let Some(monitor) = &self.monitor {
            monitor.wake()?;
            // What is typed on a serial line before that is lost: from S3 the hardware comes reset.
            return self.log.expect("PM: suspend exit").map(drop).context("the machine did not wake");
        }
        kill(Pid::from_raw(self.process()?.try_into()?), Signal::SIGUSR1).context("cannot signal the kernel")
    }

    /// The way to the hardware of a machine with a screen.
    pub fn monitor(&self) -> Option<&Monitor> {
        self.monitor.as_ref()
    }

    /// The unlinked file that is the machine's RAM: the largest that the kernel has mapped. The size alone tells
    /// nothing: a disk's lowest layer is larger, and it has no name any more once somebody has tidied up the layers;
    /// but no kernel maps its disks.
    pub fn memory(&self) -> Result<PathBuf> {
        let process = self.process()?;
        let mapped = fs::read_to_string(format!("/proc/{process}/maps"))?;
        let folder = format!("/proc/{process}/fd");
        let paths = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
        let unlinked = paths.filter_map(|path| {
            let data = fs::metadata(&path).ok()?;
            let name = format!(" {}", fs::read_link(&path).ok()?.to_str()?);
            let is_mapped = || mapped.lines().any(|line| line.ends_with(&name));
            (data.is_file() && data.nlink() == 0 && is_mapped()).then_some((data.len(), path))
        });
        let (_, path) = unlinked.max().with_context(|| format!("no memory among the files in {folder}"))?;
        Ok(path)
    }

    /// Processor time used by the kernel so far.
    fn time_used(&self) -> Result<Used> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process()?))?;
        // proc_pid_stat(5): fields 3, 14 and 15; the second field is in brackets and may hold anything.
        let rest = text.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).context("/proc/PID/stat is too short");
        Ok(Used { own: field(14)?.parse()?, calls: field(15)?.parse()?, state: field(3)?.parse()? })
    }

    /// The first kernel process: `unshare` → `sh`, the first of its namespace → the kernel.
    pub fn process(&self) -> Result<u32> {
        let first = *children(self.outermost)?.first().context("the machine's processes are gone")?;
        for child in children(first)? {
            let command = fs::read_to_string(format!("/proc/{child}/cmdline"))?;
            if ["linux.uml\0", "qemu-system-x86_64\0"].iter().any(|name| command.starts_with(name)) {
                return Ok(child);
            }
        }
        bail!("the machine's kernel has not started or is gone")
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Builder {
    /// The words that start User-Mode Linux.
    fn launch(&self, image: &Path, wreck: &Wreck, lines: &[PathBuf]) -> Result<Vec<OsString>> {
        let script = image::folder()?.join("recipe/launch.sh");
        let shared = self.shared.clone().unwrap_or_default();
        let mut words: Vec<OsString> = vec![
            script.into(),
            image::tree_of_kernel(self.suite)?.into(),
            wreck.path().into(),
            image.into(),
            shared.into(),
        ];
        words.extend(self.kernel_arguments().into_iter().map(OsString::from));
        let lines = lines.iter().enumerate();
        words.extend(lines.map(|(number, line)| format!("ssl{number}=tty:{}", line.display()).into()));
        Ok(words)
    }

    fn kernel_arguments(&self) -> Vec<String> {
        let fixed = "ubd0=/mnt/machine/disk.cow,/mnt/base root=/dev/ubda rw con=null con0=null,fd:1 ssl=null \
            uml_dir=/tmp/ panic=-1 loglevel=7 no_console_suspend TERM=dumb systemd.show_status=0 \
            systemd.tty.term.console=dumb systemd.tty.term.ttyS0=dumb systemd.tty.term.ttyS1=dumb \
            init=/usr/lib/machine/init";
        let mut arguments: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
        arguments.extend(self.suite.kernel_arguments().iter().map(|word| (*word).to_owned()));
        arguments.push(format!("mem={}M", self.memory));
        arguments.extend(self.own_arguments());
        arguments
    }

    /// What every kernel is told.
    pub(crate) fn own_arguments(&self) -> Vec<String> {
        let init = match self.init {
            Init::Small => "small",
            Init::Full => "full",
        };
        let mut arguments = self.arguments.clone();
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
    text.split_whitespace().map(|number| Ok(number.parse()?)).collect()
}

/// A lock whose holder panicked still guards good data here: each holder changes one value at a time.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
