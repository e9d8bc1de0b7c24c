//! Our end of the guest's `runner.sh`: requests go out over /dev/ttyS2 as "run N", answers come as "done N STATUS".
//! What is run, and what it printed, lies in the shared folder as `N/…`. Requests may overlap. Where no folder is
//! shared, it goes over the line too.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::builder::Hardware;
use crate::kernel::lock;

/// The number under which the greeting at the end of the boot is waited for.
const GREETING: u64 = 0;

pub struct Runner {
    line: File,
    exchange: PathBuf,
    hardware: Hardware,
    next: AtomicU64,
    waiting: Arc<Mutex<HashMap<u64, Sender<i32>>>>,
}

impl Runner {
    /// Returns the runner and the place where its greeting arrives.
    pub fn new(line: File, exchange: PathBuf, hardware: Hardware) -> Result<(Self, Receiver<i32>)> {
        let (sender, greeting) = channel();
        let waiting = Arc::new(Mutex::new(HashMap::from([(GREETING, sender)])));
        let (reader, shared) = (line.try_clone()?, Arc::clone(&waiting));
        let folder = exchange.clone();
        std::thread::spawn(move || listen(reader, &folder, &shared));
        Ok((Self { line, exchange, hardware, next: AtomicU64::new(1), waiting }, greeting))
    }

    /// A fresh folder in the shared folder, as seen here and in the guest.
    pub fn folder(&self) -> Result<(u64, PathBuf, PathBuf)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.exchange.join(number.to_string());
        std::fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok((number, folder, PathBuf::from(format!("/run/machine/{number}"))))
    }

    /// Has the request that lies in folder `number` run; the exit status arrives later.
    pub fn run(&self, number: u64) -> Result<Receiver<i32>> {
        let (sender, receiver) = channel();
        lock(&self.waiting).insert(number, sender);
        let request = match self.hardware {
            Hardware::Process => format!("run {number}\n"),
            Hardware::Screen => {
                let part = |name| -> Result<String> {
                    Ok(BASE64.encode(std::fs::read(self.exchange.join(number.to_string()).join(name))?))
                };
                format!("run {number} ={} ={} ={}\n", part("user")?, part("command")?, part("stdin")?)
            }
        };
        (&self.line).write_all(request.as_bytes()).context("the machine does not listen")?;
        Ok(receiver)
    }
}

/// Waits for one answer.
pub fn await_answer(answer: &Receiver<i32>, bound: Duration) -> Result<i32> {
    match answer.recv_timeout(bound) {
        Ok(status) => Ok(status),
        Err(RecvTimeoutError::Timeout) => {
            bail!("no answer from the machine in {} s", bound.as_secs())
        }
        Err(RecvTimeoutError::Disconnected) => bail!("the machine has ended"),
    }
}

/// Ends when the line is closed, that is when the kernel is gone; who still waits then is told.
fn listen(line: File, exchange: &Path, waiting: &Mutex<HashMap<u64, Sender<i32>>>) {
    for line in BufReader::new(line).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (number, status) = match words[..] {
            ["ready"] => (GREETING, 0),
            ["done", number, status, ref printed @ ..] => match (number.parse::<u64>(), status.parse()) {
                (Ok(number), Ok(status)) => {
                    keep(&exchange.join(number.to_string()), printed);
                    (number, status)
                }
                _ => continue,
            },
            _ => continue,
        };
        if let Some(sender) = lock(waiting).remove(&number) {
            // The asker may have stopped waiting.
            let _ = sender.send(status);
        }
    }
    lock(waiting).clear();
}

/// What came over the line is put where the shared folder would have it.
fn keep(folder: &Path, printed: &[&str]) {
    for (name, text) in ["stdout", "stderr"].into_iter().zip(printed) {
        let bytes = BASE64.decode(text.trim_start_matches('=')).unwrap_or_default();
        // Nobody waits for it any more where the folder is gone.
        let _ = std::fs::write(folder.join(name), bytes);
    }
}
