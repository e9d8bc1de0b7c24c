//! Fields that are one of a few words, or a number with a meaning of its own.

use super::Read;
use serde_json::Value;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $read:ident, $why:literal, { $( $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( #[doc = concat!("`", $word, "`.")] $variant, )* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The word that stands for it in a record.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            /// The value that a word stands for.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }

        pub(crate) fn $read(value: &Value) -> Read<$name> {
            match value.as_str() {
                $( Some($word) => Ok($name::$variant), )*
                _ => Err($why),
            }
        }
    };
}

words! {
    /// What kind of user it is.
    Disposition, disposition, "it is not a disposition such as \"regular\"", {
        Intrinsic = "intrinsic", System = "system", Dynamic = "dynamic", Regular = "regular",
        Container = "container", Foreign = "foreign", Greeter = "greeter", Reserved = "reserved",
    }
}

words! {
    /// How the home is stored.
    Storage, storage, "it is not luks, fscrypt, directory, subvolume, cifs or classic", {
        Classic = "classic", Luks = "luks", Directory = "directory", Subvolume = "subvolume",
        Fscrypt = "fscrypt", Cifs = "cifs",
    }
}

impl Storage {
    /// What is made where nobody chooses.
    pub const MADE: Self = Self::Luks;

    /// Kinds that a home can have which a home manager keeps.
    pub const OF_HOMES: [Self; 5] = [Self::Luks, Self::Directory, Self::Subvolume, Self::Fscrypt, Self::Cifs];

    /// The kind of home that is called so.
    pub fn of_homes(name: &str) -> Option<Self> {
        Self::OF_HOMES.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it lies on a server, and not at a path of this machine.
    pub fn is_on_server(self) -> bool {
        self == Self::Cifs
    }

    /// The ending of what lies in the home root: an image, or a directory.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Luks => "home",
            Self::Directory | Self::Subvolume | Self::Fscrypt | Self::Cifs | Self::Classic => "homedir",
        }
    }
}

words! {
    /// What goes out of memory when a home is locked; a member of our own, which others keep.
    LockLevel, lock_level, "it is not key, cache, strict or terminate", {
        Key = "key", Cache = "cache", Strict = "strict", Terminate = "terminate",
    }
}

/// When the image follows the file system's needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoResize {
    /// Never.
    Off,
    /// Grown at activation.
    Grow,
    /// Also shrunk after use.
    ShrinkAndGrow,
}

impl AutoResize {
    /// The word that stands for it in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Grow => "grow",
            Self::ShrinkAndGrow => "shrink-and-grow",
        }
    }
}

pub(crate) fn auto_resize(value: &Value) -> Read<AutoResize> {
    match value {
        Value::Bool(false) => Ok(AutoResize::Off),
        Value::Bool(true) => Ok(AutoResize::ShrinkAndGrow),
        Value::String(word) if word == "off" => Ok(AutoResize::Off),
        Value::String(word) if word == "grow" => Ok(AutoResize::Grow),
        Value::String(word) if word == "shrink-and-grow" => Ok(AutoResize::ShrinkAndGrow),
        _ => Err("it is not off, grow or shrink-and-grow"),
    }
}

/// A share of the backing file system's free space: `n` of 2³²−1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFraction(pub u32);

pub(crate) fn fraction(value: &Value) -> Read<DiskFraction> {
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
    number.map(DiskFraction).ok_or("it is not a whole number below 2³²")
}

/// A home's weight when free space is shared; `Off`: it takes no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebalanceWeight {
    /// No part.
    Off,
    /// 1 to 10000.
    Weight(u32),
}

impl RebalanceWeight {
    /// The weight where the record does not say.
    pub const DEFAULT: Self = Self::Weight(100);
}

pub(crate) fn rebalance_weight(value: &Value) -> Read<RebalanceWeight> {
    match value {
        Value::Bool(false) => Ok(RebalanceWeight::Off),
        Value::Bool(true) => Ok(RebalanceWeight::DEFAULT),
        _ => match value.as_u64() {
            Some(0) => Ok(RebalanceWeight::Off),
            Some(weight @ 1..=10_000) => Ok(RebalanceWeight::Weight(weight as u32)),
            _ => Err("it is not a number from 0 to 10000, true or false"),
        },
    }
}
