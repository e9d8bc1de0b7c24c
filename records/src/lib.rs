//! The JSON user record and the words all programs of the project share.
//!
//! No IO, no unsafe, no clock, no randomness: bytes and time come in as arguments.
//! What a user record is: <https://systemd.io/USER_RECORD>; on-disk and bus use of it: `docs/ON-DISK.md`.

#![forbid(unsafe_code)]

pub mod account;
pub mod attempts;
pub mod blobs;
pub mod buspath;
pub mod canonical;
pub mod credentials;
pub mod edit;
pub mod fields;
pub mod handoff;
pub mod health;
pub mod json;
pub mod keys;
pub mod kinds;
pub mod luks2;
pub mod machine;
pub mod matching;
pub mod names;
pub mod opener;
pub mod own_changes;
pub mod packed;
mod parse;
pub mod privileged;
pub mod questions;
pub mod reconcile;
pub mod record;
pub mod recovery;
pub mod refusal;
pub mod secret;
pub mod sections;
pub mod settings;
pub mod signature;
pub mod size;
pub mod span;
pub mod stranger;
pub mod subordinate;
pub mod uid;
pub mod userdb;
pub mod visible;

pub use credentials::Credentials;
pub use kinds::{AutoResize, Disposition, LockLevel, RebalanceWeight, Storage};
pub use machine::{HostName, Machine, MachineId};
pub use names::{FullName, Realm, UserName};
pub use packed::Packed;
pub use record::Record;
pub use refusal::Refusal;
pub use secret::Secret;
pub use sections::{Section, Sections};
pub use settings::Settings;
pub use size::ByteSize;
