//! `cargo xtask check`: what needs no machine.

use anyhow::Result;

use crate::prepare;
use crate::steps::{self, Steps};

pub fn run(_: &[String]) -> Result<()> {
    prepare::everything()?;
    let mut steps = Steps::default();
    all(&mut steps);
    steps.summary()
}

/// Format, lints, unit tests.
pub fn all(steps: &mut Steps) {
    steps.step("format", || steps::line("cargo fmt --all --check"));
    steps.step("lints", || steps::line("cargo clippy --quiet --workspace --all-targets -- --deny warnings"));
    steps.step("unit tests", || {
        steps::line("cargo nextest run --workspace -E not(package(homed-tests))|binary(layering)")
    });
}
