//! Images of homes on their way: the files at both ends of a talk ([`carry`]).
//!
//! ```text
//! /home/alice.home             locked while it is read: homed opens it for nobody
//! /home/.#carried-alice.home   what has arrived so far, locked; stays when the line breaks, for a month (homed takes it away)
//!                              whole → on disk → /home/alice.home → folder on disk
//! ```

mod arriving;
mod export;
mod identity;
mod image;
mod known;
pub mod partial;
mod progress;

pub use arriving::{Arriving, Place, Replace};
pub use export::Export;
pub use identity::Identity;
pub use image::Leaving;
pub use known::{elsewhere, is_another, is_the_one_sent, place};
pub use progress::Bar;

use crate::bus::Failure;

/// A failure of a talk, and what to do then.
pub fn explained(failure: &carry::Failure) -> Failure {
    let advice = match failure {
        carry::Failure::Refused(_) => "Nothing was changed there.",
        carry::Failure::Io { .. } | carry::Failure::Broken(_) => {
            "What has arrived is kept; run the same again, and it goes on from there."
        }
    };
    Failure::say(format!("{failure}. {advice}"))
}
