//! From waking to a prompt that takes a key: on a machine with a screen, whose processor is computed.

use std::time::{Duration, Instant};

use anyhow::Result;
use machine::{Hardware, Image, Init, Machine, past_processor_faults};

use super::Daemon;
use super::figures::{Figures, Line, Unit};
use crate::prepare;

/// A home that is open.
const OPEN: &str = "export NEWPASSWORD=correcthorse PASSWORD=correcthorse
homectl create alice --disk-size=256M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 \
    --enforce-password-policy=no
homectl activate alice";

pub const LINES: &[Line] =
    &[Line::new("prompt", "waking until a prompt takes a key (computed PC)", Unit::Time)];

/// On a machine of its own; the original has no prompt.
pub fn measure(_machine: &Machine, daemon: Daemon) -> Result<Figures> {
    let mut figures = Figures::default();
    if daemon == Daemon::Original {
        return Ok(figures);
    }
    prepare::screen()?;
    figures.put("prompt", u64::try_from(past_processor_faults(once)?.as_micros())?);
    Ok(figures)
}

fn once() -> Result<Duration> {
    let settings = Machine::builder().image(Image::Ours).init(Init::Full).hardware(Hardware::Screen);
    let machine = settings.memory(768).start()?;
    machine.check(OPEN)?;
    machine.suspend()?;
    let begin = Instant::now();
    machine.wake()?;
    let screen = machine.screen()?;
    let front = screen.await_front(|front| front != "tty1")?;
    screen.press("x")?;
    screen.await_text(&front, "Password: *")?;
    Ok(begin.elapsed())
}
