//! Which copy of a record is in force, as the copies are looked at one after the other.
//!
//! The copy beside the keys comes before anybody is let in: after a change of password that was cut short the new record is
//! in force, and there alone.

use super::{Choice, Rule};
use crate::refusal::Refused;

/// A copy of a record.
pub trait Dated: Sized {
    /// Chooses between this, the one in force so far, and another one.
    fn choose(&self, other: &Self, rule: Rule) -> Result<Choice, Refused>;
}

/// The copy beside the keys was not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outside {
    Unseen,
    Seen,
}

/// The copy in force, of those that were looked at.
#[derive(Debug, Clone)]
pub struct Force<C> {
    found: Option<C>,
    outside: Outside,
}

impl<C: Dated> Force<C> {
    /// Begins with the host's copy, where there is one that counts.
    pub fn begin(host: Option<C>) -> Self {
        Self { found: host, outside: Outside::Unseen }
    }

    /// Looks at the copy beside the keys; `None`: there is none that can be read.
    pub fn see_outside(&mut self, copy: Option<C>, rule: Rule) -> Result<(), Refused> {
        self.outside = Outside::Seen;
        copy.map_or(Ok(()), |copy| self.see(copy, rule))
    }

    /// There is none beside the keys: this kind of storage has no such copy.
    pub fn there_is_none_outside(&mut self) {
        self.outside = Outside::Seen;
    }

    /// Looks at another copy.
    pub fn see(&mut self, copy: C, rule: Rule) -> Result<(), Refused> {
        let wins = match &self.found {
            None => true,
            Some(found) => found.choose(&copy, rule)? == Choice::Inner,
        };
        if wins {
            self.found = Some(copy);
        }
        Ok(())
    }

    /// Puts another one in force.
    pub fn replace(&mut self, copy: C) {
        self.found = Some(copy);
    }

    /// The one in force so far: good enough to tell why somebody does not get in.
    pub fn so_far(&self) -> Option<&C> {
        self.found.as_ref()
    }

    /// The one that decides who gets in.
    pub fn decides(&self) -> Result<Option<&C>, Unseen> {
        match self.outside {
            Outside::Seen => Ok(self.found.as_ref()),
            Outside::Unseen => Err(Unseen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::by_date;

    #[derive(Debug, Clone, PartialEq)]
    struct At(u64);

    impl Dated for At {
        fn choose(&self, other: &Self, rule: Rule) -> Result<Choice, Refused> {
            by_date([self.0, other.0], || true, rule)
        }
    }

    #[test]
    fn nobody_is_let_in_by_what_this_machine_knows_alone() {
        let mut force = Force::begin(Some(At(1)));
        assert_eq!((force.decides(), force.so_far()), (Err(Unseen), Some(&At(1))));
        force.see(At(2), Rule::Any).expect("seen");
        assert_eq!(force.decides(), Err(Unseen), "another copy is not that one");
        force.see_outside(None, Rule::Any).expect("there is none");
        assert_eq!(force.decides(), Ok(Some(&At(2))));
    }

    #[test]
    fn the_newest_is_in_force_as_far_as_the_rule_allows_it() {
        let mut force = Force::begin(Some(At(2)));
        force.see_outside(Some(At(1)), Rule::HostNotOlder).expect("older");
        assert!(force.see(At(3), Rule::HostNotOlder).is_err());
        assert_eq!(force.decides(), Ok(Some(&At(2))));
        force.see(At(3), Rule::Any).expect("newer");
        assert_eq!(force.so_far(), Some(&At(3)));
    }
}
