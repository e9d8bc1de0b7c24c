//! The mark inside an image that says which machine has it open: what it is, and where. Whoever opens images writes it
//! (`docs/ON-DISK.md`); whoever carries them reads it.

use crate::Machine;
use serde_json::{Value, json};

/// What it begins with.
pub const MAGIC: &[u8] = b"homed-open 1\n";
/// Bytes of the mark: one sector.
pub const SECTOR: usize = 512;
/// How far before the partition it is, in bytes.
const BEFORE: u64 = 4096;
/// What a partition table takes at most of the beginning of an image: six sectors of 4096 bytes.
pub const TABLE: u64 = 6 * 4096;
/// Longest name of a machine that is written, in bytes: longer ones are cut.
const NAME: usize = 64;

/// What is said of a home whose storage has no room for a mark, when it is opened.
pub const NO_ROOM: &str = "The home's encryption header has no room for the mark that it is open: where two machines can reach it, open \
    it on one at a time. Opened by both it is destroyed, and nothing keeps them apart.";

/// Where the mark is in an image whose partition begins at this byte; `None` for one without room before it.
pub fn spot(partition: u64) -> Option<u64> {
    partition.checked_sub(BEFORE).filter(|at| *at >= TABLE)
}

/// Who has an image open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// The machine's id.
    machine: String,
    /// Its name, for people.
    host: String,
    /// The id of its boot.
    boot: String,
    /// Seconds since 1970.
    since: u64,
}

impl Opener {
    /// This machine, in this boot, at this moment (seconds since 1970).
    pub fn this(machine: &Machine, boot: &str, now: u64) -> Self {
        let host: String = machine.host.0.chars().filter(|c| is_plain(*c)).take(NAME).collect();
        Self { machine: machine.id.as_str().into(), host, boot: boot.trim().into(), since: now }
    }

    /// The mark, a sector of it.
    pub fn sector(&self) -> Vec<u8> {
        let text =
            json!({"machine": self.machine, "host": self.host, "boot": self.boot, "since": self.since});
        let mut sector = [MAGIC, text.to_string().as_bytes()].concat();
        sector.resize(SECTOR, 0);
        sector
    }

    /// What a sector says; `None`: it is no mark.
    pub fn read(sector: &[u8]) -> Option<Self> {
        let text = sector.strip_prefix(MAGIC)?.split(|byte| *byte == 0).next()?;
        let value: Value = serde_json::from_slice(text).ok()?;
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let (machine, host, boot) = (text("machine")?, text("host")?, text("boot")?);
        Some(Self { machine, host, boot, since: value.get("since")?.as_u64()? })
    }

    /// Whether that is this machine, in whatever boot.
    pub fn is(&self, machine: &Machine) -> bool {
        self.machine == machine.id.as_str()
    }

    /// In words: `box, since 3 hours`. `now` is in seconds since 1970.
    pub fn words(&self, now: u64) -> String {
        let host = if self.host.is_empty() { self.machine.as_str() } else { &self.host };
        let host: String = host.chars().filter(|c| is_plain(*c)).take(NAME).collect();
        match now.checked_sub(self.since).map(|seconds| seconds / 60) {
            None => format!("{host}, since some time"),
            Some(minutes) if minutes < 120 => format!("{host}, since {minutes} minutes"),
            Some(minutes) if minutes < 48 * 60 => format!("{host}, since {} hours", minutes / 60),
            Some(minutes) => format!("{host}, since {} days", minutes / 60 / 24),
        }
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostName, MachineId};

    #[test]
    fn what_is_written_is_read_and_half_of_it_is_none() {
        let machine = |digit: &str| Machine {
            id: MachineId::parse(&digit.repeat(32)).expect("an id"),
            host: HostName("box\u{1b}[2J".repeat(50)),
        };
        let opener = Opener::this(&machine("1"), "boot\n", 1000);
        let sector = opener.sector();
        assert_eq!(sector.len(), SECTOR);
        let read = Opener::read(&sector).expect("a mark");
        assert_eq!(read, opener);
        assert!(read.is(&machine("1")) && !read.is(&machine("2")));
        assert!(read.words(1000 + 180 * 60).ends_with("since 3 hours") && !read.words(0).contains('\u{1b}'));
        for cut in [0, 5, MAGIC.len(), 40] {
            assert_eq!(Opener::read(&sector[..cut]), None, "{cut}");
        }
        assert_eq!((spot(1 << 20), spot(4096), spot(0)), (Some((1 << 20) - 4096), None, None));
    }
}
