//! `cargo xtask test`: every test.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use machine::Image;

use crate::steps::{Steps, project};
use crate::{check, find, prepare, runner};

/// Words after `test` go to the test runner of the machine tests: a part of a test's name, for one.
pub fn run(words: &[String]) -> Result<()> {
    prepare::everything()?;
    let mut steps = Steps::default();
    check::all(&mut steps);
    let mut images = vec![Image::Base, Image::Peer];
    if let Some(deb) = find("deb") {
        steps.step("package", || (deb.run)(&["--quick".to_owned()]));
        images.push(Image::Ours);
    }
    steps.step("firmware of a security key", firmware);
    steps.step("images", || images.iter().try_for_each(|image| image.file().map(drop)));
    steps.step("machine tests", || {
        // The slow ones are named again at the end.
        let fixed = "nextest run --profile whole --package homed-tests --final-status-level slow";
        let fixed: Vec<_> = fixed.split(' ').map(str::to_owned).collect();
        runner::run(fixed.iter().chain(words))
    });
    steps.summary()
}

/// Builds it, which takes a minute the first time: the test that wants it looks whether it is as it should be, and has no such time.
fn firmware() -> Result<()> {
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--target-dir", "target"])
        .current_dir(project().join("tests/firmkey"))
        .status()
        .context("cannot start cargo")?;
    ensure!(built.success(), "the key was not built: {built}");
    Ok(())
}
