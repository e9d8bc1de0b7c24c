//! The machine with a screen: a PC that qemu computes, with virtual terminals and a keyboard.
//!
//! It suspends as most laptops do: to idle, woken by a key. `HOMED_SLEEP=deep` has it use ACPI S3, out of which the computed
//! processor comes broken now and then ([`crate::past_processor_faults`]). No hardware virtualisation: it boots in a minute.

mod keys;
mod monitor;
mod picture;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::builder::{Builder, Machine};
use crate::image;
use crate::wreck::Wreck;

pub use monitor::Monitor;
pub use picture::Picture;

/// How long something may take to be seen: a moment, unless the host has much else to compute.
const PATIENCE: Duration = Duration::from_secs(240);

/// What is fixed on its kernel's command line. The picture is small: every dot is computed. The clock is not compared with
/// others, which are computed as well and take most of the processor's time once they are used.
const FIXED: &str = "root=/dev/vda rw console=ttyS3 panic=-1 loglevel=8 no_console_suspend \
    mem_sleep_default=s2idle pm_debug_messages tsc=reliable video=800x600 TERM=dumb \
    systemd.show_status=0 systemd.tty.term.ttyS0=dumb systemd.tty.term.ttyS1=dumb";

/// Screen and keyboard of a machine.
pub struct Screen<'a> {
    machine: &'a Machine,
    monitor: &'a Monitor,
}

/// The words that start qemu.
pub fn launch(settings: &Builder, image: &Path, wreck: &Wreck, lines: &[PathBuf]) -> Result<Vec<OsString>> {
    let folder = image::screen()?;
    let mut words: Vec<OsString> = vec![
        folder.join("recipe/launch.sh").into(),
        wreck.path().into(),
        folder.join("boot").into(),
        image.into(),
        settings.memory.to_string().into(),
    ];
    words.extend(lines.iter().map(OsString::from));
    words.extend(FIXED.split_whitespace().map(OsString::from));
    if let Ok(state) = std::env::var("HOMED_SLEEP") {
        words.push(format!("mem_sleep_default={state}").into());
    }
    words.extend(settings.own_arguments().into_iter().map(OsString::from));
    Ok(words)
}

impl Machine {
    /// Screen and keyboard; an error where there are none.
    pub fn screen(&self) -> Result<Screen<'_>> {
        let monitor = self.kernel.monitor().context("this machine has no screen")?;
        Ok(Screen { machine: self, monitor })
    }
}

impl Screen<'_> {
    /// Types a text, letter by letter, on an American keyboard.
    pub fn write(&self, text: &str) -> Result<()> {
        text.chars().try_for_each(|letter| {
            self.press(keys::of(letter).with_context(|| format!("no key for {letter:?}"))?)
        })
    }

    /// Presses keys together, by qemu's names (`ret`, `f2`, `ctrl-alt-f1`).
    pub fn press(&self, keys: &str) -> Result<()> {
        let keys: Vec<_> = keys.split('-').map(|key| json!({"type": "qcode", "data": key})).collect();
        // Shorter than the wait of a keyboard that repeats by itself, long enough to be two presses.
        self.monitor.execute("send-key", &json!({"keys": keys, "hold-time": 20}))?;
        std::thread::sleep(Duration::from_millis(40));
        Ok(())
    }

    /// The same without a pause: the next key comes while this one is down.
    pub fn hurry(&self, keys: &str) -> Result<()> {
        let keys: Vec<_> = keys.split('-').map(|key| json!({"type": "qcode", "data": key})).collect();
        self.monitor.execute("send-key", &json!({"keys": keys, "hold-time": 2})).map(drop)
    }

    /// What is seen now.
    pub fn look(&self) -> Result<Picture> {
        let file = self.machine.wreck.path().join("seen.ppm");
        self.monitor.execute("screendump", &json!({"filename": file}))?;
        Picture::read(&std::fs::read(file)?)
    }

    /// Where a VNC viewer sees it and can type: the path of a socket.
    pub fn address(&self) -> Result<String> {
        let info = self.monitor.execute("query-vnc", &json!({}))?;
        let text = |name: &str| info[name].as_str().map(str::to_owned);
        text("service").or_else(|| text("host")).context("qemu offers no VNC")
    }

    /// Takes a picture of what is seen: a PNG.
    pub fn picture(&self, path: &Path) -> Result<()> {
        self.monitor.execute("screendump", &json!({"filename": path, "format": "png"})).map(drop)
    }

    /// Waits until a virtual terminal is in front that `is_it` agrees to, by its device's name (`tty1`); which.
    pub fn await_front(&self, is_it: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let front = self.machine.check("cat /sys/class/tty/tty0/active")?;
            if is_it(front.trim()) {
                return Ok(front.trim().to_owned());
            }
            if Instant::now() > deadline {
                bail!("{} stays in front", front.trim());
            }
        }
    }

    /// Waits until the text is seen on a virtual terminal; all of what is seen there then.
    pub fn await_text(&self, terminal: &str, text: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let number = terminal.trim_start_matches("tty");
        loop {
            let seen = self.machine.check(&format!("cat /dev/vcs{number}"))?;
            if seen.contains(text) {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                bail!("{text:?} is not seen on {terminal}: {seen}");
            }
        }
    }
}
