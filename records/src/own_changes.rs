//! Which changes a user may make to the own record without an administrator.
//!
//! The lists are taken from the record in force, never from the new one: otherwise a change could
//! allow itself.

use crate::keys;
use crate::machine::Machine;
use crate::matching;
use crate::record::Record;
use crate::sections::Sections;
use serde_json::{Map, Value};

/// Members of the top level, where the record has no list of its own.
pub const FIELDS: &[&str] = &[
    "realName",
    "emailAddress",
    "iconName",
    "location",
    "shell",
    "umask",
    "environment",
    "timeZone",
    "preferredLanguage",
    "additionalLanguages",
    "preferredSessionLauncher",
    "preferredSessionType",
    "defaultArea",
    "snapshotKeepHourly",
    "snapshotKeepDaily",
    "snapshotKeepWeekly",
    "pkcs11TokenUri",
    "fido2HmacCredential",
    "tpm2PinMachineId",
    "recoveryKeyType",
    "lastChangeUSec",
    "lastPasswordChangeUSec",
];
/// The same of the blob directory.
pub const BLOBS: &[&str] = &["avatar", "login-background"];
/// The same of the section `privileged`.
pub const PRIVILEGED: &[&str] = &[
    "passwordHint",
    "hashedPassword",
    "pkcs11EncryptedKey",
    "fido2HmacSalt",
    "tpm2Pin",
    "recoveryKey",
    keys::DETAILS,
    "sshAuthorizedKeys",
    "backupRepository",
    "backupPasswordFile",
];

/// Whether `new` differs from `current` only where its user may change it.
pub fn only_self_modifiable(current: &Record, new: &Record, machine: &Machine) -> bool {
    let fields = allowed(current, "selfModifiableFields", FIELDS);
    let blobs = allowed(current, "selfModifiableBlobs", BLOBS);
    let mut privileged = allowed(current, "selfModifiablePrivileged", PRIVILEGED);
    // A name goes with its key.
    if keys::KINDS.iter().any(|kind| privileged.iter().any(|name| name == kind.list)) {
        privileged.push(keys::DETAILS.to_owned());
    }
    let rest = |record: &Record| {
        let mut members = record.only(Sections::SIGNED).members().clone();
        without(&mut members, &fields);
        strip(&mut members, "blobManifest", &blobs);
        strip(&mut members, "privileged", &privileged);
        strip_machines(&mut members, &fields, machine);
        members
    };
    rest(current) == rest(new)
}

fn allowed(current: &Record, list: &str, default: &[&str]) -> Vec<String> {
    match current.members().get(list) {
        Some(Value::Array(own)) => own.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => default.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn without(members: &mut Map<String, Value>, names: &[String]) {
    for name in names {
        members.remove(name);
    }
}

/// Removes names from an object member, and the object where nothing is left.
fn strip(members: &mut Map<String, Value>, object: &str, names: &[String]) {
    if let Some(Value::Object(inner)) = members.get_mut(object) {
        without(inner, names);
        if inner.is_empty() {
            members.remove(object);
        }
    }
}

fn strip_machines(members: &mut Map<String, Value>, fields: &[String], machine: &Machine) {
    let Some(Value::Array(entries)) = members.get_mut("perMachine") else {
        return;
    };
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        if matching::applies(entry, machine) {
            without(entry, fields);
        }
    }
    let is_condition = |name: &String| name.starts_with("match");
    entries.retain(|entry| !entry.as_object().is_some_and(|entry| entry.keys().all(is_condition)));
    if entries.is_empty() {
        members.remove("perMachine");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostName, MachineId};
    use serde_json::json;

    fn changed(current: Value, new: Value) -> bool {
        let machine = Machine {
            id: MachineId::parse("11111111111111111111111111111111").expect("valid"),
            host: HostName("a".into()),
        };
        let read = |value| Record::from_value(value, Sections::HOST).expect("valid");
        only_self_modifiable(&read(current), &read(new), &machine)
    }

    #[test]
    fn a_user_may_change_the_shell_but_not_the_groups() {
        let base = json!({"userName": "alice"});
        assert!(changed(base.clone(), json!({"userName": "alice", "shell": "/bin/sh", "lastChangeUSec": 1})));
        assert!(!changed(base.clone(), json!({"userName": "alice", "memberOf": ["sudo"]})));
        assert!(changed(base.clone(), json!({"userName": "alice", "privileged": {"passwordHint": "x"}})));
        assert!(!changed(base, json!({"userName": "alice", "selfModifiableFields": ["memberOf"]})));
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        let strict = json!({"userName": "alice", "selfModifiableFields": []});
        assert!(!changed(
            strict,
            json!({"userName": "alice", "selfModifiableFields": [], "shell": "/bin/sh"})
        ));
    }

    #[test]
    fn whoever_may_enrol_a_key_may_name_it() {
        let with = |list: &str, name: Option<&str>| {
            let mut record = json!({"userName": "alice", "selfModifiablePrivileged": [list]});
            if let Some(name) = name {
                record["privileged"]["keyDetails"] = json!([{"name": name}]);
            }
            record
        };
        assert!(changed(with("fido2HmacSalt", None), with("fido2HmacSalt", Some("blue"))));
        assert!(!changed(with("passwordHint", None), with("passwordHint", Some("blue"))));
    }

    #[test]
    fn only_entries_of_this_machine_may_change() {
        let entry = |id: &str, shell: &str| json!({"userName": "alice", "perMachine": [{"matchMachineId": id, "shell": shell}]});
        let (here, there) = ("1".repeat(32), "2".repeat(32));
        assert!(changed(entry(&here, "/bin/a"), entry(&here, "/bin/b")));
        assert!(!changed(entry(&there, "/bin/a"), entry(&there, "/bin/b")));
    }
}
