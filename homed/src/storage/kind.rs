//! The kinds of storage, before a home of one is at hand: what daemon and worker ask of any. What the worker alone does with
//! one is its [`super::Backend`].

use super::traces::{Trace, Traces};
use super::whereabouts::{Clues, Kernel, Standing};
use super::{cifs, directory, fscrypt, luks, subvolume};
use records::{FullName, Storage};
use std::fs::Metadata;
use std::io;
use std::path::Path;

/// All there are. A new one is a line here, and a file.
pub const KINDS: &[Kind] = &[
    luks::KIND,
    // A subvolume is a directory, too, and so is a folder that is encrypted: they are asked first.
    subvolume::KIND,
    fscrypt::KIND,
    directory::KIND,
    cifs::KIND,
];

/// One kind.
pub struct Kind {
    /// What records call it.
    pub storage: Storage,
    /// Whether what lies at this path, and is this, is a home of this kind.
    pub is_one: fn(&Path, &Metadata) -> bool,
    /// Whose home that says it is by what is in it, whatever the file is called; the name it is called by, where that is the
    /// same cut short. Nothing else of it is believed.
    pub says: fn(&Path, Option<&FullName>) -> Option<FullName>,
    /// What keeps this path, which is one by its name or says that it is, from being a home, in words; `None`: nothing that could
    /// be told without a key.
    pub lacks: fn(&Path) -> Option<&'static str>,
    /// Whether its storage is a folder, and not a file.
    pub is_folder: bool,
    /// What it can do beside what all can.
    pub parts: Parts,
    /// How far a home is open.
    pub standing: fn(&Clues<'_>, &Kernel) -> io::Result<Standing>,
    /// What is to be seen of a home's key, of what has it, and of who could read it.
    pub traces: fn(&Clues<'_>) -> Traces,
    /// What the kernel alone shows of it; no file system is asked.
    pub key: fn(&Clues<'_>) -> Vec<Trace>,
}

/// What a kind can do beside what all can: which parts its backends have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// It has a key: closed, it cannot be read without.
    pub keyed: bool,
    /// That key can be taken out of memory while it is open.
    pub locks: bool,
    /// Its size can be changed.
    pub resizes: bool,
    /// Its space needs care.
    pub tends: bool,
}

/// The kind that records call so; `None`: it cannot be used here.
pub fn of(storage: Storage) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.storage == storage)
}

/// The kind of home that this path is, by its ending and by what it is (not followed).
pub fn found(path: &Path, facts: &Metadata) -> Option<Storage> {
    let ending = path.extension()?.to_str()?;
    let is_it = |kind: &&Kind| kind.storage.ending() == ending && (kind.is_one)(path, facts);
    KINDS.iter().find(is_it).map(|kind| kind.storage)
}

/// The home that this file says it is, whatever it is called.
pub fn says(path: &Path, facts: &Metadata, called: Option<&FullName>) -> Option<(FullName, Storage)> {
    let of_kind = |kind: &Kind| Some(((kind.says)(path, called)?, kind.storage));
    KINDS.iter().filter(|kind| (kind.is_one)(path, facts)).find_map(of_kind)
}

/// What this path lacks to be a home of that kind, for who has named it.
pub fn lacks(path: &Path, storage: Storage) -> Option<&'static str> {
    of(storage).and_then(|kind| (kind.lacks)(path))
}

/// All of them, for a sentence.
pub fn names() -> String {
    KINDS.iter().map(|kind| kind.storage.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Spec;
    use records::{HostName, Machine, MachineId, Record, Sections};

    fn machine() -> Machine {
        let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        Machine { id, host: HostName("here".into()) }
    }

    #[test]
    fn backends_have_the_parts_that_their_kind_tells() {
        for kind in KINDS {
            let text = format!(
                r#"{{"userName":"alice","cifsService":"//box/homes","storage":"{}"}}"#,
                kind.storage.as_str()
            );
            let record = Record::parse(&text, Sections::HOST).expect("valid");
            let spec = Spec::of(&record, &machine()).expect("it has a place");
            let backend = crate::storage::backend(spec).expect("it can be used");
            let parts = Parts {
                keyed: kind.parts.keyed || backend.locks().is_some(),
                locks: backend.locks().is_some(),
                resizes: backend.resizes().is_some(),
                tends: backend.tends().is_some(),
            };
            assert_eq!(kind.parts, parts, "{}", kind.storage.as_str());
        }
    }

    /// The record of a folder said what the folder cannot have: it was changed first, and the change of size refused then.
    #[test]
    fn what_has_no_size_is_not_given_one_by_a_record() {
        let record = |kind: &Kind, more: &str| {
            let text = format!(
                r#"{{"userName":"alice","cifsService":"//box/homes","storage":"{}"{more}}}"#,
                kind.storage.as_str()
            );
            Record::parse(&text, Sections::HOST).expect("valid")
        };
        let (one, other) = (r#","diskSize":1073741824"#, r#","diskSizeRelative":2147483648"#);
        for kind in KINDS {
            for (force, new, same) in
                [("", "", true), ("", one, false), (one, one, true), (one, other, false), (one, "", true)]
            {
                let spec = Spec::of(&record(kind, force), &machine()).expect("it has a place");
                let backend = crate::storage::backend(spec).expect("it can be used");
                let taken = backend.accept(&record(kind, new)).is_ok();
                assert_eq!(taken, same || kind.parts.resizes, "{} {force} {new}", kind.storage.as_str());
            }
        }
    }

    #[test]
    fn an_image_says_whose_it_is_unless_it_is_not_whole_yet() {
        use crate::storage::parts::gpt::Table;
        use std::os::unix::fs::FileExt;
        let root = tempfile::tempdir().expect("folder");
        let table = Table::covering(8 << 20, 512, uuid::Uuid::new_v4(), uuid::Uuid::new_v4(), "bob");
        let said = |name: &str| {
            let path = root.path().join(name);
            let file = std::fs::File::create_new(&path).expect("made");
            file.set_len(8 << 20).expect("sized");
            for (offset, bytes) in table.pieces() {
                file.write_all_at(&bytes, offset).expect("written");
            }
            file.write_all_at(b"LUKS\xba\xbe", table.start).expect("written");
            let facts = path.metadata().expect("there");
            says(&path, &facts, None).map(|(name, _)| name.to_string())
        };
        assert_eq!(said("last week.img").as_deref(), Some("bob"));
        for name in [".#carried-bob.home", ".#homeworkbob.0123456789abcdef0123456789abcdef.01"] {
            assert_eq!(said(name), None, "{name}");
        }
    }
}
