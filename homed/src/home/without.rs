//! What keeps the core's promises, by name. A test takes each out once, and its walk over all events finds what is broken then.

macro_rules! rules {
    ($( $(#[$about:meta])* $name:ident, )*) => {
        /// Something that the core minds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule { $( $(#[$about])* $name, )* }

        /// All of them.
        #[cfg(test)]
        pub const ALL: &[Rule] = &[ $( Rule::$name, )* ];
    };
}

rules! {
    /// On the way to sleep nothing starts that takes a key into memory.
    Hold,
    /// What was held back goes on after the wake.
    GoesOn,
    /// A hold that nobody ends ends.
    HoldEnds,
    /// … and not by the clock alone, while a sleep is on its way.
    AsksForTheSleep,
    /// Who was left out when the locks began, and is not any more, is locked before the machine sleeps.
    LockedAfterAll,
    /// Of a home that is taken out of the set those who wait are answered.
    AnswersWhoWaits,
    /// Each class and each origin has its own room in the queue.
    Bounds,
    /// What has not begun steps back for what is urgent.
    StepsBack,
    /// What a worker that was killed has left is put in order, before anything else starts.
    Settles,
    /// … and tried again where that has failed.
    SettlesAgain,
    /// … by a daemon that is started after this one, too.
    SettlesAfterwards,
    /// A home is known as long as something on it is to be put in order.
    StaysUnsettled,
    /// A timer is what it was set for.
    TimerKinds,
    /// A home that could not be closed is closed later.
    Lingers,
    /// Homes are found by what they have now.
    Index,
    /// A lock of all is answered, whatever still runs.
    LocksAreLate,
    /// Who wants the home while somebody from elsewhere tries to get in waits for that, and is not refused.
    GuessesKeepNobodyOut,
    /// An order to close the home that waited while somebody got in does not close it under them.
    NewcomersStay,
    /// Nobody waits for a worker of which nothing is heard any more.
    NobodyWaitsInSilence,
}

/// Whether it is minded: always, but in a test that wants to see what comes of it.
#[cfg(not(test))]
pub fn has(_rule: Rule) -> bool {
    true
}

#[cfg(test)]
pub use tests::{has, without};

#[cfg(test)]
mod tests {
    use super::Rule;
    use std::cell::Cell;

    thread_local! {
        static WITHOUT: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Whether it is minded in this thread.
    pub fn has(rule: Rule) -> bool {
        WITHOUT.get() != Some(rule)
    }

    /// Has this thread's core not mind it from now on.
    pub fn without(rule: Option<Rule>) {
        WITHOUT.set(rule);
    }
}
