//! Sessions that are all green, which nothing of ours is: whether one is seen.

use anyhow::{Result, bail};
use machine::{Picture, Screen};
use std::time::{Duration, Instant};

/// How long it may take to be painted on a processor that is computed.
const PATIENCE: Duration = Duration::from_secs(240);

/// Dots that are green.
pub fn green(picture: &Picture) -> usize {
    picture.dots().filter(|[red, green, blue]| *green > 100 && *red < 60 && *blue < 60).count()
}

/// Returns when the session is seen, where it may be.
pub fn until_green(screen: &Screen<'_>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let all = screen.look()?;
        if green(&all) > all.dots().count() / 2 {
            return Ok(());
        }
    }
    bail!("the session is not green")
}
