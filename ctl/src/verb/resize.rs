//! `resize`: gives a home another size.

use super::{Outcome, remarks};
use crate::bus::{Failure, Order};
use crate::context::Context;
use crate::options::edit::wished;

/// Stands for the size the record has.
pub const AS_IN_RECORD: u64 = u64::MAX;

/// `resize USER [SIZE]`
pub fn run(ctx: &Context<'_>, arguments: &[&str]) -> Outcome {
    let size = match arguments.get(1) {
        None => AS_IN_RECORD,
        Some(text) if text.ends_with('%') => {
            return Err(Failure::say(
                "resize takes no percentage; for one there is: homectl update --disk-size=",
            ));
        }
        // The daemon says what is possible.
        Some(text) => wished(text).map_err(|why| Failure::say(format!("{text}: {why}")))?,
    };
    ctx.start_agent();
    let name = arguments[0];
    let talk = ctx.talk(name);
    talk.insist(&mut talk.ready(), |handed| {
        ctx.daemon.order("ResizeHome", Order::Size(name, size, &handed.argument))
    })?;
    remarks::on_size(ctx, name, size);
    Ok(0)
}
