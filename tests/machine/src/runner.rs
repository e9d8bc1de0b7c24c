//! Our end of the guest's `runner.sh`: requests go out over /dev/ttyS2 as "run N", answers come as "done N STATUS".
//! What is run, and what it printed, lies in the shared folder as `N/…`. Requests may overlap.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::kernel::lock;

/// The number under which the greeting at the end of the boot is waited for.
const GREETING: u64 = 0;

pub struct Runner {
    line: File,
    exchange: PathBuf,
    next: AtomicU64,
    waiting: Arc<Mutex<HashMap<u64, Sender<i32>>>>,
}

impl Runner {
    /// Returns the runner and the place where its greeting arrives.
    pub fn new(line: File, exchange: PathBuf) -> Result<(Self, Receiver<i32>)> {
        let (sender, greeting) = channel();
        let waiting = Arc::new(Mutex::new(HashMap::from([(GREETING, sender)])));
        let (reader, shared) = (line.try_clone()?, Arc::clone(&waiting));
        std::thread::spawn(move || listen(reader, &shared));
        Ok((Self { line, exchange, next: AtomicU64::new(1), waiting }, greeting))
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
        (&self.line)
            .write_all(format!("run {number}\n").as_bytes())
            .context("the machine does not listen")?;
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
fn listen(line: File, waiting: &Mutex<HashMap<u64, Sender<i32>>>) {
    for line in BufReader::new(line).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (number, status) = match words[..] {
            ["ready"] => (GREETING, 0),
            ["done", number, status] => match (number.parse(), status.parse()) {
                (Ok(number), Ok(status)) => (number, status),
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
