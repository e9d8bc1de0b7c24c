//! The strict reader beside `serde_json`: what it accepts, that accepts, and reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use records::{canonical, json};

fuzz_target!(|text: &str| {
    let Ok(value) = json::parse(text) else { return };
    assert_eq!(serde_json::from_str::<serde_json::Value>(text).ok().as_ref(), Some(&value));
    let compact = canonical::compact(&value);
    let again = json::parse(&compact).expect("the normal form is JSON");
    assert_eq!(canonical::compact(&again), compact);
});
