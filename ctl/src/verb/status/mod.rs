//! `status`: how things are with homes, on one screen; once, or for as long as somebody watches.

mod gather;
pub mod screen;

use super::Outcome;
use crate::context::{Context, Json, Watch};
use serde_json::Value;
use std::time::Duration;

/// How often it is looked at again for who watches.
const AGAIN: Duration = Duration::from_secs(2);
/// Goes to the top of a terminal and clears it: ECMA-48, CUP and ED.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// `status [USER…]`
pub fn run(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    let report = gather::report(ctx, names)?;
    match ctx.settings.watch {
        Watch::No => ctx.say(&written(ctx, &report)),
        Watch::Lines | Watch::Screen => watch(ctx, names, written(ctx, &report)),
    }
    Ok(0)
}

/// Shows it again whenever it has changed, until the program is ended.
fn watch(ctx: &Context<'_>, names: &[&str], first: String) {
    let mut shown = String::new();
    let mut now = first;
    loop {
        if now != shown {
            match ctx.settings.watch {
                Watch::Screen => ctx.say(&format!("{CLEAR}{now}")),
                Watch::Lines | Watch::No => ctx.say(&now),
            }
            shown = now;
        }
        (ctx.pause)(AGAIN);
        now = match gather::report(ctx, names) {
            Ok(report) => written(ctx, &report),
            // It may be started again while somebody watches.
            Err(failure) => {
                let asked = crate::hint::Asked { verb: ctx.verb, what: "" };
                written(ctx, &serde_json::json!({ "error": crate::hint::explain(&failure, asked) }))
            }
        };
    }
}

fn written(ctx: &Context<'_>, report: &Value) -> String {
    match ctx.settings.json {
        Json::Off => screen::text(report, ctx.settings.paint),
        form => form.write(report),
    }
}
