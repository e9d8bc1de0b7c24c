//! The set of homes. Pure: no IO, no clock, no bus.

pub mod request;
