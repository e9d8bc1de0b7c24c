//! What is set about locks for the whole machine, where the record does not say: the part of `homed.conf` that
//! is about them.

use records::span::{SECOND, span};

/// The rules in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRules {
    /// `LockProof=`.
    pub proof: Proof,
    /// `LockAfterScreenLock=`, in µs; `None`: never.
    pub after_screen_lock: Option<u64>,
    /// `LockAfterIdle=`, in µs; `None`: never.
    pub after_idle: Option<u64>,
    /// `LockInhibitMax=`: the longest that somebody may be left out, in µs.
    pub longest_inhibitor: u64,
    /// `LockAtWake=`.
    pub at_wake: AtWake,
    /// `HibernateUnencrypted=`.
    pub hibernation: Hibernation,
}

/// What counts as locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A key that was not found, even if not everything could be looked at.
    Wanted,
    /// A key that cannot be anywhere; any doubt is a failure.
    Required,
}

/// What is done with homes that were open while the machine slept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtWake {
    /// They are locked now.
    Lock,
    /// They stay open; it is only said.
    Say,
}

/// Whether memory may be written to a disk that is not encrypted, with homes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hibernation {
    /// The hibernation is broken off.
    Refuse,
    /// It goes on.
    Allow,
}

impl Default for LockRules {
    fn default() -> Self {
        Self {
            proof: Proof::Wanted,
            after_screen_lock: None,
            after_idle: None,
            longest_inhibitor: 8 * 3600 * SECOND,
            at_wake: AtWake::Lock,
            hibernation: Hibernation::Refuse,
        }
    }
}

impl LockRules {
    /// Takes one line of the settings file; an empty value is the default again. Gives whether it is a line of
    /// these rules, and a valid one.
    pub fn take(&mut self, key: &str, value: &str) -> bool {
        let fresh = Self::default();
        match (key, value) {
            ("LockProof", "") => self.proof = fresh.proof,
            ("LockProof", "wanted") => self.proof = Proof::Wanted,
            ("LockProof", "required") => self.proof = Proof::Required,
            ("LockAtWake", "") => self.at_wake = fresh.at_wake,
            ("LockAtWake", "yes") => self.at_wake = AtWake::Lock,
            ("LockAtWake", "no") => self.at_wake = AtWake::Say,
            ("HibernateUnencrypted", "") => self.hibernation = fresh.hibernation,
            ("HibernateUnencrypted", "refuse") => self.hibernation = Hibernation::Refuse,
            ("HibernateUnencrypted", "allow") => self.hibernation = Hibernation::Allow,
            ("LockAfterScreenLock", value) => return put(&mut self.after_screen_lock, after(value)),
            ("LockAfterIdle", value) => return put(&mut self.after_idle, after(value)),
            ("LockInhibitMax", "") => self.longest_inhibitor = fresh.longest_inhibitor,
            ("LockInhibitMax", value) => return put(&mut self.longest_inhibitor, span(value).ok()),
            _ => return false,
        }
        true
    }
}

/// What a record or setting of "so long after" means: the greatest value is never.
pub fn unless_never(usec: u64) -> Option<u64> {
    Some(usec).filter(|usec| *usec != u64::MAX)
}

fn after(value: &str) -> Option<Option<u64>> {
    match value {
        "" | "off" | "no" => Some(None),
        value => span(value).ok().map(unless_never),
    }
}

fn put<T>(place: &mut T, value: Option<T>) -> bool {
    value.map(|value| *place = value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_or_left_out_whole() {
        let mut rules = LockRules::default();
        for (key, value) in [
            ("LockProof", "required"),
            ("LockAfterScreenLock", "10min"),
            ("LockAfterIdle", "2h"),
            ("LockInhibitMax", "30min"),
            ("LockAtWake", "no"),
            ("HibernateUnencrypted", "allow"),
        ] {
            assert!(rules.take(key, value), "{key}={value}");
        }
        let all = LockRules {
            proof: Proof::Required,
            after_screen_lock: Some(600 * SECOND),
            after_idle: Some(7200 * SECOND),
            longest_inhibitor: 1800 * SECOND,
            at_wake: AtWake::Say,
            hibernation: Hibernation::Allow,
        };
        assert_eq!(rules, all);
        for (key, value) in
            [("LockProof", "maybe"), ("LockAfterIdle", "soon"), ("LockInhibitMax", "off"), ("Other", "1")]
        {
            assert!(!rules.take(key, value), "{key}={value}");
            assert_eq!(rules, all, "{key}={value}");
        }
        for key in [
            "LockProof",
            "LockAfterScreenLock",
            "LockAfterIdle",
            "LockInhibitMax",
            "LockAtWake",
            "HibernateUnencrypted",
        ] {
            assert!(rules.take(key, ""), "{key}=");
        }
        assert_eq!(rules, LockRules::default());
        assert!(rules.take("LockAfterIdle", "infinity"));
        assert_eq!(rules.after_idle, None);
    }
}
