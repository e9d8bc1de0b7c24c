//! What makes faults of plans impossible, by name. A test takes each out once, and has the model find the fault.

/// Something that a plan minds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// Whoever proves with an old slot has a change taken back, and a slot that was just opened stays.
    OpenedStays,
    /// The record's keys tell whether a change was made, not its date.
    Digest,
    /// Old slots go when all new ones are there.
    WholeBefore,
    /// Slots are known by their salts, too.
    Salts,
    /// New slots are named before they are made.
    NewByNumber,
    /// They have numbers that others do not take.
    TopNumbers,
    /// That a new slot was opened does not show alone that the change was made: its key may be an old one.
    NewIsNoProof,
    /// The record is in the header before old slots go.
    RecordBeforeDrop,
    /// Slots that may be another program's are left.
    Strangers,
    /// Priorities are other people's.
    Priorities,
    /// What was cut short is settled before anything is written. (The type of a function's argument sees to it.)
    #[cfg(test)]
    Settled,
    /// Each step is on disk before the next.
    #[cfg(test)]
    Flushed,
}

/// Whether it is minded: always, but in a test that wants to see what comes of it.
#[cfg(not(test))]
pub fn has(_mend: Mend) -> bool {
    true
}

#[cfg(test)]
pub use tests::has;

#[cfg(test)]
pub mod tests {
    use super::Mend;
    use std::cell::Cell;

    thread_local! {
        static WITHOUT: Cell<&'static [Mend]> = const { Cell::new(&[]) };
    }

    /// Whether it is minded in this thread.
    pub fn has(mend: Mend) -> bool {
        !WITHOUT.get().contains(&mend)
    }

    /// Has this thread's plans not mind them.
    pub fn without<T>(mends: &'static [Mend], run: impl FnOnce() -> T) -> T {
        WITHOUT.set(mends);
        let done = run();
        WITHOUT.set(&[]);
        done
    }
}
