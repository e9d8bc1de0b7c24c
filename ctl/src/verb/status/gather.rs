//! What `status` tells, as data: its JSON form.

use crate::backup::note::Restoring;
use crate::bus::{Failure, HomeRow, Question, Session, Who};
use crate::carried::partial::{self, Partial};
use crate::classic::note::Notes;
use crate::context::Context;
use records::settings::HOME_ROOT;
use records::{Record, Sections};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The lists of a record that have an entry for each thing which opens the home: what the member is called for everybody and,
/// where that one is hidden from others, in `privileged`.
const KEYS: [(&str, &str, Option<&str>); 5] = [
    ("passwords", "hashedPassword", None),
    ("securityKeys", "fido2HmacSalt", Some("fido2HmacCredential")),
    ("smartCards", "pkcs11EncryptedKey", Some("pkcs11TokenUri")),
    ("machinePins", "tpm2Pin", Some("tpm2PinMachineId")),
    ("recoveryKeys", "recoveryKey", Some("recoveryKeyType")),
];

/// All of it, of these homes or of all.
pub fn report(ctx: &Context<'_>, names: &[&str]) -> Result<Value, Failure> {
    let mut homes = ctx.daemon.homes()?;
    homes.sort_by(|a, b| a.name.cmp(&b.name));
    for name in names {
        if !homes.iter().any(|home| home.name == *name) {
            let refusal = records::Refusal::NoSuchHome;
            return Err(Failure::Refused(refusal, format!("{name}: {}", refusal.sentence())));
        }
    }
    let security = ctx.daemon.security()?;
    let security: Value = serde_json::from_str(&security).map_err(|e| Failure::say(e.to_string()))?;
    let mut sessions = ctx.daemon.sessions();
    // The login manager tells them in no order. They are numbered as they come.
    sessions.sort_by_key(|session| (session.id.len(), session.id.clone()));
    let mut list = Vec::new();
    for row in homes.iter().filter(|row| names.is_empty() || names.contains(&row.name.as_str())) {
        // It may have gone since it was listed.
        let Ok(reply) = ctx.daemon.record(Who::Name(&row.name)) else { continue };
        let record = Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
        let own: Vec<&Session> = sessions.iter().filter(|session| session.uid == row.uid).collect();
        let lock = security["homes"].as_array().into_iter().flatten();
        let lock = lock.into_iter().find(|home| home["userName"] == row.name.as_str());
        let mut home = of_record(&record, ctx.machine.id.as_str());
        home.insert("userName".into(), row.name.as_str().into());
        home.insert("realName".into(), row.real_name.as_str().into());
        home.insert("uid".into(), row.uid.into());
        home.insert("state".into(), row.state.as_str().into());
        home.insert("sessions".into(), own.iter().map(|session| of_session(session)).collect());
        home.insert("snapshots".into(), snapshots(ctx, row));
        home.insert("restoring".into(), restoring(&row.name));
        home.insert("lastLock".into(), lock.map(|lock| lock["lastLock"].clone()).unwrap_or_default());
        home.insert("lockable".into(), lock.map_or(Value::Bool(true), |lock| lock["lockable"].clone()));
        list.push(Value::Object(home));
    }
    Ok(json!({
        "homes": list,
        "weaknesses": security["weaknesses"],
        "inhibitors": security["inhibitors"],
        "lastOpenSleep": security["lastOpenSleep"],
        "arriving": partial::list(Path::new(HOME_ROOT)).iter().map(of_partial).collect::<Value>(),
    }))
}

/// How many snapshots there are of an open home, and since when; null where that cannot be told, or not to who asks. Nobody is
/// asked for a password here.
fn snapshots(ctx: &Context<'_>, row: &HomeRow) -> Value {
    // Of another's home polkit would ask.
    let may = [0, row.uid].contains(&rustix::process::geteuid().as_raw());
    if !may || !matches!(row.state.as_str(), "active" | "lingering") {
        return Value::Null;
    }
    let report = ctx.daemon.own("ListSnapshots", Question::Name(&row.name)).ok();
    let report = report.and_then(|text| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
    let made = |one: &Value| one["madeUSec"].clone();
    report["snapshots"].as_array().map_or(Value::Null, |all| {
        json!({
            "count": all.len(), "oldestUSec": all.first().map(made), "newestUSec": all.last().map(made),
            "waitsForReopening": report["waitsForReopening"],
        })
    })
}

/// The backup that a home is being made of, and which is not all in it; null where there is none, or who asks is not root.
fn restoring(user: &str) -> Value {
    let note = Notes::<Restoring>::default().read(user).ok().flatten().filter(|note| !note.filled);
    note.map_or(Value::Null, |note| json!({ "backup": note.backup, "time": note.time }))
}

/// A home that has not arrived whole.
fn of_partial(part: &Partial) -> Value {
    json!({
        "userName": part.name, "path": part.path.to_string_lossy(), "arrived": part.arrived, "size": part.size,
        "lastUSec": part.last_usec,
    })
}

/// What a home's record tells of it.
fn of_record(record: &Record, machine: &str) -> Map<String, Value> {
    let status = record.members().get("status").and_then(|all| all.get(machine));
    let figure = |name: &str| status.and_then(|status| status.get(name)).cloned().unwrap_or_default();
    let mut home = Map::new();
    home.insert("storage".into(), record.members().get("storage").cloned().unwrap_or_default());
    home.insert("trust".into(), figure("trust"));
    home.insert(
        "space".into(),
        json!({
            "size": figure("diskSize"), "used": figure("diskUsage"), "free": figure("diskFree"),
            "ceiling": figure("diskCeiling"),
        }),
    );
    home.insert("opensBy".into(), Value::Object(keys(record)));
    home
}

/// How many there are of each thing that opens the home; null where that is hidden from who asks.
fn keys(record: &Record) -> Map<String, Value> {
    let length = |list: Option<&Value>| list.and_then(Value::as_array).map(Vec::len);
    let count = |(name, member, shown): &(&str, &str, Option<&str>)| {
        let count = match record.privileged() {
            Some(privileged) => Some(length(privileged.get(*member)).unwrap_or(0)),
            None => shown.map(|shown| length(record.members().get(shown)).unwrap_or(0)),
        };
        ((*name).to_owned(), count.map_or(Value::Null, Value::from))
    };
    KEYS.iter().map(count).collect()
}

fn of_session(session: &Session) -> Value {
    json!({
        "id": session.id, "tty": session.tty, "seat": session.seat, "service": session.service,
        "remoteHost": session.remote_host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        Record::parse(text, Sections::OWNER).expect("valid")
    }

    #[test]
    fn what_is_hidden_from_who_asks_is_no_number() {
        let all = record(
            r#"{"userName":"anna","fido2HmacCredential":["aaaa","bbbb"],"privileged":{"hashedPassword":["$6$x"]}}"#,
        );
        let hidden = record(r#"{"userName":"anna","fido2HmacCredential":["aaaa","bbbb"]}"#);
        assert_eq!((&keys(&all)["passwords"], &keys(&all)["securityKeys"]), (&json!(1), &json!(0)));
        assert_eq!((&keys(&hidden)["passwords"], &keys(&hidden)["securityKeys"]), (&Value::Null, &json!(2)));
        assert_eq!(keys(&hidden)["recoveryKeys"], json!(0));
    }

    #[test]
    fn figures_are_those_of_this_machine() {
        let id = "0123456789abcdef0123456789abcdef";
        let there = "1123456789abcdef0123456789abcdef";
        let text = format!(
            r#"{{"userName":"anna","storage":"luks","status":{{"{id}":{{"diskSize":5}},"{there}":{{"diskSize":7}}}}}}"#
        );
        let record = Record::parse(&text, Sections::HOST).expect("valid");
        let home = of_record(&record, id);
        assert_eq!((&home["space"]["size"], &home["space"]["used"]), (&json!(5), &Value::Null));
    }
}
