//! Which file system is on a device, by its superblock: type, label, UUID, and whether it wants a
//! check before it is mounted. btrfs, ext4 and xfs; nothing else is mounted.

pub use crate::sys::filesystem::Kind;
use uuid::Uuid;

/// How many bytes of the device [`probe`] wants to see.
pub const BYTES: usize = 0x1_0000 + 0x1000;

/// Whether a check is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is.
    Needed,
    /// The file system is sound, or repairs itself when mounted (journal, log tree).
    NotNeeded,
}

/// What a superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its kind.
    pub kind: Kind,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its label.
    pub label: String,
    /// Whether to check it first.
    pub check: Check,
    /// How large it is, in bytes.
    pub size: u64,
}

/// Reads the superblock from the first [`BYTES`] of a device; `None` where there is none known here.
pub fn probe(head: &[u8]) -> Option<FileSystem> {
    btrfs(head).or_else(|| ext4(head)).or_else(|| xfs(head))
}

/// Superblock at 64 KiB: fsid at 0x20, magic at 0x40, size at 0x70, label at 0x12b.
fn btrfs(head: &[u8]) -> Option<FileSystem> {
    let block = head.get(0x1_0000..)?;
    let found = block.get(0x40..0x48)? == b"_BHRfS_M";
    found.then(|| block.get(0x12b..0x22b)).flatten().and_then(|label| {
        Some(FileSystem {
            kind: Kind::Btrfs,
            uuid: uuid(block, 0x20)?,
            label: text(label),
            check: Check::NotNeeded,
            size: u64::from_le_bytes(*block.get(0x70..)?.first_chunk()?),
        })
    })
}

/// Superblock at 1 KiB: blocks at 4 and 0x150, size of one at 0x18, magic at 0x38, state at 0x3a, features at 0x5c
/// and 0x60, UUID, label.
fn ext4(head: &[u8]) -> Option<FileSystem> {
    let block = head.get(0x400..0x800)?;
    if block.get(0x38..0x3a)? != [0x53, 0xEF] {
        return None;
    }
    let state = u16::from_le_bytes(*block[0x3a..].first_chunk()?);
    let compatible = u32::from_le_bytes(*block[0x5c..].first_chunk()?);
    let (clean, errors, journal) = (state & 1 != 0, state & 2 != 0, compatible & 4 != 0);
    // With a journal an unclean file system is put right by the kernel when it is mounted.
    let check = if errors || (!clean && !journal) { Check::Needed } else { Check::NotNeeded };
    let number = |at: usize| Some(u32::from_le_bytes(*block[at..].first_chunk()?));
    // Feature "64bit": the count of blocks has an upper half.
    let upper = if number(0x60)? & 0x80 != 0 { number(0x150)? } else { 0 };
    let blocks = u64::from(upper) << 32 | u64::from(number(4)?);
    let size = blocks.checked_mul(1024u64.checked_shl(number(0x18)?)?)?;
    let (uuid, label) = (uuid(block, 0x68)?, text(&block[0x78..0x88]));
    Some(FileSystem { kind: Kind::Ext4, uuid, label, check, size })
}

/// Superblock at 0: magic, size of a block at 4, blocks at 8, UUID at 32, label at 108.
fn xfs(head: &[u8]) -> Option<FileSystem> {
    if !head.starts_with(b"XFSB") {
        return None;
    }
    let label = text(head.get(108..120)?);
    let block = u32::from_be_bytes(*head.get(4..)?.first_chunk()?);
    let blocks = u64::from_be_bytes(*head.get(8..)?.first_chunk()?);
    let size = blocks.checked_mul(block.into())?;
    Some(FileSystem { kind: Kind::Xfs, uuid: uuid(head, 32)?, label, check: Check::NotNeeded, size })
}

fn uuid(block: &[u8], at: usize) -> Option<Uuid> {
    Some(Uuid::from_bytes(*block.get(at..)?.first_chunk()?))
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    #[test]
    fn real_file_systems_are_recognized() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let uuid = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
        for (program, arguments) in
            [("mkfs.btrfs", ["-q", "-L", "alice", "-U"]), ("mkfs.ext4", ["-q", "-L", "alice", "-U"])]
        {
            let image = folder.path().join(program);
            std::fs::File::create(&image).and_then(|f| f.set_len(256 << 20)).expect("image");
            let (uuid_text, path) = (uuid.to_string(), image.to_str().expect("UTF-8"));
            let all: Vec<_> = arguments.into_iter().chain([uuid_text.as_str(), path]).collect();
            process::run(program, &all).expect("makes a file system");
            let found = probe(&std::fs::read(&image).expect("read")[..BYTES]).expect("recognized");
            assert_eq!((found.label.as_str(), found.uuid, found.check), ("alice", uuid, Check::NotNeeded));
            assert_eq!(found.size, 256 << 20);
            assert!(program.ends_with(found.kind.name()));
        }
    }

    #[test]
    fn noise_is_nothing() {
        assert_eq!(probe(&[]), None);
        assert_eq!(probe(&vec![0xFF; BYTES]), None);
        assert_eq!(probe(b"XFSB"), None);
    }
}
