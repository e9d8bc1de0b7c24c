//! `update`: changes the record of a home, and its size where that was asked for.

use super::create::with_secret;
use super::resize::AS_IN_RECORD;
use super::{Outcome, remarks};
use crate::blobs;
use crate::bus::{Failure, Order, Who};
use crate::context::Context;
use crate::identity::{self, Identity};
use crate::new_keys::NewKeys;
use crate::options::edit::disk_size;
use crate::options::tokens::Meant;
use crate::recovery_key::RecoveryKey;
use records::credentials::Permitted;
use records::keys::RECOVERY_KEY;
use records::{Credentials, Record, Refusal, Sections};
use serde_json::{Map, Value, json};

/// Flag of `UpdateHomeEx`: only the host's copy, no authentication.
const OFFLINE: u64 = 1;

/// `update [USER]`
pub fn run(ctx: &Context<'_>, arguments: &[&str]) -> Outcome {
    if ctx.draft.is_empty() && ctx.settings.identity.is_none() {
        return Err(Failure::say("No field to change was named. Nothing was changed. See: homectl --help"));
    }
    if let [option, ..] = &ctx.draft.of_making[..] {
        return Err(Failure::say(format!(
            "{option}= says how a home is made: one that is there keeps what it has. Nothing was changed. \
             To set it for other machines, which the home is not on yet: --match=other {option}=…"
        )));
    }
    if let Some(size) = ctx.draft.resizes.as_deref().filter(|size| !size.ends_with('%')) {
        disk_size(size).map_err(|why| nothing_changed(format!("--disk-size={size}: {why}")))?;
    }
    let (mut start, mut credentials) = fetch(ctx, arguments)?;
    let name = start.user().as_str().to_owned();
    credentials.append(ctx.talk(&name).ready());
    let with_recovery_key = RecoveryKey::is_wanted(ctx)?;
    if with_recovery_key && ctx.settings.offline {
        return Err(Failure::say("A recovery key cannot be made offline. Nothing was changed."));
    }
    // What gives a key comes before what may take others away. (A record from a file knows nothing of the new key, and would
    // take it away again.)
    let from_file = ctx.settings.identity.is_some();
    // Numbers are those of the record that its user has seen.
    let mut meant = ctx.draft.names.meant(&start).map_err(nothing_changed)?;
    if with_recovery_key && !from_file {
        recovery_key(ctx, &name, &mut credentials)?;
        meant.are_gone(RECOVERY_KEY);
        start = fetch(ctx, arguments)?.0;
    }
    if !ctx.draft.is_recovery_alone() || from_file {
        change(ctx, arguments, (start, &meant), &mut credentials)?;
    }
    if with_recovery_key && from_file {
        recovery_key(ctx, &name, &mut credentials)?;
    }
    Ok(0)
}

fn recovery_key(ctx: &Context<'_>, name: &str, credentials: &mut Credentials) -> Result<(), Failure> {
    if ctx.settings.dry_run {
        ctx.asker.notice("A recovery key would be made.");
        return Ok(());
    }
    anew(credentials);
    let key = RecoveryKey::of_homed(ctx, name)?;
    match key.enroll(ctx, name, credentials) {
        Err(failure) if failure.is(Refusal::RecordDowngrade) => {
            take_over(ctx, name, credentials)?;
            key.enroll(ctx, name, credentials)?;
        }
        enrolled => enrolled?,
    }
    key.show(ctx);
    // Who has just typed a part of it has it: keys that may go by it alone go by it.
    credentials.passwords.push(key.text().duplicate());
    anew(credentials);
    Ok(())
}

/// Each step asks anew for a touch of the token.
fn anew(credentials: &mut Credentials) {
    credentials.user_presence = Permitted::No;
    credentials.user_verification = Permitted::No;
    credentials.protected_authentication_path = Permitted::No;
}

/// All changes but a new recovery key.
fn change(
    ctx: &Context<'_>,
    arguments: &[&str],
    (start, meant): (Record, &Meant<'_>),
    credentials: &mut Credentials,
) -> Result<(), Failure> {
    let name = start.user().as_str().to_owned();
    let mut drafted = ctx.draft.apply(start.members().clone(), &ctx.machine.id);
    if drafted.get("realm") != start.members().get("realm") {
        return Err(nothing_changed(format!(
            "The realm is part of what a home is called: this one is that of {}",
            start.full_name()
        )));
    }
    meant.remove(&start, &mut drafted).and_then(|()| meant.rename(&mut drafted)).map_err(nothing_changed)?;
    let keys = NewKeys::wanted(ctx, &drafted, credentials)?;
    let members = changed(ctx, &start, &keys, meant)?;
    if ctx.settings.dry_run {
        ctx.asker.notice(&format!("{:#}", Value::Object(members)));
        return Ok(());
    }
    ctx.start_agent();
    match send(ctx, &start, &members, credentials) {
        Err(failure) if failure.is(Refusal::RecordDowngrade) && may_take_over(ctx) => {
            take_over(ctx, &name, credentials)?;
            let (start, _) = fetch(ctx, arguments)?;
            let members = changed(ctx, &start, &keys, meant)?;
            send(ctx, &start, &members, credentials)?;
        }
        sent => sent?,
    }
    remarks::on_change(ctx, &name, &start);
    if ctx.draft.resizes.is_some() && !ctx.settings.offline {
        resize(ctx, &name, credentials)?;
    }
    Ok(())
}

/// The home was changed elsewhere, or a change was cut short: what it holds is taken over, to be changed then.
fn take_over(ctx: &Context<'_>, name: &str, credentials: &mut Credentials) -> Result<(), Failure> {
    ctx.talk(name).insist(credentials, |handed| {
        ctx.daemon.order("AuthenticateHome", Order::Secret(name, &handed.argument))
    })?;
    ctx.asker.notice("The home held a newer record than this machine, which was taken over first.");
    Ok(())
}

fn may_take_over(ctx: &Context<'_>) -> bool {
    ctx.settings.identity.is_none() && !ctx.settings.offline
}

fn nothing_changed(why: String) -> Failure {
    Failure::say(format!("{why}. Nothing was changed."))
}

/// The members of the changed record.
fn changed(
    ctx: &Context<'_>,
    start: &Record,
    keys: &NewKeys,
    meant: &Meant<'_>,
) -> Result<Map<String, Value>, Failure> {
    let from_file_with_date = ctx.settings.identity.is_some() && start.last_change_usec() != 0;
    let mut members = ctx.draft.apply(start.only(Sections::SIGNED).members().clone(), &ctx.machine.id);
    members.remove("blobManifest");
    if !from_file_with_date {
        // Whoever changes it comes after who did before, whatever the clocks said.
        let after = start.last_change_usec().saturating_add(1);
        if after > ctx.now_usec {
            ctx.asker.notice("The record says that it was changed in the future: a clock was ahead, or this one is behind.");
        }
        members.insert("lastChangeUSec".to_owned(), json!(ctx.now_usec.max(after)));
    }
    if !keys.is_empty() {
        members.insert("lastPasswordChangeUSec".to_owned(), json!(ctx.now_usec));
    }
    change_keys(start, &mut members, keys, meant, ctx.now_usec).map_err(nothing_changed)?;
    Record::from_value(Value::Object(members.clone()), Sections::EMBEDDED)
        .map_err(|e| Failure::say(e.to_string()))?;
    Ok(members)
}

/// Takes keys out of the members of `start`, puts new ones in and gives names, in this order: a key that goes may be one that
/// is enrolled anew.
fn change_keys(
    start: &Record,
    members: &mut Map<String, Value>,
    keys: &NewKeys,
    meant: &Meant<'_>,
    now_usec: u64,
) -> Result<(), String> {
    meant.remove(start, members)?;
    keys.enroll(members, now_usec);
    meant.rename(members)
}

/// The record to change, and what came with it to prove who changes it.
fn fetch(ctx: &Context<'_>, arguments: &[&str]) -> Result<(Record, Credentials), Failure> {
    let invalid = |e: records::record::InvalidRecord| Failure::say(e.to_string());
    if let Some(path) = &ctx.settings.identity {
        let Identity { record, credentials } = identity::read(path)?;
        return Ok((record, credentials));
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
    let record = Record::parse(&reply.json, Sections::OWNER).map_err(invalid)?;
    Ok((record, Credentials::default()))
}

fn send(
    ctx: &Context<'_>,
    start: &Record,
    members: &Map<String, Value>,
    credentials: &mut Credentials,
) -> Result<(), Failure> {
    let flags = if ctx.settings.offline { OFFLINE } else { 0 };
    let folder = blobs::folder(start, &ctx.machine);
    let is_there = folder.as_deref().is_some_and(|folder| std::path::Path::new(folder).is_dir());
    // What is not here cannot be sent along, and is in the home: the daemon leaves it as it is.
    let keeps = ctx.draft.blobs.is_empty() && !is_there && start.members().contains_key("blobManifest");
    if keeps && ctx.settings.offline {
        return Err(Failure::say(
            "This machine has lost the pictures of the record. Nothing was changed. Log in once, which brings them back.",
        ));
    }
    ctx.talk(start.user().as_str()).insist(credentials, |handed| {
        let record = with_secret(members, &handed.argument)?;
        if keeps {
            return ctx.daemon.order("UpdateHome", Order::Text(&record));
        }
        let blobs = blobs::open(&ctx.draft.blobs, folder.as_deref(), &|text| ctx.asker.notice(text))?;
        ctx.daemon.order("UpdateHomeEx", Order::Record(&record, blobs, flags))
    })
}

fn resize(ctx: &Context<'_>, name: &str, credentials: &mut Credentials) -> Result<(), Failure> {
    anew(credentials);
    ctx.talk(name).insist(credentials, |handed| {
        ctx.daemon.order("ResizeHome", Order::Size(name, AS_IN_RECORD, &handed.argument))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new_keys::Made;
    use crate::options::Special;
    use crate::options::tokens::TokenWish;
    use records::keys::{self, MACHINE_PIN, SECURITY_KEY, SMART_CARD};

    #[test]
    fn a_key_that_goes_may_be_enrolled_anew_in_the_same_call() {
        let (this, another) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdee");
        for (kind, id, other, mut entry) in [
            (
                SMART_CARD,
                "pkcs11:token=a",
                "pkcs11:token=b",
                json!({"data": "AAAA", "hashedPassword": "$y$1"}),
            ),
            (SECURITY_KEY, "AAAA", "BBBB", json!({"salt": "AAAA", "hashedPassword": "$y$1"})),
            (MACHINE_PIN, this, another, json!({"wanted": {"device": "auto", "pcrs": []}})),
            (RECOVERY_KEY, "$y$1", "$y$2", json!({"type": "modhex64"})),
        ] {
            let mut entry = |id: &str| {
                entry[kind.id] = json!(id);
                entry.clone()
            };
            let record = |members: &Map<String, Value>| {
                Record::from_value(Value::Object(members.clone()), Sections::HOST).expect("valid")
            };
            let mut members = Map::new();
            members.insert("userName".into(), json!("alice"));
            keys::put(&mut members, kind, entry(id));
            keys::put(&mut members, kind, entry(other));
            let start = record(&members);
            let mut wish = TokenWish::default();
            for (special, value) in [(Special::RemoveToken, "1"), (Special::TokenName, "2=old")] {
                wish.take(special, value).expect("taken");
            }
            let mut new = NewKeys::default();
            new.add(Made { kind, entry: entry(id), model: None });
            change_keys(&start, &mut members, &new, &wish.meant(&start).expect("there"), 7).expect("changed");
            let named = record(&members).named_keys();
            let told: Vec<_> = named.iter().map(|key| (key.id.as_str(), key.name.as_deref())).collect();
            assert_eq!(told, [(other, Some("old")), (id, None)], "{}", kind.words);
        }
    }
}
