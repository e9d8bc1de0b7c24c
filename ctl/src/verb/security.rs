//! `security`: what weakens locks on this machine, and what became of the last ones.

use super::Outcome;
use crate::bus::Failure;
use crate::context::{Context, Json};
use crate::options::values::{show_moment, show_span};
use serde_json::Value;

/// `security`
pub fn run(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    let report: Value =
        serde_json::from_str(&ctx.daemon.security()?).map_err(|e| Failure::say(e.to_string()))?;
    match ctx.settings.json {
        Json::Off => ctx.say(&text(&report)),
        form => ctx.say(&form.write(&report)),
    }
    Ok(0)
}

/// The report for people.
pub fn text(report: &Value) -> String {
    let mut out = String::new();
    let weaknesses = list(report, "weaknesses");
    if weaknesses.is_empty() {
        out.push_str("Nothing on this machine is known to weaken locks.\n");
    }
    for weakness in weaknesses {
        let mark = match word(weakness, "weight") {
            "key" => "!!",
            "data" => "! ",
            _ => "- ",
        };
        out.push_str(&format!("{mark} {}\n     {}\n", word(weakness, "what"), word(weakness, "advice")));
    }
    let homes = list(report, "homes");
    if !homes.is_empty() {
        out.push_str("\nHomes:\n");
        homes.iter().for_each(|home| out.push_str(&format!("   {}\n", of_home(home))));
    }
    for one in list(report, "inhibitors") {
        let until = one["untilUSec"].as_u64().map(show_moment).unwrap_or_default();
        out.push_str(&format!(
            "!! {} is left open at sleep until {until} by {}: {}\n",
            word(one, "userName"),
            word(one, "who"),
            word(one, "why")
        ));
    }
    if let Some(sleep) = report["lastOpenSleep"].as_object() {
        let users: Vec<&str> =
            sleep["userNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        out.push_str(&format!(
            "!! The machine slept for {} with open homes ({}); it woke at {}.\n",
            show_span(sleep["sleptUSec"].as_u64().unwrap_or(0) / 1_000_000 * 1_000_000),
            users.join(", "),
            sleep["wokeUSec"].as_u64().map(show_moment).unwrap_or_default()
        ));
    }
    out
}

fn of_home(home: &Value) -> String {
    let (name, state) = (word(home, "userName"), word(home, "state"));
    if home["lockable"] == Value::Bool(false) {
        return format!("{name} ({state}): this kind of storage cannot be locked");
    }
    let last = &home["lastLock"];
    let Some(checked) = last["checkedUSec"].as_u64().map(show_moment) else {
        return format!("{name} ({state}): not locked since homed was started");
    };
    let reasons: Vec<&str> = list(last, "reasons").iter().filter_map(Value::as_str).collect();
    match word(last, "verdict") {
        "proven" => format!("{name} ({state}): last lock: key absent, checked {checked}"),
        "unproven" => {
            format!(
                "{name} ({state}): last lock: key not found, not proven, checked {checked}: {}",
                reasons.join("; ")
            )
        }
        _ => format!(
            "{name} ({state}): last lock: KEY STILL IN MEMORY, checked {checked}: {}",
            reasons.join("; ")
        ),
    }
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}
