//! Notes in `/run` about what goes on: there whole or not at all, whenever their writer is killed.

use std::fs;
use std::io;
use std::path::Path;

/// Where notes are, until the next boot.
pub const FOLDER: &str = "/run/homed";

/// Writes a note, over an older one if there is one. What is not whole yet never lies beside it: whoever looks into its
/// folder takes every name for a note.
pub fn put(note: &Path, text: &str) -> io::Result<()> {
    put_by(Path::new(FOLDER), note, text)
}

fn put_by(folder: &Path, note: &Path, text: &str) -> io::Result<()> {
    let name = note.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".#{name}.{}", std::process::id()));
    fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, note)).inspect_err(|_| {
        // It is of no use to anybody.
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_replaced_whole_from_another_folder() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let notes = folder.path().join("notes");
        fs::create_dir(&notes).expect("made");
        let note = notes.join("alice");
        for text in ["1\n", "1\n2\n"] {
            put_by(folder.path(), &note, text).expect("written");
            assert_eq!(fs::read_to_string(&note).expect("read"), text);
        }
        assert_eq!(fs::read_dir(&notes).expect("list").count(), 1);
        assert!(put_by(folder.path(), &folder.path().join("none/alice"), "").is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    }
}
