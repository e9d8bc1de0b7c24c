//! What on this machine weakens locks: the judge. Who gathers the facts is `daemon/surroundings.rs`.

use crate::words::seal::{Looked, kernel_keeps_a_copy};

/// What was found of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// `uname -r`.
    pub kernel: String,
    /// Whether freed memory is erased (`init_on_free`).
    pub erases_freed: bool,
    /// Swap space in use.
    pub swaps: Vec<Swap>,
    /// Whether zswap is on.
    pub zswap: bool,
    /// Where memory would be written to by a hibernation.
    pub hibernation: Target,
    /// `kernel.core_pattern`.
    pub core_pattern: String,
    /// Whether there is memory that is not in the kernel's own map (memfd_secret(2)).
    pub secret_memory: bool,
    /// Whether the kernel encrypts for programs (`algif_skcipher`).
    pub kernel_cipher: bool,
    /// Control groups.
    pub groups: Groups,
    /// `/sys/power/mem_sleep`; empty where the machine cannot sleep.
    pub sleep_states: String,
    /// The unit that locks before a sleep.
    pub unit: Unit,
}

/// One swap space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Its name in `/proc/swaps`.
    pub name: String,
    /// Where what is swapped out goes.
    pub kind: SwapKind,
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapKind {
    /// To an encrypted device.
    Encrypted,
    /// To a device in the clear.
    Plain,
    /// It stays in memory, packed.
    Memory,
}

/// Where memory would be written to by a hibernation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nowhere: there is none.
    Nowhere,
    /// An encrypted device.
    Encrypted,
    /// A device in the clear, by this name.
    Plain(String),
}

/// Control groups, as far as they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// Version 2, and pages can be thrown out of one (`memory.reclaim`, Linux 5.19).
    Reclaim,
    /// Version 2 without that.
    NoReclaim,
    /// Version 1: a user's processes cannot be frozen together.
    Old,
}

/// `homed-lock.service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Every sleep needs it.
    Enabled,
    /// No sleep needs it.
    NotEnabled,
    /// It cannot be started.
    Masked,
    /// There is no systemd that would.
    NoSystemd,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A key can be in memory or on a disk although the home counts as locked, or is not locked at all.
    Key,
    /// Data of the home can.
    Data,
    /// It is harder for an attacker without it.
    Note,
}

impl Weight {
    /// For JSON and people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Data => "data",
            Self::Note => "note",
        }
    }
}

/// One thing that weakens locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakness {
    /// A name for programs.
    pub id: &'static str,
    /// How bad it is.
    pub weight: Weight,
    /// What is so, and what follows.
    pub what: String,
    /// What can be done about it.
    pub advice: &'static str,
}

/// All of them, the worst first.
pub fn judge(found: &Surroundings) -> Vec<Weakness> {
    let mut all: Vec<Weakness> = unit(found.unit).into_iter().collect();
    all.extend(kernel(&found.kernel));
    all.extend(hibernation(&found.hibernation));
    all.extend(swap(found));
    all.extend(memory(found));
    all.extend(groups(found.groups));
    all.extend(sleep(&found.sleep_states));
    all.sort_by_key(|weakness| weakness.weight);
    all
}

fn weakness(
    id: &'static str,
    weight: Weight,
    what: impl Into<String>,
    advice: &'static str,
) -> Option<Weakness> {
    Some(Weakness { id, weight, what: what.into(), advice })
}

fn unit(unit: Unit) -> Option<Weakness> {
    match unit {
        Unit::Enabled => None,
        Unit::NotEnabled => weakness(
            "unit",
            Weight::Key,
            "homed-lock.service is not enabled: homes stay open when the machine sleeps.",
            "systemctl enable homed-lock.service",
        ),
        Unit::Masked => weakness(
            "unit",
            Weight::Key,
            "homed-lock.service is masked: the machine cannot sleep, or sleeps with open homes.",
            "systemctl unmask homed-lock.service; systemctl enable homed-lock.service",
        ),
        Unit::NoSystemd => weakness(
            "unit",
            Weight::Key,
            "systemd does not run here: nothing locks homes before the machine sleeps.",
            "Have what sends the machine to sleep run: /usr/lib/homed/homed before-sleep",
        ),
    }
}

fn kernel(release: &str) -> Option<Weakness> {
    match kernel_keeps_a_copy(release) {
        Looked::Clear => None,
        Looked::Found(why) | Looked::Unseen(why) => {
            weakness("kernel", Weight::Key, format!("{why}."), "Install a kernel in which this is mended.")
        }
    }
}

/// Whether memory may be written there while homes are in use.
pub fn hibernation(target: &Target) -> Option<Weakness> {
    match target {
        Target::Nowhere | Target::Encrypted => None,
        Target::Plain(name) => weakness(
            "hibernation",
            Weight::Data,
            format!("A hibernation would write all memory to {name}, which is not encrypted."),
            "Put swap on an encrypted device (crypttab(5)), or suspend instead.",
        ),
    }
}

fn swap(found: &Surroundings) -> Vec<Weakness> {
    let named = |kind| {
        let of_kind = found.swaps.iter().filter(move |swap| swap.kind == kind);
        of_kind.map(|swap| swap.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (plain, memory) = (named(SwapKind::Plain), named(SwapKind::Memory));
    let mut all = Vec::new();
    if !plain.is_empty() {
        all.extend(weakness(
            "swap",
            Weight::Data,
            format!(
                "Swap space is not encrypted ({plain}): memory of the user's processes is written there."
            ),
            "Encrypt it: crypttab(5) with the option swap, or a key of its own.",
        ));
    }
    if !memory.is_empty() || found.zswap {
        let what = if memory.is_empty() { "zswap" } else { &memory };
        all.extend(weakness(
            "packed-swap",
            Weight::Note,
            format!("Swapped memory stays in memory, packed ({what}): the level strict cannot move it away."),
            "Where that matters, use an encrypted swap device instead.",
        ));
    }
    all
}

fn memory(found: &Surroundings) -> Vec<Weakness> {
    let mut all = Vec::new();
    if !found.erases_freed {
        all.extend(weakness(
            "init-on-free",
            Weight::Note,
            "The kernel does not erase memory that is freed: names of files are left in it after a lock.",
            "Add init_on_free=1 to the kernel's command line.",
        ));
    }
    if !found.secret_memory {
        all.extend(weakness(
            "secret-memory",
            Weight::Note,
            "There is no memfd_secret: passwords are handed over in ordinary memory.",
            "Add secretmem.enable=1 to the kernel's command line, or use a kernel that has it.",
        ));
    }
    if !found.kernel_cipher {
        all.extend(weakness(
            "kernel-cipher",
            Weight::Key,
            "algif_skcipher is missing: opening a home leaves key material in a cache for a while.",
            "modprobe algif_skcipher",
        ));
    }
    if !found.core_pattern.is_empty() && found.core_pattern != "|/bin/false" {
        all.extend(weakness(
            "core-dumps",
            Weight::Note,
            format!(
                "A program that crashes has its memory written to a disk (core_pattern: {}).",
                found.core_pattern
            ),
            "Where that matters: sysctl kernel.core_pattern='|/bin/false'",
        ));
    }
    all
}

fn groups(groups: Groups) -> Option<Weakness> {
    match groups {
        Groups::Reclaim => None,
        Groups::NoReclaim => weakness(
            "reclaim",
            Weight::Data,
            "Control groups have no memory.reclaim: files that processes have mapped stay in memory.",
            "Use Linux 5.19 or later with the memory controller.",
        ),
        Groups::Old => weakness(
            "control-groups",
            Weight::Data,
            "Control groups are of version 1: a user's processes cannot be frozen together.",
            "Boot with systemd.unified_cgroup_hierarchy=1.",
        ),
    }
}

/// The state in use is in brackets.
fn sleep(states: &str) -> Option<Weakness> {
    let idles = states.contains("[s2idle]");
    idles.then_some(Weakness {
        id: "s2idle",
        weight: Weight::Note,
        what: "The machine idles instead of sleeping (s2idle): processors and devices keep power.".into(),
        advice: "Where the firmware can: echo deep > /sys/power/mem_sleep, or mem_sleep_default=deep.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Surroundings {
        Surroundings {
            kernel: "7.2.7".into(),
            erases_freed: true,
            swaps: vec![Swap { name: "/dev/dm-1".into(), kind: SwapKind::Encrypted }],
            zswap: false,
            hibernation: Target::Encrypted,
            core_pattern: String::new(),
            secret_memory: true,
            kernel_cipher: true,
            groups: Groups::Reclaim,
            sleep_states: "s2idle [deep]".into(),
            unit: Unit::Enabled,
        }
    }

    #[test]
    fn nothing_weakens_a_sound_machine() {
        assert_eq!(judge(&sound()), []);
        assert_eq!(judge(&Surroundings { swaps: Vec::new(), hibernation: Target::Nowhere, ..sound() }), []);
    }

    #[test]
    fn each_weakness_is_named_alone() {
        let swap = |kind| vec![Swap { name: "/dev/sda2".into(), kind }];
        let table = [
            (Surroundings { kernel: "6.12.57+deb13".into(), ..sound() }, "kernel", Weight::Key),
            (Surroundings { erases_freed: false, ..sound() }, "init-on-free", Weight::Note),
            (Surroundings { swaps: swap(SwapKind::Plain), ..sound() }, "swap", Weight::Data),
            (Surroundings { swaps: swap(SwapKind::Memory), ..sound() }, "packed-swap", Weight::Note),
            (Surroundings { zswap: true, ..sound() }, "packed-swap", Weight::Note),
            (
                Surroundings { hibernation: Target::Plain("sda2".into()), ..sound() },
                "hibernation",
                Weight::Data,
            ),
            (Surroundings { core_pattern: "core".into(), ..sound() }, "core-dumps", Weight::Note),
            (Surroundings { secret_memory: false, ..sound() }, "secret-memory", Weight::Note),
            (Surroundings { kernel_cipher: false, ..sound() }, "kernel-cipher", Weight::Key),
            (Surroundings { groups: Groups::NoReclaim, ..sound() }, "reclaim", Weight::Data),
            (Surroundings { groups: Groups::Old, ..sound() }, "control-groups", Weight::Data),
            (Surroundings { sleep_states: "[s2idle] deep".into(), ..sound() }, "s2idle", Weight::Note),
            (Surroundings { unit: Unit::NotEnabled, ..sound() }, "unit", Weight::Key),
            (Surroundings { unit: Unit::Masked, ..sound() }, "unit", Weight::Key),
            (Surroundings { unit: Unit::NoSystemd, ..sound() }, "unit", Weight::Key),
        ];
        for (found, id, weight) in table {
            let all = judge(&found);
            assert_eq!(all.iter().map(|w| (w.id, w.weight)).collect::<Vec<_>>(), [(id, weight)]);
        }
    }

    #[test]
    fn the_worst_comes_first() {
        let found = Surroundings { erases_freed: false, unit: Unit::Masked, zswap: true, ..sound() };
        let weights: Vec<Weight> = judge(&found).iter().map(|weakness| weakness.weight).collect();
        assert!(weights.is_sorted() && weights.len() == 3);
    }
}
