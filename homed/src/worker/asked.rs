//! Whom the prompt asks for a password: a note for each, which starts it (`homed-prompt.path`) and which it watches.
//!
//! Who has a session on a virtual terminal needs it before the lock, since it takes the screen from her; for everybody else it
//! comes when the key is out of memory. Earlier it could only wait, and would take the processor from the lock.

use crate::job::{Context, Failure};
use records::UserName;
use std::fs;
use std::path::Path;

const FOLDER: &str = "/run/homed/asked";

/// Has the prompt ask this user. Who is asked already is.
pub fn ask(user: &UserName) -> Result<(), Failure> {
    fs::create_dir_all(FOLDER).during("making the folder for notes about who is asked")?;
    // The prompt hears of a note that is made, and not of one that is replaced.
    let note = Path::new(FOLDER).join(user.as_str());
    fs::write(note, "").during("noting that the user is asked for the password")
}

/// The user whom this note about a locked home names is asked no more.
pub fn no_more(note: &Path) {
    let Some(user) = note.file_name() else { return };
    // Who was not asked is not asked.
    let _ = fs::remove_file(Path::new(FOLDER).join(user));
}
