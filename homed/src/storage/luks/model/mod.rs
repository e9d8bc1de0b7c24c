//! Models of disk and kernel, for tests: the plans and the loops that run are the real ones, the machine they run on is
//! made of values. So every order of verbs, of cuts and of other programs is walked in no time.
//!
//! | file | what |
//! | --- | --- |
//! | `disk` | header (slots, marks, record), home's and host's record, each with what a power cut loses |
//! | `verbs` | what this program does with them: log in, change the password, the record, the size |
//! | `others` | what others do: systemd-homed, cryptsetup |
//! | `promises` | what its user was promised of a home, and whether it holds |
//! | `walk` | all orders on the disk, and what is found without each mend |
//! | `kernel`, `kernel_tests` | devices, mounts, keys and the marks of an image that is open, and all orders on them |
//! | `image`, `image_walk` | the file itself: its length, tables, header copies and marks; repairs, changes of size, and what others do to it |
//! | `joint` | both together: changes of keys between locks, unlocks, closes and power cuts |

mod disk;
mod image;
mod image_walk;
mod joint;
mod kernel;
mod kernel_tests;
mod others;
mod promises;
mod verbs;
mod walk;

use crate::storage::luks::plan::without::ALL;

/// A rule that no test takes out may be one that nothing needs.
#[test]
fn each_rule_is_taken_out_in_some_walk() {
    let disk = walk::FAULTS.iter().map(|(mends, _)| ("disk", *mends));
    let kernel = kernel_tests::FAULTS.iter().map(|(mends, _)| ("kernel", *mends));
    let joint = joint::FAULTS.iter().map(|(mends, _)| ("both", *mends));
    let image = image_walk::FAULTS.iter().map(|(mends, _)| ("image", *mends));
    let taken_out: Vec<_> = disk.chain(kernel).chain(joint).chain(image).collect();
    for mend in ALL {
        let found = taken_out.iter().filter(|(_, mends)| mends.contains(mend));
        let walks: Vec<&str> = found.map(|(walk, _)| *walk).collect();
        println!("{mend:?}: {}", walks.join(", "));
        assert!(!walks.is_empty(), "{mend:?} is never taken out");
    }
}
