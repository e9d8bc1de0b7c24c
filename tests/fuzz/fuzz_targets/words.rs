//! Short texts from the bus, the command line and files: names, sizes, keys, path elements.
#![no_main]

use libfuzzer_sys::fuzz_target;
use records::signature::{PrivateKey, PublicKey};
use records::{ByteSize, FullName, MachineId, UserName, buspath, uid};

fuzz_target!(|text: &str| {
    let _ = (FullName::parse(text), MachineId::parse(text), buspath::unescape(text));
    let _ = (PublicKey::from_pem(text), PrivateKey::from_pem(text).is_ok(), ByteSize::parse(text));
    assert_eq!(buspath::unescape(&buspath::escape(text)).as_deref(), Some(text));
    if let Ok(name) = UserName::parse(text) {
        assert!(uid::RANGE.contains(&uid::suggestion(&name)));
    }
});
