//! `cargo xtask image`: the test machine's images.

use anyhow::Result;
use machine::Image;

use crate::prepare;

pub fn run(_: &[String]) -> Result<()> {
    prepare::machine()?;
    for image in [Image::Base, Image::Peer, Image::Ours] {
        match image.file() {
            Ok(path) => println!("{image:?}: {}", path.display()),
            // Without a package of ours the two others are still of use.
            Err(error) if image == Image::Ours => println!("{image:?}: not built: {error:#}"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
