//! A secret of anybody: what is accepted survives being written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use records::Credentials;

fuzz_target!(|text: &[u8]| {
    let Ok(first) = Credentials::parse(text) else { return };
    first.check().expect("what was read is text");
    let second = Credentials::parse(first.to_json().open()).expect("what was written can be read");
    assert_eq!(first.passwords.len(), second.passwords.len());
    for (a, b) in first.passwords.iter().zip(&second.passwords) {
        assert!(a.matches(b.open()));
        let _ = records::recovery::normalize(a.open());
    }
    assert_eq!(first.token_pins.len(), second.token_pins.len());
    assert_eq!(first.user_presence, second.user_presence);
});
