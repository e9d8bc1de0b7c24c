//! `list`: one line for each home.

use super::Outcome;
use crate::bus::HomeRow;
use crate::context::{Context, Json, Legend, Paint};
use comfy_table::{Table, presets};

/// `list`
pub fn run(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    let mut homes = ctx.daemon.homes()?;
    homes.sort_by(|a, b| a.name.cmp(&b.name));
    match ctx.settings.json {
        Json::Off => ctx.say(&table(&homes, ctx.settings.legend, ctx.settings.paint)),
        form => ctx.say(&form.write(&homes.iter().map(row).collect())),
    }
    Ok(0)
}

fn row(home: &HomeRow) -> serde_json::Value {
    serde_json::json!({
        "name": home.name, "uid": home.uid, "gid": home.gid, "state": home.state,
        "realname": home.real_name, "home": home.home, "shell": home.shell,
    })
}

/// The table with its footer.
pub fn table(homes: &[HomeRow], legend: Legend, paint: Paint) -> String {
    let footer = match homes.len() {
        0 => "No home areas.\n".to_owned(),
        1 => "\n1 home area listed.\n".to_owned(),
        n => format!("\n{n} home areas listed.\n"),
    };
    let mut text = String::new();
    if !homes.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if legend == Legend::Shown {
            table.set_header(["NAME", "UID", "GID", "STATE", "REALNAME", "HOME", "SHELL"]);
        }
        for h in homes {
            table.add_row([
                &h.name,
                &h.uid.to_string(),
                &h.gid.to_string(),
                &h.state,
                &h.real_name,
                &h.home,
                &h.shell,
            ]);
        }
        for line in table.to_string().lines() {
            text.push_str(line.trim());
            text.push('\n');
        }
        text = painted(&text, homes, paint);
    }
    if legend == Legend::Shown { text + &footer } else { text }
}

/// Colours go in after the columns are set, where they take no room.
fn painted(text: &str, homes: &[HomeRow], paint: Paint) -> String {
    if paint == Paint::Plain {
        return text.to_owned();
    }
    let skip = text.lines().count() - homes.len();
    let mut out = String::new();
    for (at, line) in text.lines().enumerate() {
        let colored = at.checked_sub(skip).and_then(|i| homes.get(i)).map(|home| {
            line.replacen(&format!(" {} ", home.state), &format!(" {} ", paint.state(&home.state)), 1)
        });
        out.push_str(&colored.unwrap_or_else(|| line.to_owned()));
        out.push('\n');
    }
    out
}
