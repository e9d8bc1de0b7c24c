//! Verbs for the keys user records may be signed with.

use super::{Outcome, each};
use crate::bus::{Failure, Order};
use crate::context::{Context, Json, Legend, read_text};

const OWN: &str = "local.public";
const SHOWN: usize = 64;

/// `list-signing-keys`
pub fn list(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    let mut keys = ctx.daemon.keys()?;
    keys.sort();
    match ctx.settings.json {
        Json::Off => ctx.say(&table(&keys, ctx.settings.legend)),
        form => {
            ctx.say(&form.write(
                &keys.iter().map(|(name, pem)| serde_json::json!({"name": name, "key": pem})).collect(),
            ))
        }
    }
    Ok(0)
}

fn table(keys: &[(String, String)], legend: Legend) -> String {
    let width = keys.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    if legend == Legend::Shown && !keys.is_empty() {
        text.push_str(&format!("{:width$} KEY\n", "NAME"));
    }
    for (name, pem) in keys {
        text.push_str(&format!("{name:width$} {}\n", shortened(pem)));
    }
    if legend == Legend::Shown {
        text.push_str(&match keys.len() {
            0 => "No signing keys.\n".to_owned(),
            1 => "\n1 signing key listed.\n".to_owned(),
            n => format!("\n{n} signing keys listed.\n"),
        });
    }
    text
}

/// The base64 text inside the PEM frame, cut to [`SHOWN`] characters.
fn shortened(pem: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    if body.chars().count() <= SHOWN {
        return body;
    }
    body.chars().take(SHOWN - 1).chain(['…']).collect()
}

/// `get-signing-key [NAME…]`
pub fn print(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    let names = if names.is_empty() { &[OWN] } else { names };
    each(ctx, names, |name| {
        ctx.say(&ctx.daemon.key(name)?);
        Ok(())
    })
}

/// `add-signing-key [FILE…]`
pub fn add(ctx: &Context<'_>, files: &[&str]) -> Outcome {
    let files = if files.is_empty() { &["-"] } else { files };
    let given = ctx.settings.key_name.as_deref();
    if files.len() > 1 && (given.is_some() || files.contains(&"-")) {
        return Err(Failure::say("--key-name= and - are for one key alone"));
    }
    if files == ["-"] && given.is_none() {
        return Err(Failure::say("a key from standard input needs a name: --key-name=NAME.public"));
    }
    ctx.start_agent();
    each(ctx, files, |file| {
        let pem = read_text(file)?;
        let own = std::path::Path::new(file).file_name().and_then(|name| name.to_str());
        let name = given.or(own).ok_or_else(|| Failure::say("the key needs a name: --key-name="))?;
        ctx.daemon.order("AddSigningKey", Order::Key(name, &pem, 0))
    })
}

/// `remove-signing-key NAME…`
pub fn remove(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    ctx.start_agent();
    each(ctx, names, |name| ctx.daemon.order("RemoveSigningKey", Order::Flags(name, 0)))
}
