//! The test machine.
