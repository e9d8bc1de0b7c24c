//! Making a home in a folder: it gets its name when it is whole and on disk.

use super::Variety;
use super::sizes::asked;
use super::temporary::{Purpose, Temporary};
use crate::job::{Context, Failure, Step, Steps};
use crate::storage::parts::bound;
use crate::storage::parts::tree::{self, Ids};
use crate::storage::{HomeDirectory, NewHome, Spec};
use crate::sys::durable;

/// Makes it.
pub fn create(
    spec: &Spec,
    variety: &'static dyn Variety,
    request: &mut NewHome<'_>,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    let (around, name) = super::temporary::place(&spec.image)?;
    if let Some(lacks) = variety.lacks(&around, spec)? {
        steps.warn(lacks);
    }
    let ids = Ids { stored: variety.stored(request.uid), exposed: request.uid };
    bound::refuse_unmapped(&around, ids)?;
    let limit = asked(variety, &around, spec)?;
    steps.enter(Step::Allocate)?;
    let mut new = Temporary::new(Purpose::New, &around, |name| variety.make(&around, name))?;
    if let Some((limits, bytes)) = limit {
        limits.limit(new.directory(), Some(bytes))?;
    }
    tree::give(new.directory(), ids.stored)?;
    steps.enter(Step::Populate)?;
    let home = HomeDirectory::new(new.directory().try_clone().during("opening the new home")?)?;
    (request.fill)(&home, steps)?;
    home.set_mode(spec.access_mode)?;
    steps.enter(Step::Sync)?;
    durable::sync_file_system(&home).during("writing the home to disk")?;
    steps.enter(Step::Publish)?;
    new.publish(&name)
}
