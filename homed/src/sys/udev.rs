//! What udev knows of block devices: the files that libudev reads, which need no library.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One file for each device: `b8:17` for a block device of that number. sd-device(3) reads the same.
const DATABASE: &str = "/run/udev/data";
const NUMBERS: &str = "/sys/dev/block";

/// What udev has found out of one device: property → value, as `udevadm info` shows them.
pub type Properties = BTreeMap<String, String>;

/// All block devices that udev knows and that are there, by their numbers (`8:17`); none without udev.
pub fn block_devices() -> BTreeMap<String, Properties> {
    let entries = fs::read_dir(DATABASE).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix('b').map(str::to_owned));
    names
        .filter(|number| Path::new(NUMBERS).join(number).exists())
        .filter_map(|number| {
            let text = fs::read_to_string(Path::new(DATABASE).join(format!("b{number}"))).ok()?;
            Some((number, properties(&text)))
        })
        .collect()
}

fn properties(text: &str) -> Properties {
    let pairs = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A value as it was before udev made it safe for a file name: `\x20` for a space. `None`: it was no text.
pub fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_and_nothing_else() {
        let text = "S:disk/by-uuid/x\nI:12345\nE:ID_FS_TYPE=crypto_LUKS\nE:A=b=c\nG:systemd\nE:broken\n";
        let found = properties(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found["ID_FS_TYPE"], "crypto_LUKS");
        assert_eq!(found["A"], "b=c");
    }

    #[test]
    fn what_was_made_safe_is_read_as_it_was() {
        let same = |text: &str| assert_eq!(decoded(text).as_deref(), Some(text));
        same("");
        same("alice@example.com");
        assert_eq!(decoded("a\\x20b\\x5cx").as_deref(), Some("a b\\x"));
        for broken in ["\\x", "\\x2", "\\xzz", "\\xff", "\\x\u{e9}\u{e9}"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
