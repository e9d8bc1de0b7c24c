//! Tests on the test machine.
