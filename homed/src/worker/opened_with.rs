//! Notes which device has opened a home, before anybody can use it: who pulls it out may want the home locked
//! (`lockOnTokenRemoval`). The daemon looks at the notes whenever udev tells of anything.

use super::{heal, notes};
use crate::job::{Context, Failure, Job, Steps, refuse};
use crate::statedir::opened_with::{self, Plugged, Wish};
use crate::storage::Opened;
use crate::token::Offer;
use crate::token::opener::{Opener, opener};
use records::{Record, Refusal, Secret};
use std::fs;

/// What has opened the home is noted, or that it was no device, and what the record in force wants. Refused where the device is gone already: nobody would lock the home.
pub fn note(
    (job, record): (&Job, &Record),
    (offer, keys): (&Offer<'_>, &[Secret]),
    opened: &mut dyn Opened,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    let user = job.record.user();
    let used = match heal::vault(opened) {
        Ok(vault) => keys.get(vault.key()),
        // Storage without a key has nothing that could be locked.
        Err(_) => None,
    };
    let wanted = record.on(&job.machine).lock_on_token_removal == Some(true);
    match used.map_or(Opener::Typed, |key| opener(offer, key)) {
        Opener::Device(path) => match Plugged::at(&path) {
            Some(device) => match put(job, &device, if wanted { Wish::Lock } else { Wish::Nothing }) {
                Err(failure) if !wanted => {
                    steps.warn(format!("That the token is pulled out will not be seen: {}", failure.text()));
                    Ok(())
                }
                done => done,
            },
            None if wanted => refuse(
                Refusal::BadPasswordAndNoToken,
                "The security token was pulled out before the home was open, which is to be locked then.",
            ),
            None => forget(job),
        },
        Opener::Somewhere => {
            if wanted {
                steps.warn(format!(
                    "That the smart card is pulled out will not be seen, and the home of {user} not locked then: there is no \
                     reader of smart cards on USB, or more than one."
                ));
            }
            forget(job)
        }
        Opener::Typed => forget(job),
    }
}

/// The home is locked or closed: nobody has to watch what has opened it. A note that stays is about a home that is locked enough.
pub fn closed(job: &Job) {
    let _ = opened_with::forget(job.record.user());
}

fn put(job: &Job, device: &Plugged, wish: Wish) -> Result<(), Failure> {
    fs::create_dir_all(opened_with::FOLDER).during("making the folder for notes about tokens")?;
    notes::put(&opened_with::path(job.record.user()), &device.text(wish)).during("noting the token")
}

fn forget(job: &Job) -> Result<(), Failure> {
    opened_with::forget(job.record.user()).during("removing the note about a token")
}
