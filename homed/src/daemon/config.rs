//! `homed.conf`: what records get that do not say.
//!
//! Fragments (all optional) in the original's order; later ones win, so a `.d` file overrides the main file.

use super::usual_storage;
use crate::manager::{Defaults, LockFailure};
use crate::words::uids;
use records::keys::Removal;
use records::stranger::Strangers;
use records::{LockLevel, Storage};
use std::path::{Path, PathBuf};

/// Folders in falling priority; the first that has a file of a name is read, as systemd does.
const FOLDERS: [&str; 4] = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];
/// File systems that `DefaultFileSystemType=` may name.
const FILE_SYSTEMS: [&str; 3] = ["btrfs", "ext4", "xfs"];

/// The settings in force, and what was wrong with those that were left out.
pub fn read() -> (Defaults, Vec<String>) {
    let mut defaults = usual();
    let mut complaints = Vec::new();
    for file in files(&FOLDERS.map(PathBuf::from)) {
        if let Ok(text) = std::fs::read_to_string(&file) {
            let told = apply(&mut defaults, &text);
            complaints.extend(told.into_iter().map(|what| format!("{}: {what}", file.display())));
        }
    }
    (defaults, complaints)
}

fn usual() -> Defaults {
    let fresh = Defaults::default();
    Defaults { storage: usual_storage::here(&fresh.home_root), ..fresh }
}

/// The main file, then the fragments by name.
fn files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut fragments = std::collections::BTreeMap::new();
    for folder in folders.iter().rev() {
        let Ok(entries) = std::fs::read_dir(folder.join("homed.conf.d")) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|e| e == "conf")) {
                fragments.insert(name.to_owned(), path.clone());
            }
        }
    }
    let main =
        folders.iter().map(|folder| folder.join("homed.conf")).find(|path: &PathBuf| Path::exists(path));
    main.into_iter().chain(fragments.into_values()).collect()
}

fn apply(defaults: &mut Defaults, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut in_section = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            in_section = line == "[Home]";
            continue;
        }
        let (true, Some((key, value))) = (in_section, line.split_once('=')) else { continue };
        take(defaults, (key.trim(), value.trim()), &mut complaints);
    }
    complaints
}

/// Takes one line.
fn take(defaults: &mut Defaults, (key, value): (&str, &str), complaints: &mut Vec<String>) {
    match (key, value) {
        ("DefaultStorage", kind) if Storage::of_homes(kind).is_some() => {
            defaults.storage = Storage::of_homes(kind).unwrap_or(defaults.storage);
        }
        ("DefaultFileSystemType", kind) if FILE_SYSTEMS.contains(&kind) => {
            defaults.file_system_type = Some(kind.into());
        }
        ("LockLevel", word) if LockLevel::parse(word).is_some() => {
            defaults.lock_level = LockLevel::parse(word).unwrap_or(defaults.lock_level);
        }
        ("LockFailure", "abort" | "") => defaults.lock_failure = LockFailure::Abort,
        ("LockFailure", "poweroff") => defaults.lock_failure = LockFailure::PowerOff,
        ("LockFailure", "ignore") => defaults.lock_failure = LockFailure::Ignore,
        ("TrustForeignHomes", "") => defaults.strangers = Strangers::default(),
        ("TrustForeignHomes", word) if Strangers::parse(word).is_some() => {
            defaults.strangers = Strangers::parse(word).unwrap_or(defaults.strangers);
        }
        ("RecoveryForRemoval", "") => defaults.removal = Defaults::default().removal,
        ("RecoveryForRemoval", word) => defaults.removal = removal(word, complaints),
        ("Overcommit", "") => defaults.overcommit = Defaults::default().overcommit,
        ("Overcommit", text) if percent(text).is_some() => {
            defaults.overcommit = percent(text).unwrap_or(defaults.overcommit);
        }
        ("MostHomes", "") => defaults.most_homes = Defaults::default().most_homes,
        ("MostHomes", text) if text.parse().is_ok_and(|most: usize| most > 0) => {
            defaults.most_homes = text.parse().unwrap_or(defaults.most_homes);
        }
        ("UIDRange", "") => defaults.uid_range = Defaults::default().uid_range,
        ("UIDRange", text) if uids::range(text).is_some() => {
            defaults.uid_range = uids::range(text).unwrap_or(uids::RANGE);
        }
        ("LockLevel", "") => defaults.lock_level = Defaults::default().lock_level,
        (key, "") if key.starts_with("Default") => {
            let fresh = usual();
            match key {
                "DefaultStorage" => defaults.storage = fresh.storage,
                _ => defaults.file_system_type = fresh.file_system_type,
            }
        }
        (key, value) if defaults.lock_rules.take(key, value) => {}
        (key, value) => complaints.push(format!("{key}={value} is not known and is left out")),
    }
}

/// What cannot be read protects.
fn removal(word: &str, complaints: &mut Vec<String>) -> Removal {
    let wanted = boolean(word);
    if wanted.is_none() {
        complaints.push(format!("RecoveryForRemoval={word} is not known and is taken for yes"));
    }
    if wanted == Some(false) { Removal::Free } else { Removal::WithRecoveryKey }
}

/// As systemd reads booleans.
fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// `150%`; less than all of the disk is no limit that anybody could want.
fn percent(text: &str) -> Option<u32> {
    text.strip_suffix('%')?.parse().ok().filter(|percent| (100..=100_000).contains(percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_settings_are_taken_and_others_are_named() {
        let mut defaults = Defaults::default();
        let text = "[Home]\n# no\nDefaultStorage=luks\nDefaultFileSystemType = ext4\nDefaultFileSystemType=zfs\n[Other]\nX=1\n";
        let complaints = apply(&mut defaults, text);
        assert_eq!(defaults.file_system_type.as_deref(), Some("ext4"));
        assert_eq!(complaints, ["DefaultFileSystemType=zfs is not known and is left out"]);
        assert_eq!(apply(&mut defaults, "[Home]\nOvercommit=150%\nOvercommit=50%\nOvercommit=9").len(), 2);
        assert_eq!(defaults.overcommit, 150);
        let ranges =
            "[Home]\nMostHomes=10000\nMostHomes=0\nUIDRange=20000-40000\nUIDRange=9-8\nUIDRange=1000-70000";
        assert_eq!(apply(&mut defaults, ranges).len(), 3);
        assert_eq!((defaults.most_homes, &defaults.uid_range), (10_000, &(20_000..=40_000)));
        assert!(apply(&mut defaults, "[Home]\nMostHomes=\nUIDRange=").is_empty());
        assert_eq!((defaults.most_homes, &defaults.uid_range), (500, &(60_001..=60_513)));
        assert!(apply(&mut defaults, "[Home]\nDefaultFileSystemType=\n").is_empty());
        assert_eq!(apply(&mut defaults, "[Home]\nTrustForeignHomes=no\nTrustForeignHomes=maybe").len(), 1);
        assert_eq!(defaults.strangers, Strangers::No);
        assert_eq!(
            apply(&mut defaults, "[Home]\nRecoveryForRemoval=yes\nRecoveryForRemoval=perhaps").len(),
            1
        );
        assert_eq!(defaults.removal, Removal::WithRecoveryKey);
        for (word, removal) in [
            ("off", Removal::Free),
            ("True", Removal::WithRecoveryKey),
            ("0", Removal::Free),
            ("1", Removal::WithRecoveryKey),
            ("", Removal::Free),
        ] {
            assert!(apply(&mut defaults, &format!("[Home]\nRecoveryForRemoval={word}")).is_empty());
            assert_eq!(defaults.removal, removal, "{word}");
        }
        assert_eq!(apply(&mut defaults, "[Home]\nRecoveryForRemoval=perhaps").len(), 1);
        assert_eq!(defaults.removal, Removal::WithRecoveryKey, "what cannot be read is no leave");
        assert_eq!(defaults.file_system_type, None);
    }

    #[test]
    fn fragments_follow_the_main_file_and_a_higher_folder_hides_a_lower_one() {
        let root = tempfile::tempdir().expect("folder");
        let (etc, usr) = (root.path().join("etc"), root.path().join("usr"));
        for folder in [&etc, &usr] {
            std::fs::create_dir_all(folder.join("homed.conf.d")).expect("made");
            std::fs::write(folder.join("homed.conf.d/10-a.conf"), "").expect("written");
        }
        std::fs::write(usr.join("homed.conf"), "").expect("written");
        let read = files(&[etc.clone(), usr.clone()]);
        assert_eq!(read, [usr.join("homed.conf"), etc.join("homed.conf.d/10-a.conf")]);
    }
}
