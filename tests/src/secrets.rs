//! What must not be in a sleeping machine's memory, and the search for it.

use anyhow::{Context, Result, ensure};
use machine::Machine;

use crate::aes;

/// The volume key of an image, found out on a machine of its own: the one that is searched never sees its bytes.
pub fn volume_key(machine: &Machine, user: &str, password: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image");
    machine.check("sync")?;
    machine.copy_out(&format!("/home/{user}.home"), &image)?;
    let other = Machine::builder().start()?;
    other.copy_in(&image, "/root/image")?;
    other.write_file("/root/password", password)?;
    let hexadecimal = other.check(
        "set -e
        losetup --find --show --partscan --read-only /root/image > /root/loop
        start=$(sfdisk --json /root/image | jq .partitiontable.partitions[0].start)
        tail -c +$((start * 512 + 1)) /root/image > /root/partition
        cryptsetup luksDump --batch-mode --dump-volume-key --volume-key-file /root/key --key-file /root/password /root/partition >/dev/null
        od -An -v -tx1 /root/key | tr -d ' \\n'",
    )?;
    let bytes: Option<Vec<u8>> = (0..hexadecimal.len() / 2)
        .map(|i| u8::from_str_radix(hexadecimal.get(2 * i..2 * i + 2)?, 16).ok())
        .collect();
    let bytes = bytes.context("no hexadecimal digits")?;
    ensure!([32, 64].contains(&bytes.len()), "the volume key has {} bytes", bytes.len());
    Ok(bytes)
}

/// Where in the machine's memory the key shows, by name.
pub fn traces_of_key(machine: &Machine, key: &[u8]) -> Result<Vec<String>> {
    let traces = aes::traces(key);
    let patterns: Vec<&[u8]> = traces.iter().map(|(_, pattern)| pattern.as_slice()).collect();
    let found = machine.find_all_in_ram(&patterns)?;
    Ok(found.into_iter().map(|(which, place)| format!("{} at {place:#x}", traces[which].0)).collect())
}

/// How many pages of 4 KiB hold the text.
pub fn pages_with(machine: &Machine, text: &str) -> Result<usize> {
    let mut pages: Vec<u64> =
        machine.find_in_ram(text.as_bytes())?.into_iter().map(|place| place / 4096).collect();
    pages.dedup();
    Ok(pages.len())
}

/// What a password looks like in memory, each form with its name: as it is typed, as JSON text, in UTF-16, and within
/// Base64 (whatever stands before it).
pub fn forms(password: &str) -> Vec<(String, Vec<u8>)> {
    let wide = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let escaped = serde_json::Value::from(password).to_string();
    let mut forms = vec![
        ("as typed".to_owned(), password.as_bytes().to_vec()),
        ("in UTF-16".to_owned(), wide),
        ("as JSON".to_owned(), escaped.trim_matches('"').as_bytes().to_vec()),
    ];
    forms.extend((0..3).map(|before| (format!("in Base64 after {before} bytes"), base64(password, before))));
    forms
}

/// The digits that depend on the text alone, where it stands behind `before` other bytes.
fn base64(text: &str, before: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = text.bytes().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let first = (6 - before * 8 % 6) % 6;
    let digit = |six: &[u8]| DIGITS[usize::from(six.iter().fold(0, |sum, bit| sum << 1 | bit))];
    bits[first..].chunks_exact(6).map(digit).collect()
}

/// Where the password is in the machine's memory, in any form: which, and where.
pub fn traces_of_password(machine: &Machine, password: &str) -> Result<Vec<(String, u64)>> {
    let forms = forms(password);
    let patterns: Vec<&[u8]> = forms.iter().map(|(_, pattern)| pattern.as_slice()).collect();
    let found = machine.find_all_in_ram(&patterns)?;
    Ok(found.into_iter().map(|(which, place)| (forms[which].0.clone(), place)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_password_are_those_of_others() {
        let forms = forms("pass\"word");
        let text = |at: usize| String::from_utf8_lossy(&forms[at].1).into_owned();
        assert_eq!(text(2), "pass\\\"word");
        // base64 of "pass\"word", of "xpass\"word" and of "xxpass\"word".
        assert!("cGFzcyJ3b3Jk".contains(&text(3)) && text(3).len() == 12);
        assert!("eHBhc3Mid29yZA==".contains(&text(4)) && text(4).len() >= 10);
        assert!("eHhwYXNzIndvcmQ=".contains(&text(5)) && text(5).len() >= 10);
    }
}
