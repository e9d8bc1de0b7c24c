//! Extended attributes of an image that say what goes on with it.

use crate::job::{Context, Failure};
use crate::sys::{blockdev, file};
use std::fs::File;
use std::io::ErrorKind;

/// Set to `1` while the image may be changed; still there after a crash.
pub const DIRTY: &str = "user.home-dirty";
/// A change of size that has begun: `FROM TO`, in bytes. Still there after a crash.
const RESIZE: &str = "user.home-resize";

/// A block device has no attributes that stay.
fn has_no_marks(image: &File) -> bool {
    blockdev::is_one(image).unwrap_or(false)
}

/// Marks the image as in use, durably.
pub fn set_dirty(image: &File) -> Result<(), Failure> {
    if has_no_marks(image) {
        return Ok(());
    }
    match file::set_attribute(image, DIRTY, b"1") {
        // A mark for the user's information is not worth a refused login.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ) =>
        {
            Ok(())
        }
        other => other.and_then(|()| image.sync_all()).during("marking the image as in use"),
    }
}

/// Takes the mark away, once everything in the image is on disk.
pub fn clear_dirty(image: &File) -> Result<(), Failure> {
    image.sync_all().during("writing the image to disk")?;
    if has_no_marks(image) {
        return Ok(());
    }
    file::remove_attribute(image, DIRTY)
        .or_else(|error| match error.kind() {
            ErrorKind::Unsupported => Ok(()),
            _ => Err(error),
        })
        .and_then(|()| image.sync_all())
        .during("marking the image as not in use")
}

/// Whether it is marked as in use.
pub fn is_dirty(image: &File) -> bool {
    matches!(file::attribute(image, DIRTY), Ok(Some(value)) if value == b"1")
}

/// A change of size that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// Bytes of the image before.
    pub from: u64,
    /// Bytes of the image after.
    pub to: u64,
}

/// Notes durably that a change of size begins. Where the file system knows no attributes the table and the length
/// of the file have to tell.
pub fn note_resize(image: &File, intent: Intent) -> Result<(), Failure> {
    let text = format!("{} {}", intent.from, intent.to);
    match file::set_attribute(image, RESIZE, text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        other => other.and_then(|()| image.sync_all()).during("noting the change of size"),
    }
}

/// The change of size that has begun and not ended.
pub fn unfinished_resize(image: &File) -> Option<Intent> {
    let value = file::attribute(image, RESIZE).ok()??;
    let (from, to) = std::str::from_utf8(&value).ok()?.split_once(' ')?;
    Some(Intent { from: from.parse().ok()?, to: to.parse().ok()? })
}

/// Takes the note away, once all of the change is on disk.
pub fn forget_resize(image: &File) -> Result<(), Failure> {
    file::remove_attribute(image, RESIZE)
        .or_else(|error| match error.kind() {
            ErrorKind::Unsupported => Ok(()),
            _ => Err(error),
        })
        .and_then(|()| image.sync_all())
        .during("noting the end of the change of size")
}
