//! `inspect`: all about homes, for people or as JSON.

use super::{Outcome, each};
use crate::bus::{Failure, Who};
use crate::context::{Context, Export, Json};
use crate::key_list;
use crate::record_text::{self, Details};
use records::{Record, Sections};

/// `inspect`, by default all homes for root and oneself for others.
pub fn run(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    if !names.is_empty() {
        return each_record(ctx, names);
    }
    let own = ctx.own_name();
    let all: Vec<String> = match own {
        Ok(name) if ctx.settings.uid != 0 => vec![name],
        _ => ctx.daemon.homes()?.into_iter().map(|home| home.name).collect(),
    };
    each_record(ctx, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn each_record(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    let mut first = true;
    each(ctx, names, |name| {
        if !std::mem::take(&mut first) && ctx.settings.json == Json::Off {
            ctx.say("\n");
        }
        one(ctx, name)
    })
}

fn one(ctx: &Context<'_>, name: &str) -> Result<(), Failure> {
    let who = name.parse().map_or(Who::Name(name), Who::Uid);
    let reply = ctx.daemon.record(who)?;
    let record = Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
    let record = match ctx.settings.details {
        Details::Shown if ctx.settings.export == Export::Full => key_list::with_keys(ctx, &record),
        _ => record,
    };
    match ctx.settings.json {
        Json::Off => ctx.say(&record_text::format(&record, &ctx.view())),
        form => ctx.say(&form.write(&exported(&record, ctx.settings.export))),
    }
    if reply.incomplete {
        ctx.asker.notice("Parts of this record are hidden from you: ask as root, or as the user.");
    }
    Ok(())
}

/// The record with what the export format leaves.
pub fn exported(record: &Record, export: Export) -> serde_json::Value {
    let mut members = match export {
        Export::Full => record.members().clone(),
        Export::Stripped => record.only(Sections::EMBEDDED).members().clone(),
        Export::Minimal => record.only(Sections::SIGNED).members().clone(),
    };
    members.remove("secret");
    serde_json::Value::Object(members)
}
