//! Tells people: those who look into the log, and those who sit at a terminal.

use std::io::Write;
use std::process::{Command, Stdio};

/// The log, and every terminal somebody is logged in at.
pub fn everybody(text: &str) {
    tracing::error!("{text}");
    if let Err(error) = wall(text) {
        tracing::warn!("terminals could not be told: {error}");
    }
}

/// wall(1) leaves out who does not want to be told, and whose terminal does not take it.
fn wall(text: &str) -> std::io::Result<()> {
    let mut wall = Command::new("wall")
        .args(["--timeout", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut input) = wall.stdin.take() {
        writeln!(input, "homed: {text}")?;
    }
    wall.wait().map(drop)
}
