//! Backups of a home: what is in it goes to a repository of restic's, and comes back from there (`docs/decisions/0035-backup.md`).
//!
//! | file | what |
//! | --- | --- |
//! | `repository` | where that is, and who says its password |
//! | `program` | restic, run as the user |
//! | `inside` | what goes where it is to be, with the user's rights, and becomes it |
//! | `stopped` | its end, where its user stops it |
//! | `relay` | what it prints, shown to root |
//! | `answers` | what it prints |
//! | `plan`, `note` | a home made anew of a backup: which step is next, and what is kept meanwhile |
//!
//! Not here: how a view of the home is made, which is homed's.

pub mod answers;
pub mod inside;
pub mod note;
pub mod plan;
pub mod program;
mod relay;
pub mod repository;
mod stopped;
