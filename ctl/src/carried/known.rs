//! What a daemon knows of a home of that name, which may be another than the one that is carried.

use super::identity::Identity;
use records::{FullName, Machine, Record, Sections};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where the image of a home lies that arrives.
pub fn place(root: &Path, name: &FullName) -> PathBuf {
    root.join(format!("{name}.home"))
}

/// Where this machine's daemon, by its record, has the home of that name, if that is not `place`: what arrives there would
/// not be what opens.
pub fn elsewhere(record: &Record, machine: &Machine, place: &Path) -> Option<String> {
    let kept = record.of_home_on(machine).effective_image_path();
    let is_there = kept.as_deref().is_some_and(|kept| Path::new(kept) == place);
    (!is_there).then(|| kept.unwrap_or_else(|| "a server".into()))
}

/// Whether a home that this machine's daemon knows is, by its record, another than the one that arrives, of which `luks` is
/// the UUID; where either is not known, it may be the same.
pub fn is_another(record: &Record, machine: &Machine, luks: &str) -> bool {
    let bound = record.binding(&machine.id).and_then(|bound| bound.get("luksUuid")?.as_str());
    bound.is_some_and(|bound| !luks.is_empty() && !bound.eq_ignore_ascii_case(luks))
}

/// Whether the home that another machine's daemon has opened is the one that was sent: the same LUKS UUID at the place where
/// it arrived. `inspected` is what `homectl inspect -j` says over there; else what it says instead.
pub fn is_the_one_sent(inspected: &str, sent: &Identity, place: &Path) -> Result<(), String> {
    let record = Record::parse(inspected, Sections::OWNER).map_err(|error| error.to_string())?;
    let entries = |section: &str| record.members().get(section).and_then(Value::as_object);
    let (Some(status), Some(binding)) = (entries("status"), entries("binding")) else {
        return Err("it knows no image of it".into());
    };
    // Its daemon tells the state of homes on its own machine alone.
    let mut of_it = binding.iter().filter(|(machine, _)| status.contains_key(*machine));
    let (Some((_, bound)), None) = (of_it.next(), of_it.next()) else {
        return Err("it knows no image of it".into());
    };
    let text = |name: &str| bound.get(name).and_then(Value::as_str).unwrap_or("none");
    let is_it = text("luksUuid").eq_ignore_ascii_case(&sent.luks) && Path::new(text("imagePath")) == place;
    let shown = |name: &str| text(name).escape_default();
    is_it.then_some(()).ok_or_else(|| {
        format!("what opens there is {} (LUKS UUID {})", shown("imagePath"), shown("luksUuid"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::MachineId;

    const PLACE: &str = "/home/alice.home";
    const LUKS: &str = "6f5a1b9c-8d3e-4f2a-9b7c-1d2e3f4a5b6c";
    const OTHER: &str = "22222222-8d3e-4f2a-9b7c-1d2e3f4a5b6c";

    fn bound(path: &str, luks: &str) -> Value {
        serde_json::json!({"imagePath": path, "luksUuid": luks, "storage": "luks"})
    }

    fn record(machine: &str, entry: &Value, status: &[&str]) -> String {
        let mut record = serde_json::json!({"userName": "alice", "binding": {machine.repeat(32): entry}});
        for machine in status {
            record["status"][machine.repeat(32)] = serde_json::json!({"state": "inactive"});
        }
        record.to_string()
    }

    #[test]
    fn only_what_was_sent_counts_as_opened() {
        let sent = Identity { luks: LUKS.into(), owner: None };
        let is_it = |text: &str| is_the_one_sent(text, &sent, Path::new(PLACE));
        assert_eq!(is_it(&record("1", &bound(PLACE, LUKS), &["1"])), Ok(()));
        for strange in [
            record("1", &bound(PLACE, OTHER), &["1"]),
            record("1", &bound("/srv/alice.home", LUKS), &["1"]),
            record("1", &serde_json::json!({"imagePath": PLACE}), &["1"]),
            record("1", &serde_json::json!({"luksUuid": LUKS}), &["1"]),
            // Of another machine than the one that tells.
            record("1", &bound(PLACE, LUKS), &["2"]),
            record("1", &bound(PLACE, LUKS), &[]),
            r#"{"userName":"alice"}"#.into(),
            String::new(),
        ] {
            assert!(is_it(&strange).is_err(), "{strange}");
        }
        let said = is_it(&record("1", &bound("/srv/alice.home", OTHER), &["1"])).expect_err("another");
        assert!(said.contains("/srv/alice.home") && said.contains(OTHER), "{said}");
    }

    #[test]
    fn a_home_that_is_kept_elsewhere_is_seen() {
        let host = records::HostName("here".into());
        let machine = Machine { id: MachineId::parse(&"1".repeat(32)).expect("an id"), host };
        let kept = |text: &str| {
            let record = Record::parse(text, Sections::OWNER).expect("a record");
            elsewhere(&record, &machine, Path::new(PLACE))
        };
        assert_eq!(kept(&record("1", &bound(PLACE, LUKS), &["1"])), None);
        assert_eq!(
            kept(&record("1", &bound("/srv/alice.home", LUKS), &["1"])).as_deref(),
            Some("/srv/alice.home")
        );
        let is_another = |luks: &str| {
            let record = Record::parse(&record("1", &bound(PLACE, LUKS), &["1"]), Sections::OWNER);
            super::is_another(&record.expect("a record"), &machine, luks)
        };
        assert_eq!([LUKS, "", OTHER].map(is_another), [false, false, true]);
        let folder = r#"{"userName":"alice","storage":"subvolume"}"#;
        assert_eq!(kept(folder).as_deref(), Some("/home/alice.homedir"));
        assert!(kept(r#"{"userName":"alice","storage":"cifs"}"#).is_some());
    }
}
