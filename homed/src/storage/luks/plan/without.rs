//! What makes faults of plans impossible, by name. A test takes each out once, and has the model find the fault.

macro_rules! mends {
    ($( $(#[$about:meta])* $name:ident, )*) => {
        /// Something that a plan minds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mend { $( $(#[$about])* $name, )* }

        /// All of them.
        #[cfg(test)]
        pub const ALL: &[Mend] = &[ $( Mend::$name, )* ];
    };
}

mends! {
    /// Whoever proves with an old slot has a change taken back, and a slot that was just opened stays.
    OpenedStays,
    /// The record's keys tell whether a change was made, not its date.
    Digest,
    /// Keys of all kinds count as the record's keys. (`perform/keys/metadata.rs` has a test of it.)
    #[cfg(test)]
    AllKinds,
    /// Old slots go when all new ones are there.
    WholeBefore,
    /// As long as a change waits to be settled, nobody who shows another key as well has an old slot destroyed.
    /// (`worker/heal.rs` sees to it.)
    #[cfg(test)]
    WaitingStays,
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
    /// So are those with a number that somebody may have named: more than there are keys that go, or where slots are another program's.
    NamedNumbers,
    /// Priorities are other people's.
    Priorities,
    /// What was cut short is settled before anything is written. (The type of a function's argument sees to it.)
    #[cfg(test)]
    Settled,
    /// Each step is on disk before the next.
    #[cfg(test)]
    Flushed,
    /// What is sealed, or stands still, is not changed: `home/verdict.rs` and `home/hold.rs` see to it.
    #[cfg(test)]
    Unchanged,
    /// Whoever lets somebody in has looked at the header's record. (`records::reconcile::Force` lets nobody in without.)
    #[cfg(test)]
    HeaderRead,
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
    /// An image is marked before anything of it is attached.
    MarkedFirst,
    /// Whether another machine has it open is looked at again right before it is marked.
    LooksAgain,
    /// The mark is read back: another machine may have written its own over it.
    ReadsBack,
    /// An image that another machine may have open is not rebuilt.
    Anothers,
    /// A file system is mounted when somebody vouches for it.
    Vouched,
    /// The keyring gets a key of what is shown: what goes with the process has none there.
    KeptLast,
    /// Whoever takes a home over lets it go on wherever it is mounted.
    #[cfg(test)]
    GoesOn,
    /// A file system that an earlier run has frozen in another mount namespace is frozen.
    #[cfg(test)]
    FrozenBefore,
    /// What no table of mounts shows is a file system all the same, and is frozen before its key goes.
    #[cfg(test)]
    SeenRunning,
    /// Whoever is at it in another mount namespace goes on where a lock has failed.
    PinnedGoesOn,
    /// What somebody uses in the machine's own tree is named, and not stopped.
    UsedHere,
    /// Of an image that somebody has open nothing is rebuilt.
    NobodyUses,
    /// What is written over by a repair is kept first.
    KeptFirst,
    /// Also before it goes on with a key. (The type of an opening sees to it.)
    #[cfg(test)]
    KeptWithKey,
    /// What is kept is on disk before anything is written over.
    #[cfg(test)]
    KeptOnDisk,
    /// Of a partition table one copy is on disk before the other is written.
    #[cfg(test)]
    OneTable,
    /// The table of an image that was cut short is written when the file system fits what is left.
    FitsFirst,
    /// The mark that this machine has the image open goes with whoever closes or settles the home, also where it is not
    /// known to be whole.
    Unmarks,
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
