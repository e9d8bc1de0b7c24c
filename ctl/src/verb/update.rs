//! `update`: changes the record of a home, and its size where that was asked for.

use super::Outcome;
use super::create::with_secret;
use super::resize::AS_IN_RECORD;
use crate::blobs;
use crate::bus::{Failure, Order, Who};
use crate::context::{Context, read_text};
use crate::recovery_key::RecoveryKey;
use records::credentials::Permitted;
use records::{Record, Sections};
use serde_json::{Map, Value, json};

/// Flag of `UpdateHomeEx`: only the host's copy, no authentication.
const OFFLINE: u64 = 1;

/// `update [USER]`
pub fn run(ctx: &Context<'_>, arguments: &[&str]) -> Outcome {
    if ctx.draft.is_empty() && ctx.settings.identity.is_none() {
        return Err(Failure::say("No field to change was named. Nothing was changed. See: homectl --help"));
    }
    let start = fetch(ctx, arguments)?;
    let from_file_with_date = ctx.settings.identity.is_some() && start.last_change_usec() != 0;
    let name = start.user().as_str().to_owned();
    let blob_folder = blobs::folder(&start, &ctx.machine);
    let mut members = ctx.draft.apply(start.only(Sections::SIGNED).members().clone(), &ctx.machine.id);
    members.remove("blobManifest");
    if start.last_change_usec() > ctx.now_usec {
        return Err(Failure::say(
            "The record was changed in the future. Nothing was changed. Set the clock.",
        ));
    }
    if !from_file_with_date {
        members.insert("lastChangeUSec".to_owned(), json!(ctx.now_usec));
    }
    let recovery = RecoveryKey::wanted(ctx)?;
    if let Some(key) = &recovery {
        members.insert("lastPasswordChangeUSec".to_owned(), json!(ctx.now_usec));
        key.enroll(&mut members)?;
    }
    Record::from_value(Value::Object(members.clone()), Sections::EMBEDDED)
        .map_err(|e| Failure::say(e.to_string()))?;
    if ctx.settings.dry_run {
        ctx.asker.notice(&format!("{:#}", Value::Object(members)));
    } else {
        send(ctx, &name, &members, (recovery.as_ref(), blob_folder.as_deref()))?;
    }
    recovery.iter().for_each(|key| key.show(ctx));
    Ok(0)
}

fn fetch(ctx: &Context<'_>, arguments: &[&str]) -> Result<Record, Failure> {
    let invalid = |e: records::record::InvalidRecord| Failure::say(e.to_string());
    if let Some(path) = &ctx.settings.identity {
        return Record::parse(&read_text(path)?, Sections::HOST).map_err(invalid);
    }
    let reply = match arguments {
        [name, ..] => ctx.daemon.record(Who::Name(name))?,
        [] => ctx.daemon.record(Who::Uid(ctx.settings.uid))?,
    };
    if reply.incomplete {
        return Err(Failure::say(
            "Parts of this record are hidden from you, so it cannot be changed. Do it as root, or as the user.",
        ));
    }
    Record::parse(&reply.json, Sections::OWNER).map_err(invalid)
}

fn send(
    ctx: &Context<'_>,
    name: &str,
    members: &Map<String, Value>,
    with: (Option<&RecoveryKey>, Option<&str>),
) -> Result<(), Failure> {
    ctx.start_agent();
    let (recovery, blob_folder) = with;
    let talk = ctx.talk(name);
    let mut credentials = talk.ready();
    credentials.passwords.extend(recovery.map(|key| key.text.duplicate()));
    let flags = if ctx.settings.offline { OFFLINE } else { 0 };
    talk.insist(&mut credentials, |handed| {
        let blobs = blobs::open(&ctx.draft.blobs, blob_folder)?;
        ctx.daemon
            .order("UpdateHomeEx", Order::Record(&with_secret(members, &handed.argument)?, blobs, flags))
    })?;
    if ctx.draft.resizes && !ctx.settings.offline {
        // Each step asks anew for a touch of the token.
        credentials.user_presence = Permitted::No;
        credentials.user_verification = Permitted::No;
        credentials.protected_authentication_path = Permitted::No;
        talk.insist(&mut credentials, |handed| {
            ctx.daemon.order("ResizeHome", Order::Size(name, AS_IN_RECORD, &handed.argument))
        })?;
    }
    Ok(())
}
