//! What it costs to try a key on a header, as the header says: whoever made it chose that, and may have chosen so that a
//! machine that tries has no memory left, or is busy for days. No IO.
//!
//! LUKS2 on-disk format 1.1.3, chapters 3.2.2 (`kdf` of a key slot: `argon2i`, `argon2id` with `time`, `memory` in KiB and
//! `cpus`; `pbkdf2` with `iterations`) and 3.4 (digests: `pbkdf2` too, derived once more for each key that fits).

use serde_json::Value;

const MIB: u64 = 1 << 20;
/// Most memory that a key slot gets, in bytes: as much as libcryptsetup gives one at most.
const MOST_MEMORY: u64 = 4 << 30;
/// What a key slot gets whatever is free, in bytes: homes that are made here take no more by default.
const USUAL_MEMORY: u64 = 256 * MIB;
/// What is left to others at least, in bytes, where there is so much.
const SPARED: u64 = 512 * MIB;
/// Most work of all Argon2 slots together, passes times bytes: 64 passes over 1 GiB, about a minute. Homes that are made
/// here take 1 GiB a slot, cryptsetup's default 4.
const MOST_WORK: u64 = 64 << 30;
/// Most iterations of PBKDF2 in all slots and digests together: about a minute. cryptsetup's default takes two seconds a slot.
const MOST_ITERATIONS: u64 = 200_000_000;
/// Most threads of a slot. libcryptsetup makes four at most.
const MOST_THREADS: u64 = 64;

/// Why keys are not tried on a header that says this, on a machine with so much memory available (bytes); `None`: they may.
pub fn too_costly(header: &Value, available: u64) -> Option<String> {
    let mut sum = Sum::default();
    let parts =
        |name: &str| header.get(name).and_then(Value::as_object).into_iter().flat_map(|all| all.values());
    for kdf in parts("keyslots").filter_map(|slot| slot.get("kdf")).chain(parts("digests")) {
        if let Err(why) = sum.add(kdf, memory_for_one(available)) {
            return Some(why);
        }
    }
    None
}

/// How much memory one slot may take: half of what is available, or all but what is spared, and the usual always.
pub(super) fn memory_for_one(available: u64) -> u64 {
    (available / 2).max(available.saturating_sub(SPARED)).clamp(USUAL_MEMORY, MOST_MEMORY)
}

#[derive(Default)]
struct Sum {
    work: u64,
    iterations: u64,
}

impl Sum {
    fn add(&mut self, kdf: &Value, allowed: u64) -> Result<(), String> {
        // What is no number is none that could be judged.
        let number = |name: &str| kdf.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        match kdf.get("type").and_then(Value::as_str) {
            Some("argon2i" | "argon2id") => {
                let (passes, threads, memory) =
                    (number("time"), number("cpus"), number("memory").saturating_mul(1024));
                if memory > allowed {
                    return Err(format!(
                        "a key slot wants {} MiB of memory for it, and {} MiB can be had for that now",
                        memory / MIB,
                        allowed / MIB
                    ));
                }
                self.work = self.work.saturating_add(passes.saturating_mul(memory));
                if self.work > MOST_WORK || threads > MOST_THREADS {
                    return Err(format!(
                        "its key slots want {passes} passes over {} MiB of memory and more, which would take very long",
                        memory / MIB
                    ));
                }
            }
            Some("pbkdf2") => {
                let iterations = number("iterations");
                self.iterations = self.iterations.saturating_add(iterations);
                if self.iterations > MOST_ITERATIONS {
                    return Err(format!(
                        "its key slots want {iterations} iterations and more, which would take very long"
                    ));
                }
            }
            // Another kind is none that the library knows.
            Some(_) | None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GIB: u64 = 1 << 30;

    fn argon(time: u64, mib: u64, cpus: u64) -> Value {
        json!({"kdf": {"type": "argon2id", "time": time, "memory": mib * 1024, "cpus": cpus, "salt": "AA=="}})
    }

    fn header(slots: Vec<Value>, digest: Value) -> Value {
        let slots: serde_json::Map<String, Value> =
            slots.into_iter().enumerate().map(|(number, slot)| (number.to_string(), slot)).collect();
        json!({"keyslots": slots, "digests": {"0": {"type": "pbkdf2", "hash": "sha256", "iterations": digest}}})
    }

    #[test]
    fn what_programs_make_is_tried() {
        for (slots, available) in [
            (vec![argon(4, 256, 1)], 0),
            (vec![argon(4, 256, 1); 16], GIB),
            (vec![argon(4, 1024, 4); 8], 2 * GIB),
            (vec![argon(10, 4096, 4)], 16 * GIB),
            (vec![json!({"kdf": {"type": "pbkdf2", "iterations": 8_000_000}}); 8], GIB),
            (vec![json!({"type": "reencrypt"})], GIB),
        ] {
            assert_eq!(too_costly(&header(slots, json!(1_000_000)), available), None);
        }
    }

    #[test]
    fn what_would_take_the_machine_is_not() {
        let sound = json!(1000);
        for (slots, digest, available, words) in [
            (vec![argon(1, 4097, 1)], sound.clone(), 64 * GIB, "4097 MiB"),
            (vec![argon(1, 1024, 1)], sound.clone(), GIB, "512 MiB can be had"),
            (vec![argon(1 << 32, 1, 1)], sound.clone(), GIB, "very long"),
            (vec![argon(4, 1024, 1); 17], sound.clone(), 4 * GIB, "very long"),
            (vec![argon(1, 1, 65)], sound.clone(), GIB, "very long"),
            (vec![argon(u64::MAX, 1, 1)], sound.clone(), GIB, "very long"),
            (
                vec![json!({"kdf": {"type": "argon2id", "time": 1.5, "memory": 64, "cpus": 1}})],
                sound.clone(),
                GIB,
                "very long",
            ),
            (
                vec![json!({"kdf": {"type": "argon2id", "time": 1, "memory": "64", "cpus": 1}})],
                sound.clone(),
                GIB,
                "MiB",
            ),
            (vec![json!({"kdf": {"type": "pbkdf2", "iterations": u32::MAX}})], sound, GIB, "very long"),
            (vec![], json!(u32::MAX), GIB, "very long"),
        ] {
            let said = too_costly(&header(slots.clone(), digest), available).unwrap_or_default();
            assert!(said.contains(words), "{slots:?}: {said}");
        }
    }

    #[test]
    fn a_machine_with_little_memory_tries_what_is_usual() {
        for (available, mib) in [(0, 256), (600 * MIB, 300), (GIB, 512), (2 * GIB, 1536), (64 * GIB, 4096)] {
            assert_eq!(memory_for_one(available) / MIB, mib);
        }
    }
}
