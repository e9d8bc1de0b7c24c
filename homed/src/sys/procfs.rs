//! Texts that the kernel writes at the moment somebody reads them (proc(5), sysfs(5)).
//!
//! Such a file has no length, and a library that does not know one begins to read with a few bytes and doubles them: ten calls for a
//! table of mounts, each of which has the kernel find its place again. Here a call asks for as much as the kernel gives.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What is asked for at once, in bytes: the kernel gives a page of most texts.
const ROOM: usize = 16 << 10;

/// All of a text.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let (mut text, mut length) = (vec![0; ROOM], 0);
    loop {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == text.len() {
            text.resize(2 * length, 0);
        }
    }
    text.truncate(length);
    Ok(text)
}

/// The same, for what is known to be text; what is not, is shown as such.
pub fn text(path: impl AsRef<Path>) -> io::Result<String> {
    read(path).map(|bytes| {
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_text_is_read() {
        assert_eq!(
            text("/proc/version").expect("read"),
            std::fs::read_to_string("/proc/version").expect("read")
        );
        let folder = tempfile::tempdir().expect("scratch folder");
        for length in [0, 1, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM] {
            let bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let path = folder.path().join("text");
            std::fs::write(&path, &bytes).expect("written");
            assert_eq!(read(&path).expect("read"), bytes, "{length}");
        }
        assert_eq!(text(folder.path().join("none")).expect_err("none").kind(), io::ErrorKind::NotFound);
    }
}
