//! What the user database asks beyond the record: the user's own group, and memberships.

use crate::machine::Machine;
use crate::record::Record;
use serde_json::{Value, json};

/// The service that answers for homed's users.
pub const SERVICE: &str = "io.systemd.Home";

/// The record of the group that each user has for itself.
pub fn group_record(record: &Record, machine: &Machine) -> Value {
    let settings = record.on(machine);
    let mut group = json!({
        "groupName": record.user().as_str(),
        "description": format!("Primary Group of User {}", record.user()),
        "status": { machine.id.as_str(): { "service": SERVICE } },
    });
    if let Some(gid) = settings.effective_gid() {
        group["binding"] = json!({ machine.id.as_str(): { "gid": gid } });
    }
    if let Some(realm) = &record.full_name().realm {
        group["realm"] = realm.as_str().into();
    }
    if let Some(disposition) = settings.disposition {
        group["disposition"] = disposition.as_str().into();
    }
    group
}

/// The groups the user is in: those of `memberOf`, and the own.
pub fn memberships(record: &Record, machine: &Machine) -> Vec<String> {
    let mut groups = record.on(machine).member_of.unwrap_or_default();
    groups.push(record.user().as_str().to_owned());
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostName, MachineId, Sections};

    #[test]
    fn the_own_group_and_memberships() {
        let id = "1".repeat(32);
        let machine = Machine { id: MachineId::parse(&id).expect("valid"), host: HostName("a".into()) };
        let text = format!(
            r#"{{"userName":"alice","realm":"example.com","disposition":"regular","memberOf":["wheel","alice"],
                "binding":{{"{id}":{{"uid":60001}}}}}}"#
        );
        let record = Record::parse(&text, Sections::HOST).expect("valid");
        assert_eq!(memberships(&record, &machine), ["alice", "wheel"]);
        let group = json!({
            "groupName": "alice", "realm": "example.com", "disposition": "regular",
            "description": "Primary Group of User alice",
            "binding": {&id: {"gid": 60001}}, "status": {&id: {"service": "io.systemd.Home"}},
        });
        assert_eq!(group_record(&record, &machine), group);
    }
}
