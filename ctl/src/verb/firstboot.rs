//! `firstboot`: does what the credentials of its service say, and asks for a first user where there is none.
//!
//! | credential | what follows |
//! | --- | --- |
//! | `home.add-signing-key.NAME` | that public key is trusted |
//! | `home.register.USER` | the record becomes known |
//! | `home.create.USER` | a home is made from the record; passwords are in its section `secret` |

use super::{Outcome, create, each};
use crate::bus::{Failure, Order};
use crate::context::Context;
use crate::identity::{self, Identity};
use crate::options::Kind;
use crate::options::values::{Surroundings, boolean, read};
use records::{Secret, Sections, UserName};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// In this order: a record may need the key.
const KEY: &str = "home.add-signing-key.";
const REGISTER: &str = "home.register.";
const CREATE: &str = "home.create.";
/// Whether somebody is asked although there are users, or is not although there are none.
const OVERRIDE: &str = "SYSTEMD_HOME_FIRSTBOOT_OVERRIDE";
/// How often an answer that cannot be is asked for again.
const PATIENCE: usize = 5;

/// `firstboot`
pub fn run(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    let mut worst = 0;
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) {
        for (prefix, act) in [(KEY, add_key as Act), (REGISTER, register), (CREATE, create_home)] {
            let names = names(&folder, prefix)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            worst =
                worst.max(each(ctx, &names, |name| act(ctx, name, &folder.join(format!("{prefix}{name}"))))?);
        }
    }
    if ctx.settings.first_user.wanted && may_ask(ctx)? {
        worst = worst.max(first_user(ctx)?);
    }
    Ok(worst)
}

type Act = fn(&Context<'_>, &str, &Path) -> Result<(), Failure>;

/// What follows the prefix in the names of the credentials there are, in order.
fn names(folder: &Path, prefix: &str) -> Result<Vec<String>, Failure> {
    let entries =
        std::fs::read_dir(folder).map_err(|e| Failure::say(format!("{}: {e}", folder.display())))?;
    let files = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        files.filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn text(path: &Path) -> Result<Secret, Failure> {
    let bytes =
        Secret::new(std::fs::read(path).map_err(|e| Failure::say(format!("{}: {e}", path.display())))?);
    bytes.open_text().map(|_| ()).ok_or_else(|| Failure::say(format!("{}: not UTF-8", path.display())))?;
    Ok(bytes)
}

fn add_key(ctx: &Context<'_>, name: &str, path: &Path) -> Result<(), Failure> {
    let pem = text(path)?;
    ctx.daemon.order("AddSigningKey", Order::Key(name, pem.open_text().unwrap_or_default(), 0))
}

/// The record of a credential: of the user that the credential is named after.
fn record(name: &str, path: &Path) -> Result<Identity, Failure> {
    let wrong = |why: String| Failure::say(format!("{}: {why}. Nothing was made.", path.display()));
    let read = identity::parse_of(text(path)?, name).map_err(wrong)?;
    if read.record.user().as_str() != name {
        return Err(wrong(format!("it is the record of {}", read.record.user())));
    }
    Ok(read)
}

fn register(ctx: &Context<'_>, name: &str, path: &Path) -> Result<(), Failure> {
    let record = record(name, path)?.record.only(Sections::EMBEDDED);
    ctx.daemon.order("RegisterHome", Order::Text(&record.to_compact()))
}

fn create_home(ctx: &Context<'_>, name: &str, path: &Path) -> Result<(), Failure> {
    let Identity { record, credentials } = record(name, path)?;
    create::make(ctx, create::members(ctx, &record), credentials).map(|_| ())
}

/// Not where there are users, unless it was said otherwise, and not where the kernel was told that nobody is there.
fn may_ask(ctx: &Context<'_>) -> Result<bool, Failure> {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let word = line.split_whitespace().rev().find_map(|word| word.strip_prefix("systemd.firstboot="));
    if word.is_some_and(|word| word == "headless" || boolean(word) == Ok(false)) {
        return Ok(false);
    }
    match std::env::var(OVERRIDE).ok().and_then(|word| boolean(&word).ok()) {
        Some(wanted) => Ok(wanted),
        None => Ok(ctx.daemon.homes()?.is_empty() && !has_classic_users()),
    }
}

/// Whether /etc/passwd has people: UIDs from 1000 on, without nobody.
fn has_classic_users() -> bool {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut uids = text.lines().filter_map(|line| line.split(':').nth(2)?.parse::<u32>().ok());
    uids.any(|uid| (1000..=60000).contains(&uid))
}

fn first_user(ctx: &Context<'_>) -> Outcome {
    let Some(name) = answer(ctx, "Name of the first user (empty: none is made): ", user_name)? else {
        ctx.asker.notice("No user was made. To make one later: homectl create USER");
        return Ok(0);
    };
    let mut members = Map::new();
    members.insert("userName".to_owned(), name);
    // Whoever sits here at the first start decides alone.
    members.insert("enforcePasswordPolicy".to_owned(), json!(false));
    let questions = [
        (
            ctx.settings.first_user.groups,
            "memberOf",
            "Groups, between commas (empty: none): ",
            groups as Reads,
        ),
        (ctx.settings.first_user.shell, "shell", "Login shell (empty: the usual one): ", shell),
    ];
    for (_, member, question, reads) in questions.into_iter().filter(|(wanted, ..)| *wanted) {
        answer(ctx, question, reads)?.and_then(|value| members.insert(member.to_owned(), value));
    }
    create::make(ctx, members, records::Credentials::default())
}

type Reads = fn(&str) -> Result<Value, String>;

/// An answer that can be; `None`: an empty one.
fn answer(ctx: &Context<'_>, question: &str, reads: Reads) -> Result<Option<Value>, Failure> {
    for _ in 0..PATIENCE {
        let line = ctx.asker.line(question)?;
        match line.trim() {
            "" => return Ok(None),
            text => match reads(text) {
                Ok(value) => return Ok(Some(value)),
                Err(why) => ctx.asker.notice(&format!("{text:?} cannot be: {why}.")),
            },
        }
    }
    Err(Failure::say("There was no answer that can be. No user was made."))
}

fn user_name(text: &str) -> Result<Value, String> {
    UserName::parse(text).map(|name| json!(name.as_str())).map_err(|error| error.to_string())
}

fn groups(text: &str) -> Result<Value, String> {
    let around = Surroundings { now_usec: 0, variable: &|_| None, zone: &|_| false };
    read(Kind::Groups, text, &around)
}

fn shell(text: &str) -> Result<Value, String> {
    if text.starts_with('/') && Path::new(text).is_file() {
        Ok(json!(text))
    } else {
        Err("there is no such program; give its path".to_owned())
    }
}
