//! `adopt` and `register`: homes and records from elsewhere.

use super::{Outcome, each};
use crate::bus::{Failure, Order};
use crate::context::Context;
use crate::identity;
use records::{Sections, opener};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// How a LUKS header begins.
const HEADER: &[u8; 6] = b"LUKS\xba\xbe";

/// `adopt PATH…`
pub fn adopt(ctx: &Context<'_>, paths: &[&str]) -> Outcome {
    ctx.start_agent();
    each(ctx, paths, |path| {
        let absolute = std::fs::canonicalize(path).map_err(|e| Failure::say(format!("{path}: {e}")))?;
        let text = absolute.to_str().ok_or_else(|| Failure::say("the path is not UTF-8"))?;
        ctx.daemon.order("AdoptHome", Order::Flags(text, 0))?;
        if has_no_mark(&absolute) {
            ctx.asker.notice(opener::NO_ROOM);
        }
        Ok(())
    })
}

/// Whether what was made known has no room for the mark that it is open: a device, or an image that begins with an encryption
/// header. What cannot be read is not known to be one.
fn has_no_mark(path: &Path) -> bool {
    let Ok(facts) = path.metadata() else { return false };
    let begins = || {
        let mut begin = [0; HEADER.len()];
        File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == *HEADER
    };
    facts.file_type().is_block_device() || facts.is_file() && begins()
}

/// `register [FILE…]`: standard input where no file is named.
pub fn register(ctx: &Context<'_>, files: &[&str]) -> Outcome {
    ctx.start_agent();
    let identity = ctx.settings.identity.as_deref();
    match (files, identity) {
        ([], None) => each(ctx, &["-"], |file| register_one(ctx, file)),
        ([], Some(file)) => each(ctx, &[file], |file| register_one(ctx, file)),
        (_, Some(_)) => Err(Failure::say("either --identity= or files, not both")),
        (files, None) if files.len() > 1 && files.contains(&"-") => Err(Failure::say("- must be alone")),
        (files, None) => each(ctx, files, |file| register_one(ctx, file)),
    }
}

fn register_one(ctx: &Context<'_>, file: &str) -> Result<(), Failure> {
    // What the daemon strips anyway need not cross the bus, a secret least of all.
    let record = identity::read(file)?.record;
    ctx.daemon.order("RegisterHome", Order::Text(&record.only(Sections::EMBEDDED).to_compact()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_mark_is_told() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let image = folder.path().join("alice.home");
        std::fs::write(&image, [&HEADER[..], &[0, 2]].concat()).expect("written");
        assert!(has_no_mark(&image));
        std::fs::write(&image, [0; 512]).expect("written");
        assert!(
            !has_no_mark(&image) && !has_no_mark(folder.path()) && !has_no_mark(&folder.path().join("none"))
        );
    }
}
