//! The marks on an image that is open for writing: one that the file carries beside it, for the state of the home, and one
//! inside, which says on which machine it is open. On a shared folder whose server does not share locks the second is all
//! that tells another machine.
//!
//! The mark inside is a sector of 512 bytes, 4096 before the partition, where images have nothing. A sector is written whole
//! or not at all, so there is no half of a mark; it costs no flush of its own, for the mark beside the image needs one
//! anyway. Other programs leave it alone. An image without a partition table, and a device, has it in the encryption header, in the
//! last 4096 bytes before the data, where that has nothing (`docs/decisions/0031-mark-in-header.md`). A token of the header would cost
//! 8 MiB at each login and each logout, and two machines that write tokens at once destroy both copies of it.

use super::image;
use crate::job::{Context, Failure, refuse};
use crate::sys::{blockdev, file};
use records::opener::{self, MAGIC, Opener, SECTOR};
use records::{Machine, Refusal};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where in an image the mark is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// Before its partition. Somebody else may keep something there.
    Before(u64),
    /// In its encryption header, where that has nothing. What is there is what was there before the header was.
    InHeader(u64),
    /// There is no room for it.
    None,
}

impl Spot {
    /// For an image whose partition begins at this byte.
    pub fn before(partition: u64) -> Self {
        opener::spot(partition).map_or(Self::None, Self::Before)
    }

    fn at(self) -> Option<u64> {
        match self {
            Self::Before(at) | Self::InHeader(at) => Some(at),
            Self::None => None,
        }
    }
}

/// In words: `box, since 3 hours`.
pub fn words(opener: &Opener) -> String {
    opener.words(now())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// The other machine that has the image open, or was cut off while it had. What this machine wrote before it was cut off
/// keeps nobody out: its locks are known here.
pub fn another(image: &File, spot: Spot, machine: &Machine) -> Option<Opener> {
    opener(image, spot).filter(|opener| !opener.is(machine))
}

fn opener(image: &File, spot: Spot) -> Option<Opener> {
    Opener::read(&file::read_stored(image, spot.at()?, SECTOR).ok()?)
}

/// Refuses an image that another machine has open.
pub fn refuse_another(image: &File, spot: Spot, machine: &Machine) -> Result<(), Failure> {
    let Some(opener) = another(image, spot, machine) else { return Ok(()) };
    refuse(
        Refusal::HomeInUse,
        format!(
            "Another machine has the home open: {}. Opened twice, it would be destroyed, so nothing was done. Close it \
             there. If it is not open there any more (that machine was cut off, or this is a copy), have its mark taken \
             away: homectl repair --closed-elsewhere USER",
            words(&opener)
        ),
    )
}

/// The mark inside that this run has written, if there was room for one.
#[derive(Debug, Default)]
pub struct Written(Option<Opener>);

/// Marks the image as open here, durably.
pub fn set(image: &File, spot: Spot, machine: &Machine) -> Result<Written, Failure> {
    let mut written = Written::default();
    if let Some(at) = spot.at() {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let opener = Opener::this(machine, &boot, now());
        match write(image, (spot, at), &opener.sector()) {
            // Where the disk has no room for it, nobody is kept out for that.
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {}
            other => {
                if other.during("marking the image as in use")? == Room::Had {
                    written = Written(Some(opener));
                }
            }
        }
    }
    image.sync_all().during("writing the mark to disk")?;
    image::set_dirty(image)?;
    Ok(written)
}

/// Reads the mark that was written: another machine that has looked before may have written its own over it.
pub fn refuse_overwritten(image: &File, spot: Spot, written: &Written) -> Result<(), Failure> {
    let Some(ours) = &written.0 else { return Ok(()) };
    let there = opener(image, spot);
    if there.as_ref() == Some(ours) {
        return Ok(());
    }
    let who = there.map_or_else(|| "it has gone again".into(), |opener| words(&opener));
    refuse(
        Refusal::HomeInUse,
        format!(
            "Another machine has opened the home at the same moment: {who}. Opened twice, it would be destroyed, so nothing \
             was done here. Try again when it is closed there."
        ),
    )
}

/// Takes the marks away, once everything in the image is on disk. What another machine has open stays marked.
pub fn clear(image: &File, spot: Spot, machine: &Machine) -> Result<(), Failure> {
    image.sync_all().during("writing the image to disk")?;
    if another(image, spot, machine).is_some() {
        return Ok(());
    }
    forget(image, spot).during("marking the image as not in use")?;
    image::clear_dirty(image)
}

/// Takes away the mark inside alone, once everything in the image is on disk: nobody here has it open, and whether it is
/// whole is not known. What another machine has open stays marked.
pub fn let_go(image: &File, spot: Spot, machine: &Machine) -> Result<(), Failure> {
    image.sync_all().during("writing the image to disk")?;
    if another(image, spot, machine).is_some() {
        return Ok(());
    }
    forget(image, spot).and_then(|()| image.sync_all()).during("marking the image as not in use")
}

/// Whether it says that this machine has the image open, in this boot or another.
pub fn is_own(image: &File, spot: Spot, machine: &Machine) -> bool {
    opener(image, spot).is_some_and(|opener| opener.is(machine))
}

/// Takes the mark inside away, whosever it is. The caller writes it to disk.
pub fn forget(image: &File, spot: Spot) -> io::Result<()> {
    match spot.at() {
        // Only what is there: zeros would take a block, too.
        Some(at) if file::read_stored(image, at, MAGIC.len()).is_ok_and(|begin| begin == MAGIC) => {
            image.write_all_at(&[0; SECTOR], at)
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether there was room for a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Had,
    /// Somebody keeps something there.
    None,
}

fn write(image: &File, (spot, at): (Spot, u64), sector: &[u8]) -> io::Result<Room> {
    let there = image::bytes(image, at, SECTOR).unwrap_or_default();
    let is_ours = matches!(spot, Spot::InHeader(_));
    if !is_ours && !there.starts_with(MAGIC) && there.iter().any(|byte| *byte != 0) {
        return Ok(Room::None);
    }
    // A block is had now, or not at all: what cannot be written later would fail the flush. A device has all of its blocks, and the
    // kernel refuses to be asked for less than one of its sectors (block/fops.c, `blkdev_fallocate`), which may be larger.
    if !blockdev::is_one(image)?
        && let Err(error) = file::allocate(image, at, SECTOR as u64)
        && error.kind() != ErrorKind::Unsupported
    {
        return Err(error);
    }
    image.write_all_at(sector, at).map(|()| Room::Had)
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::machine::{HostName, MachineId};
    use records::opener::TABLE;

    fn machine(digit: &str) -> Machine {
        let id = MachineId::parse(&digit.repeat(32)).expect("valid");
        Machine { id, host: HostName(format!("box{digit}\u{1b}[2J")) }
    }

    fn image() -> File {
        let file = tempfile::tempfile().expect("made");
        file.set_len(4 << 20).expect("sized");
        file
    }

    #[test]
    fn another_machine_is_told_who_has_it_open() {
        let (image, spot) = (image(), Spot::before(1 << 20));
        assert_eq!(another(&image, spot, &machine("2")), None);
        set(&image, spot, &machine("1")).expect("marked");
        let Err(Failure::Refused(refused)) = refuse_another(&image, spot, &machine("2")) else {
            panic!("opened twice")
        };
        assert_eq!(refused.refusal, Refusal::HomeInUse);
        assert!(refused.sentence.contains("box1") && refused.sentence.contains("homectl repair"));
        assert!(!refused.sentence.contains('\u{1b}'));
        refuse_another(&image, spot, &machine("1")).expect("its own, from whatever boot");
        // A mark of one's own takes the place of one's own.
        set(&image, spot, &machine("1")).expect("marked again");
        clear(&image, spot, &machine("2")).expect("another's is left");
        let_go(&image, spot, &machine("2")).expect("another's is left");
        assert!(is_own(&image, spot, &machine("1")));
        clear(&image, spot, &machine("1")).expect("cleared");
        refuse_another(&image, spot, &machine("2")).expect("closed");
        assert_eq!(image::bytes(&image, (1 << 20) - 4096, 512), Some(vec![0; 512]));
    }

    /// Both have looked while nobody had it open.
    #[test]
    fn of_two_machines_that_mark_it_at_the_same_moment_one_goes_on() {
        let (image, spot) = (image(), Spot::before(1 << 20));
        let first = set(&image, spot, &machine("1")).expect("marked");
        let second = set(&image, spot, &machine("2")).expect("marked");
        let Err(Failure::Refused(refused)) = refuse_overwritten(&image, spot, &first) else {
            panic!("opened twice")
        };
        assert!(refused.refusal == Refusal::HomeInUse && refused.sentence.contains("box2"));
        refuse_overwritten(&image, spot, &second).expect("its own");
        // Closed there meanwhile, the image has no mark any more, and must not be gone on with.
        clear(&image, spot, &machine("2")).expect("cleared");
        assert!(refuse_overwritten(&image, spot, &first).is_err());
        refuse_overwritten(&image, Spot::None, &Written::default()).expect("there was no room for one");
    }

    #[test]
    fn without_room_or_where_somebody_keeps_something_nothing_is_written() {
        let image = image();
        for spot in [Spot::before(0), Spot::before(4096), Spot::before(TABLE + 4095)] {
            assert_eq!(spot, Spot::None);
            set(&image, spot, &machine("1")).expect("marked beside it alone");
        }
        let at = (1 << 20) - 4096;
        image.write_all_at(b"something", at).expect("written");
        set(&image, Spot::before(1 << 20), &machine("1")).expect("left alone");
        clear(&image, Spot::before(1 << 20), &machine("1")).expect("left alone");
        assert_eq!(image::bytes(&image, at, 9).as_deref(), Some(&b"something"[..]));
        image.write_all_at(MAGIC, at).expect("written");
        assert_eq!(another(&image, Spot::before(1 << 20), &machine("2")), None, "half of a mark is none");
    }

    /// There cryptsetup has written noise when it made the header.
    #[test]
    fn what_a_header_has_in_no_area_is_written_over() {
        let (image, at) = (image(), 1 << 20);
        image.write_all_at(&[7; 4096], at).expect("written");
        let spot = Spot::InHeader(at);
        let written = set(&image, spot, &machine("1")).expect("marked");
        refuse_overwritten(&image, spot, &written).expect("its own");
        assert!(refuse_another(&image, spot, &machine("2")).is_err());
        clear(&image, spot, &machine("1")).expect("cleared");
        refuse_another(&image, spot, &machine("2")).expect("closed");
        assert_eq!(image::bytes(&image, at + 512, 4096 - 512), Some(vec![7; 4096 - 512]));
    }

    #[test]
    fn the_mark_of_the_longest_names_fits() {
        let mut machine = machine("1");
        machine.host = HostName("x".repeat(300));
        let (image, spot) = (image(), Spot::before(1 << 20));
        set(&image, spot, &machine).expect("marked");
        assert_eq!(image::bytes(&image, (1 << 20) - 4096 + 512, 512), Some(vec![0; 512]));
        assert!(another(&image, spot, &super::tests::machine("2")).is_some());
    }
}
