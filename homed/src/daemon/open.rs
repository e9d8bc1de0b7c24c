//! Whose homes are open, by the kernel's word alone: for whoever must know whether the daemon lives or not. Homes are
//! known by the records of this host and by the UUIDs of their headers, so that it does not matter what a device with their
//! content is called; no file system is asked.

use crate::home::facts::Place;
use crate::statedir::Folders;
use crate::storage::traces;
use crate::storage::whereabouts::{self, Standing};
use records::{Machine, UserName};

/// Homes whose key is in memory, or may be: user, and why.
pub fn open_homes() -> Result<Vec<(String, String)>, String> {
    let why = |place: &Place| traces::key_in_kernel(&super::system::clues(place));
    Ok(places()?.iter().filter_map(|place| Some((place.user.to_string(), why(place)?))).collect())
}

/// Homes with a device of any kind: open, or locked with what is in memory of them; and those whose key is in memory without
/// one.
pub fn homes_in_use() -> Result<Vec<String>, String> {
    let in_use = |place: &&Place| {
        let clues = super::system::clues(place);
        // What cannot be told counts as in use.
        clues.devices().map_or(true, |all| !all.is_empty()) || traces::key_in_kernel(&clues).is_some()
    };
    Ok(places()?.iter().filter(in_use).map(|place| place.user.to_string()).collect())
}

/// Homes that are not closed, and how they stand. What cannot be told counts as open.
pub fn homes_standing() -> Result<Vec<(String, Standing)>, String> {
    let standing =
        |place: &Place| whereabouts::standing(&super::system::clues(place)).unwrap_or(Standing::Open);
    let all = places()?;
    let stand = all.iter().map(|place| (place.user.to_string(), standing(place)));
    Ok(stand.filter(|(_, standing)| *standing != Standing::Closed).collect())
}

/// Where the homes of this host are, and those that have devices without a record here. Without a look at all of them nobody
/// knows what is open.
fn places() -> Result<Vec<Place>, String> {
    let mut places = recorded(&Folders::default(), &super::this_machine()?)?;
    let others = whereabouts::users_with_devices();
    let others = others.map_err(|error| format!("the devices cannot be looked at: {error}"))?;
    for user in others.iter().filter_map(|user| UserName::parse(user).ok()) {
        if places.iter().all(|place| place.user != user) {
            places.push(unrecorded(user));
        }
    }
    Ok(places)
}

fn recorded(folders: &Folders, machine: &Machine) -> Result<Vec<Place>, String> {
    let all = folders.load_all().map_err(|error| format!("the host records cannot be read: {error}"))?;
    let (records, unusable) = all;
    unusable.iter().for_each(|error| tracing::warn!("a host record cannot be used: {error}"));
    Ok(records.iter().map(|record| Place::of(record, machine)).collect())
}

fn unrecorded(user: UserName) -> Place {
    Place {
        home_directory: format!("/home/{user}"),
        image: format!("/home/{user}.home"),
        kind: records::Storage::Luks,
        luks_uuid: None,
        user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::{HostName, MachineId, Record, Sections};

    #[test]
    fn homes_are_known_by_their_records_and_uuids() {
        let folder = tempfile::tempdir().expect("folder");
        let folders = Folders { state: folder.path().into(), ..Folders::default() };
        let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        let machine = Machine { id, host: HostName("a".into()) };
        let text = r#"{"userName":"alice","binding":{"0123456789abcdef0123456789abcdef":{
            "luksUuid":"6f5a1b9c-8d3e-4f2a-9b7c-1d2e3f4a5b6c","imagePath":"/srv/a.home","storage":"luks"}}}"#;
        folders.save(&Record::parse(text, Sections::HOST).expect("valid")).expect("saved");
        let places = recorded(&folders, &machine).expect("read");
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].luks_uuid.as_deref(), Some("6f5a1b9c-8d3e-4f2a-9b7c-1d2e3f4a5b6c"));
        assert_eq!(places[0].image, "/srv/a.home");
    }

    #[test]
    fn records_that_cannot_be_read_are_not_no_homes() {
        let folder = tempfile::tempdir().expect("folder");
        let state = folder.path().join("state");
        std::fs::write(&state, "a file in the place of the folder").expect("written");
        let folders = Folders { state, ..Folders::default() };
        let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        assert!(recorded(&folders, &Machine { id, host: HostName("a".into()) }).is_err());
    }
}
