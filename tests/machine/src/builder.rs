//! A machine, and what it is made with.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::console::Console;
use crate::image::{Image, Suite};
use crate::kernel::{Kernel, LINES};
use crate::runner::{self, Runner};
use crate::wreck::Wreck;

/// How long a boot may take: it takes 2 s and 20 s on an idle host.
const BOOT: Duration = Duration::from_secs(300);

/// How much of a system is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Mounts, modules and the system bus: about two seconds. No systemd, no logins, nothing else runs.
    Small,
    /// The whole of systemd, with logins on both consoles and sshd: about twenty seconds.
    Full,
}

/// What it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// A process of the host: User-Mode Linux. Starts in seconds; no screen.
    Process,
    /// A PC of qemu's, computed: a screen with virtual terminals, a keyboard, a true suspend to RAM. Boots in a minute.
    Screen,
}

/// What a machine is made with. See [`Machine::builder`] for what it is if nothing is said.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    pub(crate) image: Image,
    pub(crate) suite: Suite,
    pub(crate) init: Init,
    pub(crate) hardware: Hardware,
    pub(crate) memory: u32,
    pub(crate) machine_id: String,
    pub(crate) shared: Option<PathBuf>,
    pub(crate) arguments: Vec<String>,
}

/// A machine that runs. It dies when this is dropped, and when the test's process dies.
pub struct Machine {
    // Dropped in this order: the kernel before the folder that it lives in.
    pub(crate) kernel: Kernel,
    pub(crate) runner: Runner,
    consoles: [Console; 2],
    pub(crate) settings: Builder,
    pub(crate) image: PathBuf,
    pub(crate) wreck: Wreck,
}

impl Builder {
    /// What is installed on its disk.
    pub fn image(mut self, image: Image) -> Self {
        self.image = image;
        self
    }

    /// Which Debian it is, and which kernel. (A machine with a screen is Debian stable.)
    pub fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// How much of a system is started.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// What it runs on.
    pub fn hardware(mut self, hardware: Hardware) -> Self {
        self.hardware = hardware;
        self
    }

    /// Its RAM in MiB.
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// Its machine id: 32 hexadecimal digits.
    pub fn machine_id(mut self, id: impl Into<String>) -> Self {
        self.machine_id = id.into();
        self
    }

    /// Shows a folder of the host in the guest, at /mnt, for reading and writing. Not on a machine with a screen.
    pub fn shared(mut self, folder: impl Into<PathBuf>) -> Self {
        self.shared = Some(folder.into());
        self
    }

    /// One more word on its kernel's command line.
    pub fn kernel_argument(mut self, word: impl Into<String>) -> Self {
        self.arguments.push(word.into());
        self
    }

    /// Starts it with a fresh disk and returns when commands can be run; a full one when its boot has ended.
    pub fn start(self) -> Result<Machine> {
        let image = match self.hardware {
            Hardware::Process => self.image.file_of(self.suite)?,
            Hardware::Screen => self.image.screen_file()?,
        };
        self.start_on(image, Wreck::new()?)
    }

    /// Starts it on the disk that lies in `wreck` and is made of differences from `image`.
    pub(crate) fn start_on(self, image: PathBuf, wreck: Wreck) -> Result<Machine> {
        let (masters, slaves) = lines()?;
        let [first, second, third] = masters;
        let first = Console::new(first, &wreck.path().join("ttyS0.log"))?;
        let second = Console::new(second, &wreck.path().join("ttyS1.log"))?;
        let (runner, greeting) = Runner::new(third, wreck.exchange(), self.hardware)?;
        let kernel = Kernel::start(&self, &image, &wreck, slaves)?;
        let machine = Machine { kernel, runner, consoles: [first, second], settings: self, image, wreck };
        machine
            .await_boot(&greeting)
            .with_context(|| format!("the machine did not start; {}", machine.last_words()))?;
        Ok(machine)
    }
}

impl Machine {
    /// A machine with the base image, the small init, 1 GiB of RAM and machine id 0000…0001.
    pub fn builder() -> Builder {
        Builder {
            image: Image::Base,
            suite: Suite::Stable,
            init: Init::Small,
            hardware: Hardware::Process,
            memory: 1024,
            machine_id: format!("{:032x}", 1),
            shared: None,
            arguments: Vec::new(),
        }
    }

    /// The terminal /dev/ttyS0. A full machine has a login prompt there, a small one nothing.
    pub fn console(&self) -> &Console {
        &self.consoles[0]
    }

    /// The terminal /dev/ttyS1, like the first.
    pub fn second_console(&self) -> &Console {
        &self.consoles[1]
    }

    /// The end of what kernel, init and services printed, for the text of an error.
    pub fn last_words(&self) -> String {
        self.wreck.last_words()
    }

    fn await_boot(&self, greeting: &Receiver<i32>) -> Result<()> {
        runner::await_answer(greeting, BOOT)?;
        if self.settings.init == Init::Full {
            self.command("systemctl is-system-running --wait || :").timeout(BOOT).check()?;
        }
        if self.settings.shared.is_some() && self.settings.hardware == Hardware::Process {
            // With the old kernel the option has no name.
            self.check(
                "mount -t hostfs none /mnt -o hostfs=/mnt/shared || mount -t hostfs none /mnt -o /mnt/shared",
            )?;
        }
        Ok(())
    }
}

/// New pseudo terminals for the guest's serial lines: our ends and the guest's.
fn lines() -> Result<([File; LINES], [OwnedFd; LINES])> {
    let mut masters = Vec::new();
    let mut slaves = Vec::new();
    for _ in 0..LINES {
        let pty = nix::pty::openpty(None, None).context("cannot open a pseudo terminal")?;
        // The guest has a terminal driver of its own.
        let mut modes = nix::sys::termios::tcgetattr(&pty.slave)?;
        nix::sys::termios::cfmakeraw(&mut modes);
        nix::sys::termios::tcsetattr(&pty.slave, nix::sys::termios::SetArg::TCSANOW, &modes)?;
        masters.push(File::from(pty.master));
        slaves.push(pty.slave);
    }
    let count = "as many were made";
    Ok((masters.try_into().ok().context(count)?, slaves.try_into().ok().context(count)?))
}
