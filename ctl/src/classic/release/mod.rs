//! Homes that become classic accounts again: the counterpart of a conversion.
//!
//! ```text
//! account    what the record of a home says, as lines of /etc; what it says that these have no place for   pure
//! numbers    which number the account gets                                                                pure
//! plan       what stands → the next step                                                                   pure
//! note       what is kept of a home, in /var/lib/homed/released
//! copying    the home opened, copied, compared and closed
//! sight      what a release would do, and what is in its way
//! here       what stands on this machine, and the steps on it
//! ```
//!
//! Why in this order: `docs/decisions/0034-release.md`.

pub mod account;
pub mod copying;
pub mod here;
pub mod note;
pub mod numbers;
pub mod plan;
pub mod sight;
