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

    /// What a machine printed; of a line that was drawn over, each picture.
    pub fn screen(&self, text: &str) {
        let mut last = String::new();
        for picture in text.split(['\r', '\n']) {
            let plain = without_escapes(picture);
            let plain = plain.trim_end();
            if !plain.is_empty() && plain != last {
                println!("     | {plain}");
                last = plain.to_owned();
            }
        }
    }

    /// The last line.
    pub fn end(self) {
        let seconds = self.start.elapsed().as_secs();
        println!("\nAll {} claims hold, in {} steps and {seconds} s.", self.held, self.steps);
    }
}

/// The text without what moves the cursor or sets colours (ESC [ … letter).
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |place| place + 1);
        plain.push_str(&part[end..]);
    }
    plain
}
