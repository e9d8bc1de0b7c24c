//! A job as JSON. What is secret is spliced in as text and read by a reader that keeps no copies: serde
//! would leave some in memory that it has let go of.

use super::{
    Care, Force, InvalidJob, Job, Known, Mounted, Original, Part, Reach, RecordChange, Remember, Repair,
    Seen, Size, Snapshots, Task, VERSION,
};
use records::keys::Removal;
use records::secret::wipe_json;
use records::stranger::Strangers;
use records::{Credentials, FullName, HostName, LockLevel, Machine, MachineId, Record, Secret, Sections};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Verb {
    Create { uid: u32, overcommit: u32, blobs: Option<String>, original: Option<Original> },
    Activate { uid: u32, known: Known },
    Deactivate { force: Force },
    Authenticate { known: Known },
    ChangePassword { resting: Mounted },
    Update { record: Value, blobs: Option<String>, reach: Reach, resting: Mounted },
    Check { seen: Seen, known: Known },
    Repair { how: Repair, known: Known },
    Rescue { uid: u32, directory: Option<String> },
    Resize { size: Size, resting: Mounted, remember: Remember },
    Snapshot { wish: Snapshots },
    Tend { care: Care },
    Remove,
    Lock { uid: u32, level: String },
    Unlock { uid: u32 },
    Settle { uid: u32 },
    GiveUp { uid: u32 },
}

pub fn encode(job: &Job) -> Secret {
    let verb = match &job.task {
        Task::Create { uid, overcommit, blobs, original } => Verb::Create {
            uid: *uid,
            overcommit: *overcommit,
            blobs: blobs.clone(),
            original: original.clone(),
        },
        Task::Activate { uid, known } => Verb::Activate { uid: *uid, known: *known },
        Task::Deactivate { force } => Verb::Deactivate { force: *force },
        Task::Authenticate { known } => Verb::Authenticate { known: *known },
        Task::ChangePassword { resting, .. } => Verb::ChangePassword { resting: *resting },
        Task::Update { change, resting } => Verb::Update {
            record: Value::Object(change.record.members().clone()),
            blobs: change.blobs.clone(),
            reach: change.reach,
            resting: *resting,
        },
        Task::Check { seen, known } => Verb::Check { seen: *seen, known: *known },
        Task::Repair { how, known } => Verb::Repair { how: *how, known: *known },
        Task::Rescue { uid, directory } => Verb::Rescue { uid: *uid, directory: directory.clone() },
        Task::Resize { size, resting, remember } => {
            Verb::Resize { size: *size, resting: *resting, remember: *remember }
        }
        Task::Snapshot { wish } => Verb::Snapshot { wish: wish.clone() },
        Task::Tend { care } => Verb::Tend { care: *care },
        Task::Remove => Verb::Remove,
        Task::Lock { uid, level } => Verb::Lock { uid: *uid, level: level.as_str().to_owned() },
        Task::Unlock { uid } => Verb::Unlock { uid: *uid },
        Task::Settle { uid } => Verb::Settle { uid: *uid },
        Task::GiveUp { uid } => Verb::GiveUp { uid: *uid },
    };
    let open = json!({
        "version": VERSION,
        "home": job.home.to_string(),
        "machine": job.machine.id.as_str(),
        "host": job.machine.host.0,
        "record": job.record.members(),
        "hostRecord": job.host.as_ref().map(Record::members),
        "strangers": job.strangers.as_str(),
        "removal": job.removal,
        "task": verb,
    });
    let new = match &job.task {
        Task::ChangePassword { new, .. } => Some(new.to_json()),
        _ => None,
    };
    splice(&open.to_string(), &job.credentials.to_json(), new.as_ref())
}

/// Adds the secrets to an object, in memory that is reserved beforehand: it never moves.
fn splice(object: &str, secret: &Secret, new: Option<&Secret>) -> Secret {
    let members = [(&b",\"secret\":"[..], Some(secret)), (&b",\"newSecret\":"[..], new)];
    let room: usize =
        members.iter().map(|(name, value)| name.len() + value.map_or(0, |v| v.open().len())).sum();
    let mut text = Vec::with_capacity(object.len() + room);
    text.extend_from_slice(object.strip_suffix('}').unwrap_or(object).as_bytes());
    for (name, value) in members {
        if let Some(value) = value {
            text.extend_from_slice(name);
            text.extend_from_slice(value.open());
        }
    }
    text.push(b'}');
    Secret::new(text)
}

pub fn decode(text: &[u8]) -> Result<Job, InvalidJob> {
    let text = std::str::from_utf8(text).map_err(|e| InvalidJob(e.to_string()))?;
    let mut value = records::json::parse(text).map_err(|e| InvalidJob(e.to_string()))?;
    let job = read(&value);
    wipe_json(&mut value);
    job
}

fn read(value: &Value) -> Result<Job, InvalidJob> {
    if value["version"] != json!(VERSION) {
        return Err(InvalidJob("it is of another version; restart the daemon".into()));
    }
    let text = |name: &str| value[name].as_str().ok_or_else(|| InvalidJob(format!("no {name}")));
    let secret = |name: &str| Credentials::from_value(&value[name]).map_err(|e| InvalidJob(e.to_string()));
    let verb = Verb::deserialize(&value["task"]).map_err(|e| InvalidJob(e.to_string()))?;
    let task = match verb {
        Verb::Create { uid, overcommit, blobs, original } => {
            Task::Create { uid, overcommit, blobs, original }
        }
        Verb::Activate { uid, known } => Task::Activate { uid, known },
        Verb::Deactivate { force } => Task::Deactivate { force },
        Verb::Authenticate { known } => Task::Authenticate { known },
        Verb::ChangePassword { resting } => Task::ChangePassword { new: secret("newSecret")?, resting },
        Verb::Update { record, blobs, reach, resting } => {
            Task::Update { change: Box::new(change(record, blobs, reach)?), resting }
        }
        Verb::Check { seen, known } => Task::Check { seen, known },
        Verb::Repair { how, known } => Task::Repair { how, known },
        Verb::Rescue { uid, directory } => Task::Rescue { uid, directory },
        Verb::Resize { size, resting, remember } => Task::Resize { size, resting, remember },
        Verb::Snapshot { wish } => Task::Snapshot { wish },
        Verb::Tend { care } => Task::Tend { care },
        Verb::Remove => Task::Remove,
        Verb::Lock { uid, level } => Task::Lock {
            uid,
            level: LockLevel::parse(&level).ok_or_else(|| InvalidJob(format!("no level {level}")))?,
        },
        Verb::Unlock { uid } => Task::Unlock { uid },
        Verb::Settle { uid } => Task::Settle { uid },
        Verb::GiveUp { uid } => Task::GiveUp { uid },
    };
    Ok(Job {
        home: FullName::parse(text("home")?).map_err(|e| InvalidJob(e.to_string()))?,
        machine: Machine {
            id: MachineId::parse(text("machine")?).map_err(|e| InvalidJob(e.to_string()))?,
            host: HostName(text("host")?.to_owned()),
        },
        record: host_record(&value["record"])?,
        host: value.get("hostRecord").filter(|host| !host.is_null()).map(host_record).transpose()?,
        strangers: Strangers::parse(text("strangers")?)
            .ok_or_else(|| InvalidJob("it does not say what homes of strangers are".into()))?,
        removal: Removal::deserialize(&value["removal"]).map_err(|e| InvalidJob(e.to_string()))?,
        credentials: secret("secret")?,
        task,
    })
}

/// The core has put the rest of the record in force around what was to change.
fn change(record: Value, blobs: Option<String>, reach: Reach) -> Result<RecordChange, InvalidJob> {
    let record = Record::from_value(record, Sections::EMBEDDED).map_err(|e| InvalidJob(e.to_string()))?;
    Ok(RecordChange { record, blobs, reach, part: Part::Whole })
}

fn host_record(value: &Value) -> Result<Record, InvalidJob> {
    Record::from_value(value.clone(), Sections::HOST).map_err(|e| InvalidJob(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_crossing() {
        let record =
            Record::parse(r#"{"userName":"alice","x":[1,{"y":null}]}"#, Sections::HOST).expect("valid");
        let mut credentials = Credentials::default();
        credentials.passwords.push(Secret::from_text("old \"pass\"\n".into()));
        let mut new = Credentials::default();
        new.passwords.push(Secret::from_text("new".into()));
        let job = Job {
            home: FullName::parse("alice").expect("valid"),
            machine: Machine {
                id: MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid"),
                host: HostName("a".into()),
            },
            record: record.clone(),
            host: Some(record.with_member("x", json!(2))),
            strangers: Strangers::Yes,
            removal: Removal::WithRecoveryKey,
            credentials,
            task: Task::ChangePassword { new, resting: Mounted::Yes },
        };
        let back = decode(job.encode().open()).expect("reads");
        assert_eq!((&back.record, back.strangers), (&record, Strangers::Yes));
        assert_eq!(back.removal, Removal::WithRecoveryKey);
        assert_eq!(back.host, Some(record.with_member("x", json!(2))));
        assert_eq!(back.credentials.passwords[0].open(), b"old \"pass\"\n");
        let Task::ChangePassword { new, resting: Mounted::Yes } = &back.task else { panic!("another task") };
        assert_eq!(new.passwords[0].open(), b"new");
    }
}
