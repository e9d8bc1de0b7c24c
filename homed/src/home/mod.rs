//! One home: what it is, and what may be done with it now. Pure: no IO, no clock, no bus.

pub mod state;
pub mod view;
