//! `inhibit-lock`, `inhibitors`: homes that are left out of the locks nobody asks for by name.

use super::Outcome;
use super::with::run_command;
use crate::bus::{Failure, Inhibitor};
use crate::context::{Context, Json, Legend};
use crate::options::values::{show_moment, show_span};
use comfy_table::{Table, presets};
use serde_json::json;
use std::time::Duration;

/// `inhibit-lock USER [COMMAND…]`: as long as the command runs, or until the time is over where there is none.
pub fn run(ctx: &Context<'_>, arguments: &[&str]) -> Outcome {
    let name = arguments[0];
    let (Some(why), Some(usec)) = (&ctx.settings.why, ctx.settings.for_usec) else {
        return Err(Failure::say(
            "Say why and for how long. Nothing was changed. For instance:\n  \
             homectl inhibit-lock USER --why='a copy at night' --for=4h -- rsync …",
        ));
    };
    ctx.start_agent();
    let words = &arguments[1..];
    let who = words.first().copied().unwrap_or("homectl");
    let held = ctx.daemon.inhibit(name, who, why, usec)?;
    let end = show_moment(ctx.now_usec.saturating_add(usec));
    ctx.asker.notice(&format!(
        "{name}: the home stays open, also while the machine sleeps, for {} at most (until {end}).",
        show_span(usec)
    ));
    let code = match words {
        [] => {
            (ctx.pause)(Duration::from_micros(usec));
            0
        }
        words => run_command(ctx, words, None),
    };
    drop(held);
    Ok(code)
}

/// `inhibitors`
pub fn list(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    let mut all = ctx.daemon.inhibitors()?;
    all.sort_by(|a, b| (&a.user, a.until_usec).cmp(&(&b.user, b.until_usec)));
    match ctx.settings.json {
        Json::Off => ctx.say(&table(&all, ctx.settings.legend)),
        form => ctx.say(&form.write(&all.iter().map(row).collect())),
    }
    Ok(0)
}

fn row(one: &Inhibitor) -> serde_json::Value {
    json!({
        "userName": one.user, "who": one.who, "uid": one.uid, "pid": one.pid, "why": one.why,
        "untilUSec": one.until_usec,
    })
}

/// The table with its footer.
pub fn table(all: &[Inhibitor], legend: Legend) -> String {
    let footer = match all.len() {
        0 => "No home is left out of locks.\n".to_owned(),
        1 => "\n1 inhibitor listed.\n".to_owned(),
        n => format!("\n{n} inhibitors listed.\n"),
    };
    let mut text = String::new();
    if !all.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if legend == Legend::Shown {
            table.set_header(["HOME", "WHO", "UID", "PID", "UNTIL", "WHY"]);
        }
        for one in all {
            let (uid, pid) = (one.uid.to_string(), one.pid.to_string());
            table.add_row([&one.user, &one.who, &uid, &pid, &show_moment(one.until_usec), &one.why]);
        }
        for line in table.to_string().lines() {
            text.push_str(line.trim());
            text.push('\n');
        }
    }
    if legend == Legend::Shown { text + &footer } else { text }
}
