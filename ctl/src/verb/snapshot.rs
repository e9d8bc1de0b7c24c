//! `snapshot`: what a home was like, and having it so again.

use super::Outcome;
use super::repair::confirmed;
use crate::bus::{Failure, Question};
use crate::context::{Context, Json};
use crate::options::values::{show_moment, show_size};
use crate::verb::trust::visible;
use serde_json::Value;

/// What may be done, by the word for it; fewest and most words after that.
const ACTIONS: &[(&str, usize, usize, Action)] = &[
    ("list", 0, 0, list),
    ("make", 0, 1, make),
    ("show", 1, 2, show),
    ("restore", 1, 2, restore),
    ("delete", 1, usize::MAX, delete),
];

type Action = fn(&Context<'_>, &str, &[&str]) -> Outcome;

/// The words for what may be done.
pub fn actions() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|(word, ..)| *word)
}

/// `snapshot USER [list | make [LABEL] | show SNAPSHOT [FOLDER] | restore SNAPSHOT [PATH] | delete SNAPSHOT…]`
pub fn run(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    let (user, rest) = (words[0], words.get(1..).unwrap_or_default());
    let (action, rest) = rest.split_first().map_or(("list", rest), |(action, rest)| (*action, rest));
    let row = ACTIONS.iter().find(|row| row.0 == action);
    let Some((_, _, _, run)) = row.filter(|row| (row.1..=row.2).contains(&rest.len())) else {
        return Err(Failure::say(format!(
            "{action:?}, with {} words after it, is nothing that is done with snapshots. Nothing was changed. What is:\n  \
             homectl snapshot {user} [list | make [LABEL] | show SNAPSHOT [FOLDER] | restore SNAPSHOT [PATH] | delete \
             SNAPSHOT…]",
            rest.len()
        )));
    };
    ctx.start_agent();
    run(ctx, user, rest)
}

/// Asks, and shows the answer: as it is for programs, in words for people.
fn told(ctx: &Context<'_>, method: &str, question: Question<'_>, words: fn(&Value) -> String) -> Outcome {
    let report = ctx.daemon.own(method, question)?;
    let report = super::check::read(&report)?;
    ctx.say(&match ctx.settings.json {
        Json::Off => words(&report),
        form => form.write(&report),
    });
    Ok(0)
}

fn list(ctx: &Context<'_>, user: &str, _: &[&str]) -> Outcome {
    told(ctx, "ListSnapshots", Question::Name(user), listed)
}

fn make(ctx: &Context<'_>, user: &str, words: &[&str]) -> Outcome {
    let label = words.first().copied().unwrap_or_default();
    told(ctx, "MakeSnapshot", Question::Snapshot(user, label), |report| format!("{}\n", word(report, "name")))
}

fn show(ctx: &Context<'_>, user: &str, words: &[&str]) -> Outcome {
    let path = words.get(1).copied().unwrap_or_default();
    told(ctx, "ShowSnapshot", Question::InSnapshot(user, words[0], path), changes)
}

fn restore(ctx: &Context<'_>, user: &str, words: &[&str]) -> Outcome {
    let path = words.get(1).copied().unwrap_or_default();
    if path.is_empty() && !ctx.settings.yes {
        confirmed(
            ctx,
            "All of the home is to be as it was in that snapshot, from its next login on. As it is when it is closed, it is kept \
             as a snapshot. Do this? [y/N]",
        )?;
    }
    told(ctx, "RestoreSnapshot", Question::InSnapshot(user, words[0], path), restored)
}

fn delete(ctx: &Context<'_>, user: &str, words: &[&str]) -> Outcome {
    if !ctx.settings.yes {
        confirmed(ctx, &format!("Delete what only {} has? [y/N]", words.join(", ")))?;
    }
    super::each(ctx, words, |name| {
        told(ctx, "DeleteSnapshot", Question::Snapshot(user, name), |_| String::new()).map(drop)
    })
}

/// The snapshots there are, a line each.
pub fn listed(report: &Value) -> String {
    let rows = list_of(report, "snapshots");
    let mut text = String::new();
    for row in rows {
        let made = row["madeUSec"].as_u64().map(show_moment).unwrap_or_default();
        let open = if row["open"] == true { "  (open now, until the home is closed)" } else { "" };
        text.push_str(&format!("{:<48} {made}{open}\n", visible(word(row, "name"))));
    }
    if rows.is_empty() {
        text.push_str("No snapshots.\n");
    }
    let keep = |name: &str| report["keep"][name].as_u64().unwrap_or(0);
    let kept = (keep("hourly"), keep("daily"), keep("weekly"));
    if kept != (0, 0, 0) {
        text.push_str(&format!(
            "Kept by schedule: {} of hours, {} of days, {} of weeks.\n",
            kept.0, kept.1, kept.2
        ));
    }
    if report["waitsForReopening"] == true {
        text.push_str("All of the home was restored: that shows when it is closed and opened again.\n");
    }
    text
}

/// What has changed since.
pub fn changes(report: &Value) -> String {
    let mut text = String::new();
    for change in list_of(report, "changes") {
        text.push_str(&format!("{:<8} {}\n", word(change, "what"), visible(word(change, "path"))));
    }
    match report["more"].as_u64() {
        None | Some(0) => {}
        Some(more) => text.push_str(&format!("… and {more} more.\n")),
    }
    if text.is_empty() {
        text.push_str("Nothing has changed since.\n");
    }
    if let Some(bytes) = report["keepsAtMost"].as_u64().filter(|bytes| *bytes > 0) {
        text.push_str(&format!("{} at most are kept by this snapshot.\n", show_size(bytes)));
    }
    text
}

/// What came of a restore.
pub fn restored(report: &Value) -> String {
    let mut text = match report["former"].as_str() {
        Some(former) => format!(
            "Restored. It shows when the home is closed and opened again: log out. What it was is kept: {}\n",
            visible(former)
        ),
        None => format!("Restored: {}\n", visible(word(report, "path"))),
    };
    if let Some(kept) = report["keptAs"].as_str() {
        text.push_str(&format!("What was there is kept: {}\n", visible(kept)));
    }
    if let Some(left) = report["leftOut"].as_u64().filter(|left| *left > 0) {
        text.push_str(&format!(
            "Left out, for they are not the user's to read, sockets or devices: {left}\n"
        ));
    }
    text
}

fn list_of<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_files_do_nothing_to_the_terminal() {
        let report = json!({
            "changes": [{ "what": "gone", "path": "a\u{1b}[2Jb" }, { "what": "new", "path": "x" }],
            "more": 3, "keepsAtMost": 4096,
        });
        let text = changes(&report);
        assert!(
            !text.contains('\u{1b}') && text.contains("gone     a\\u{1b}[2Jb\nnew      x\n… and 3 more.\n"),
            "{text}"
        );
        let text = restored(&json!({ "path": "d/\u{1b}x", "keptAs": "d/x.before-NOW", "leftOut": 2 }));
        assert!(!text.contains('\u{1b}') && text.contains("kept: d/x.before-NOW") && text.ends_with(": 2\n"));
    }

    #[test]
    fn what_waits_for_the_next_login_is_told() {
        let report = json!({
            "snapshots": [{ "name": "20261127T043350Z.former", "madeUSec": 0, "open": true }],
            "keep": { "hourly": 2, "daily": 0, "weekly": 0 }, "waitsForReopening": true,
        });
        let text = listed(&report);
        for part in ["open now", "Kept by schedule: 2 of hours", "closed and opened again"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(listed(&json!({ "snapshots": [] })), "No snapshots.\n");
        assert!(restored(&json!({ "former": "x" })).contains("log out"));
    }
}
