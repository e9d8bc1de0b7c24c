//! How the demo is told.

use std::time::Instant;

use anyhow::{Result, ensure};

/// What was shown so far.
pub struct Show {
    steps: usize,
    held: usize,
    start: Instant,
}

impl Default for Show {
    fn default() -> Self {
        Self { steps: 0, held: 0, start: Instant::now() }
    }
}

impl Show {
    /// A heading.
    pub fn step(&mut self, title: &str) {
        self.steps += 1;
        println!("\n{}. {title}", self.steps);
    }

    /// A claim that was checked; an error if it does not hold.
    pub fn holds(&mut self, claim: &str, seen: &str, really: bool) -> Result<()> {
        ensure!(really, "this does not hold: {claim}; {seen}");
        self.held += 1;
        let colon = if seen.is_empty() { "" } else { ": " };
        println!("   ok  {claim}{colon}{seen}");
        Ok(())
    }

    /// What a machine printed. A line that was drawn over is shown as it was last.
    pub fn screen(&self, text: &str) {
        for line in text.lines() {
            let last = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or(line);
            println!("     | {last}");
        }
    }

    /// The last line.
    pub fn end(self) {
        let seconds = self.start.elapsed().as_secs();
        println!("\nAll {} claims hold, in {} steps and {seconds} s.", self.held, self.steps);
    }
}
