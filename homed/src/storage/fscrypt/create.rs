//! Making a home whose folder is encrypted: empty first, so that nothing of it is ever on the disk in the clear.

use super::lent::Lent;
use super::slot::{Guess, Slot, identifier};
use super::slots;
use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::storage::folder::make_plain;
use crate::storage::folder::temporary::{self, Purpose, Temporary};
use crate::storage::parts::bound;
use crate::storage::parts::size::Wish;
use crate::storage::parts::tree::{self, Ids};
use crate::storage::{HomeDirectory, NewHome, Spec};
use crate::sys::durable;
use crate::sys::fscrypt::{self, Folder, KEY, Name};
use records::{Refusal, Secret};
use std::os::fd::OwnedFd;

/// Makes it.
pub fn create(spec: &Spec, request: &mut NewHome<'_>, steps: &mut dyn Steps) -> Result<(), Failure> {
    let (around, name) = temporary::place(&spec.image)?;
    refuse_size(spec)?;
    refuse_folder(spec, &around)?;
    // As the original stores them: what the machine counts of a user's files is counted for them.
    let ids = Ids { stored: request.uid, exposed: request.uid };
    bound::refuse_unmapped(&around, ids)?;
    steps.enter(Step::Allocate)?;
    let volume_key = drawn()?;
    let identifier = identifier(&volume_key)?;
    // Taken back when all that is open below is closed.
    let lent;
    let mut new = Temporary::new(Purpose::New, &around, |name| make_plain(&around, name))?;
    // The folder names the key before the kernel has it: whoever comes after a kill takes it back by that.
    fscrypt::encrypt(new.directory(), identifier).during("encrypting the folder of the home")?;
    lent = Lent::give(&around, Name::Identifier(identifier), &volume_key)?;
    steps.enter(Step::AddKeys)?;
    add(new.directory(), &volume_key, request)?;
    tree::give(new.directory(), ids.stored)?;
    steps.enter(Step::Populate)?;
    let home = HomeDirectory::new(new.directory().try_clone().during("opening the new home")?)?;
    (request.fill)(&home, steps)?;
    home.set_mode(spec.access_mode)?;
    steps.enter(Step::Sync)?;
    durable::sync_file_system(&home).during("writing the home to disk")?;
    steps.enter(Step::Publish)?;
    new.publish(&name)?;
    drop((home, new));
    lent.take_back(steps)
}

fn add(directory: &OwnedFd, volume_key: &Secret, request: &NewHome<'_>) -> Result<(), Failure> {
    for (number, key) in (0..).zip(request.keys) {
        let is_random = request.random.iter().any(|random| random.matches(key.open()));
        let guess = if is_random { Guess::Cheap } else { Guess::Costly };
        slots::write(directory, number, &Slot::new(volume_key, key, guess)?)?;
    }
    Ok(())
}

fn drawn() -> Result<Secret, Failure> {
    let mut bytes = vec![0; KEY];
    let done = openssl::rand::rand_bytes(&mut bytes).during("drawing a key");
    let key = Secret::new(bytes);
    done.map(|()| key)
}

fn refuse_size(spec: &Spec) -> Result<(), Failure> {
    match spec.size {
        Wish::Unset => Ok(()),
        Wish::Bytes(_) | Wish::Share(_) => super::no_size(),
    }
}

/// Where no folder can be encrypted, or all are already, nothing is made.
fn refuse_folder(spec: &Spec, around: &OwnedFd) -> Result<(), Failure> {
    let place = spec.image.display();
    match fscrypt::folder(around).during("looking at the folder around the home")? {
        Folder::Plain => Ok(()),
        Folder::Encrypted(_) => refuse(
            Refusal::NotSupported,
            format!(
                "{place} would lie in a folder that is encrypted already, with a key of its own. Nothing was changed: choose \
                 another place (--image-path=), or --storage=directory."
            ),
        ),
        Folder::Impossible => refuse(
            Refusal::NotSupported,
            format!(
                "The file system of {place} does not encrypt folders (fscrypt). Nothing was changed. On ext4 an administrator \
                 allows it once (tune2fs -O encrypt, and the device), f2fs has to be made with it (mkfs.f2fs -O encrypt), and \
                 the kernel needs CONFIG_FS_ENCRYPTION; or choose --storage=luks."
            ),
        ),
    }
}
