//! What the other end of a sync says: who it is, and what there is in its home.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| twin::read_anything(bytes));
