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

/// Overwrites the secret of that file, for whoever does not do it.
pub fn wipe(file: &File, secret: &Secret) -> io::Result<()> {
    file.write_all_at(&vec![0; secret.open().len()], 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn it_is_there_until_it_is_wiped() {
        let secret = Secret::from_text("geheim".to_owned());
        let file = file(&secret).expect("made");
        let mut text = String::new();
        (&file).read_to_string(&mut text).expect("read");
        assert_eq!(text, "geheim");
        wipe(&file, &secret).expect("wiped");
        let mut after = [1; 6];
        file.read_exact_at(&mut after, 0).expect("read");
        assert_eq!(after, [0; 6]);
    }
}
