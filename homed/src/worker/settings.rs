//! Settings of the kernel that are others for a while, and are put back by whoever comes next.
//!
//! ```text
//! note what is (whole) → change → … → put back → forget the note
//! ```
//!
//! The note is there before anything is changed, so a worker that dies at any place leaves either what was, or a note
//! of it. A note that is there already wins: it was written when nothing was changed yet. Two workers never change
//! settings at the same time: who begins shows that it is [`Alone`].

use super::memory::Alone;
use super::notes;
use crate::job::{Context, Failure};
use crate::sys::setting;
use std::io;
use std::path::{Path, PathBuf};

/// What a setting is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// This.
    Value(&'static str),
    /// A quarter of what it is.
    Quarter,
    /// This number, if it is more.
    AtMost(u64),
    /// Nothing, each of its numbers.
    Zeros,
}

/// A set of them that is changed together, and the name of its note.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    name: &'static str,
    settings: &'static [(&'static str, Wanted)],
}

/// What the kernel keeps free is out of reach otherwise, and it must not begin to keep more while we are at it: for more,
/// others are driven into swap, and with that little free, swap that needs memory itself (a file, a loop device) may never
/// come to an end. Its reserve for those who cannot wait (network, interrupts) is only lowered in proportion. What it
/// keeps of the memory below 4 GiB from all who could take other memory (on a machine with 24 GiB 82 MiB, and more with
/// more) is had as well: whose it was before, nobody knows. Nothing is reclaimed or moved for the sake of a huge page or of a nearer node.
pub const FOR_SCRUB: Set = Set {
    name: "scrub",
    settings: &[
        ("/proc/sys/vm/swappiness", Wanted::Value("0")),
        ("/proc/sys/vm/zone_reclaim_mode", Wanted::Value("0")),
        ("/sys/kernel/mm/transparent_hugepage/defrag", Wanted::Value("never")),
        ("/proc/sys/vm/watermark_boost_factor", Wanted::Value("0")),
        ("/proc/sys/vm/min_free_kbytes", Wanted::Quarter),
        ("/proc/sys/vm/watermark_scale_factor", Wanted::AtMost(10)),
        ("/proc/sys/vm/lowmem_reserve_ratio", Wanted::Zeros),
    ],
};
/// Nothing is kept compressed in memory instead of being swapped, and nothing is read back but what is asked for.
pub const FOR_SWAP: Set = Set {
    name: "swap",
    settings: &[
        ("/proc/sys/vm/page-cluster", Wanted::Value("0")),
        ("/sys/module/zswap/parameters/enabled", Wanted::Value("N")),
    ],
};
/// The kernel does not fetch swapped memory to make larger pages of it.
pub const WHILE_SEALED: Set = Set {
    name: "sealed",
    settings: &[("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_swap", Wanted::Value("0"))],
};

/// Settings that are others while this lives.
pub struct Changed<'a> {
    set: Set,
    _alone: &'a Alone,
}

impl<'a> Changed<'a> {
    /// Changes them; what this kernel does not have is left out.
    pub fn begin(set: Set, alone: &'a Alone) -> Result<Self, Failure> {
        // What somebody has left who was killed is put back first: what is noted is what was before any of us.
        restore_on(&Real, set);
        let changed = Self { set, _alone: alone };
        change_on(&Real, set).during("noting the kernel's settings")?;
        Ok(changed)
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        restore_on(&Real, self.set);
    }
}

/// Changes them until [`restore`]; where they are changed already, nothing happens.
pub fn hold(set: Set, _alone: &Alone) -> Result<(), Failure> {
    if Real.note(set.name).is_some() {
        return Ok(());
    }
    change_on(&Real, set).during("noting the kernel's settings")
}

/// Puts back what a note tells, and forgets it.
pub fn restore(set: Set, _alone: &Alone) {
    restore_on(&Real, set);
}

/// The machine's settings and our notes: in tests a model of them.
trait Machine {
    fn read(&self, path: &str) -> Option<String>;
    fn write(&self, path: &str, value: &str) -> io::Result<()>;
    fn note(&self, name: &str) -> Option<String>;
    /// Writes it whole.
    fn keep(&self, name: &str, text: &str) -> io::Result<()>;
    fn forget(&self, name: &str);
}

fn change_on(machine: &impl Machine, set: Set) -> io::Result<()> {
    let before: Vec<_> = set
        .settings
        .iter()
        .filter_map(|(path, wanted)| Some((*path, *wanted, machine.read(path)?)))
        .collect();
    let text: String = before.iter().map(|(path, _, value)| format!("{path} {value}\n")).collect();
    machine.keep(set.name, &text)?;
    for (path, wanted, value) in &before {
        if let Some(new) = wanted.instead_of(value) {
            // They are a matter of speed, and of how much can be had.
            let _ = machine.write(path, &new);
        }
    }
    Ok(())
}

fn restore_on(machine: &impl Machine, set: Set) {
    let Some(text) = machine.note(set.name) else { return };
    let known = |path: &str| set.settings.iter().any(|setting| setting.0 == path);
    let plain =
        |value: &str| value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+\t".contains(&byte));
    let noted = text.lines().filter_map(|line| line.split_once(' '));
    // The last to be changed is the first to be put back.
    let noted: Vec<_> = noted.filter(|(path, value)| known(path) && plain(value)).collect();
    for (path, value) in noted.iter().rev() {
        let _ = machine.write(path, value);
    }
    machine.forget(set.name);
}

impl Wanted {
    /// The new value, where it is another.
    fn instead_of(self, value: &str) -> Option<String> {
        let number = || value.parse::<u64>().ok();
        let new = match self {
            Self::Value(new) => new.to_owned(),
            Self::Quarter => (number()? / 4).max(1).to_string(),
            Self::AtMost(most) => number()?.min(most).to_string(),
            Self::Zeros => value.split_whitespace().map(|_| "0").collect::<Vec<_>>().join("\t"),
        };
        (new != value).then_some(new)
    }
}

struct Real;

impl Machine for Real {
    fn read(&self, path: &str) -> Option<String> {
        setting::read(path)
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        setting::write(path, value)
    }

    fn note(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(noted(name)).ok()
    }

    fn keep(&self, name: &str, text: &str) -> io::Result<()> {
        notes::put(&noted(name), text)
    }

    fn forget(&self, name: &str) {
        // What stays says what is: put back once more, it changes nothing.
        let _ = std::fs::remove_file(noted(name));
    }
}

fn noted(name: &str) -> PathBuf {
    Path::new(notes::FOLDER).join(format!("settings-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    /// A machine on which a worker is killed: what it would do after that does not happen.
    struct Model {
        values: RefCell<BTreeMap<String, String>>,
        notes: RefCell<BTreeMap<String, String>>,
        left: Cell<usize>,
    }

    impl Model {
        fn new() -> Self {
            let values = FOR_SCRUB.settings.iter().map(|(path, _)| ((*path).to_owned(), "60".to_owned()));
            Self {
                values: RefCell::new(values.collect()),
                notes: RefCell::default(),
                left: Cell::new(usize::MAX),
            }
        }

        fn lives(&self) -> bool {
            let left = self.left.get();
            self.left.set(left.saturating_sub(1));
            left > 0
        }

        /// A whole scrub of a worker that is killed after so many steps. Tells whether it came to its end.
        fn scrub(&self, steps: usize) -> bool {
            self.left.set(steps);
            restore_on(self, FOR_SCRUB);
            change_on(self, FOR_SCRUB).expect("noted");
            restore_on(self, FOR_SCRUB);
            self.left.get() > 0
        }
    }

    impl Machine for Model {
        fn read(&self, path: &str) -> Option<String> {
            self.values.borrow().get(path).cloned()
        }

        fn write(&self, path: &str, value: &str) -> io::Result<()> {
            if self.lives() {
                self.values.borrow_mut().insert(path.to_owned(), value.to_owned());
            }
            Ok(())
        }

        fn note(&self, name: &str) -> Option<String> {
            self.notes.borrow().get(name).cloned()
        }

        fn keep(&self, name: &str, text: &str) -> io::Result<()> {
            if self.lives() {
                self.notes.borrow_mut().insert(name.to_owned(), text.to_owned());
            }
            Ok(())
        }

        fn forget(&self, name: &str) {
            if self.lives() {
                self.notes.borrow_mut().remove(name);
            }
        }
    }

    #[test]
    fn whoever_is_killed_where_ever_the_next_puts_everything_back() {
        let before = Model::new().values;
        for first in 0..40 {
            for second in 0..40 {
                let machine = Model::new();
                machine.scrub(first);
                machine.scrub(second);
                machine.left.set(usize::MAX);
                restore_on(&machine, FOR_SCRUB);
                assert_eq!(machine.values, before, "killed at {first}, then at {second}");
                assert!(machine.notes.borrow().is_empty());
            }
        }
        assert!(Model::new().scrub(40), "forty steps are not all");
    }

    #[test]
    fn settings_are_lowered_in_proportion() {
        assert_eq!(Wanted::Quarter.instead_of("67584"), Some("16896".to_owned()));
        assert_eq!(Wanted::AtMost(10).instead_of("200"), Some("10".to_owned()));
        assert_eq!(Wanted::AtMost(10).instead_of("5"), None);
        assert_eq!(Wanted::Value("never").instead_of("never"), None);
        assert_eq!(Wanted::Zeros.instead_of("256\t256\t32\t0\t0"), Some("0\t0\t0\t0\t0".to_owned()));
        assert_eq!(Wanted::Zeros.instead_of("0\t0"), None);
    }

    #[test]
    fn a_note_changes_what_is_ours_alone() {
        let machine = Model::new();
        let text = "/proc/sys/vm/swappiness 33\n/proc/sys/kernel/sysrq 1\n/proc/sys/vm/min_free_kbytes a b\n\
                    /proc/sys/vm/lowmem_reserve_ratio 256\t32\t0\n";
        machine.notes.borrow_mut().insert("scrub".to_owned(), text.to_owned());
        restore_on(&machine, FOR_SCRUB);
        assert_eq!(machine.read("/proc/sys/vm/swappiness").as_deref(), Some("33"));
        assert_eq!(machine.read("/proc/sys/kernel/sysrq"), None);
        assert_eq!(machine.read("/proc/sys/vm/min_free_kbytes").as_deref(), Some("60"));
        assert_eq!(machine.read("/proc/sys/vm/lowmem_reserve_ratio").as_deref(), Some("256\t32\t0"));
    }
}
