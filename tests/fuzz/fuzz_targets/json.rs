//! The strict reader beside `serde_json`: what it accepts, that accepts, and reads the same (but for
//! reals, which that may read one step off).
#![no_main]

use libfuzzer_sys::fuzz_target;
use records::{canonical, json};

fuzz_target!(|text: &str| {
    let Ok(value) = json::parse(text) else { return };
    let other: serde_json::Value = serde_json::from_str(text).expect("JSON");
    if canonical::is_signable(&value) {
        assert_eq!(other, value);
    }
    let compact = canonical::compact(&value);
    let again = json::parse(&compact).expect("the normal form is JSON");
    assert_eq!(canonical::compact(&again), compact);
});
