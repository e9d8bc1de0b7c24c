//! Secrets on their way to another process: in memory alone, in pages that are wiped. What goes through a pipe stays in its
//! page when that is freed, and a lock does not reach pages that a processor keeps for itself.

use records::Secret;
use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;

/// A file with the secret, of that length for good, to be read from its beginning.
pub fn file(secret: &Secret) -> io::Result<File> {
    let fd = rustix::fs::memfd_create("homed-secret", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(secret.open())?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    file.rewind()?;
    Ok(file)
}

/// Overwrites it: whoever was to read it may have been killed before that.
pub fn wipe(file: &File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    file.write_all_at(&vec![0; length], 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn it_is_read_from_the_beginning_and_its_length_stays() {
        let secret = Secret::from_text("geheim".to_owned());
        let file = file(&secret).expect("made");
        let mut text = String::new();
        (&file).read_to_string(&mut text).expect("read");
        assert_eq!(text, "geheim");
        assert!(file.set_len(2).is_err());
        wipe(&file).expect("wiped");
        text.clear();
        (&file).rewind().expect("again");
        (&file).read_to_string(&mut text).expect("read");
        assert_eq!(text, "\0".repeat(6));
    }
}
