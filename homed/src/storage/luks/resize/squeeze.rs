//! Making the file system smaller, as far as what is in it allows. What that is, only the attempt tells: free space
//! is not where it would have to be.

use super::plan::{Facts, Goal, Limits, Unfit};
use super::{Layers, unfit_for};
use crate::job::{Context, Failure, Size, Step, Steps};
use crate::storage::parts::image;
use crate::storage::parts::size::MIB;
use crate::sys::{durable, filesystem};

/// How often another size is tried where the smallest possible is wanted.
const TRIES: u32 = 8;

/// Shrinks the file system so that the image can have `to` bytes. A size that was asked for exactly is had or
/// refused; else the smallest that was found to be possible follows.
pub fn file_system(
    layers: &Layers<'_>,
    facts: &Facts,
    (to, wish): (u64, Size),
    steps: &mut dyn Steps,
) -> Result<Goal, Failure> {
    let tries = if matches!(wish, Size::Exactly(_)) { 0 } else { TRIES };
    let mut attempt = |size: u64| {
        steps.enter(Step::ShrinkFileSystem)?;
        match filesystem::resize_btrfs(&layers.directory, facts.data(size)) {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(Fits::No),
            other => other.map(|()| Fits::Yes).during("shrinking the file system"),
        }
    };
    match search(to, facts.size, tries, &mut attempt)? {
        Some(size) => {
            durable::sync_file_system(&layers.directory).during("writing the file system to disk")?;
            Ok(Goal::Shrink(size))
        }
        None => {
            image::forget_resize(layers.image)?;
            if tries > 0 {
                return Ok(Goal::Stay);
            }
            unfit_for(Unfit::TooSmall, Limits { least: to + MIB, ..facts.limits() }, layers.snapshots())
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fits {
    Yes,
    No,
}

/// The smallest size from `least` on, below `size`, that fits, found in so many tries after the first.
fn search<E>(
    least: u64,
    size: u64,
    tries: u32,
    attempt: &mut impl FnMut(u64) -> Result<Fits, E>,
) -> Result<Option<u64>, E> {
    if attempt(least)? == Fits::Yes {
        return Ok(Some(least));
    }
    let (mut too_small, mut fits) = (least, None);
    for _ in 0..tries {
        let upper = fits.unwrap_or(size);
        let middle = (too_small + (upper - too_small) / 2) / MIB * MIB;
        if middle <= too_small || middle >= upper {
            break;
        }
        match attempt(middle)? {
            Fits::Yes => fits = Some(middle),
            Fits::No => too_small = middle,
        }
    }
    Ok(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(least: u64, size: u64, tries: u32, truth: u64) -> Option<u64> {
        let attempt =
            &mut |bytes| Ok::<_, std::io::Error>(if bytes >= truth * MIB { Fits::Yes } else { Fits::No });
        search(least * MIB, size * MIB, tries, attempt).expect("no error").map(|bytes| bytes / MIB)
    }

    #[test]
    fn the_smallest_that_fits_is_approached() {
        assert_eq!(found(100, 1000, 6, 100), Some(100));
        assert_eq!(found(100, 1000, 0, 101), None);
        assert_eq!(found(100, 1000, 6, 1000), None);
        let near = found(100, 1000, 6, 500).expect("found");
        assert!((500..=515).contains(&near), "{near}");
        assert_eq!(found(100, 102, 6, 101), Some(101));
    }
}
