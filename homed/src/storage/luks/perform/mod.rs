//! The only place that does the steps of [plans](super::plan) on a real machine, and the loops that ask a plan for
//! the next step until all is done. The loops run on a model in tests.

pub mod give_key;
pub mod keys;
pub mod lock;
pub mod machine;
pub mod mend;
pub mod open;
pub mod pinned;
pub mod sweep;
