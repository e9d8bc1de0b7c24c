//! Power: cut, off, on again, suspended and woken.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::builder::{Builder, Init, Machine};
use crate::wreck::Wreck;

/// How long an orderly shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(180);

/// A machine without power. Its disk is as it was at that moment.
pub struct Stopped {
    settings: Builder,
    image: PathBuf,
    wreck: Wreck,
}

impl Machine {
    /// Takes its power away at once: nothing that it has not written to its disk is left.
    pub fn power_cut(self) -> Result<Stopped> {
        self.kernel.kill();
        self.stopped()
    }

    /// Shuts it down in order.
    pub fn shutdown(self) -> Result<Stopped> {
        let script = match self.settings.init {
            Init::Small => "kill -TERM 1",
            Init::Full => "systemctl poweroff",
        };
        // The answer may or may not come before the end.
        let _ = self.command(script).spawn()?;
        ensure!(
            self.kernel.wait_until_ended(SHUTDOWN),
            "the machine did not shut down; {}",
            self.last_words()
        );
        self.stopped()
    }

    /// Sends it to sleep as a person does (a full one through logind) and returns when it sleeps. Its memory can be
    /// searched then; commands have to wait for [`Machine::wake`].
    pub fn suspend(&self) -> Result<()> {
        let script = match self.settings.init {
            Init::Small => "echo mem > /sys/power/state",
            Init::Full => "systemctl suspend",
        };
        self.suspend_by(script)
    }

    /// Sends it to sleep with a command of one's own.
    pub fn suspend_by(&self, script: &str) -> Result<()> {
        // The answer may or may not come before the sleep.
        let running = self.command(script).spawn()?;
        self.kernel.await_sleep().with_context(|| self.last_words())?;
        drop(running);
        Ok(())
    }

    /// Sends a machine with a screen into hibernation with a command of one's own, and takes its power away then.
    pub fn hibernate_by(self, script: &str) -> Result<Stopped> {
        let running = self.command(script).spawn()?;
        self.kernel.await_hibernation().with_context(|| self.last_words())?;
        drop(running);
        self.power_cut()
    }

    /// Wakes it and returns when commands are run again.
    pub fn wake(&self) -> Result<()> {
        self.kernel.wake()?;
        self.check("true").context("after waking").map(drop)
    }

    /// Waits for an end that it comes to by itself.
    pub fn ended(self) -> Result<Stopped> {
        ensure!(self.kernel.wait_until_ended(SHUTDOWN), "the machine goes on; {}", self.last_words());
        self.stopped()
    }

    fn stopped(self) -> Result<Stopped> {
        let Self { settings, image, wreck, .. } = self;
        // Requests that were under way are nobody's now.
        crate::cache::remove(&wreck.exchange())?;
        std::fs::create_dir(wreck.exchange()).context("cannot create the shared folder")?;
        Ok(Stopped { settings, image, wreck })
    }
}

impl Stopped {
    /// Gives it power again: the same disk.
    pub fn start(self) -> Result<Machine> {
        self.settings.start_on(self.image, self.wreck)
    }

    /// Will start with one more word on its kernel's command line.
    #[must_use]
    pub fn kernel_argument(mut self, word: impl Into<String>) -> Self {
        self.settings.arguments.push(word.into());
        self
    }

    /// The disk of a machine with a screen.
    pub(crate) fn disk(&self) -> PathBuf {
        self.wreck.path().join("disk.img")
    }

    /// Will start with another init next time.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.settings.init = init;
        self
    }
}
