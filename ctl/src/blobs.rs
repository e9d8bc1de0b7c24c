//! The files of a blob directory, opened for the daemon. It gets all of them: what is missing is deleted.

use crate::bus::Failure;
use crate::options::edit::{BlobChange, is_blob_name};
use records::{Machine, Record};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Most bytes in all.
const MOST: u64 = 64 << 20;

/// Where this machine keeps the blobs of a record, if it has some.
pub fn folder(record: &Record, machine: &Machine) -> Option<String> {
    let binding = record.binding(&machine.id)?;
    Some(binding.get("blobDirectory")?.as_str()?.to_owned())
}

/// The files after the changes, beginning with those of `before`. Files that cannot be blobs by their name are left out,
/// which `notice` is told.
pub fn open(
    changes: &[BlobChange],
    before: Option<&str>,
    notice: &dyn Fn(&str),
) -> Result<HashMap<String, OwnedFd>, Failure> {
    let mut paths = match before {
        Some(folder) if Path::new(folder).is_dir() => files(folder, notice)?,
        _ => BTreeMap::new(),
    };
    for change in changes {
        match change {
            BlobChange::Clear => paths.clear(),
            BlobChange::Folder(folder) => paths = files(folder, notice)?,
            BlobChange::File(name, path) => {
                paths.insert(name.clone(), PathBuf::from(path));
            }
            BlobChange::Delete(name) => {
                paths.remove(name);
            }
        }
    }
    let mut bytes = 0;
    let mut open = HashMap::new();
    for (name, path) in paths {
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::say(format!("{}: {why}. Nothing was changed.", path.display()))
        };
        let file = File::open(&path).map_err(|e| wrong(&e))?;
        let facts = file.metadata().map_err(|e| wrong(&e))?;
        if !facts.is_file() {
            return Err(wrong(&"not a regular file"));
        }
        bytes += facts.len();
        if bytes > MOST {
            return Err(wrong(&"with this file the blobs are larger than 64 MiB"));
        }
        open.insert(name, file.into());
    }
    Ok(open)
}

fn files(folder: &str, notice: &dyn Fn(&str)) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let wrong = |e: &dyn std::fmt::Display| Failure::say(format!("{folder}: {e}. Nothing was changed."));
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|e| wrong(&e))? {
        let entry = entry.map_err(|e| wrong(&e))?;
        match entry.file_name().into_string() {
            Ok(name) if is_blob_name(&name) => drop(files.insert(name, entry.path())),
            _ => notice(&format!("{:?} is left out: blobs may not have such a name", entry.path())),
        }
    }
    Ok(files)
}
