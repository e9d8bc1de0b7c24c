//! `repair` and `rescue`: mending a damaged home, or opening what is left of it.

use super::Outcome;
use super::check::{exit_code, offered, read, show};
use crate::bus::{Failure, Question};
use crate::context::{Context, Json};
use records::Credentials;
use serde_json::Value;

/// Flag of `RepairHome`: only say what would be done.
const DRY_RUN: u64 = 1;
/// Flag of `RepairHome`: the file system too.
const FILE_SYSTEM: u64 = 2;
/// Flag of `RepairHome`: the other machine that has marked the home as open has it not any more.
const CLOSED_ELSEWHERE: u64 = 4;

/// `repair USER`
pub fn repair(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    ctx.start_agent();
    let name = names[0];
    let mut credentials = offered(ctx, name);
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let settings = &ctx.settings;
    let wanted = flag(settings.file_system, FILE_SYSTEM) | flag(settings.closed_elsewhere, CLOSED_ELSEWHERE);
    let before = ask(ctx, name, &mut credentials, wanted | DRY_RUN)?;
    let plan = actions(&before);
    let will = plan.iter().any(|line| line.starts_with("It will"));
    if ctx.settings.dry_run || !will {
        show(ctx, name, &before);
        say_actions(ctx, &plan);
        if !will && plan.is_empty() && ctx.settings.json == Json::Off {
            ctx.asker.notice("There is nothing that could be repaired.");
        }
        return Ok(exit_code(&before));
    }
    if !ctx.settings.yes {
        show(ctx, name, &before);
        say_actions(ctx, &plan);
        confirmed(ctx, "Do this? [y/N]")?;
    }
    let after = ask(ctx, name, &mut credentials, wanted)?;
    say_actions(ctx, &actions(&after));
    show(ctx, name, &after);
    Ok(exit_code(&after))
}

fn ask(ctx: &Context<'_>, name: &str, credentials: &mut Credentials, flags: u64) -> Result<Value, Failure> {
    let text = ctx.talk(name).insist(credentials, |handed| {
        ctx.daemon.own("RepairHome", Question::Flags(name, &handed.argument, flags))
    })?;
    read(&text)
}

fn actions(report: &Value) -> Vec<String> {
    let lines = report["actions"].as_array().into_iter().flatten();
    lines.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Programs find them in the report.
fn say_actions(ctx: &Context<'_>, lines: &[String]) {
    if ctx.settings.json == Json::Off {
        lines.iter().for_each(|line| ctx.say(&format!("{line}\n")));
    }
}

/// Asks a person; an error where there is none, or it is not wanted.
pub fn confirmed(ctx: &Context<'_>, question: &str) -> Result<(), Failure> {
    if !ctx.can_ask() {
        return Err(Failure::say("Nothing was changed. To have it done without a question: --yes"));
    }
    ctx.asker.notice(question);
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::say("Nothing was changed.")),
    }
}

/// `rescue USER [DIRECTORY]`
pub fn rescue(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    let name = words[0];
    let directory = words.get(1).copied().unwrap_or_default();
    let talk = ctx.talk(name);
    let shown = talk.insist(&mut talk.ready(), |handed| {
        ctx.daemon.own("RescueHome", Question::Directory(name, &handed.argument, directory))
    })?;
    let close =
        if directory.is_empty() { format!("homectl deactivate {name}") } else { format!("umount {shown}") };
    ctx.asker.notice(&format!(
        "What is left of the home is open at {shown}, to be read only; nothing of it is changed.\n  \
         Copy what you need. To close it: {close}"
    ));
    Ok(0)
}
