//! `create`: a new home from options, or from a record.

use super::{Outcome, remarks};
use crate::blobs;
use crate::bus::{Failure, Order, Who};
use crate::context::Context;
use crate::hashing;
use crate::identity::{self, Identity};
use crate::new_keys::NewKeys;
use crate::recovery_key::RecoveryKey;
use records::keys::{self, RECOVERY_KEY};
use records::{Credentials, FullName, Record, Refusal, Secret, Sections};
use serde_json::{Map, Value, json};

/// `create USER`, or `create --identity=`
pub fn run(ctx: &Context<'_>, arguments: &[&str]) -> Outcome {
    if !ctx.draft.names.is_empty() {
        return Err(Failure::say(
            "--remove-token= and --token-name=KEY=NAME are about keys of a home that is there. Nothing was made.",
        ));
    }
    let (members, given) = start(ctx, arguments)?;
    let members = ctx.draft.apply(members, &ctx.machine.id);
    refuse_what_cannot_be(ctx, &members)?;
    make(ctx, members, given)
}

/// What is known to be in the way is told before anybody is asked for a password.
fn refuse_what_cannot_be(ctx: &Context<'_>, members: &Map<String, Value>) -> Result<(), Failure> {
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    if ctx.daemon.record(Who::Name(text("userName"))).is_ok() {
        return Err(Failure::Refused(Refusal::HomeExists, Refusal::HomeExists.sentence().to_owned()));
    }
    // A record that was made elsewhere may name what is elsewhere.
    let skeleton = match ctx.settings.identity {
        Some(_) => None,
        None => Record::from_value(Value::Object(members.clone()), Sections::EMBEDDED)
            .ok()
            .and_then(|record| record.on(&ctx.machine).skeleton_directory),
    };
    let is_gone = |path: &String| {
        std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    match skeleton.filter(is_gone) {
        Some(path) => Err(Failure::say(format!("{path} is not there. Nothing was made."))),
        None => Ok(()),
    }
}

/// Makes a home of this record. Passwords that were given are its own, if it has no hashes yet.
pub fn make(ctx: &Context<'_>, mut members: Map<String, Value>, given: Credentials) -> Outcome {
    members.entry("disposition").or_insert_with(|| json!("regular"));
    for stamp in ["lastChangeUSec", "lastPasswordChangeUSec"] {
        members.entry(stamp).or_insert_with(|| json!(ctx.now_usec));
    }
    let name = members.get("userName").and_then(Value::as_str).unwrap_or_default().to_owned();
    let recovery = RecoveryKey::wanted(ctx)?;
    if !ctx.settings.dry_run {
        ctx.start_agent();
    }
    let talk = ctx.talk(&name);
    let mut credentials = given;
    let mut hashes = hashes_of(&members);
    if hashes.is_empty() {
        hashes = credentials.passwords.iter().map(hashing::hash).collect::<Result<_, _>>()?;
    }
    credentials.append(talk.ready());
    let mut new_keys = NewKeys::wanted(ctx, &members, &mut credentials)?;
    if let Some(key) = &recovery {
        keys::take_out_all(&mut members, RECOVERY_KEY);
        new_keys.add(key.made()?);
        credentials.passwords.push(key.text().duplicate());
    }
    new_keys.enroll(&mut members, ctx.now_usec);
    loop {
        if hashes.is_empty() {
            let password = talk.new_password()?;
            hashes = vec![hashing::hash(&password)?];
            warn_of_weakness(ctx, &members, &password);
            credentials.passwords.insert(0, password);
        }
        set_hashes(&mut members, &hashes);
        match send(ctx, &name, &members, &mut credentials) {
            Err(failure) if failure.is(Refusal::LowPasswordQuality) && ctx.can_ask() => {
                ctx.complain(&failure, &name);
                hashes.clear();
            }
            done => {
                done?;
                break;
            }
        }
    }
    recovery.iter().for_each(|key| key.show(ctx));
    if let Ok(wished) = Record::from_value(Value::Object(members), Sections::EMBEDDED) {
        remarks::on_new(ctx, &name, &wished);
    }
    Ok(0)
}

/// Where the record says that weak passwords are taken nobody but homectl says that it is one.
fn warn_of_weakness(ctx: &Context<'_>, members: &Map<String, Value>, password: &Secret) {
    let record = Record::from_value(Value::Object(members.clone()), Sections::EMBEDDED).ok();
    let Some(record) = record.filter(|record| record.on(&ctx.machine).enforce_password_policy == Some(false))
    else {
        return;
    };
    if let Some(why) = quality::judge(record.user(), password) {
        ctx.asker.notice(&format!(
            "{}. It is taken all the same, since --enforce-password-policy=no.",
            why.trim_end_matches('.')
        ));
    }
}

/// The record to begin with: from `--identity=`, with a name from the arguments, or both; and the passwords in it.
fn start(ctx: &Context<'_>, arguments: &[&str]) -> Result<(Map<String, Value>, Credentials), Failure> {
    let (mut members, given) = match &ctx.settings.identity {
        Some(path) => identity(ctx, path)?,
        None if arguments.is_empty() => return Err(Failure::say("create needs a user name, or --identity=")),
        None => (Map::new(), Credentials::default()),
    };
    if let Some(name) = arguments.first() {
        let name = FullName::parse(name).map_err(|e| Failure::say(e.to_string()))?;
        members.insert("userName".to_owned(), json!(name.user.as_str()));
        if let Some(realm) = name.realm {
            members.insert("realm".to_owned(), json!(realm.as_str()));
        }
    }
    Ok((members, given))
}

fn identity(ctx: &Context<'_>, path: &str) -> Result<(Map<String, Value>, Credentials), Failure> {
    let Identity { record, credentials } = identity::read(path)?;
    Ok((members(ctx, &record), credentials))
}

/// What is taken of a record that a home is made from.
pub fn members(ctx: &Context<'_>, record: &Record) -> Map<String, Value> {
    // A foreign signature would make the record unchangeable here.
    let keep = if ctx.settings.keep_signature { Sections::EMBEDDED } else { Sections::SIGNED };
    record.only(keep).members().clone()
}

fn hashes_of(members: &Map<String, Value>) -> Vec<String> {
    let list = members.get("privileged").and_then(|p| p.get("hashedPassword")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn set_hashes(members: &mut Map<String, Value>, hashes: &[String]) {
    let privileged = members.entry("privileged").or_insert_with(|| json!({}));
    privileged["hashedPassword"] = json!(hashes);
}

fn send(
    ctx: &Context<'_>,
    name: &str,
    members: &Map<String, Value>,
    credentials: &mut Credentials,
) -> Result<(), Failure> {
    let text = Value::Object(members.clone()).to_string();
    Record::parse(&text, Sections::EMBEDDED).map_err(|e| Failure::say(e.to_string()))?;
    if ctx.settings.dry_run {
        ctx.asker.notice(format!("{:#}", Value::Object(members.clone())).as_str());
        return Ok(());
    }
    let talk = ctx.talk(name);
    talk.insist(credentials, |handed| {
        let blobs = blobs::open(&ctx.draft.blobs, None, &|text| ctx.asker.notice(text))?;
        ctx.daemon.order("CreateHomeEx", Order::Record(&with_secret(members, &handed.argument)?, blobs, 0))
    })
}

/// The record with the secret argument as its `secret` section.
pub fn with_secret(members: &Map<String, Value>, argument: &str) -> Result<String, Failure> {
    let secret: Value = serde_json::from_str(argument).map_err(|e| Failure::say(e.to_string()))?;
    let mut members = members.clone();
    if secret.as_object().is_some_and(|secret| !secret.is_empty()) {
        members.insert("secret".to_owned(), secret);
    }
    Ok(Value::Object(members).to_string())
}
