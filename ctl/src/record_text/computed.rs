//! The lines that are more than one member's value.

use super::{Shown, plain, yes_no};
use crate::context::Paint;
use crate::options::values::{show_moment, show_size, show_span};
use crate::verb::trust::visible;
use records::account::{LoginVerdict, PasswordVerdict, login_verdict, password_verdict};
use records::own_changes;
use serde_json::Value;
use std::collections::BTreeSet;

const GIB: u64 = 1 << 30;

fn line(text: impl Into<String>) -> Vec<String> {
    vec![text.into()]
}

pub fn name(shown: &Shown<'_>) -> Vec<String> {
    line(shown.record.full_name().to_string())
}

pub fn state(shown: &Shown<'_>) -> Vec<String> {
    shown.text("state").map(|state| shown.view.paint.state(state)).into_iter().collect()
}

pub fn disposition(shown: &Shown<'_>) -> Vec<String> {
    line(shown.text("disposition").unwrap_or("regular"))
}

pub fn login(shown: &Shown<'_>) -> Vec<String> {
    let verdict = match login_verdict(&shown.settings, shown.view.now_usec) {
        LoginVerdict::Locked => "no (record is locked)",
        LoginVerdict::NotYet => "no (record not valid yet)",
        LoginVerdict::NoLonger => "no (record not valid anymore)",
        LoginVerdict::Allowed if shown.settings.effective_shell().ends_with("/nologin") => {
            "no (nologin shell set)"
        }
        LoginVerdict::Allowed if wait(shown).is_some() => "no (ratelimit)",
        LoginVerdict::Allowed => "yes",
    };
    line(verdict)
}

pub fn password(shown: &Shown<'_>) -> Vec<String> {
    line(match password_verdict(&shown.settings, shown.view.now_usec) {
        PasswordVerdict::Fine => "yes".to_owned(),
        PasswordVerdict::ChangeNow => "no (change now)".to_owned(),
        PasswordVerdict::Expired => "no (expired, change now)".to_owned(),
        PasswordVerdict::ExpiredForGood => "no (expired, must be reset by an administrator)".to_owned(),
        PasswordVerdict::ExpiresSoon(usec) => format!("yes (expires in {})", show_span(usec)),
        PasswordVerdict::ChangeNotPermitted => "yes (change not permitted currently)".to_owned(),
        PasswordVerdict::NoTimestamp => "no (no timestamp)".to_owned(),
        PasswordVerdict::ClockWrong => "yes (changed in the future: is the clock right?)".to_owned(),
    })
}

/// Of a record that nobody has signed whom this machine trusts: how far it is believed.
pub fn trust(shown: &Shown<'_>) -> Vec<String> {
    let Some(trust) = shown.text("trust") else { return Vec::new() };
    let status = shown.record.members().get("status").and_then(|all| all.get(shown.view.machine.id.as_str()));
    let list = |name: &str| {
        let list = status.and_then(|status| status.get(name)?.as_array());
        list.into_iter().flatten().map(|one| visible(&plain(one))).collect::<Vec<_>>().join(", ")
    };
    let mut lines =
        line(format!("{trust} (signed by {}, whom this machine does not trust)", list("signers")));
    let not_yet = list("notBelieved");
    if !not_yet.is_empty() {
        lines.push(format!("not believed: {not_yet} (homectl trust)"));
    }
    lines
}

pub fn uid(shown: &Shown<'_>) -> Vec<String> {
    line(shown.number("uid").map_or("none".to_owned(), |uid| uid.to_string()))
}

pub fn gid(shown: &Shown<'_>) -> Vec<String> {
    let gid = shown.number("gid").or_else(|| shown.number("uid"));
    line(match gid {
        Some(gid) if Some(gid) == shown.number("uid") => format!("{gid} ({})", shown.record.user()),
        Some(gid) => gid.to_string(),
        None => "none".to_owned(),
    })
}

pub fn real_name(shown: &Shown<'_>) -> Vec<String> {
    let name = shown.text("realName").filter(|name| *name != shown.record.user().as_str());
    name.map(str::to_owned).into_iter().collect()
}

/// The shell and home in force while the home is closed, where homed gives other ones than the record.
fn fallback(shown: &Shown<'_>, member: &str) -> Option<String> {
    let used = shown.flag("useFallback") == Some(true);
    shown.text(member).filter(|_| used).map(|value| format!("{value} (fallback)"))
}

pub fn directory(shown: &Shown<'_>) -> Vec<String> {
    line(
        fallback(shown, "fallbackHomeDirectory").unwrap_or_else(|| shown.settings.effective_home_directory()),
    )
}

pub fn shell(shown: &Shown<'_>) -> Vec<String> {
    line(fallback(shown, "fallbackShell").unwrap_or_else(|| shown.settings.effective_shell().to_owned()))
}

pub fn blobs(shown: &Shown<'_>) -> Vec<String> {
    let Some(folder) = shown.text("blobDirectory") else { return Vec::new() };
    let mut lines = line(folder);
    let manifest = shown.value("blobManifest").and_then(Value::as_object);
    let files: Vec<_> = manifest.into_iter().flatten().collect();
    for (at, (name, hash)) in files.iter().enumerate() {
        let branch = if at + 1 == files.len() { "└─" } else { "├─" };
        lines.push(format!("{branch} {name} ({})", plain(hash)));
    }
    lines
}

fn own(shown: &Shown<'_>, list: &str, default: &[&str]) -> Vec<String> {
    let named = shown.record.members().get(list).and_then(Value::as_array);
    match named {
        // Nothing at all may be changed.
        Some(names) if names.is_empty() => line("none"),
        Some(names) => names.iter().map(plain).collect(),
        None => default.iter().map(|&name| name.to_owned()).collect(),
    }
}

pub fn own_fields(shown: &Shown<'_>) -> Vec<String> {
    own(shown, "selfModifiableFields", own_changes::FIELDS)
}

pub fn own_blobs(shown: &Shown<'_>) -> Vec<String> {
    own(shown, "selfModifiableBlobs", own_changes::BLOBS)
}

pub fn own_privileged(shown: &Shown<'_>) -> Vec<String> {
    own(shown, "selfModifiablePrivileged", own_changes::PRIVILEGED)
}

/// Told only where it was not the last change of all.
pub fn last_password_change(shown: &Shown<'_>) -> Vec<String> {
    let changed = shown.number("lastPasswordChangeUSec").filter(|usec| *usec != 0);
    let changed = changed.filter(|usec| Some(*usec) != shown.number("lastChangeUSec"));
    changed.map(show_moment).into_iter().collect()
}

/// The groups, the user's own among them, in order.
pub fn groups(shown: &Shown<'_>) -> Vec<String> {
    let named = shown.value("memberOf").and_then(Value::as_array).into_iter().flatten().map(plain);
    let is_home = shown.text("service") == Some("io.systemd.Home");
    let own = is_home.then(|| shown.record.user().to_string());
    named.chain(own).collect::<BTreeSet<_>>().into_iter().collect()
}

pub fn storage(shown: &Shown<'_>) -> Vec<String> {
    let strength = match shown.storage() {
        "luks" | "fscrypt" => " (strong encryption)",
        "cifs" => " (weak encryption)",
        "directory" | "subvolume" => " (no encryption)",
        _ => "",
    };
    line(format!("{}{strength}", shown.storage()))
}

pub fn image_path(shown: &Shown<'_>) -> Vec<String> {
    let path = shown.settings.effective_image_path();
    path.filter(|path| *path != shown.settings.effective_home_directory()).into_iter().collect()
}

pub fn languages(shown: &Shown<'_>) -> Vec<String> {
    let first = shown.text("preferredLanguage").map(str::to_owned);
    let all: Vec<String> = first.into_iter().chain(shown.joined("additionalLanguages")).collect();
    if all.is_empty() { all } else { line(all.join(", ")) }
}

pub fn locked(shown: &Shown<'_>) -> Vec<String> {
    shown.flag("locked").map(|flag| yes_no(flag).to_owned()).into_iter().collect()
}

pub fn limits(shown: &Shown<'_>) -> Vec<String> {
    let limits = shown.value("resourceLimits").and_then(Value::as_object);
    let one = |limit: Option<&Value>| match limit {
        None | Some(Value::Null) => "infinity".to_owned(),
        Some(value) => plain(value),
    };
    let pair = |(name, limit): (&String, &Value)| {
        format!("{name}={}:{}", one(limit.get("cur")), one(limit.get("max")))
    };
    limits.into_iter().flatten().map(pair).collect()
}

/// A part of 2³²−1 in percent.
fn percent(share: u64) -> String {
    format!("{:.0}%", share as f64 / f64::from(u32::MAX) * 100.0)
}

fn limit(shown: &Shown<'_>, bytes: &str, scale: &str) -> Vec<String> {
    let text = shown.number(bytes).map(show_size).or_else(|| shown.number(scale).map(percent));
    text.into_iter().collect()
}

pub fn tmp_limit(shown: &Shown<'_>) -> Vec<String> {
    limit(shown, "tmpLimit", "tmpLimitScale")
}

pub fn shm_limit(shown: &Shown<'_>) -> Vec<String> {
    limit(shown, "devShmLimit", "devShmLimitScale")
}

/// Whether the home goes with a disk that can be pulled out: it lies on a device by itself.
pub fn removable(shown: &Shown<'_>) -> Vec<String> {
    let by_storage = || match shown.storage() {
        "classic" => None,
        "luks" => Some(shown.settings.effective_image_path().is_some_and(|path| path.starts_with("/dev/"))),
        _ => Some(false),
    };
    shown.flag("removable").or_else(by_storage).map(|flag| yes_no(flag).to_owned()).into_iter().collect()
}

pub fn discard(shown: &Shown<'_>) -> Vec<String> {
    let online = yes_no(shown.settings.effective_luks_discard());
    let offline = yes_no(shown.settings.effective_luks_offline_discard());
    line(format!("online={online} offline={offline}"))
}

pub fn volume_key(shown: &Shown<'_>) -> Vec<String> {
    shown
        .number("luksVolumeKeySize")
        .map(|bytes| format!("{}bit", bytes.saturating_mul(8)))
        .into_iter()
        .collect()
}

pub fn mount_flags(shown: &Shown<'_>) -> Vec<String> {
    let settings = &shown.settings;
    let word = |on, name: &'static str, not: &'static str| if on { name } else { not };
    line(format!(
        "{} {} {}",
        word(settings.effective_mount_no_suid(), "nosuid", "suid"),
        word(settings.effective_mount_no_devices(), "nodev", "dev"),
        word(settings.effective_mount_no_execute(), "noexec", "exec"),
    ))
}

pub fn disk_size(shown: &Shown<'_>) -> Vec<String> {
    let relative = || shown.number("diskSizeRelative").map(percent);
    shown.number("diskSize").map(show_size).or_else(relative).into_iter().collect()
}

fn share_of_disk(shown: &Shown<'_>, bytes: u64) -> Option<u128> {
    let all = shown.number("diskSize").filter(|all| *all > 0)?;
    Some(u128::from(bytes) * 100 / u128::from(all))
}

fn with_share(shown: &Shown<'_>, bytes: u64) -> String {
    let share = share_of_disk(shown, bytes).map_or(String::new(), |share| format!(" (= {share}%)"));
    format!("{}{share}", show_size(bytes))
}

pub fn disk_usage(shown: &Shown<'_>) -> Vec<String> {
    shown.number("diskUsage").map(|bytes| with_share(shown, bytes)).into_iter().collect()
}

/// What the image takes of the disk it lies on. One that promises more than is there is told so.
pub fn disk_blocks(shown: &Shown<'_>) -> Vec<String> {
    let (Some(size), Some(taken), Some(outside)) =
        (shown.number("diskSize"), shown.number("diskAllocated"), shown.number("diskOutside"))
    else {
        return Vec::new();
    };
    let promised = size.saturating_sub(taken);
    let mut lines = vec![format!("{} taken, {} promised", show_size(taken), show_size(promised))];
    if promised > outside {
        lines.push(format!("more than the disk outside has free ({})", show_size(outside)));
    }
    lines
}

pub fn disk_free(shown: &Shown<'_>) -> Vec<String> {
    let Some(bytes) = shown.number("diskFree") else { return Vec::new() };
    let share = share_of_disk(shown, bytes).unwrap_or(100);
    let color = match (shown.view.paint, share) {
        (Paint::Color, 0..=10) if bytes < GIB => 31,
        (Paint::Color, 0..=25) if bytes < 2 * GIB => 33,
        _ => return line(with_share(shown, bytes)),
    };
    line(format!("\x1b[{color}m{}\x1b[0m", with_share(shown, bytes)))
}

/// When the next attempt is allowed, if not now.
fn wait(shown: &Shown<'_>) -> Option<u64> {
    let settings = &shown.settings;
    let (begin, count) = (shown.number("rateLimitBeginUSec")?, shown.number("rateLimitCount")?);
    let end = begin.saturating_add(settings.effective_rate_limit_interval_usec());
    let full = count >= settings.effective_rate_limit_burst();
    (full && begin <= shown.view.now_usec && end > shown.view.now_usec).then_some(end)
}

pub fn next_try(shown: &Shown<'_>) -> Vec<String> {
    // The counters are written with the first attempt; before, there is nothing to tell.
    if shown.number("rateLimitCount").is_none() {
        return Vec::new();
    }
    line(wait(shown).map_or("anytime".to_owned(), show_moment))
}

pub fn auth_limit(shown: &Shown<'_>) -> Vec<String> {
    let settings = &shown.settings;
    let interval = show_span(settings.effective_rate_limit_interval_usec());
    line(format!("{} attempts per {interval}", settings.effective_rate_limit_burst()))
}

pub fn password_change(shown: &Shown<'_>) -> Vec<String> {
    let parts: Vec<String> = [("Min", "min"), ("Max", "max"), ("Warn", "warn"), ("Inactive", "inactive")]
        .into_iter()
        .filter_map(|(member, name)| {
            Some(format!("{name} {}", show_span(shown.number(&format!("passwordChange{member}USec"))?)))
        })
        .collect();
    if parts.is_empty() { parts } else { line(parts.join(" / ")) }
}

pub fn auto_resize(shown: &Shown<'_>) -> Vec<String> {
    let word = shown.value("autoResizeMode").map(|value| match value {
        Value::Bool(true) => "shrink-and-grow".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        other => plain(other),
    });
    word.into_iter().collect()
}

/// Who has the home left out of locks.
pub fn inhibitors(shown: &Shown<'_>) -> Vec<String> {
    let one = |value: &Value| {
        let until = value["untilUSec"].as_u64().map(show_moment).unwrap_or_default();
        format!("by {} until {until}: {}", plain(&value["who"]), plain(&value["why"]))
    };
    shown.value("lockInhibitors").and_then(Value::as_array).into_iter().flatten().map(one).collect()
}

/// What the daemon saw of a locked home.
pub fn seal(shown: &Shown<'_>) -> Vec<String> {
    if shown.value("lockable") == Some(&Value::Bool(false)) {
        return line("this kind of storage cannot be locked".to_owned());
    }
    let Some(seal) = shown.value("seal") else { return Vec::new() };
    let first = match seal["verdict"].as_str() {
        Some("proven") => "not in memory, as far as the kernel shows",
        Some("unproven") => "not found in memory, but:",
        _ => "STILL IN MEMORY:",
    };
    let reasons = seal["reasons"].as_array().into_iter().flatten().map(plain);
    std::iter::once(first.to_owned()).chain(reasons).collect()
}

pub fn rebalance(shown: &Shown<'_>) -> Vec<String> {
    let word = shown.value("rebalanceWeight").map(|value| match value {
        Value::Bool(true) => "weight 100".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        other if other.as_u64() == Some(0) => "off".to_owned(),
        other => format!("weight {}", plain(other)),
    });
    word.into_iter().collect()
}

pub fn passwords(shown: &Shown<'_>) -> Vec<String> {
    line(match shown.privileged("hashedPassword") {
        None | Some(0) => "none".to_owned(),
        Some(n) => n.to_string(),
    })
}

/// The keys that can have names, each with its number.
pub fn keys(shown: &Shown<'_>) -> Vec<String> {
    let one = |key: &Value| {
        let text = |member: &str| key.get(member).and_then(Value::as_str);
        let called = [
            text("name").map(|name| format!(" \"{name}\"")),
            text("model").map(|model| format!(" ({model})")),
        ];
        let date = key["enrolledUSec"].as_u64().map(|usec| format!(", since {}", show_moment(usec)));
        let there = match key["pluggedIn"].as_bool() {
            Some(true) => ", here",
            Some(false) => ", not here",
            None => "",
        };
        let called = called.into_iter().flatten().collect::<String>();
        format!("{}: {}{called}{}{there}", key["number"], plain(&key["kind"]), date.unwrap_or_default())
    };
    shown.value("keys").and_then(Value::as_array).into_iter().flatten().map(one).collect()
}
