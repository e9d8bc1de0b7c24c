//! By whom the copies of a stranger's record have to be signed: as the first of them that was seen.

use records::Record;
use records::signature::{Trust, Vouched};

/// The copy whose signer the others must have.
pub enum First {
    /// By anybody: none was seen, and this machine has none.
    Anybody,
    /// By who signed this one.
    SignedLike(Box<Record>),
    /// By nobody: this machine knows the home, and not as a stranger's.
    Nobody,
}

impl First {
    /// By what this machine knows of the home.
    pub fn of(host: Option<&Record>, trust: &Trust) -> Self {
        match host {
            None => Self::Anybody,
            Some(host) if trust.admit(host, None).is_some() => Self::SignedLike(Box::new(host.clone())),
            Some(_) => Self::Nobody,
        }
    }

    /// Whether a stranger's copy counts.
    pub fn admit(&self, copy: &Record, trust: &Trust) -> Option<Vouched> {
        match self {
            Self::Anybody => trust.admit(copy, None),
            Self::SignedLike(first) => trust.admit(copy, Some(first)),
            Self::Nobody => None,
        }
    }

    /// A copy that counts was seen: the first of a stranger's decides whose the others may be.
    pub fn remember(&mut self, copy: &Record, trust: &Trust) {
        if matches!(self, Self::Anybody) {
            *self = match trust.vouch(copy) {
                Some(_) => Self::Nobody,
                None => Self::SignedLike(Box::new(copy.clone())),
            };
        }
    }
}
