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
