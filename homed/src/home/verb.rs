//! What may be wanted of one home.

use crate::words::request::Later;

/// What is wanted of one home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Mount.
    Activate,
    /// Mount, if somebody holds a reference.
    ActivateIfReferenced,
    /// Take over.
    Fixate,
    /// Check credentials.
    Authenticate,
    /// Whatever makes it usable, and a reference.
    Acquire,
    /// A reference on an active home.
    Ref,
    /// A reference in any state.
    RefUnrestricted,
    /// Unmount once nobody holds it: asked by a holder that has let go.
    Release,
    /// The last holder has gone.
    HolderGone,
    /// Unmount, held or not.
    Deactivate,
    /// Unmount, held or not, as one of all.
    DeactivateAll,
    /// The storage vanished under a mounted home.
    StorageGone,
    /// Make storage.
    Create,
    /// New passwords.
    ChangePassword,
    /// A new record, in all its copies.
    Update,
    /// A new record, in the host's copy only.
    UpdateOffline,
    /// Look at every part.
    Check,
    /// Rebuild what can be rebuilt.
    Repair,
    /// Open what is left, to be read only.
    Rescue,
    /// Another size.
    Resize,
    /// Another size for an open home, which the daemon has chosen.
    Fit,
    /// Delete.
    Remove,
    /// Forget the record.
    Unregister,
    /// Take the volume key out of memory.
    Lock,
    /// The same, as one of all.
    LockAll,
    /// Put it back.
    Unlock,
    /// Finish or take back a lock or unlock that was broken off.
    Settle,
    /// End what is locked, without the key: the machine goes down.
    GiveUp,
    /// Keep what it is like, tell of that, or bring it back.
    Snapshot,
    /// Care for its space.
    Tend,
    /// Not built yet.
    Later(Later),
}

impl Verb {
    /// All of them, for tables.
    pub const ALL: [Self; 31] = [
        Self::Activate,
        Self::ActivateIfReferenced,
        Self::Fixate,
        Self::Authenticate,
        Self::Acquire,
        Self::Ref,
        Self::RefUnrestricted,
        Self::Release,
        Self::HolderGone,
        Self::Deactivate,
        Self::DeactivateAll,
        Self::StorageGone,
        Self::Create,
        Self::ChangePassword,
        Self::Update,
        Self::UpdateOffline,
        Self::Check,
        Self::Repair,
        Self::Rescue,
        Self::Resize,
        Self::Fit,
        Self::Remove,
        Self::Unregister,
        Self::Lock,
        Self::LockAll,
        Self::Unlock,
        Self::Settle,
        Self::GiveUp,
        Self::Snapshot,
        Self::Tend,
        Self::Later(Later::Realize),
    ];

    /// Whether it tries credentials, and so counts as an attempt.
    pub fn is_attempt(self) -> bool {
        match self {
            Self::Activate
            | Self::ActivateIfReferenced
            | Self::Fixate
            | Self::Authenticate
            | Self::Acquire
            | Self::Unlock
            | Self::ChangePassword
            | Self::Update
            | Self::Check
            | Self::Repair
            | Self::Rescue
            | Self::Resize => true,
            Self::Ref
            | Self::RefUnrestricted
            | Self::Release
            | Self::HolderGone
            | Self::Deactivate
            | Self::DeactivateAll
            | Self::StorageGone
            | Self::Create
            | Self::UpdateOffline
            | Self::Fit
            | Self::Remove
            | Self::Unregister
            | Self::Lock
            | Self::LockAll
            | Self::Settle
            | Self::GiveUp
            | Self::Snapshot
            | Self::Tend
            | Self::Later(_) => false,
        }
    }
}
