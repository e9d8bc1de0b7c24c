//! `cargo xtask test`: every test.

use anyhow::Result;
use machine::Image;

use crate::steps::Steps;
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
    steps.step("images", || images.iter().try_for_each(|image| image.file().map(drop)));
    steps.step("machine tests", || {
        // The slow ones are named again at the end.
        let fixed = "nextest run --profile whole --package homed-tests --final-status-level slow";
        let fixed: Vec<_> = fixed.split(' ').map(str::to_owned).collect();
        runner::run(fixed.iter().chain(words))
    });
    steps.summary()
}
