//! A serial line with a person before it: type, and wait for what the machine says.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::kernel::lock;

/// How long [`Console::expect`] waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// One of the machine's terminals.
pub struct Console {
    line: File,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

#[derive(Default)]
struct Heard {
    text: String,
    /// How far `expect` has read.
    position: usize,
    closed: bool,
}

impl Console {
    /// Reads `line` from now on; all of it goes to the file `log` too.
    pub(crate) fn new(line: File, log: &Path) -> Result<Self> {
        let heard = Arc::new((Mutex::new(Heard::default()), Condvar::new()));
        let copy = File::options().create(true).append(true).open(log)?;
        let (reader, shared) = (line.try_clone()?, Arc::clone(&heard));
        std::thread::spawn(move || listen(reader, copy, &shared));
        Ok(Self { line, heard })
    }

    /// Types `text` and the return key.
    pub fn send(&self, text: &str) -> Result<()> {
        (&self.line).write_all(format!("{text}\r").as_bytes()).context("cannot type on the console")
    }

    /// Types `text` as it is, control characters included.
    pub fn send_raw(&self, text: &str) -> Result<()> {
        (&self.line).write_all(text.as_bytes()).context("cannot type on the console")
    }

    /// Waits until the machine says `text`, and returns what it said before, since the last `expect`.
    pub fn expect(&self, text: &str) -> Result<String> {
        Ok(self.expect_any(&[text])?.1)
    }

    /// Waits until the machine says one of `texts` (the one that comes first in its answer wins): which one, and what
    /// it said before.
    pub fn expect_any(&self, texts: &[&str]) -> Result<(usize, String)> {
        let (state, changed) = &*self.heard;
        let missing =
            |heard: &mut Heard| !heard.closed && find(&heard.text[heard.position..], texts).is_none();
        let waited = changed.wait_timeout_while(lock(state), PATIENCE, missing);
        let mut heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        let rest = heard.text[heard.position..].to_owned();
        let Some((which, start)) = find(&rest, texts) else {
            let why = if heard.closed { "the machine has ended" } else { "it did not come in time" };
            bail!("waited at the console for one of {texts:?}: {why}; it said since:\n{rest}");
        };
        heard.position += start + texts[which].len();
        Ok((which, rest[..start].to_owned()))
    }

    /// Logs in at the `login:` prompt and waits for the shell.
    pub fn login(&self, user: &str, password: &str) -> Result<()> {
        self.expect("login: ")?;
        self.send(user)?;
        self.expect("assword")?;
        self.expect(": ")?;
        self.send(password)?;
        // Only now: `login` throws away what was typed too early.
        let (which, said) = self.expect_any(&["$ ", "# ", "incorrect", "rror", "denied"])?;
        if which > 1 {
            bail!("login of {user} failed: {said}{}", ["incorrect", "rror", "denied"][which - 2]);
        }
        Ok(())
    }

    /// Types the password that is asked for once more after a [`Self::login`] with a wrong one, and waits for the shell.
    pub fn try_again(&self, password: &str) -> Result<()> {
        self.expect("ry again: ")?;
        self.send(password)?;
        let (which, said) = self.expect_any(&["$ ", "# ", "incorrect", "rror", "denied"])?;
        if which > 1 {
            bail!("the second password failed: {said}");
        }
        Ok(())
    }

    /// Runs a line in the shell that is open here: its output and exit status.
    pub fn shell(&self, line: &str) -> Result<(String, i32)> {
        // The quotes tell the marks from the echo of the typed line.
        self.send(&format!("echo '<'begin'>'; {line}; echo '<'status $?'>'"))?;
        self.expect("<begin>\r\n")?;
        let output = self.expect("<status ")?;
        let status = self.expect(">")?;
        Ok((output.replace('\r', ""), status.parse().context("the shell's status is no number")?))
    }

    /// All that was said on this line so far.
    pub fn transcript(&self) -> String {
        lock(&self.heard.0).text.clone()
    }

    /// What was said after the first `position` bytes, as soon as there is something: empty if nothing comes in time,
    /// `None` when the machine is gone.
    pub fn after(&self, position: usize, bound: Duration) -> Option<String> {
        let (state, changed) = &*self.heard;
        let nothing = |heard: &mut Heard| !heard.closed && heard.text.len() <= position;
        let waited = changed.wait_timeout_while(lock(state), bound, nothing);
        let heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        let text = heard.text.get(position..).unwrap_or_default().to_owned();
        (!heard.closed || !text.is_empty()).then_some(text)
    }
}

/// The earliest of `texts` in `heard`: its number and place.
fn find(heard: &str, texts: &[&str]) -> Option<(usize, usize)> {
    let places = texts.iter().enumerate().filter_map(|(number, text)| Some((number, heard.find(text)?)));
    places.min_by_key(|(_, place)| *place)
}

/// Ends when the line is closed, that is when the kernel is gone.
fn listen(mut line: File, mut log: File, shared: &(Mutex<Heard>, Condvar)) {
    let mut buffer = [0; 4096];
    loop {
        let count = line.read(&mut buffer).unwrap_or(0);
        let mut heard = lock(&shared.0);
        heard.closed = count == 0;
        heard.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        shared.1.notify_all();
        if count == 0 {
            return;
        }
        // The log is for diagnosis only: a full disk must not stop the test.
        let _ = log.write_all(&buffer[..count]);
    }
}
