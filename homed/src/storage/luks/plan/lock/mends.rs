//! What makes faults of the lock impossible, by name. A test takes each out once, and has the model find the fault.

/// Something that plan and driver mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// A second table of the device is cleared.
    SecondTable,
    /// Devices of killed runs lose their key with the home's.
    Others,
    /// The keyring loses the key when the home is sealed.
    RevokedWhenSealed,
    /// And when it is closed.
    RevokedWhenClosed,
    /// What is taken back or settled is what the kernel has, not what the run believes: a suspend that was late may
    /// have happened.
    AsksTheKernel,
    /// After a seal that failed nobody is thawed before the kernel was asked once more.
    SettledBeforeThaw,
    /// An unlock that cannot give the key back has failed.
    OpenFails,
    /// A home that was cut off is closed by whoever settles it: nobody can use it.
    FinishesGivingUp,
    /// A file system that may be frozen is thawed before it is used or unmounted.
    Thaws,
    /// Covers are taken away.
    Uncovers,
    /// Barriers are asked for again.
    Barriers,
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
        static WITHOUT: Cell<Option<Mend>> = const { Cell::new(None) };
    }

    /// Whether it is minded in this thread.
    pub fn has(mend: Mend) -> bool {
        WITHOUT.get() != Some(mend)
    }

    /// Has this thread's plans not mind it.
    pub fn without<T>(mend: Mend, run: impl FnOnce() -> T) -> T {
        WITHOUT.set(Some(mend));
        let done = run();
        WITHOUT.set(None);
        done
    }
}
