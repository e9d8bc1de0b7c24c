//! Power: cut, off, on again, suspended and woken.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::builder::{Builder, Init, Machine};
use crate::wreck::Wreck;

/// How long an orderly shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(180);

/// A machine without power. Its disk is as it was at that moment.
pub struct Stopped {
    settings: Builder,
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

    fn stopped(self) -> Result<Stopped> {
        let Self {
            settings, wreck, ..
        } = self;
        // Requests that were under way are nobody's now.
        crate::cache::remove(&wreck.exchange())?;
        std::fs::create_dir(wreck.exchange()).context("cannot create the shared folder")?;
        Ok(Stopped { settings, wreck })
    }
}

impl Stopped {
    /// Gives it power again: the same disk.
    pub fn start(self) -> Result<Machine> {
        self.settings.start_on(self.wreck)
    }

    /// Will start with another init next time.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.settings.init = init;
        self
    }
}
