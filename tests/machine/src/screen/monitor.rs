//! qemu's own protocol (QMP): JSON, one answer a line, events in between.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kernel::lock;
use crate::wreck::Wreck;

/// How long qemu may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const GLANCE: Duration = Duration::from_millis(50);

/// The way to the machine's hardware.
pub struct Monitor {
    stream: Mutex<BufReader<UnixStream>>,
}

impl Monitor {
    /// Waits for qemu to be there.
    pub fn connect(wreck: &Wreck) -> Result<Self> {
        let path = wreck.path().join("qmp");
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(&path) {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < deadline => std::thread::sleep(GLANCE),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("qemu does not answer; {}", wreck.last_words()));
                }
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let monitor = Self { stream: Mutex::new(BufReader::new(stream)) };
        lock(&monitor.stream).read_line(&mut String::new()).context("qemu's greeting")?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Has it do something; its answer.
    pub fn execute(&self, command: &str, arguments: &Value) -> Result<Value> {
        let mut stream = lock(&self.stream);
        let request = json!({"execute": command, "arguments": arguments});
        writeln!(stream.get_mut(), "{request}").context("qemu has ended")?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).with_context(|| format!("qemu's answer to {command}"))? == 0 {
                bail!("qemu has ended");
            }
            let mut answer: Value = serde_json::from_str(&line)?;
            if let Some(answer) = answer.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
        }
    }

    /// Returns when the hardware sleeps.
    pub fn await_sleep(&self, bound: Duration) -> Result<()> {
        let deadline = Instant::now() + bound;
        while Instant::now() < deadline {
            if self.sleeps()? {
                return Ok(());
            }
            std::thread::sleep(GLANCE);
        }
        bail!("the hardware does not sleep")
    }

    /// Has the hardware wake; where it does not sleep, and only the kernel waits, a key does.
    pub fn wake(&self) -> Result<()> {
        if self.sleeps()? {
            return self.execute("system_wakeup", &json!({})).map(drop);
        }
        let shift = json!({"keys": [{"type": "qcode", "data": "shift"}]});
        self.execute("send-key", &shift).map(drop)
    }

    fn sleeps(&self) -> Result<bool> {
        Ok(self.execute("query-status", &json!({}))?["status"] == "suspended")
    }
}
