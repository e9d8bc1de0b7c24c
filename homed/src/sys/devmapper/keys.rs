//! The key of a suspended dm-crypt device: taken, and given back.

use super::request::{Request, SECURE_DATA, TARGET_MSG};
use records::Secret;
use std::io;

/// Has a suspended dm-crypt device forget its key.
pub fn wipe_key(name: &str) -> io::Result<()> {
    let mut request = Request::new(name, 0)?;
    // struct dm_target_msg: the sector, then the words.
    request.put(&[&0u64.to_ne_bytes()[..], b"key wipe\0"].concat())?;
    request.send(TARGET_MSG)
}

/// Gives a suspended dm-crypt device its key back. Root can read it in the device's table.
pub fn set_key(name: &str, key: &Secret) -> io::Result<()> {
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
    let digits = key.open().iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
    set(name, key.open().len() * 2, digits)
}

/// Gives a suspended dm-crypt device its key back, of so many bytes: the `logon` key of this name, which is in a keyring of this thread.
pub fn set_key_by_name(name: &str, length: usize, key_name: &str) -> io::Result<()> {
    let text = format!(":{length}:logon:{key_name}");
    set(name, text.len(), text.bytes())
}

/// A text with a key in hexadecimal digits in its midst. It has room for all of it from the beginning, so it never moves.
pub(super) fn with_digits(before: &[u8], key: &Secret, after: &[u8]) -> Secret {
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
    let mut text = Vec::with_capacity(before.len() + key.open().len() * 2 + after.len());
    text.extend_from_slice(before);
    text.extend(key.open().iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]));
    text.extend_from_slice(after);
    Secret::new(text)
}

fn set(name: &str, length: usize, key: impl Iterator<Item = u8>) -> io::Result<()> {
    let mut request = Request::new(name, SECURE_DATA)?;
    // The sector, the words, and room for all of it: the text never moves.
    let mut text = Vec::with_capacity(length + 32);
    text.extend_from_slice(&0u64.to_ne_bytes());
    text.extend_from_slice(b"key set ");
    text.extend(key);
    text.push(0);
    let text = Secret::new(text);
    request.put(text.open())?;
    request.send(TARGET_MSG)
}
