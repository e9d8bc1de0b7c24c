//! Which home an image is.

use records::FullName;
use records::luks2::{Contents, FIRST};
use records::opener::{Opener, SECTOR};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// "user home" of the Discoverable Partitions Specification, as a partition table has it.
const USER_HOME: [u8; 16] =
    [0xef, 0x91, 0x3f, 0x77, 0xd4, 0x66, 0xb5, 0x49, 0xbd, 0x83, 0xd6, 0x83, 0xbf, 0x40, 0xad, 0x16];
/// Bytes of an entry, and how many there are (UEFI specification 2.10, chapter 5).
const ENTRY: usize = 128;
const ENTRIES: usize = 128;
/// Where a LUKS2 header has its UUID (LUKS2 on-disk format 1.1, chapter 2).
const UUID: std::ops::Range<usize> = 168..208;

/// Which home an image is: the UUID stays when passwords change and when the image is resized or carried. It tells homes
/// apart; it proves nothing, since whoever makes an image chooses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// UUID of the LUKS header.
    pub luks: String,
    /// Whose home the partition says it is, where that can be a home's name.
    pub owner: Option<String>,
}

impl Identity {
    /// `None`: it is no image of a home, or its header is not readable.
    pub fn of(image: &File) -> Option<Self> {
        let Partition { begins, entry } = Partition::of(image)?;
        let luks = bytes(image, begins, 512)?;
        let uuid = luks.starts_with(FIRST).then(|| luks[UUID].split(|byte| *byte == 0).next())??;
        let uuid = std::str::from_utf8(uuid).ok()?;
        let is_uuid = uuid.len() == 36 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        is_uuid.then(|| Self { luks: uuid.to_ascii_lowercase(), owner: owner(&entry) })
    }

    /// For people.
    pub fn told(&self) -> String {
        let owner = self.owner.as_ref().map(|owner| format!("the home of {owner}, "));
        format!("{}LUKS UUID {}", owner.unwrap_or_default(), self.luks)
    }
}

/// Which machine has an image open, by the mark inside: before its partition, or, where all of it is encrypted, in the header.
pub fn opener(image: &File) -> Option<Opener> {
    let at = match Partition::of(image) {
        Some(partition) => records::opener::spot(partition.begins),
        None => Contents::read(&mut |offset, length| bytes(image, offset, length)).free(),
    };
    Opener::read(&bytes(image, at?, SECTOR)?)
}

/// The partition in an image that is a home.
struct Partition {
    begins: u64,
    entry: Vec<u8>,
}

impl Partition {
    fn of(image: &File) -> Option<Self> {
        [512, 4096].into_iter().find_map(|sector| Self::with_sectors(image, sector))
    }

    fn with_sectors(image: &File, sector: u64) -> Option<Self> {
        let header = bytes(image, sector, 92)?;
        let table = number(&header, 72)?.checked_mul(sector)?;
        if !header.starts_with(b"EFI PART") {
            return None;
        }
        let entries = bytes(image, table, ENTRY * ENTRIES)?;
        let entry = entries.chunks_exact(ENTRY).find(|entry| entry.starts_with(&USER_HOME))?;
        let begins = number(entry, 32)?.checked_mul(sector)?;
        // Without that there is no header in it either.
        bytes(image, begins, 1).map(|_| Self { begins, entry: entry.to_owned() })
    }
}

/// The partition's name.
fn owner(entry: &[u8]) -> Option<String> {
    let units = entry[56..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let name = String::from_utf16(&units.take_while(|unit| *unit != 0).collect::<Vec<_>>()).ok()?;
    FullName::parse(&name).ok().map(|name| name.to_string())
}

fn bytes(image: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    image.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The beginning of an image: a partition of that name, and in it a LUKS header with that UUID.
#[cfg(test)]
pub fn made(owner: &str, uuid: &str) -> Vec<u8> {
    let mut image = vec![0; 2 << 20];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(512, b"EFI PART");
    put(512 + 72, &2_u64.to_le_bytes());
    put(1024, &USER_HOME);
    put(1024 + 32, &2048_u64.to_le_bytes());
    put(1024 + 56, &owner.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    put(1 << 20, FIRST);
    put((1 << 20) + UUID.start, uuid.as_bytes());
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::machine::{HostName, Machine, MachineId};
    use std::io::Write;

    fn of(bytes: &[u8]) -> Option<Identity> {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(bytes).expect("written");
        Identity::of(&file)
    }

    /// All of it is encrypted (`cryptsetup luksFormat FILE`): the mark is 4096 bytes before the data.
    #[test]
    fn the_mark_in_a_header_is_read_as_one_before_a_partition() {
        const DATA: usize = 16 << 20;
        let text = format!(
            r#"{{"segments":{{"0":{{"offset":"{DATA}"}}}},"keyslots":{{}},"config":{{"json_size":"12288","keyslots_size":"{}"}}}}"#,
            DATA - 0x8000
        );
        let mut image = vec![0; DATA + 4096];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, FIRST);
        put(8, &0x4000_u64.to_be_bytes());
        put(4096, text.as_bytes());
        let machine =
            Machine { id: MachineId::parse(&"1".repeat(32)).expect("an id"), host: HostName("box".into()) };
        let mark = Opener::this(&machine, "boot", 1000);
        let mut in_partition = made("alice", "6f5a1b9c-8d3e-4f2a-9b7c-1d2e3f4a5b6c");
        for (image, at) in [(&mut image, DATA - 4096), (&mut in_partition, (1 << 20) - 4096)] {
            let opener = |bytes: &[u8]| {
                let mut file = tempfile::tempfile().expect("file");
                file.write_all(bytes).expect("written");
                super::opener(&file)
            };
            assert_eq!(opener(image), None);
            image[at..at + SECTOR].copy_from_slice(&mark.sector());
            assert_eq!(opener(image), Some(mark.clone()));
        }
    }

    #[test]
    fn the_header_says_which_home_it_is() {
        let luks = "6f5a1b9c-8d3e-4f2a-9b7c-1d2e3f4a5b6c";
        let image = made("alice", luks);
        assert_eq!(of(&image), Some(Identity { luks: luks.into(), owner: Some("alice".into()) }));
        let strange = of(&made("\u{1b}[2J", luks)).expect("an image");
        assert_eq!(strange.owner, None, "nothing is shown that cannot be a name");
        assert_eq!(of(&image[..1 << 20]), None);
        assert_eq!(of(&made("alice", "\u{1b}[2J")), None);
        assert_eq!(of(&[0xff; 8192]), None);
        assert_eq!(of(b""), None);
    }
}
