//! What is done to the kernel of the model, by this program and by others, and how a step of it is cut.

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Lock,
    Unlock,
    Settle,
    GiveUp,
    Deactivate,
    Activate,
    /// A second device of the same content comes about: opened by hand, or left by an earlier version's check.
    SecondDevice,
    /// A change of size that is killed between its two requests.
    KilledResize,
    /// Root mounts something over the home, or takes it away.
    MountOver,
    /// The machine's power fails.
    PowerCut,
    /// A login while the disk that the image lies on is full.
    ActivateFull,
    /// A login to a home that nobody vouches for.
    ActivateStrange,
    /// A change of a home that is closed.
    Change,
    /// The file system is repaired.
    RepairFileSystem,
    Check,
    /// It is shown, to be read only.
    Rescue,
    /// Somebody in another mount namespace uses the home, …
    Pin,
    /// … and ends, as everybody does who uses it besides.
    Unpin,
    /// Root mounts the home at a second place, …
    MountAside,
    /// … and somebody uses it there.
    UseAside,
    /// Root unmounts it where it belongs, …
    UnmountByHand,
    /// … or does so lazily, and somebody goes on to use it.
    UnmountLazily,
    /// Root attaches the image to a loop device, or detaches it.
    AttachByHand,
    /// Another machine opens it, if the image does not say that somebody has it open, …
    OpenThere,
    /// … and closes it, …
    CloseThere,
    /// … or is cut off.
    CutOffThere,
    /// Its mark is taken away: whoever says that it is closed there is right.
    RepairClosedThere,
}

pub const VERBS: [Verb; 27] = [
    Verb::Lock,
    Verb::Unlock,
    Verb::Settle,
    Verb::GiveUp,
    Verb::Deactivate,
    Verb::Activate,
    Verb::SecondDevice,
    Verb::KilledResize,
    Verb::MountOver,
    Verb::PowerCut,
    Verb::ActivateFull,
    Verb::ActivateStrange,
    Verb::Change,
    Verb::RepairFileSystem,
    Verb::Check,
    Verb::Rescue,
    Verb::Pin,
    Verb::Unpin,
    Verb::MountAside,
    Verb::UseAside,
    Verb::UnmountByHand,
    Verb::UnmountLazily,
    Verb::AttachByHand,
    Verb::OpenThere,
    Verb::CloseThere,
    Verb::CutOffThere,
    Verb::RepairClosedThere,
];

/// How a step is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    KilledBefore,
    KilledWithin,
    KilledAfter,
    Fails,
    /// Told to have failed, and has happened.
    Late,
    /// And every step that follows fails, too.
    AllFail,
    /// Another machine opens it before the step. Not between the last look for its mark and the writing of our own: who is
    /// held up just there, for as long as all that takes, is not helped (`plan/open.rs`).
    AnotherBefore,
    /// Another machine has looked before the mark of this one was written, and writes its own now.
    AnotherLate,
}

pub const WAYS: [How; 6] =
    [How::KilledBefore, How::KilledWithin, How::KilledAfter, How::Fails, How::Late, How::AllFail];

/// What another machine does within a verb.
pub const ANOTHERS: [How; 2] = [How::AnotherBefore, How::AnotherLate];
