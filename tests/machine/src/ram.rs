//! The search of all the machine's memory, from outside: it sees what the guest's own root could not.
//!
//! User-Mode Linux keeps the guest's RAM in one unlinked file. It can be read at any time, while the machine sleeps
//! too. What only a register holds, or the host's kernel for the guest (there is no such thing for file data), is not
//! in it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use memchr::memmem;

use crate::builder::Machine;
use crate::power::Stopped;

/// Read at once; patterns that lie across two pieces are found too.
const PIECE: usize = 4 << 20;

impl Machine {
    /// How often `pattern` occurs in the machine's RAM, overlapping occurrences not counted twice.
    pub fn count_in_ram(&self, pattern: &[u8]) -> Result<usize> {
        Ok(self.find_in_ram(pattern)?.len())
    }

    /// Where `pattern` occurs in the machine's RAM, in bytes from its start.
    pub fn find_in_ram(&self, pattern: &[u8]) -> Result<Vec<u64>> {
        Ok(self.find_all_in_ram(&[pattern])?.into_iter().map(|(_, place)| place).collect())
    }

    /// Where any of `patterns` occurs in the machine's RAM: which, and where.
    pub fn find_all_in_ram(&self, patterns: &[&[u8]]) -> Result<Vec<(usize, u64)>> {
        let memory = File::open(self.kernel.memory()?).context("cannot open the machine's RAM")?;
        find_all(&memory, patterns)
    }

    /// Takes the name of its disk away, as happens to what lies in folders that are tidied up. The machine runs on.
    pub fn unlink_disk(&self) -> Result<()> {
        std::fs::remove_file(self.wreck.path().join("disk.cow")).context("cannot remove the disk's name")
    }
}

impl Stopped {
    /// Where any of `patterns` occurs on the disk of a machine with a screen: which, and where.
    pub fn find_all_on_disk(&self, patterns: &[&[u8]]) -> Result<Vec<(usize, u64)>> {
        find_all(&File::open(self.disk()).context("cannot open the machine's disk")?, patterns)
    }
}

fn find_all(file: &File, patterns: &[&[u8]]) -> Result<Vec<(usize, u64)>> {
    let longest = patterns.iter().map(|pattern| pattern.len()).max().unwrap_or(0);
    let shortest = patterns.iter().map(|pattern| pattern.len()).min().unwrap_or(0);
    ensure!(shortest > 0 && longest < PIECE, "a pattern has 1 byte to 4 MiB");
    // A disk is for the most part empty, and so is memory that was written over.
    let nothing_is_zero = patterns.iter().all(|pattern| pattern.iter().any(|byte| *byte != 0));
    let finders: Vec<_> = patterns.iter().map(|pattern| memmem::Finder::new(*pattern)).collect();
    let overlap = longest - 1;
    let mut buffer = vec![0; overlap + PIECE];
    let zeros = vec![0; buffer.len()];
    let (mut places, mut offset) = (Vec::new(), 0);
    loop {
        let count = read_fully(file, &mut buffer, offset)?;
        let empty = nothing_is_zero && buffer[..count] == zeros[..count];
        for (which, finder) in finders.iter().enumerate().filter(|_| !empty) {
            // What begins in the overlap is found with the next piece.
            let own = |place: &usize| *place < PIECE;
            let found = finder.find_iter(&buffer[..count]).filter(own);
            places.extend(found.map(|place| (which, offset + place as u64)));
        }
        if count < buffer.len() {
            return Ok(places);
        }
        offset += PIECE as u64;
    }
}

/// Fills `buffer` as far as the file goes.
fn read_fully(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read the machine's RAM or disk"),
        }
    }
    Ok(filled)
}
