//! Each option on the command line, and the record it makes.

use homectl::options::edit::Draft;
use homectl::options::parse::parse;
use homectl::options::values::Surroundings;
use homectl::options::{Effect, Place, RECORD_ROWS};
use records::MachineId;
use serde_json::{Value, json};

const ID: &str = "0123456789abcdef0123456789abcdef";

fn edited(before: Value, words: &[&str]) -> Result<Value, String> {
    let around = Surroundings {
        now_usec: 0,
        variable: &|name| (name == "LANG").then(|| "de_DE".to_owned()),
        zone: &|name| name.contains('/'),
    };
    let file = |path: &str| Ok(format!("# keys of {path}\n\nssh-ed25519 AAAA b\n"));
    let mut draft = Draft::default();
    for typed in &parse(words)?.options {
        draft.take(typed, &around, &file)?;
    }
    let Value::Object(before) = before else { return Err("not a record".to_owned()) };
    Ok(Value::Object(draft.apply(before, &MachineId::parse(ID).map_err(|e| e.to_string())?)))
}

fn this(members: Value) -> Value {
    let mut members = members;
    members["matchMachineId"] = json!(ID);
    json!({"perMachine": [members]})
}

/// Words, and what they make of an empty record.
fn cases() -> Vec<(&'static [&'static str], Value)> {
    vec![
        (&["-c", "Anna Bell"], json!({"realName": "Anna Bell"})),
        (&["--comment=Anna"], json!({"realName": "Anna"})),
        (&["--realm=example.com"], json!({"realm": "example.com"})),
        (&["--alias=b,a", "--alias=a"], json!({"aliases": ["a", "b"]})),
        (&["--birth-date=1990-02-28"], json!({"birthDate": "1990-02-28"})),
        (&["-u", "60100"], json!({"uid": 60100})),
        (&["-G", "wheel,,audio", "-Gaudio"], json!({"memberOf": ["audio", "wheel"]})),
        (&["--umask=077", "--access-mode=0750"], json!({"umask": 63, "accessMode": 488})),
        (&["-k/etc/s"], this(json!({"skeletonDirectory": "/etc/s"}))),
        (&["-A", "-k/etc/s"], json!({"skeletonDirectory": "/etc/s"})),
        (&["--match=this", "--nice=5"], this(json!({"niceLevel": 5}))),
        (&["-N", "--nice=-5"], json!({"perMachine": [{"niceLevel": -5, "matchNotMachineId": ID}]})),
        (&["-N", "--match=auto", "--nice=-5"], json!({"niceLevel": -5})),
        (&["--setenv=B=1", "--setenv=LANG", "--setenv=B=2"], json!({"environment": ["B=2", "LANG=de_DE"]})),
        (
            &["--language=de_DE,en_GB:fr_FR"],
            json!({"preferredLanguage": "de_DE", "additionalLanguages": ["en_GB", "fr_FR"]}),
        ),
        (
            &["--ssh-authorized-keys=k 1", "--ssh-authorized-keys=@f"],
            json!({"privileged": {"sshAuthorizedKeys": ["k 1", "ssh-ed25519 AAAA b"]}}),
        ),
        (&["--password-hint=pet"], json!({"privileged": {"passwordHint": "pet"}})),
        (&["-P"], json!({"enforcePasswordPolicy": false})),
        (&["-e", "1970-01-02"], json!({"notAfterUSec": 86_400_000_000u64})),
        (&["--luks-pbkdf-time-cost=1ms"], json!({"luksPbkdfTimeCostUSec": 1000})),
        (&["--disk-size=min"], this(json!({"diskSize": 0, "rebalanceWeight": 0}))),
        (&["--disk-size=max"], this(json!({"diskSize": u64::MAX - 1, "rebalanceWeight": 0}))),
        (&["--disk-size=100%"], this(json!({"diskSizeRelative": u32::MAX, "rebalanceWeight": 0}))),
        (&["--disk-size=256M"], this(json!({"diskSize": 256u64 << 20, "rebalanceWeight": 0}))),
        (
            &["--rlimit=NOFILE=5:infinity"],
            this(json!({"resourceLimits": {"RLIMIT_NOFILE": {"cur": 5, "max": null}}})),
        ),
        (
            &["--tmp-limit=50%", "--dev-shm-limit=1G"],
            json!({"tmpLimitScale": 2_147_483_648u64, "devShmLimit": 1u64 << 30}),
        ),
        (&["--memory-max=1.5G"], this(json!({"memoryMax": 3u64 << 29}))),
        (&["--rebalance-weight=off"], json!({"rebalanceWeight": 0})),
        (&["--nice=4", "--nice="], json!({})),
        (&["--capability-ambient-set=CAP_CHOWN"], json!({"capabilityAmbientSet": ["cap_chown"]})),
    ]
}

#[test]
fn each_option_makes_the_members_of_its_row() {
    for (words, record) in cases() {
        assert_eq!(edited(json!({}), words), Ok(record), "{words:?}");
    }
}

#[test]
fn wrong_values_are_refused() {
    for word in [
        "--member-of=,,,",
        "--member-of=a,b c:d",
        "--uid=0",
        "--uid=65534",
        "--realm=-x",
        "--shell=bash",
        "--nice=20",
        "--umask=9",
        "--disk-size=101%",
        "--storage=zfs",
        "--fs-type=fat",
        "--luks-sector-size=513",
        "--rlimit=FOO=1",
        "--rlimit=NOFILE=5:4",
        "--birth-date=1899-01-01",
        "--birth-date=2001-02-29",
        "--cifs-service=x",
        "--blob=.x=/y",
        "--fido2-device=some",
        "--fido2-with-client-pin=perhaps",
        "--fido2-credential-algorithm=rot13",
        "--cpu-weight=0",
        "--match=some",
        "--locked=perhaps",
        "--setenv=NOT_THERE",
    ] {
        assert!(edited(json!({}), &[word]).is_err(), "{word}");
    }
}

#[test]
fn an_empty_value_removes_the_member_everywhere() {
    for row in RECORD_ROWS {
        let Effect::Set { member, place, .. } = row.effect else { continue };
        if row.long.is_empty() {
            continue;
        }
        let before = match place {
            Place::Privileged => json!({"privileged": {member: "x"}}),
            Place::Top | Place::Matched | Place::MatchedThis => json!({member: "x", "perMachine": [
                {member: "x", "matchMachineId": ID}, {member: "x", "matchNotMachineId": [ID]}]}),
        };
        assert_eq!(edited(before, &[&format!("--{}=", row.long)]), Ok(json!({})), "--{}", row.long);
    }
}

#[test]
fn entries_for_other_machines_and_unknown_members_stay() {
    let other = json!({"matchMachineId": ["ffffffffffffffffffffffffffffffff", ID], "niceLevel": 1});
    let before = json!({"future": {"a": [1]}, "perMachine": [{"matchMachineId": ID, "umask": 1}, other]});
    let after = json!({"future": {"a": [1]}, "perMachine": [other, {"matchMachineId": ID, "umask": 1, "niceLevel": 2}]});
    assert_eq!(edited(before, &["-T", "--nice=2"]), Ok(after));
}

#[test]
fn one_resource_limit_goes_and_another_stays() {
    let before = this(
        json!({"resourceLimits": {"RLIMIT_CPU": {"cur": 1, "max": 1}, "RLIMIT_NICE": {"cur": 2, "max": 2}}}),
    );
    assert_eq!(
        edited(before, &["--rlimit=CPU="]),
        Ok(this(json!({"resourceLimits": {"RLIMIT_NICE": {"cur": 2, "max": 2}}})))
    );
}
