//! Classic accounts, those of /etc/passwd, that become homes, and become accounts again.
//!
//! ```text
//! lines      what /etc/passwd, shadow, group and gshadow say of one user, taken out and put back   pure
//! account    what those lines mean, and the record that says the same                              pure
//! plan       what stands → the next step                                                            pure
//! note       what is kept of a conversion, in /var/lib/homed/converted
//! etc        the four files on disk: locked, written whole
//! around     what else of a user is on this machine: processes, sessions, timers, mounts
//! here       what stands on this machine, and the steps on it
//! ```
//!
//! The copy is made by homed's worker (`ConvertHome`), and compared there before the home gets its name; why in this order:
//! `docs/decisions/0028-convert.md`.

pub mod account;
pub mod around;
pub mod etc;
pub mod here;
pub mod lines;
pub mod note;
pub mod plan;
pub mod release;
pub mod sight;
pub mod waiting;
