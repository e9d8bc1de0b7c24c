//! What `status` tells, for people: a block of lines for each home, and one for the machine.

use crate::context::Paint;
use crate::options::values::{show_moment, show_size, show_span};
use crate::verb::trust::visible;
use serde_json::Value;

/// What opens a home, by the names of the data, and as people call one and several.
const KEYS: [(&str, &str, &str); 5] = [
    ("passwords", "password", "passwords"),
    ("securityKeys", "security key", "security keys"),
    ("smartCards", "smart card", "smart cards"),
    ("machinePins", "TPM PIN", "TPM PINs"),
    ("recoveryKeys", "recovery key", "recovery keys"),
];
/// Room for what a line is about.
const LABEL: usize = 12;

/// The whole screen.
pub fn text(report: &Value, paint: Paint) -> String {
    if let Some(error) = report["error"].as_str() {
        return format!("{error}\n");
    }
    let mut out = String::new();
    for home in list(&report["homes"]) {
        block(&mut out, home, report, paint);
        out.push('\n');
    }
    if list(&report["homes"]).is_empty() {
        out.push_str("No home areas.\n\n");
    }
    machine(&mut out, report);
    arriving(&mut out, list(&report["arriving"]));
    out
}

/// One home: a title, and a line for each thing there is to tell.
fn block(out: &mut String, home: &Value, report: &Value, paint: Paint) {
    let (name, real_name, state) = (word(home, "userName"), word(home, "realName"), word(home, "state"));
    let called = if real_name == name { String::new() } else { format!("  {}", visible(real_name)) };
    out.push_str(&format!("{} {name}{called}: {}\n", dot(state), paint.state(state)));
    let lines = [
        ("Restored", restored(name, &home["restoring"])),
        ("Space", space(&home["space"])),
        ("Snapshots", snapshots(&home["snapshots"])),
        ("Sessions", sessions(list(&home["sessions"]))),
        ("Opens by", keys(&home["opensBy"])),
        ("Last lock", last_lock(home)),
        ("Left open", left_open(name, list(&report["inhibitors"]))),
        ("Trust", trust(home)),
    ];
    for (label, said) in lines.into_iter().filter_map(|(label, said)| Some((label, said?))) {
        out.push_str(&format!("{label:>LABEL$}: {said}\n"));
    }
}

/// A mark for who only glances at it: full is open, half is locked, empty is closed.
fn dot(state: &str) -> char {
    match state {
        "active" | "lingering" => '●',
        "locked" => '◐',
        _ => '○',
    }
}

/// Its user may log in, and miss what is not there yet.
fn restored(name: &str, restoring: &Value) -> Option<String> {
    let time = visible(restoring["time"].as_str()?);
    Some(format!(
        "in part: not all of the backup of {time} is in it. To go on: homectl backup {name} restore"
    ))
}

fn space(space: &Value) -> Option<String> {
    let figure = |name: &str| space[name].as_u64();
    let parts = [
        figure("used").map(|used| format!("{} used", show_size(used))),
        figure("free").map(|free| format!("{} free", show_size(free))),
        figure("size").map(|size| format!("of {}", show_size(size))),
        figure("ceiling").map(|ceiling| format!("could grow to {}", show_size(ceiling))),
    ];
    joined(parts.into_iter().flatten())
}

fn snapshots(kept: &Value) -> Option<String> {
    let count = kept["count"].as_u64()?;
    let moment = |name: &str| kept[name].as_u64().map(show_moment).unwrap_or_default();
    let all = match count {
        0 => "none".to_owned(),
        1 => format!("1, made {}", moment("newestUSec")),
        count => {
            format!("{count}, the last made {}, the first {}", moment("newestUSec"), moment("oldestUSec"))
        }
    };
    let waits = kept["waitsForReopening"] == true;
    Some(if waits { format!("{all}; restored, shows when the home is opened again") } else { all })
}

fn sessions(all: &[Value]) -> Option<String> {
    joined(all.iter().map(|session| {
        let place = match (word(session, "remoteHost"), word(session, "tty"), word(session, "seat")) {
            ("", "", "") => String::new(),
            ("", "", seat) => format!(" at {seat}"),
            ("", tty, _) => format!(" on {tty}"),
            (host, ..) => format!(" from {}", visible(host)),
        };
        let by = match word(session, "service") {
            "" => String::new(),
            service => format!(" ({})", visible(service)),
        };
        format!("{}{place}{by}", word(session, "id"))
    }))
}

fn keys(counts: &Value) -> Option<String> {
    joined(KEYS.iter().filter_map(|(name, one, several)| match counts[*name].as_u64()? {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {several}")),
    }))
}

fn last_lock(home: &Value) -> Option<String> {
    if home["lockable"] == Value::Bool(false) {
        return Some("this kind of storage cannot be locked".to_owned());
    }
    let last = &home["lastLock"];
    let checked = last["checkedUSec"].as_u64().map(show_moment)?;
    let reasons = list(&last["reasons"]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ");
    Some(match word(last, "verdict") {
        "proven" => format!("{checked}, its key was not in memory"),
        "unproven" => format!("{checked}, its key was not found in memory, but: {reasons}"),
        _ => format!("{checked}, ITS KEY STAYED IN MEMORY: {reasons}"),
    })
}

fn left_open(name: &str, inhibitors: &[Value]) -> Option<String> {
    let own = inhibitors.iter().filter(|one| word(one, "userName") == name);
    joined(own.map(|one| {
        let until = one["untilUSec"].as_u64().map(show_moment).unwrap_or_default();
        format!("at sleep, until {until}, by {} ({})", visible(word(one, "who")), visible(word(one, "why")))
    }))
}

fn trust(home: &Value) -> Option<String> {
    let word = home["trust"].as_str()?;
    Some(format!("{word}: signed by a stranger (homectl trust {})", self::word(home, "userName")))
}

/// What concerns all homes.
fn machine(out: &mut String, report: &Value) {
    let weak = list(&report["weaknesses"]).len();
    out.push_str(&match weak {
        0 => "Nothing on this machine is known to weaken locks.\n".to_owned(),
        1 => "One thing on this machine weakens locks: homectl security\n".to_owned(),
        n => format!("{n} things on this machine weaken locks: homectl security\n"),
    });
    if let Some(sleep) = report["lastOpenSleep"].as_object() {
        let users: Vec<&str> =
            sleep.get("userNames").map(list).into_iter().flatten().filter_map(Value::as_str).collect();
        let usec = |name: &str| sleep.get(name).and_then(Value::as_u64);
        out.push_str(&format!(
            "It slept for {} while homes were open ({}), and woke at {}.\n",
            show_span(usec("sleptUSec").unwrap_or(0) / 1_000_000 * 1_000_000),
            users.join(", "),
            usec("wokeUSec").map(show_moment).unwrap_or_default()
        ));
    }
}

/// Homes whose line broke before they were whole.
fn arriving(out: &mut String, parts: &[Value]) {
    for part in parts {
        let figure = |name: &str| part[name].as_u64().unwrap_or(0);
        out.push_str(&format!(
            "The home of {} has not arrived whole ({} of {}, last at {}). Sent again, it goes on; a month later it is \
             removed, or now: rm '{}'\n",
            visible(word(part, "userName")),
            show_size(figure("arrived")),
            show_size(figure("size")),
            show_moment(figure("lastUSec")),
            visible(word(part, "path")),
        ));
    }
}

fn joined(parts: impl Iterator<Item = String>) -> Option<String> {
    let text = parts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { None } else { Some(text) }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}
