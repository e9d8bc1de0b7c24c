//! Trees that come about by chance, copied while they change: the last copy is always the same tree.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use copytree::{Continue, Error};
use proptest::prelude::*;
use rustix::fs::{FileType, Mode, XattrFlags, mknodat, setxattr};
use scratch::Scratch;

mod scratch;

/// Something that an owner does to a tree. Numbers choose among its paths.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, length: usize },
    Hole { at: usize, from: u64 },
    Folder { at: usize },
    Leads { at: usize },
    Fifo { at: usize },
    Link { from: usize, at: usize },
    Rename { from: usize, at: usize },
    Remove { at: usize },
    Mode { at: usize, mode: u32 },
    Attribute { at: usize, value: u8 },
}

/// Few paths, so that changes meet.
const PATHS: [&str; 12] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "d/e/b", "f", "f/a", "f/g"];

fn change() -> impl Strategy<Value = Change> {
    let at = || 0..PATHS.len();
    prop_oneof![
        (at(), 0..200_000_usize).prop_map(|(at, length)| Change::Write { at, length }),
        (at(), 0..2_000_000_u64).prop_map(|(at, from)| Change::Hole { at, from }),
        at().prop_map(|at| Change::Folder { at }),
        at().prop_map(|at| Change::Leads { at }),
        at().prop_map(|at| Change::Fifo { at }),
        (at(), at()).prop_map(|(from, at)| Change::Link { from, at }),
        (at(), at()).prop_map(|(from, at)| Change::Rename { from, at }),
        at().prop_map(|at| Change::Remove { at }),
        (at(), 0..0o10000_u32).prop_map(|(at, mode)| Change::Mode { at, mode }),
        (at(), any::<u8>()).prop_map(|(at, value)| Change::Attribute { at, value }),
    ]
}

/// Does it if it can be done.
fn apply(top: &Path, change: &Change) -> io::Result<()> {
    let path = |at: usize| -> PathBuf { top.join(PATHS[at]) };
    match *change {
        Change::Write { at, length } => fs::write(path(at), vec![length as u8; length]),
        Change::Hole { at, from } => {
            let file = File::create(path(at))?;
            file.write_all_at(b"after a hole", from)?;
            file.set_len(from * 2)
        }
        Change::Folder { at } => fs::create_dir_all(path(at)),
        Change::Leads { at } => symlink("d/e", path(at)),
        Change::Fifo { at } => Ok(mknodat(rustix::fs::CWD, path(at), FileType::Fifo, Mode::RUSR, 0)?),
        Change::Link { from, at } => fs::hard_link(path(from), path(at)),
        Change::Rename { from, at } => fs::rename(path(from), path(at)),
        Change::Remove { at } => fs::remove_file(path(at)).or_else(|_| fs::remove_dir_all(path(at))),
        // Its owner goes on to read it.
        Change::Mode { at, mode } => fs::set_permissions(path(at), Permissions::from_mode(mode | 0o700)),
        Change::Attribute { at, value } => {
            Ok(setxattr(path(at), "user.test", &[value], XattrFlags::empty())?)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn the_last_copy_is_the_same_tree(
        rounds in prop::collection::vec((prop::collection::vec(change(), 0..12), 1..15_i32), 1..5)
    ) {
        let scratch = Scratch::new().expect("a folder");
        let top = scratch.at("a");
        for (changes, reports) in rounds {
            // What cannot be done is not done: a FIFO is not written to.
            for change in changes.iter().filter(|change| !writes_to_a_fifo(&top, change)) {
                let _ = apply(&top, change);
            }
            let mut left = reports;
            let ended = scratch.watched(&mut |_| {
                left -= 1;
                if left < 0 { Continue::No } else { Continue::Yes }
            });
            prop_assert!(matches!(ended, Ok(_) | Err(Error::Stopped)), "{ended:?}");
        }
        let copied = scratch.copy().expect("a whole copy");
        prop_assert_eq!((copied.changed.count, copied.lost_count), (0, 0));
        prop_assert_eq!(scratch.differences().expect("a comparison"), []);
    }
}

/// Whoever opens a FIFO to write waits for a reader.
fn writes_to_a_fifo(top: &Path, change: &Change) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let (Change::Write { at, .. } | Change::Hole { at, .. }) = *change else { return false };
    fs::metadata(top.join(PATHS[at])).is_ok_and(|file| file.file_type().is_fifo())
}
