//! What is to be done, as data. No IO: what stands on disk and in the kernel goes in as a `Situation`, with what is
//! wanted; the next step comes out, or that all is done. A change that was cut short is finished or taken back by
//! the same functions, which look at what it left.

pub mod keys;
pub mod lock;
pub mod mend;
pub mod open;
pub mod pinned;
pub mod sweep;
pub mod without;
