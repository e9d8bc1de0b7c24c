//! The words of the core: what is asked and answered, what is told of a lock, and two calculations on records that one home
//! and the set of them share. Data alone, below both.

pub mod inhibitor;
pub mod names;
pub mod request;
pub mod seal;
pub mod uids;
