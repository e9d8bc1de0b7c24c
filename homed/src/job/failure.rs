//! How a step of a job fails: the error half of an [`Outcome`](super::Outcome).

use records::Refusal;
use records::refusal::Refused;
use std::error::Error;
use std::fmt::Display;
use std::io;

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// For a reason the caller can act on.
    Refused(Refused),
    /// Unexpectedly: the chain of causes, for the log.
    Fault(String),
}

impl Failure {
    /// A fault without a cause of its own.
    pub fn fault(what: impl Display) -> Self {
        Self::Fault(what.to_string())
    }

    /// What an error is, and what was being done.
    pub fn of(error: &(dyn Error + 'static), what: impl Display) -> Self {
        if is_full(error) {
            let sentence = format!("There is not enough disk space ({what}). Free some and try again.");
            return Self::Refused(Refused::new(Refusal::NoDiskSpace, sentence));
        }
        if can_only_be_read(error) {
            let sentence = format!(
                "A file system can only be read ({what}). A disk with errors gets so by itself: see dmesg(1). \
                 Mount it for writing and try again."
            );
            return Self::Refused(Refused::new(Refusal::NotSupported, sentence));
        }
        let mut chain = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            chain = format!("{chain}: {inner}");
            cause = inner.source();
        }
        Self::Fault(chain)
    }

    /// The same with a sentence about what stands now.
    pub fn and(self, what_stands: impl Display) -> Self {
        match self {
            Self::Refused(refused) => {
                let sentence = format!("{} {what_stands}", refused.sentence);
                Self::Refused(Refused::new(refused.refusal, sentence))
            }
            Self::Fault(chain) => Self::Fault(format!("{chain}. {what_stands}")),
        }
    }

    /// Puts before a fault what was being done; a refusal's sentence stays as it is.
    pub fn during(self, what: impl Display) -> Self {
        match self {
            Self::Refused(refused) => Self::Refused(refused),
            Self::Fault(chain) => Self::Fault(format!("{what}: {chain}")),
        }
    }

    /// What happened, for a warning.
    pub fn text(&self) -> &str {
        match self {
            Self::Refused(refused) => &refused.sentence,
            Self::Fault(chain) => chain,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

/// A refusal with the sentence for the user.
pub fn refuse<T>(refusal: Refusal, sentence: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(Refused::new(refusal, sentence)))
}

/// Says of an error what was being done. A full disk is a refusal wherever it shows up, and so is one that can only be read; limits of the kernel that answer
/// with the same numbers are named where they are met (`sys/limits.rs`).
pub trait Context<T> {
    /// `what` as "making the file system".
    fn during(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Error + 'static> Context<T> for Result<T, E> {
    fn during(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::of(&error, what))
    }
}

fn is_full(error: &(dyn Error + 'static)) -> bool {
    let full = |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    error.downcast_ref::<io::Error>().is_some_and(full)
}

fn can_only_be_read(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_or_can_only_be_read_is_a_refusal_and_anything_else_a_fault() {
        let full: Result<(), io::Error> = Err(io::ErrorKind::StorageFull.into());
        let Err(Failure::Refused(refused)) = full.during("writing") else { panic!("not refused") };
        assert_eq!(refused.refusal, Refusal::NoDiskSpace);
        let fixed: Result<(), io::Error> = Err(io::ErrorKind::ReadOnlyFilesystem.into());
        let Err(Failure::Refused(refused)) = fixed.during("opening /home/a.home") else {
            panic!("not refused")
        };
        assert!(refused.sentence.contains("can only be read (opening /home/a.home)"), "{}", refused.sentence);
        let broken: Result<(), io::Error> = Err(io::ErrorKind::InvalidData.into());
        let Err(Failure::Fault(chain)) = broken.during("writing") else { panic!("no fault") };
        assert!(chain.starts_with("writing: "));
    }
}
