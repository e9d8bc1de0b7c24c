//! What a stranger's record is believed: hostile records, one row each.

use records::signature::{PrivateKey, Trust, Worth, sign, signers};
use records::stranger::{self, Strangers};
use records::{HostName, Machine, MachineId, Record, Sections};
use serde_json::{Value, json};

const HERE: &str = "11111111111111111111111111111111";
const HASH: &str = "$y$j9T$I5Wxfm.fyg.RRWlgWw.rI1$gnQqGtbpPexqxZJkWMq8FxQi5Swc.CWeKtM8LwvEUB6";

fn machine() -> Machine {
    Machine { id: MachineId::parse(HERE).expect("valid"), host: HostName("box".into()) }
}

fn record(value: Value) -> Record {
    Record::from_value(value, Sections::HOST).expect("valid")
}

fn with(mut base: Value, more: &Value) -> Value {
    let members = more.as_object().expect("an object").clone();
    base.as_object_mut().expect("an object").extend(members);
    base
}

/// What is believed of the plainest record there is.
fn harmless() -> Record {
    stranger::believed(&record(json!({"userName": "alice"})), &machine())
}

/// Members that gain a right, take something of the machine, or point somewhere. None of them may be believed.
const HOSTILE: &str = r#"
{"uid": 0}
{"uid": 65534}
{"uid": 1000, "gid": 0}
{"gid": 27}
{"memberOf": ["sudo"]}
{"memberOf": ["root", "wheel", "docker", "disk", "shadow"]}
{"aliases": ["root"]}
{"aliases": ["postgres", "admin"]}
{"disposition": "system"}
{"disposition": "intrinsic"}
{"disposition": "reserved"}
{"imagePath": "/dev/sda"}
{"imagePath": "/home/bob.home"}
{"imagePath": "/proc/self/mem"}
{"homeDirectory": "/etc"}
{"homeDirectory": "/home/bob"}
{"homeDirectory": "/root"}
{"skeletonDirectory": "/etc"}
{"skeletonDirectory": "/home/bob"}
{"blobDirectory": "/etc"}
{"service": "other"}
{"storage": "directory"}
{"storage": "cifs", "cifsService": "//evil/share"}
{"cifsUserName": "x", "cifsDomain": "y"}
{"cifsExtraMountOptions": "suid,dev"}
{"fileSystemType": "ext4"}
{"partitionUuid": "11111111-1111-1111-1111-111111111111"}
{"luksUuid": "11111111-1111-1111-1111-111111111111"}
{"fileSystemUuid": "11111111-1111-1111-1111-111111111111"}
{"mountNoSuid": false}
{"mountNoDevices": false}
{"mountNoExecute": true}
{"luksExtraMountOptions": "suid,dev,errors=panic"}
{"luksExtraMountOptions": "device=/dev/sda"}
{"luksDiscard": true, "luksOfflineDiscard": true}
{"luksCipher": "null", "luksCipherMode": "ecb"}
{"luksPbkdfMemoryCost": 68719476736}
{"luksPbkdfForceIterations": 4294967295}
{"luksPbkdfTimeCostUSec": 18446744073709551615}
{"luksPbkdfParallelThreads": 4096}
{"luksVolumeKeySize": 1, "luksSectorSize": 4096}
{"luksPbkdfType": "pbkdf2"}
{"capabilityBoundingSet": ["CAP_SYS_ADMIN"]}
{"capabilityAmbientSet": ["CAP_SYS_ADMIN"]}
{"niceLevel": -20}
{"resourceLimits": {"RLIMIT_NPROC": {"cur": 9999999, "max": 9999999}}}
{"tasksMax": 4000000}
{"memoryHigh": 1, "memoryMax": 18446744073709551615}
{"cpuWeight": 10000, "ioWeight": 10000}
{"tmpLimit": 1, "devShmLimit": 1}
{"tmpLimitScale": 1, "devShmLimitScale": 1}
{"diskSize": 5497558138880}
{"diskSizeRelative": 4294967295}
{"autoResizeMode": "grow"}
{"rebalanceWeight": 10000}
{"accessMode": 4095}
{"dropCaches": true}
{"lockLevel": "strict"}
{"lockAfterIdleUSec": 1, "lockAfterScreenLockUSec": 1, "lockOnTokenRemoval": true}
{"autoLogin": true}
{"rateLimitIntervalUSec": 1, "rateLimitBurst": 1000000}
{"enforcePasswordPolicy": false}
{"stopDelayUSec": 18446744073709551615}
{"killProcesses": false}
{"environment": ["LD_PRELOAD=/home/alice/evil.so"]}
{"environment": ["PATH=/tmp"]}
{"preferredSessionLauncher": "../../../tmp/x"}
{"preferredSessionType": "x11"}
{"defaultArea": "x"}
{"selfModifiableFields": ["memberOf", "uid"]}
{"selfModifiableBlobs": ["x"], "selfModifiablePrivileged": ["sshAuthorizedKeys"]}
{"privileged": {"sshAuthorizedKeys": ["ssh-ed25519 AAAA evil"]}}
{"privileged": {"somethingNew": "x"}}
{"privileged": {"backupRepository": "rest:https://example.com/all-you-have"}}
{"privileged": {"backupRepository": "sftp:-oProxyCommand=x:/", "backupPasswordFile": "/home/alice/.netrc"}}
{"restoredBackup": "0123456789abcdef"}
{"aFieldOfTomorrow": {"root": true}}
{"acceptedClaims": {"memberOf": ["sudo"]}}
{"trust": "full"}
{"signedLocally": true}
"#;

/// The same, and for one machine.
fn hostile() -> Vec<Value> {
    let lines = HOSTILE.lines().filter(|line| !line.is_empty());
    let mut all: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // Whatever may be said for one machine is no more worth there.
    let per_machine: Vec<Value> = all
        .iter()
        .filter(|members| {
            members.as_object().is_some_and(|m| m.keys().all(|name| records::fields::is_per_machine(name)))
        })
        .map(|members| json!({"perMachine": [with(json!({"matchMachineId": HERE}), members)]}))
        .collect();
    assert!(per_machine.len() > 30);
    all.extend(per_machine);
    all
}

#[test]
fn no_hostile_record_gains_a_right() {
    let (mut refused, mut taken) = (0, 0);
    for members in hostile() {
        let said = with(json!({"userName": "alice"}), &members);
        // What is not valid at all is no record.
        let Ok(said) = Record::from_value(said, Sections::HOST) else {
            refused += 1;
            continue;
        };
        taken += 1;
        assert_eq!(stranger::believed(&said, &machine()), harmless(), "{members}");
        // Signed, too, and by whoever likes.
        let signed = sign(&said, &PrivateKey::from_seed([9; 32])).expect("signable");
        assert_eq!(Trust::default().worth(&signed), Worth::Stranger);
        assert_eq!(stranger::believed(&signed, &machine()), harmless(), "{members}");
    }
    assert!(taken > 100 && refused < 20, "{taken} {refused}");
}

#[test]
fn what_concerns_the_user_alone_is_believed() {
    let own = json!({
        "userName": "alice", "realName": "Alice", "shell": "/bin/zsh", "locked": true, "notAfterUSec": 1,
        "privileged": {"hashedPassword": [HASH], "passwordHint": "usual"},
        "perMachine": [{"matchHostname": "box", "timeZone": "Europe/Berlin"}, {"matchHostname": "other", "shell": "/x"}],
    });
    let believed = stranger::believed(&record(own), &machine());
    let expected = json!({
        "userName": "alice", "realName": "Alice", "shell": "/bin/zsh", "locked": true, "notAfterUSec": 1,
        "privileged": {"hashedPassword": [HASH], "passwordHint": "usual"},
        "timeZone": "Europe/Berlin", "disposition": "regular", "rebalanceWeight": 0,
    });
    assert_eq!(believed, record(expected));
}

#[test]
fn claims_hold_value_by_value_once_they_are_accepted() {
    let said = json!({
        "userName": "alice", "memberOf": ["wheel"], "niceLevel": 3, "uid": 0,
        "privileged": {"sshAuthorizedKeys": ["ssh-ed25519 AAAA x"]},
        "perMachine": [{"matchMachineId": HERE, "niceLevel": 5}],
    });
    let claims = stranger::claims(&record(said.clone()), &machine());
    let expected = json!({
        "memberOf": ["wheel"], "niceLevel": 5, "privileged.sshAuthorizedKeys": ["ssh-ed25519 AAAA x"],
    });
    assert_eq!(Value::Object(claims.clone()), expected);
    let accept = |said: Value| {
        let accepted = serde_json::Map::from_iter([(stranger::ACCEPTED.to_owned(), claims.clone().into())]);
        stranger::believed(&record(said).with_binding(&machine().id, accepted), &machine())
    };
    let believed = accept(said.clone());
    assert_eq!(
        Value::Object(stranger::claims(&believed, &machine())),
        with(expected, &json!({"rebalanceWeight": 0}))
    );
    assert!(!believed.members().contains_key("uid"), "that is for this machine to say");
    // Another value is another claim; what is not claimed any more is not believed.
    let more = accept(with(said.clone(), &json!({"memberOf": ["wheel", "sudo"]})));
    assert!(!more.members().contains_key("memberOf"));
    assert_eq!(more.members()["niceLevel"], 5);
    let less = accept(json!({"userName": "alice", "niceLevel": 5}));
    assert!(!less.members().contains_key("memberOf"));
}

#[test]
fn a_stranger_is_let_in_where_that_is_wanted_and_stays_the_same() {
    let key = |seed| PrivateKey::from_seed([seed; 32]);
    let plain = record(json!({"userName": "alice"}));
    let by = |seed| sign(&plain, &key(seed)).expect("signable");
    let trust = |strangers| Trust { local: vec![key(1).public()], others: vec![key(2).public()], strangers };
    let lets_in = trust(Strangers::Restricted);
    assert!(lets_in.admit(&by(3), None).is_some_and(|vouched| !vouched.is_local()));
    assert!(lets_in.vouch(&by(3)).is_none(), "that is for trusted keys alone");
    assert!(trust(Strangers::No).admit(&by(3), None).is_none());
    assert!(trust(Strangers::Yes).admit(&by(3), None).is_some());
    assert!(lets_in.admit(&by(3), Some(&by(3))).is_some());
    assert!(lets_in.admit(&by(4), Some(&by(3))).is_none(), "it came from somebody else");
    assert!(lets_in.admit(&by(3), Some(&plain)).is_none(), "nobody has signed what is known");
    let signatures: Vec<Value> = [3, 4].map(|seed| by(seed).members()["signature"][0].clone()).into();
    let both = plain.with_member("signature", Value::Array(signatures));
    assert!(lets_in.admit(&both, None).is_some() && lets_in.admit(&by(3), Some(&both)).is_some());
    assert!(
        lets_in.admit(&both, Some(&by(3))).is_none(),
        "somebody else has put a signature beside the first"
    );
    assert!(lets_in.admit(&plain, None).is_none(), "nobody has signed it");
    assert!(
        lets_in.admit(&by(3).with_member("shell", json!("/bin/x")), None).is_none(),
        "it was changed since"
    );
    assert!(lets_in.admit(&by(1), None).is_none(), "that is no stranger");
    // A key that only lies beside a signature of another is nobody's.
    let mut forged = by(3).members()["signature"].clone();
    forged[0]["key"] = by(2).members()["signature"][0]["key"].clone();
    let forged = plain.with_member("signature", forged);
    assert!(signers(&forged).is_empty() && lets_in.admit(&forged, None).is_none());
    // A flood of signatures is none.
    let one = by(3).members()["signature"][0].clone();
    let many = plain.with_member("signature", Value::Array(vec![one; 10_000]));
    assert_eq!(lets_in.worth(&many), Worth::Rejected);
    assert!(lets_in.admit(&many, None).is_none());
}
