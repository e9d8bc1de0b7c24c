//! A record of anybody: what is accepted survives printing, and every reader of it copes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use records::signature::{PrivateKey, Trust, Worth, sign};
use records::{HostName, Machine, MachineId, Record, Sections, account, own_changes, userdb};

fuzz_target!(|text: &str| {
    let _ = Record::parse_request(text);
    let Ok(record) = Record::parse(text, Sections::HOST) else { return };
    for printed in [record.to_compact(), record.to_pretty()] {
        assert_eq!(Record::parse(&printed, Sections::HOST).as_ref(), Ok(&record));
    }
    let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("a machine id");
    let machine = Machine { id, host: HostName("host".into()) };
    let settings = record.on(&machine);
    let _ = (settings.effective_image_path(), settings.effective_luks_offline_discard());
    let _ = (account::login_verdict(&settings, 1), account::password_verdict(&settings, 1));
    let _ = (userdb::group_record(&record, &machine), userdb::memberships(&record, &machine));
    let _ = (record.recovery_keys(), record.hashed_passwords(), record.is_called("alice@example.com"));
    assert!(own_changes::only_self_modifiable(&record, &record, &machine));
    assert!(!record.only(Sections::STRANGER).members().contains_key("privileged"));
    let key = PrivateKey::from_seed([7; 32]);
    if let Ok(signed) = sign(&record, &key) {
        let trust = Trust { local: vec![key.public()], ..Trust::default() };
        assert_eq!(trust.worth(&signed), Worth::Local);
    }
});
