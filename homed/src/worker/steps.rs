//! Every step of every verb passes here: the daemon hears of it, and a fault point can end it.

use super::fault::Faults;
use crate::job::{Context, Copied, Failure, Message, Progress, Step, Steps, Task};
use std::io::Write;

/// Says on a stream (standard output) how far the job is.
pub struct Reporter<W> {
    stream: W,
    plan: &'static [Step],
    done: u64,
    warnings: Vec<String>,
    faults: Faults,
}

impl<W: Write> Reporter<W> {
    /// Speaks to this stream.
    pub fn new(stream: W) -> Self {
        Self { stream, plan: &[], done: 0, warnings: Vec::new(), faults: Faults::default() }
    }

    /// What the job is, for its fault points.
    pub fn begin(&mut self, task: &Task) {
        self.faults.begin(task);
    }

    /// The steps the job will take, most likely: the measure of the progress bar.
    pub fn plan(&mut self, plan: &'static [Step]) {
        self.plan = plan;
    }

    /// One message, one line.
    pub fn say(&mut self, message: &Message) -> Result<(), Failure> {
        let mut line = serde_json::to_string(message).during("writing a message")?;
        line.push('\n');
        self.stream.write_all(line.as_bytes()).and_then(|()| self.stream.flush()).during("telling the daemon")
    }

    /// The warnings so far.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

impl<W: Write> Steps for Reporter<W> {
    fn enter(&mut self, step: Step) -> Result<(), Failure> {
        if let Some(place) = self.plan.iter().position(|planned| *planned == step) {
            self.done = self.done.max(place as u64);
        }
        let progress = Progress { step: step.words().into(), done: self.done, of: self.plan.len() as u64 };
        self.say(&Message::Progress(progress))?;
        self.faults.enter(step)
    }

    fn copied(&mut self, bytes: Copied) -> Result<(), Failure> {
        let step = Step::CopyOriginal.words().into();
        self.say(&Message::Progress(Progress { step, done: bytes.done, of: bytes.of }))
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_only_grows() {
        let mut stream = Vec::new();
        let mut reporter = Reporter::new(&mut stream);
        reporter.plan(&[Step::Check, Step::Mount, Step::Sync]);
        for step in [Step::Check, Step::Sync, Step::Mount, Step::Delete] {
            reporter.enter(step).expect("no fault set");
        }
        let text = String::from_utf8(stream).expect("text");
        let done: Vec<_> = text
            .lines()
            .map(|line| match serde_json::from_str(line).expect("a message") {
                Message::Progress(progress) => (progress.done, progress.of),
                Message::Outcome(_) => panic!("no outcome yet"),
            })
            .collect();
        assert_eq!(done, [(0, 3), (2, 3), (2, 3), (2, 3)]);
    }
}
