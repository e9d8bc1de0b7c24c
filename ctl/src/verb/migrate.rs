//! `adopt` and `register`: homes and records from elsewhere.

use super::{Outcome, each};
use crate::bus::{Failure, Order};
use crate::context::Context;
use crate::identity;
use records::Sections;

/// `adopt PATH…`
pub fn adopt(ctx: &Context<'_>, paths: &[&str]) -> Outcome {
    ctx.start_agent();
    each(ctx, paths, |path| {
        let absolute = std::fs::canonicalize(path).map_err(|e| Failure::say(format!("{path}: {e}")))?;
        let text = absolute.to_str().ok_or_else(|| Failure::say("the path is not UTF-8"))?;
        ctx.daemon.order("AdoptHome", Order::Flags(text, 0))
    })
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
