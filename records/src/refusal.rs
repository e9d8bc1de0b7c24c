//! Every reason for "no" that a caller can act on: one row each.
//!
//! A variant exists only if some caller decides differently on it. The name is the D-Bus error name
//! of the original's interface (that of the table, whole).

use serde::{Deserialize, Serialize};

macro_rules! refusals {
    ($( $variant:ident, $wire:literal, $sentence:literal; )*) => {
        /// Why an operation is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Refusal { $( #[doc = $sentence] $variant, )* }

        impl Refusal {
            /// All of them, in the table's order.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The D-Bus error name, whole.
            pub fn bus_name(self) -> &'static str {
                match self { $( Self::$variant => $wire, )* }
            }

            /// What to say where nothing more precise is known.
            pub fn sentence(self) -> &'static str {
                match self { $( Self::$variant => $sentence, )* }
            }
        }
    };
}

refusals! {
    NoSuchHome, "org.freedesktop.home1.NoSuchHome", "No home by that name is known.";
    UidInUse, "org.freedesktop.home1.UIDInUse", "The UID is already in use on this machine.";
    UserNameExists, "org.freedesktop.home1.UserNameExists", "A user or group of that name exists already.";
    HomeExists, "org.freedesktop.home1.HomeExists", "A home of that name exists already.";
    HomeAlreadyActive, "org.freedesktop.home1.HomeAlreadyActive", "The home is already active.";
    HomeAlreadyFixated, "org.freedesktop.home1.HomeAlreadyFixated", "The home is already known on this machine.";
    HomeUnfixated, "org.freedesktop.home1.HomeUnfixated", "The home has not been used on this machine yet: log in once first.";
    HomeNotActive, "org.freedesktop.home1.HomeNotActive", "The home is not active.";
    HomeAbsent, "org.freedesktop.home1.HomeAbsent", "The home's storage is not there.";
    HomeBusy, "org.freedesktop.home1.HomeBusy", "The home is busy.";
    BadPassword, "org.freedesktop.home1.BadPassword", "The password is not right, or not sufficient.";
    BadRecoveryKey, "org.freedesktop.home1.BadRecoveryKey", "The recovery key is not right, or missing.";
    LowPasswordQuality, "org.freedesktop.home1.LowPasswordQuality", "The new password is too weak.";
    BadPasswordAndNoToken, "org.freedesktop.home1.BadPasswordAndNoToken", "The password is not right, and no security token is plugged in.";
    TokenPinNeeded, "org.freedesktop.home1.TokenPinNeeded", "The security token needs its PIN.";
    TokenProtectedAuthenticationPathNeeded, "org.freedesktop.home1.TokenProtectedAuthenticationPathNeeded", "The security token wants its PIN typed on its own pad.";
    TokenUserPresenceNeeded, "org.freedesktop.home1.TokenUserPresenceNeeded", "The security token wants to be touched.";
    TokenUserVerificationNeeded, "org.freedesktop.home1.TokenUserVerificationNeeded", "The security token wants its user verified.";
    TokenActionTimeout, "org.freedesktop.home1.TokenActionTimeout", "The security token waited in vain.";
    TokenPinLocked, "org.freedesktop.home1.TokenPinLocked", "The security token's PIN is locked.";
    BadPin, "org.freedesktop.home1.BadPin", "The PIN is not right.";
    BadPinFewTriesLeft, "org.freedesktop.home1.BadPinFewTriesLeft", "The PIN is not right; only a few tries are left.";
    BadPinOneTryLeft, "org.freedesktop.home1.BadPinOneTryLeft", "The PIN is not right; one try is left.";
    BadSignature, "org.freedesktop.home1.BadSignature", "The user record is not signed by a key this machine trusts.";
    RecordMismatch, "org.freedesktop.home1.RecordMismatch", "The user record does not fit the one that is known.";
    RecordDowngrade, "org.freedesktop.home1.RecordDowngrade", "The user record is older than the one that is known.";
    RecordSigned, "org.freedesktop.home1.RecordSigned", "The user record is signed elsewhere and cannot be changed here.";
    BadHomeSize, "org.freedesktop.home1.BadHomeSize", "The home cannot have that size.";
    NoPrivateKey, "org.freedesktop.home1.NoPrivateKey", "This machine has no key to sign user records with.";
    HomeLocked, "org.freedesktop.home1.HomeLocked", "The home is locked.";
    HomeNotLocked, "org.freedesktop.home1.HomeNotLocked", "The home is not locked.";
    NotLocked, "org.freedesktop.home1.NotLocked", "Not every home could be locked.";
    NoDiskSpace, "org.freedesktop.home1.NoDiskSpace", "There is not enough disk space.";
    TooManyOperations, "org.freedesktop.home1.TooManyOperations", "Too many operations are waiting.";
    TooManyHomes, "System.Error.EUSERS", "This machine manages no more homes.";
    AuthenticationLimitHit, "org.freedesktop.home1.AuthenticationLimitHit", "Too many attempts: try again later.";
    HomeCantAuthenticate, "org.freedesktop.home1.HomeCantAuthenticate", "The user record holds nothing to authenticate with.";
    HomeInUse, "org.freedesktop.home1.HomeInUse", "The home is in use elsewhere.";
    RebalanceNotNeeded, "org.freedesktop.home1.RebalanceNotNeeded", "There is nothing to rebalance.";
    HomeNotReferenced, "org.freedesktop.home1.HomeNotReferenced", "Nobody holds a reference on the home.";
    NoSuchKey, "org.freedesktop.home1.NoSuchKey", "There is no signing key by that name.";
    UnrecognizedHomeFormat, "org.freedesktop.home1.UnrecognizedHomeFormat", "That is not a home in any format known here.";
    HomeDamaged, "org.freedesktop.home1.HomeDamaged", "The home's storage is damaged; nothing was changed.";
    InvalidArgs, "org.freedesktop.DBus.Error.InvalidArgs", "The request is not valid.";
    NotSupported, "org.freedesktop.DBus.Error.NotSupported", "That is not supported here.";
    AccessDenied, "org.freedesktop.DBus.Error.AccessDenied", "That is not allowed.";
}

impl Refusal {
    /// The refusal behind a D-Bus error name.
    pub fn from_bus_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.bus_name() == name)
    }

    /// Whether it counts as a failed attempt to authenticate.
    pub fn is_bad_authentication(self) -> bool {
        matches!(
            self,
            Self::BadPassword
                | Self::BadPasswordAndNoToken
                | Self::BadRecoveryKey
                | Self::BadPin
                | Self::BadPinFewTriesLeft
                | Self::BadPinOneTryLeft
        )
    }
}

/// A refusal with the sentence that was written where it was born.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Refused {
    /// Which row.
    pub refusal: Refusal,
    /// What happened, in words for the user. Never holds a secret.
    pub sentence: String,
}

impl Refused {
    /// A refusal with a sentence of its own.
    pub fn new(refusal: Refusal, sentence: impl Into<String>) -> Self {
        Self { refusal, sentence: sentence.into() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal, refusal.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bus_name_leads_back_to_its_refusal() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_bus_name(refusal.bus_name()), Some(*refusal));
        }
    }
}
