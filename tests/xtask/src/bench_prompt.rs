//! From waking to a prompt that takes a key: on a machine with a screen, whose processor is computed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use machine::{Hardware, Image, Init, Machine};

use crate::prepare;

/// How often it is measured.
const RUNS: usize = 3;

/// A home that is open. The work areas of a compressor take longer to be overwritten than such a processor has.
const OPEN: &str = "export NEWPASSWORD=correcthorse PASSWORD=correcthorse
homectl create alice --disk-size=256M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 \
    --enforce-password-policy=no --luks-extra-mount-options=compress=none
homectl activate alice";

/// Prints the line.
pub fn print() -> Result<()> {
    prepare::screen()?;
    let machine =
        Machine::builder().image(Image::Ours).init(Init::Full).hardware(Hardware::Screen).start()?;
    machine.check(OPEN)?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        times.push(once(&machine)?);
    }
    times.sort_unstable();
    let median = times.get(RUNS / 2).context("it was measured")?;
    println!(
        "from waking to a prompt that takes a key: {:.1} s (a computed PC, {RUNS} runs)",
        median.as_secs_f32()
    );
    Ok(())
}

fn once(machine: &Machine) -> Result<Duration> {
    machine.suspend()?;
    let begin = Instant::now();
    machine.wake()?;
    let screen = machine.screen()?;
    let front = screen.await_front(|front| front != "tty1")?;
    screen.press("x")?;
    screen.await_text(&front, "Password: *")?;
    let took = begin.elapsed();
    screen.press("backspace")?;
    Ok(took)
}
