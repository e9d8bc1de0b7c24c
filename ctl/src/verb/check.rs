//! `check`: what is right and wrong with homes, in words or as JSON.

use super::Outcome;
use crate::bus::{Failure, Question};
use crate::context::{Context, Json};
use records::Credentials;
use serde_json::{Value, json};

/// The exit code where a home could not be looked at.
pub const NOT_CHECKED: u8 = 3;

/// `check USER…`
pub fn run(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    ctx.start_agent();
    let mut code = 0;
    for name in names {
        let mut credentials = offered(ctx, name);
        let checked = ctx.talk(name).insist(&mut credentials, |handed| {
            ctx.daemon.own("CheckHome", Question::Secret(name, &handed.argument))
        });
        match checked.and_then(|text| read(&text)) {
            Ok(report) => {
                show(ctx, name, &report);
                code = code.max(exit_code(&report));
            }
            Err(failure) => {
                ctx.complain(&failure, name);
                code = code.max(NOT_CHECKED);
            }
        }
    }
    Ok(code)
}

/// What is offered: what is at hand, or typed; nothing typed is nothing.
pub fn offered(ctx: &Context<'_>, name: &str) -> Credentials {
    let mut credentials = ctx.talk(name).ready();
    if credentials.is_empty() && ctx.can_ask() {
        let question = format!("Password of {name} (none: only what needs none is looked at): ");
        // Nobody to ask is as good as none.
        let typed = ctx.asker.ask(&question).ok();
        credentials.passwords.extend(typed.filter(|typed| !typed.is_empty()));
    }
    credentials
}

/// A report, as the daemon gives it.
pub fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|e| Failure::say(format!("homed gave a report that cannot be read: {e}")))
}

/// Sound 0, wrong and usable 1, not usable 2.
pub fn exit_code(report: &Value) -> u8 {
    match report["severity"].as_str() {
        Some("sound" | "note") => 0,
        Some("wrong") => 1,
        _ => 2,
    }
}

/// Shows it, for people or for programs.
pub fn show(ctx: &Context<'_>, name: &str, report: &Value) {
    match ctx.settings.json {
        Json::Off => ctx.say(&text(name, report)),
        form => {
            let mut report = report.clone();
            report["userName"] = json!(name);
            ctx.say(&form.write(&report));
        }
    }
}

/// A report for people.
pub fn text(name: &str, report: &Value) -> String {
    let head = match report["severity"].as_str() {
        Some("sound") => "sound in every part",
        Some("note") => "nothing wrong was found; not all of it was looked at",
        Some("wrong") => "something is wrong, and the home opens all the same",
        _ => "broken: the home does not open, or not all of it",
    };
    let mut lines = vec![format!("{name}: {head}")];
    for finding in report["findings"].as_array().into_iter().flatten() {
        let of = |member: &str| finding[member].as_str().unwrap_or_default();
        let mark = match of("severity") {
            "sound" => "ok     ",
            "note" => "note   ",
            "wrong" => "WRONG  ",
            _ => "BROKEN ",
        };
        let detail = if of("detail").is_empty() { String::new() } else { format!(" ({})", of("detail")) };
        lines.push(format!("  {mark} {}{detail}", of("text")));
        if !of("advice").is_empty() {
            lines.push(format!("           {}", of("advice").replace("USER", name)));
        }
    }
    lines.join("\n") + "\n"
}
