//! Hands credentials to homed off the bus, and shows the progress that comes back on the same connection.

use crate::bus::Failure;
use handoff::{Client, HandoffError};
use indicatif::{ProgressBar, ProgressStyle};
use records::{Credentials, handoff::Progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long homed may take to give a ticket.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the watching thread looks whether the call is over.
const GLANCE: Duration = Duration::from_millis(100);

/// No job has more steps: what is counted further is bytes.
const MOST_STEPS: u64 = 1000;
/// How steps are shown.
const STEPS: &str = "{msg} {wide_bar} {percent}%";
/// How bytes are shown, with what is left of the time.
const BYTES: &str = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes}, {eta} left";

/// A secret argument, good while it is kept.
pub struct Handed {
    /// What goes where the D-Bus call takes the secret.
    pub argument: String,
    /// The connection the ticket hangs on.
    _keep: Option<Box<dyn std::any::Any>>,
}

impl Handed {
    /// With something that has to live as long.
    pub fn new(argument: String, keep: Option<Box<dyn std::any::Any>>) -> Self {
        Self { argument, _keep: keep }
    }
}

/// Whoever keeps secrets for homed.
pub trait Vault {
    /// Hands them over; an empty set needs no ticket.
    fn hand(&self, credentials: &Credentials) -> Result<Handed, Failure>;
}

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// A bar on standard error.
    Bar,
    /// Nothing.
    Nothing,
}

/// homed's own socket.
pub struct Socket(pub Show);

impl Vault for Socket {
    fn hand(&self, credentials: &Credentials) -> Result<Handed, Failure> {
        if credentials.is_empty() && self.0 == Show::Nothing {
            return Ok(Handed::new("{}".to_owned(), None));
        }
        let mut client = Client::connect(PATIENCE).map_err(failed)?;
        let ticket = client.deposit(&credentials.to_json()).map_err(failed)?;
        let argument = serde_json::json!({ records::handoff::TICKET: ticket }).to_string();
        let keep: Box<dyn std::any::Any> = match self.0 {
            Show::Nothing => Box::new(client),
            Show::Bar => Box::new(Watch::start(client)),
        };
        Ok(Handed::new(argument, Some(keep)))
    }
}

fn failed(error: HandoffError) -> Failure {
    Failure::say(format!(
        "{error}. Nothing was changed. See whether homed runs: systemctl status homed.service"
    ))
}

/// A thread that shows progress until it is dropped.
struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn start(client: Client) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || show(client, &seen));
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A bar that broke is no reason to fail.
            let _ = thread.join();
        }
    }
}

fn show(mut client: Client, over: &AtomicBool) {
    let bar = ProgressBar::no_length();
    // The templates are fixed: if one were wrong, the default style is shown.
    let [steps, bytes] = [STEPS, BYTES].map(ProgressStyle::with_template);
    if let Ok(style) = &steps {
        bar.set_style(style.clone());
    }
    let mut counts_bytes = false;
    let mut connected = true;
    while !over.load(Ordering::Relaxed) && connected {
        match client.next_progress(GLANCE) {
            Ok(Some(Progress { step, done, of })) => {
                let style = if of > MOST_STEPS { &bytes } else { &steps };
                if counts_bytes != (of > MOST_STEPS) {
                    counts_bytes = of > MOST_STEPS;
                    bar.reset();
                    style.iter().for_each(|style| bar.set_style(style.clone()));
                }
                bar.set_length(of);
                bar.set_position(done);
                bar.set_message(step);
            }
            Ok(None) => {}
            Err(_) => connected = false,
        }
    }
    bar.finish_and_clear();
}
