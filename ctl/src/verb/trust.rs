//! `trust`: believes what a home's record claims that somebody has signed whom this machine does not know.

use super::Outcome;
use super::repair::confirmed;
use crate::bus::{Failure, Question};
use crate::context::Context;
use serde_json::{Map, Value};

/// `trust USER`
pub fn run(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    ctx.start_agent();
    let name = names[0];
    let report = ctx.daemon.own("DescribeTrust", Question::Name(name))?;
    let report: Value = serde_json::from_str(&report).map_err(|e| Failure::say(e.to_string()))?;
    let claims = members(&report, "claims");
    let accepted = members(&report, "accepted");
    if report["trust"] != "restricted" {
        ctx.asker
            .notice("The record of this home is believed: somebody has signed it whom this machine trusts.");
        return Ok(0);
    }
    if claims == accepted {
        ctx.asker.notice("All that the record of this home claims is believed.");
        return Ok(0);
    }
    ctx.say(&shown(name, &report));
    if !ctx.settings.yes {
        confirmed(ctx, "Believe this? [y/N]")?;
    }
    let claims = Value::Object(claims).to_string();
    ctx.daemon.own("TrustHome", Question::Claims(name, &claims)).map(|_| 0)
}

/// `distrust USER`
pub fn withdraw(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    ctx.start_agent();
    let name = names[0];
    let report = ctx.daemon.own("TrustHome", Question::Claims(name, "{}"))?;
    let report: Value = serde_json::from_str(&report).map_err(|e| Failure::say(e.to_string()))?;
    if report["trust"] != "restricted" {
        return Err(Failure::say(format!(
            "The record of {name} is believed for its signature, not for what was accepted. Nothing was changed. Not to trust \
             who has signed it: homectl list-signing-keys, homectl remove-signing-key"
        )));
    }
    Ok(0)
}

fn members(report: &Value, member: &str) -> Map<String, Value> {
    report[member].as_object().cloned().unwrap_or_default()
}

/// What is asked about, for people.
pub fn shown(name: &str, report: &Value) -> String {
    let signers: Vec<&str> =
        report["signers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = format!(
        "The record of {name} is signed by key {}, which this machine does not trust. It claims:\n",
        signers.join(", ")
    );
    let accepted = members(report, "accepted");
    for (member, value) in members(report, "claims") {
        let mark = if accepted.get(&member) == Some(&value) { "  (believed already)" } else { "" };
        text.push_str(&format!("  {}: {}{mark}\n", visible(&member), visible(&value.to_string())));
    }
    text
}

pub use records::visible::visible;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_shown_and_do_nothing_to_the_terminal() {
        let report = json!({
            "signers": ["0123"], "accepted": {"niceLevel": 1},
            "claims": {"memberOf": ["sudo", "x\u{9b}2J\u{202e}y\u{7f}\u{1b}[1m"], "niceLevel": 1},
        });
        let text = shown("alice", &report);
        assert!(
            text.contains("key 0123") && text.contains("memberOf") && text.contains("1  (believed already)")
        );
        assert!(!text.replace('\n', "").chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
}
