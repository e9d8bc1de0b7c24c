//! What the header says that devices are asked with. No key is needed for it, and nobody vouches for what it says.

use super::header::{self, HeaderCopy};
use super::opened::is_ours;
use super::record_token;
use crate::job::{Context, Failure};
use crate::storage::luks::spec::Spec;
use crate::storage::parts::image;
use records::questions::Question;

/// Reads it; none of an image that is another one than this machine knows, or a newer program's.
pub fn read(spec: &Spec) -> Result<Vec<Question>, Failure> {
    let image = image::open(&spec.image, image::Access::Read)?;
    let place = header::locate(&image, spec)?;
    let mut header = HeaderCopy::read(&image, &place, spec)?;
    let facts = header.luks.facts().during("reading the encryption header")?;
    if !is_ours(spec, &facts) || header.is_newer() {
        return Ok(Vec::new());
    }
    Ok(header.record_token().map_or_else(Vec::new, |token| record_token::asked(&token)))
}
